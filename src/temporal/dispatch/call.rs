//! The one call that starts a run.

use std::time::Duration;

use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::WorkflowExecutionStatus,
    workflowservice::v1::{DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse},
};
use tokio::time::Instant;

use super::{Dispatch, message::Message};
use crate::{
    seams::{StartError, Started},
    temporal::connection::{CALL_TIMEOUT, CallError, within},
};

/// Pause before the same request is sent again.
const PAUSE: Duration = Duration::from_millis(100);

impl Dispatch {
    /// Starts a run under this id. The request id makes Temporal take it once, so a call without an answer is made again
    /// until the deadline.
    pub(super) async fn send(
        &self,
        message: &Message,
        workflow_id: &str,
        request_id: &str,
    ) -> Result<Started, StartError> {
        if message.has_signal() && message.steps_over {
            self.not_in_use(workflow_id).await?;
        }
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut unanswered: Option<String> = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(StartError::OutcomeUnknown(unanswered.unwrap_or_default()));
            }
            match self.attempt(message, workflow_id, request_id, left).await {
                Ok((run_id, created)) => {
                    let found = if created { None } else { self.found(workflow_id, &run_id).await };
                    let (task_queue, workflow_type) =
                        found.unwrap_or_else(|| (message.task_queue(), message.workflow_type()));
                    let workflow_id = workflow_id.to_owned();
                    return Ok(Started { workflow_id, run_id, task_queue, workflow_type, created });
                }
                Err(CallError::Unanswered(why)) => unanswered = Some(why),
                Err(error) if unanswered.is_some() && error.is_passing() => {}
                Err(error) => return Err(start_error(error, workflow_id)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The run, and whether it is one that was started by this request id.
    async fn attempt(
        &self,
        message: &Message,
        workflow_id: &str,
        request_id: &str,
        left: Duration,
    ) -> Result<(String, bool), CallError> {
        if let Some(request) = message.signal_with_start(workflow_id, request_id) {
            let answer =
                self.link.service().signal_with_start_workflow_execution(within(request, left)).await?;
            let answer = answer.into_inner();
            return Ok((answer.run_id, answer.started));
        }
        let request = message.start(workflow_id, request_id);
        let answer = self.link.service().start_workflow_execution(within(request, left)).await?.into_inner();
        Ok((answer.run_id, answer.started))
    }

    /// A signal would go to an open run of this id, whoever's it is.
    async fn not_in_use(&self, workflow_id: &str) -> Result<(), StartError> {
        match self.describe(workflow_id, "").await {
            Ok(found) => {
                let info = found.workflow_execution_info.unwrap_or_default();
                if matches!(info.status(), WorkflowExecutionStatus::Running | WorkflowExecutionStatus::Paused)
                {
                    let run_id = info.execution.unwrap_or_default().run_id;
                    return Err(StartError::AlreadyStarted { workflow_id: workflow_id.to_owned(), run_id });
                }
                Ok(())
            }
            Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(start_error(error, workflow_id)),
        }
    }

    /// Queue and type of a run that was there before; none when Temporal does not say.
    pub(super) async fn found(&self, workflow_id: &str, run_id: &str) -> Option<(String, String)> {
        let found = self.describe(workflow_id, run_id).await.ok()?;
        let workflow_type = found.workflow_execution_info?.r#type?.name;
        Some((found.execution_config?.task_queue?.name, workflow_type))
    }

    /// Asks Temporal about a run; an empty run id means the latest.
    pub(super) async fn describe(
        &self,
        workflow_id: &str,
        run_id: &str,
    ) -> Result<DescribeWorkflowExecutionResponse, CallError> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.link.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow_id.to_owned(),
                run_id: run_id.to_owned(),
            }),
        };
        Ok(self.link.service().describe_workflow_execution(within(request, CALL_TIMEOUT)).await?.into_inner())
    }
}

/// What a failed call means to whoever wants a run started.
pub(super) fn start_error(error: CallError, workflow_id: &str) -> StartError {
    match error {
        CallError::AlreadyExists { run_id, .. } => StartError::AlreadyStarted {
            workflow_id: workflow_id.to_owned(),
            run_id: run_id.unwrap_or_default(),
        },
        CallError::Invalid(why) | CallError::Precondition(why) => StartError::Refused(why),
        CallError::Exhausted(why) => StartError::OverLimit(why),
        // The namespace is gone, or this process may not use it: nothing a caller can mend.
        CallError::NotFound(why) | CallError::Denied(why) | CallError::Unreachable(why) => {
            StartError::TemporalUnavailable(why)
        }
        CallError::Unanswered(why) => StartError::OutcomeUnknown(why),
        CallError::Internal(why) => StartError::Internal(why),
    }
}

#[cfg(test)]
mod tests {
    use temporalio_client::tonic::{Code, Status};

    use super::*;

    /// Every code that Temporal can answer with, and what it means to a client.
    #[test]
    fn every_code_has_its_meaning() {
        let table = [
            (Code::Ok, "Internal"),
            (Code::Cancelled, "OutcomeUnknown"),
            (Code::Unknown, "OutcomeUnknown"),
            (Code::InvalidArgument, "Refused"),
            (Code::DeadlineExceeded, "OutcomeUnknown"),
            (Code::NotFound, "TemporalUnavailable"),
            (Code::AlreadyExists, "AlreadyStarted"),
            (Code::PermissionDenied, "TemporalUnavailable"),
            (Code::ResourceExhausted, "OverLimit"),
            (Code::FailedPrecondition, "Refused"),
            (Code::Aborted, "OutcomeUnknown"),
            (Code::OutOfRange, "Refused"),
            (Code::Unimplemented, "Internal"),
            (Code::Internal, "Internal"),
            (Code::Unavailable, "OutcomeUnknown"),
            (Code::DataLoss, "Internal"),
            (Code::Unauthenticated, "TemporalUnavailable"),
        ];
        for (code, expected) in table {
            let error = format!("{:?}", start_error(Status::new(code, "why").into(), "a-r1"));
            assert_eq!(error.split(['(', ' ']).next(), Some(expected), "{code:?}");
        }
    }
}
