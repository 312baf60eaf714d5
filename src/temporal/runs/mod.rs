//! Runs over Temporal: lists, results, history, messages, ends.

mod close;
mod decode;
mod follow;
mod history;
mod list;
mod messages;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution, workflowservice::v1::DescribeWorkflowExecutionRequest,
};

use super::{
    connection::{CALL_TIMEOUT, CallError, Link, within},
    dispatch::Dispatch,
};
use crate::seams::{
    Cursor, Message, Milestones, Progress, RunError, RunFilter, RunInfo, RunPage, RunRef, Runs, Started,
};
use follow::Follow;
pub use tasks::LiveTasks;

/// What the front door can do with runs.
pub struct LiveRuns {
    link: Arc<Link>,
    dispatch: Arc<Dispatch>,
    follow: Follow,
}

impl LiveRuns {
    /// Runs on this connection; `dispatch` starts those that are started again.
    pub fn new(link: Arc<Link>, dispatch: Arc<Dispatch>) -> Self {
        Self { follow: Follow::new(link.clone()), link, dispatch }
    }

    /// The run in Temporal's words, unless it is the registry itself.
    fn execution(&self, run: &RunRef) -> Result<WorkflowExecution, RunError> {
        if run.workflow_id == self.link.registry.workflow_id {
            return Err(RunError::NotFound);
        }
        Ok(execution(run))
    }
}

fn execution(run: &RunRef) -> WorkflowExecution {
    let run_id = run.run_id.clone().unwrap_or_default();
    WorkflowExecution { workflow_id: run.workflow_id.clone(), run_id }
}

/// Asks Temporal about a run.
async fn describe(link: &Link, run: &RunRef) -> Result<RunInfo, CallError> {
    let request =
        DescribeWorkflowExecutionRequest { namespace: link.namespace(), execution: Some(execution(run)) };
    let answer =
        link.service().describe_workflow_execution(within(request, CALL_TIMEOUT)).await?.into_inner();
    let queue = answer.execution_config.and_then(|config| config.task_queue).map(|queue| queue.name);
    let info = answer.workflow_execution_info.unwrap_or_default();
    let info = decode::info(info)?;
    Ok(RunInfo { task_queue: queue.unwrap_or_else(|| info.task_queue.clone()), ..info })
}

#[async_trait::async_trait]
impl Runs for LiveRuns {
    async fn list(&self, filter: &RunFilter) -> Result<RunPage, RunError> {
        list::list(&self.link, filter).await
    }

    async fn describe(&self, run: &RunRef) -> Result<RunInfo, RunError> {
        self.execution(run)?;
        describe(&self.link, run).await.map_err(read_error)
    }

    async fn result(&self, run: &RunRef, wait: Duration) -> Result<Progress, RunError> {
        self.execution(run)?;
        self.follow.result(run, wait).await
    }

    async fn milestones(&self, cursor: &Cursor) -> Result<Milestones, RunError> {
        history::milestones(&self.link, cursor).await
    }

    async fn signal(&self, run: &RunRef, message: Message) -> Result<(), RunError> {
        messages::signal(&self.link, self.execution(run)?, message).await
    }

    async fn query(&self, run: &RunRef, message: Message) -> Result<Value, RunError> {
        messages::query(&self.link, self.execution(run)?, message).await
    }

    async fn update(&self, run: &RunRef, message: Message, wait: Duration) -> Result<Value, RunError> {
        messages::update(&self.link, self.execution(run)?, message, wait).await
    }

    async fn cancel(&self, run: &RunRef, reason: &str, caller: &str) -> Result<(), RunError> {
        close::cancel(&self.link, self.execution(run)?, reason, caller).await
    }

    async fn terminate(&self, run: &RunRef, reason: &str, caller: &str) -> Result<(), RunError> {
        close::terminate(&self.link, self.execution(run)?, reason, caller).await
    }

    async fn restart(&self, run: &RunRef, caller: &str) -> Result<Started, RunError> {
        self.execution(run)?;
        let info = describe(&self.link, run).await.map_err(read_error)?;
        let start = history::start_of(&self.link, &info).await?;
        self.dispatch.restart(&info, start, caller).await.map_err(RunError::Start)
    }
}

/// What a failed call means when it changes something about a run.
fn write_error(error: CallError) -> RunError {
    match error {
        CallError::NotFound(why) if why.contains("already completed") => RunError::Closed,
        CallError::NotFound(_) => RunError::NotFound,
        CallError::AlreadyExists { message: why, .. }
        | CallError::Invalid(why)
        | CallError::Precondition(why) => RunError::Refused(why),
        CallError::Exhausted(why) => RunError::OverLimit(why),
        CallError::Denied(why) | CallError::Unreachable(why) => RunError::TemporalUnavailable(why),
        CallError::Unanswered(why) => RunError::OutcomeUnknown(why),
        CallError::Internal(why) => RunError::Internal(why),
    }
}

/// What a failed call means when it changes nothing.
fn read_error(error: CallError) -> RunError {
    match write_error(error) {
        RunError::OutcomeUnknown(why) => RunError::TemporalUnavailable(why),
        other => other,
    }
}

/// How the caller of a front door shows in Temporal.
fn identity(link: &Link, caller: &str) -> String {
    format!("{}/{caller}", link.identity())
}

#[cfg(test)]
mod tests {
    use temporalio_client::tonic::{Code, Status};

    use super::*;

    /// Every code that Temporal can answer with: what it means when something was to be changed, and when it was only read.
    #[test]
    fn every_code_has_its_meaning() {
        let table = [
            (Code::Ok, "Internal", "Internal"),
            (Code::Cancelled, "OutcomeUnknown", "TemporalUnavailable"),
            (Code::Unknown, "OutcomeUnknown", "TemporalUnavailable"),
            (Code::InvalidArgument, "Refused", "Refused"),
            (Code::DeadlineExceeded, "OutcomeUnknown", "TemporalUnavailable"),
            (Code::NotFound, "NotFound", "NotFound"),
            (Code::AlreadyExists, "Refused", "Refused"),
            (Code::PermissionDenied, "TemporalUnavailable", "TemporalUnavailable"),
            (Code::ResourceExhausted, "OverLimit", "OverLimit"),
            (Code::FailedPrecondition, "Refused", "Refused"),
            (Code::Aborted, "OutcomeUnknown", "TemporalUnavailable"),
            (Code::OutOfRange, "Refused", "Refused"),
            (Code::Unimplemented, "Internal", "Internal"),
            (Code::Internal, "Internal", "Internal"),
            (Code::Unavailable, "OutcomeUnknown", "TemporalUnavailable"),
            (Code::DataLoss, "Internal", "Internal"),
            (Code::Unauthenticated, "TemporalUnavailable", "TemporalUnavailable"),
        ];
        for (code, changing, reading) in table {
            let error = || CallError::from(Status::new(code, "why"));
            let word = |error: RunError| format!("{error:?}").split(['(', ' ']).next().map(str::to_owned);
            assert_eq!(word(write_error(error())).as_deref(), Some(changing), "{code:?}");
            assert_eq!(word(read_error(error())).as_deref(), Some(reading), "{code:?}");
        }
        let over = Status::new(Code::NotFound, "workflow execution already completed");
        assert_eq!(write_error(over.into()), RunError::Closed);
    }
}
