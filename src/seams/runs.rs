//! Runs: seeing them, waiting for them, speaking to them, ending them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{StartError, Started};

/// Names a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunRef {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id; the latest run of the workflow id when absent.
    pub run_id: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RunStatus {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    TimedOut,
    ContinuedAsNew,
    Paused,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Terminated,
        Self::TimedOut,
        Self::ContinuedAsNew,
        Self::Paused,
    ];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Terminated => "terminated",
            Self::TimedOut => "timed_out",
            Self::ContinuedAsNew => "continued_as_new",
            Self::Paused => "paused",
        }
    }

    /// Whether the run goes on.
    pub fn is_open(self) -> bool {
        match self {
            Self::Running | Self::Paused => true,
            Self::Completed
            | Self::Failed
            | Self::Canceled
            | Self::Terminated
            | Self::TimedOut
            | Self::ContinuedAsNew => false,
        }
    }
}

/// What is known of a run. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct RunInfo {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
    /// The first run of the chain it continues; itself when it continues none.
    pub first_run_id: String,
    /// Its type.
    pub workflow_type: String,
    /// Where it stands.
    pub status: RunStatus,
    /// The queue it was started on.
    pub task_queue: String,
    /// When it was started.
    pub started_at_ms: Option<i64>,
    /// When it ended.
    pub closed_at_ms: Option<i64>,
    /// Events in its history.
    pub history_events: i64,
    /// Workflow id and run id of its parent.
    pub parent: Option<(String, String)>,
    /// Its memo.
    pub memo: Map<String, Value>,
    /// Its search attributes.
    pub search_attributes: BTreeMap<String, Value>,
}

/// Why a run, or a part of it, failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// In words.
    pub message: String,
    /// The application's name for it, or what kind of failure it is.
    pub kind: String,
    /// What the application added.
    pub details: Vec<Value>,
    /// What was behind it.
    pub cause: Option<Box<Failure>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// With this result.
    Completed(Value),
    /// Any other way; the status of the run says which.
    Failed(Failure),
}

/// A run somebody waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The run, or the last one of its chain.
    pub run: RunInfo,
    /// How it ended; none while it goes on.
    pub ended: Option<Ended>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this type.
    pub workflow_type: Option<String>,
    /// Standing so.
    pub status: Option<RunStatus>,
    /// A visibility query.
    pub query: Option<String>,
    /// At most this many.
    pub limit: u32,
    /// Where the last page ended.
    pub page: Vec<u8>,
}

/// Some runs.
#[derive(Clone, Debug, Default)]
pub struct RunPage {
    /// The runs, latest first.
    pub runs: Vec<RunInfo>,
    /// Where this page ends; empty when it is the last.
    pub next: Vec<u8>,
}

/// Something in the history of a run that matters to people.
#[derive(Clone, Debug, PartialEq)]
pub struct Milestone {
    /// The run.
    pub run_id: String,
    /// Counts from 1 in the run.
    pub event_id: i64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
    /// What, in snake case.
    pub kind: String,
    /// Where the run stands after it, when that changed.
    pub status: Option<RunStatus>,
    /// Which signal, activity, timer, child or update.
    pub name: Option<String>,
    /// How far a run of a runner is, when it says so.
    pub progress: Option<Value>,
}

/// A place in the history of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whose history.
    pub workflow_id: String,
    /// Which run's.
    pub run_id: String,
    /// The last event seen; 0: none.
    pub after: i64,
    /// Where the last page ended.
    pub page: Vec<u8>,
}

/// Some milestones and where to go on; nowhere when the history ends.
#[derive(Clone, Debug)]
pub struct Milestones {
    /// In order; may be empty when nothing happened for a while.
    pub milestones: Vec<Milestone>,
    /// Where to go on.
    pub next: Option<Cursor>,
}

/// A message to a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Name of the signal, query or update.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Value>,
    /// Makes it happen once however often it is sent.
    pub id: Option<String>,
    /// Who sends it.
    pub caller: String,
}

/// Why something about a run did not work.
#[derive(Clone, Debug, PartialEq)]
pub enum RunError {
    /// No such run (404).
    NotFound,
    /// The run has ended (409).
    Closed,
    /// Temporal does not take the request, and says so for good (400).
    Refused(String),
    /// The workflow refused or failed a query or an update (422).
    Failed(Failure),
    /// No worker answered in time (503).
    NoWorker(String),
    /// A limit of Temporal's (429).
    OverLimit(String),
    /// Temporal cannot be reached; nothing was done (503).
    TemporalUnavailable(String),
    /// No answer after it was sent (504).
    OutcomeUnknown(String),
    /// Temporal failed in a way nobody expects (500).
    Internal(String),
    /// A new run could not be started.
    Start(StartError),
}

/// Runs. Nothing here speaks to the registry's own workflow: for this, it is no run.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Some runs, latest first.
    async fn list(&self, filter: &RunFilter) -> Result<RunPage, RunError>;
    /// One run.
    async fn describe(&self, run: &RunRef) -> Result<RunInfo, RunError>;
    /// Waits until a run, with all that continues it, has ended, or for this long. Any number of callers that wait for
    /// the same run cost one call to Temporal at a time.
    async fn result(&self, run: &RunRef, wait: Duration) -> Result<Progress, RunError>;
    /// What came after a place in the history; waits a while for something to come.
    async fn milestones(&self, cursor: &Cursor) -> Result<Milestones, RunError>;
    /// Sends a signal; returns when Temporal has taken it.
    async fn signal(&self, run: &RunRef, message: Message) -> Result<(), RunError>;
    /// Asks the workflow; its answer.
    async fn query(&self, run: &RunRef, message: Message) -> Result<Value, RunError>;
    /// Sends an update and waits for its outcome, for this long.
    async fn update(&self, run: &RunRef, message: Message, wait: Duration) -> Result<Value, RunError>;
    /// Asks the workflow to end; returns when Temporal has taken it.
    async fn cancel(&self, run: &RunRef, reason: &str, caller: &str) -> Result<(), RunError>;
    /// Ends a run at once.
    async fn terminate(&self, run: &RunRef, reason: &str, caller: &str) -> Result<(), RunError>;
    /// Ends a run if it is open, and starts the same type with the same input and id where it goes today.
    async fn restart(&self, run: &RunRef, caller: &str) -> Result<Started, RunError>;
}
