//! What a client says about a start.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::seams::{Aim, IdConflict, IdReuse, RetryPolicy, RunId, StartRequest};

/// A start. `workflow_id` and `name` exclude each other, so do `input` and `args`; empty texts count as absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StartBody {
    /// The one argument of the workflow; `{}` when absent. Checked against the input schema of the type.
    pub input: Option<Value>,
    /// Several arguments, or none. The first is checked against the input schema.
    pub args: Option<Vec<Value>>,
    /// The workflow id. Without it and without `name` one is made up from the type.
    #[schema(max_length = 1000)]
    pub workflow_id: Option<String>,
    /// A human name; the run gets the next `<slug>-r<N>` that is not in use.
    #[schema(max_length = 128)]
    pub name: Option<String>,
    /// Values of declared search attributes.
    pub search_attributes: Option<Map<String, Value>>,
    /// Memo of the run.
    pub memo: Option<Map<String, Value>>,
    /// Starts on this queue whoever serves it.
    #[schema(max_length = 1000)]
    pub task_queue: Option<String>,
    /// Restricts the workers the start may go to.
    pub target: Option<TargetBody>,
    /// Delay before the workflow runs.
    #[schema(minimum = 0, maximum = 315360000)]
    pub start_delay_seconds: Option<f64>,
    /// Timeout of the run with all its retries and continuations.
    #[schema(minimum = 0.001, maximum = 315360000)]
    pub execution_timeout_seconds: Option<f64>,
    /// Timeout of one run.
    #[schema(minimum = 0.001, maximum = 315360000)]
    pub run_timeout_seconds: Option<f64>,
    /// Timeout of one workflow task.
    #[schema(minimum = 0.001, maximum = 315360000)]
    pub task_timeout_seconds: Option<f64>,
    /// Retries of the whole run; none when absent.
    pub retry_policy: Option<RetryPolicyBody>,
    /// When the workflow id was used before; `allow_duplicate` when absent.
    pub id_reuse_policy: Option<IdReuseName>,
    /// When the workflow id is in use by an open run; `fail` when absent. An id made from a name, or made up, is never
    /// one in use.
    pub id_conflict_policy: Option<IdConflictName>,
    /// How long to wait for a healthy worker.
    #[schema(minimum = 0, maximum = 300)]
    pub wait_for_worker_seconds: Option<f64>,
    /// For `signal-with-start` only, and needed there.
    pub signal: Option<SignalBody>,
}

/// A signal that goes with a start.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalBody {
    /// Its name.
    #[schema(min_length = 1)]
    pub name: String,
    /// Its one argument. Checked against the declared schema when there is one.
    pub input: Option<Value>,
    /// Several arguments, or none. The first is checked.
    pub args: Option<Vec<Value>>,
}

/// Which workers a start may go to: exactly one of these.
///
/// A worker that shares its task queue with others is reached on the queue that it alone polls, when it names one as
/// `own_task_queue` in its `metadata`, as runners do; without, whoever polls the queue may take the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TargetBody {
    /// This worker.
    pub worker_id: Option<String>,
    /// A worker on this host.
    pub host: Option<String>,
    /// A worker with all these labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Retries of a whole run; what is absent is as Temporal has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicyBody {
    #[schema(minimum = 0.001, maximum = 315360000)]
    pub(super) initial_interval_seconds: Option<f64>,
    #[schema(minimum = 1, maximum = 1000000)]
    pub(super) backoff_coefficient: Option<f64>,
    #[schema(minimum = 0.001, maximum = 315360000)]
    pub(super) maximum_interval_seconds: Option<f64>,
    /// 0: no limit.
    #[schema(maximum = 2147483647)]
    pub(super) maximum_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) non_retryable_error_types: Vec<String>,
}

/// What to do when the workflow id was used before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdReuseName {
    AllowDuplicate,
    AllowDuplicateFailedOnly,
    RejectDuplicate,
}

/// What to do when the workflow id is in use by an open run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdConflictName {
    Fail,
    UseExisting,
    TerminateExisting,
}

impl StartBody {
    /// Refuses a signal where none is sent.
    pub(super) fn without_signal(&self) -> Result<(), Problem> {
        match self.signal {
            None => Ok(()),
            Some(_) => Err(Problem::invalid_at(
                &["body", "signal"],
                "belongs to signal-with-start",
                "extra_forbidden",
            )),
        }
    }

    /// The request behind this body. Violations are those a schema cannot say, all at once.
    pub fn request(self, workflow_type: &str, caller: &str) -> Result<StartRequest, Problem> {
        let mut details = Vec::new();
        let mut complain = |place: &[&str], msg: &str| {
            details.extend(Problem::invalid_at(place, msg, "value_error").details);
        };
        let workflow_id = self.workflow_id.filter(|text| !text.is_empty());
        let name = self.name.filter(|text| !text.is_empty());
        if workflow_id.is_some() && name.is_some() {
            complain(&["body", "name"], "set either `workflow_id` or `name`, not both");
        }
        if self.input.is_some() && self.args.is_some() {
            complain(&["body", "args"], "set either `input` or `args`, not both");
        }
        let aim = self.target.map(TargetBody::aim).transpose().unwrap_or_else(|()| {
            complain(&["body", "target"], "set exactly one of `worker_id`, `host` and `labels`");
            None
        });
        if !details.is_empty() {
            return Err(Problem::invalid_request(details));
        }
        let run_id = match (workflow_id, name) {
            (Some(workflow_id), _) => RunId::Given(workflow_id),
            (None, Some(name)) => RunId::Named(name),
            (None, None) => RunId::Prefixed(workflow_type.replace('.', "-")),
        };
        Ok(StartRequest {
            workflow_type: workflow_type.to_owned(),
            arguments: arguments(self.input, self.args),
            run_id,
            search_attributes: self.search_attributes.unwrap_or_default(),
            memo: self.memo.unwrap_or_default(),
            task_queue: self.task_queue.filter(|text| !text.is_empty()),
            aim,
            start_delay: seconds(self.start_delay_seconds),
            execution_timeout: seconds(self.execution_timeout_seconds),
            run_timeout: seconds(self.run_timeout_seconds),
            task_timeout: seconds(self.task_timeout_seconds),
            retry_policy: self.retry_policy.map(RetryPolicyBody::policy),
            id_reuse: self.id_reuse_policy.map_or(IdReuse::default(), IdReuseName::policy),
            id_conflict: self.id_conflict_policy.map_or(IdConflict::default(), IdConflictName::policy),
            wait_for_worker: seconds(self.wait_for_worker_seconds).unwrap_or_default(),
            signal: None,
            idempotency: None,
            caller: caller.to_owned(),
        })
    }
}

/// The arguments of a call: several, or one, which is an empty object when absent.
pub(super) fn arguments(input: Option<Value>, args: Option<Vec<Value>>) -> Vec<Value> {
    args.unwrap_or_else(|| vec![input.unwrap_or_else(|| Value::Object(Map::new()))])
}

/// A checked number of seconds.
pub(super) fn seconds(seconds: Option<f64>) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds?).ok()
}

impl TargetBody {
    fn aim(self) -> Result<Aim, ()> {
        match (self.worker_id, self.host, self.labels) {
            (Some(worker_id), None, None) => Ok(Aim::Worker(worker_id)),
            (None, Some(host), None) => Ok(Aim::Host(host)),
            (None, None, Some(labels)) if !labels.is_empty() => Ok(Aim::Labels(labels)),
            _ => Err(()),
        }
    }
}

impl RetryPolicyBody {
    fn policy(self) -> RetryPolicy {
        RetryPolicy {
            initial_interval: seconds(self.initial_interval_seconds),
            backoff_coefficient: self.backoff_coefficient,
            maximum_interval: seconds(self.maximum_interval_seconds),
            maximum_attempts: self.maximum_attempts,
            non_retryable_error_types: self.non_retryable_error_types,
        }
    }
}

impl IdReuseName {
    fn policy(self) -> IdReuse {
        match self {
            Self::AllowDuplicate => IdReuse::AllowDuplicate,
            Self::AllowDuplicateFailedOnly => IdReuse::AllowDuplicateFailedOnly,
            Self::RejectDuplicate => IdReuse::RejectDuplicate,
        }
    }
}

impl IdConflictName {
    fn policy(self) -> IdConflict {
        match self {
            Self::Fail => IdConflict::Fail,
            Self::UseExisting => IdConflict::UseExisting,
            Self::TerminateExisting => IdConflict::TerminateExisting,
        }
    }
}
