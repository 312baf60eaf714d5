//! Starting runs.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::WriteError;
use crate::schema::Violation;

/// How a start chooses its workflow id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunId {
    /// As given.
    Given(String),
    /// `<slug>-r<N>` of a name.
    Named(String),
    /// Made up: this prefix and eight hex digits.
    Prefixed(String),
}

/// What to do when the workflow id was used before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IdReuse {
    #[default]
    AllowDuplicate,
    AllowDuplicateFailedOnly,
    RejectDuplicate,
}

/// What to do when the workflow id is in use by an open run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IdConflict {
    #[default]
    Fail,
    UseExisting,
    TerminateExisting,
}

/// Which workers a start may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// This worker.
    Worker(String),
    /// A worker on this host.
    Host(String),
    /// A worker with all these labels.
    Labels(BTreeMap<String, String>),
}

/// Retries of a whole run. Unset fields take Temporal's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct RetryPolicy {
    pub initial_interval: Option<Duration>,
    pub backoff_coefficient: Option<f64>,
    pub maximum_interval: Option<Duration>,
    pub maximum_attempts: Option<u32>,
    pub non_retryable_error_types: Vec<String>,
}

/// A signal to deliver.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
}

/// The client's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As sent.
    pub key: String,
    /// Hash of everything the client asked for.
    pub fingerprint: String,
}

impl IdempotencyKey {
    /// The key as the registry knows it: two callers may use the same one.
    pub fn scoped(&self, caller: &str) -> String {
        format!("{caller}/{}", self.key)
    }
}

/// A request to start a run. Whoever makes it has checked its shape, not what it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct StartRequest {
    /// Temporal workflow type.
    pub workflow_type: String,
    /// The arguments: one (`input`), or as many as given (`args`). The first is checked against the input schema.
    pub arguments: Vec<Value>,
    /// How the workflow id is chosen.
    pub run_id: RunId,
    /// Values of declared search attributes.
    pub search_attributes: Map<String, Value>,
    /// Memo of the run.
    pub memo: Map<String, Value>,
    /// Queue to use instead of the one that would be chosen.
    pub task_queue: Option<String>,
    /// Restricts the workers it may go to.
    pub aim: Option<Aim>,
    /// Delay before the first workflow task.
    pub start_delay: Option<Duration>,
    /// Timeout of all runs of the chain.
    pub execution_timeout: Option<Duration>,
    /// Timeout of one run.
    pub run_timeout: Option<Duration>,
    /// Timeout of one workflow task.
    pub task_timeout: Option<Duration>,
    /// Retries of the whole run.
    pub retry_policy: Option<RetryPolicy>,
    /// When the id was used before.
    pub id_reuse: IdReuse,
    /// When the id is in use.
    pub id_conflict: IdConflict,
    /// How long to wait for a healthy worker.
    pub wait_for_worker: Duration,
    /// A signal to deliver as well: to the open run of this id when there is one, else to the one started.
    pub signal: Option<Signal>,
    /// Makes the start happen once however often it is asked for.
    pub idempotency: Option<IdempotencyKey>,
    /// Caller's name: in the run's identity, and the scope of the idempotency key.
    pub caller: String,
}

/// A run that was started, or found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Started {
    pub workflow_id: String,
    pub run_id: String,
    pub task_queue: String,
    pub workflow_type: String,
    /// Whether this request started it.
    pub created: bool,
}

/// Why a run was not started.
#[derive(Clone, Debug, PartialEq)]
pub enum StartError {
    /// No such type, or it is switched off (404).
    Unavailable(String),
    /// Its search attributes are not there (503).
    AttributesUnavailable(String),
    /// Nobody healthy serves it (503); how long ago the last one was heard, in seconds, when there was one.
    NoHealthyWorker {
        /// Why, in words.
        detail: String,
        /// Seconds since the last heartbeat of any worker that serves the type.
        stale_for_seconds: Option<u64>,
    },
    /// The input does not fit the schema (400).
    InvalidInput(Vec<Violation>),
    /// Something else in the request does not fit (400); the places are those in the body.
    Invalid(Vec<Violation>),
    /// The registered schema itself cannot be used (422).
    InvalidSchema(String),
    /// The registry's own queue (400).
    RegistryQueue(String),
    /// The id is in use, or was (409).
    AlreadyStarted {
        /// The workflow id.
        workflow_id: String,
        /// The run that has it.
        run_id: String,
    },
    /// The key came with another request before (409).
    KeyReused,
    /// The claim of an id failed.
    Write(WriteError),
    /// The registry holds as much as it may (429): what, and how much.
    Full {
        /// Of what there is no room for more.
        what: String,
        /// How much there may be.
        limit: u64,
    },
    /// A limit of Temporal's, or of tries (429).
    OverLimit(String),
    /// Temporal did not take it, and says so for good (400).
    Refused(String),
    /// Temporal cannot be reached; nothing was started (503).
    TemporalUnavailable(String),
    /// No answer after it was sent (504).
    OutcomeUnknown(String),
    /// Temporal failed in a way nobody expects (500).
    Internal(String),
}

/// Starts runs.
#[async_trait]
pub trait Starts: Send + Sync {
    /// Resolves, validates, claims an id where needed and makes one Temporal call.
    async fn start(&self, request: StartRequest) -> Result<Started, StartError>;
}
