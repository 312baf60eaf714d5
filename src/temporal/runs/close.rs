//! Ending runs.

use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    workflowservice::v1::{RequestCancelWorkflowExecutionRequest, TerminateWorkflowExecutionRequest},
};

use super::{identity, write_error};
use crate::{
    seams::RunError,
    temporal::connection::{CALL_TIMEOUT, CallError, Link, within},
};

/// Asks a run to end.
pub(super) async fn cancel(
    link: &Link,
    execution: WorkflowExecution,
    reason: &str,
    caller: &str,
) -> Result<(), RunError> {
    let request = RequestCancelWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(execution),
        identity: identity(link, caller),
        request_id: uuid::Uuid::new_v4().to_string(),
        reason: reason.to_owned(),
        ..Default::default()
    };
    let call = link.service();
    let answer = { call }.request_cancel_workflow_execution(within(request, CALL_TIMEOUT)).await;
    match answer.map_err(CallError::from) {
        // Asked before: that is what was wanted.
        Ok(_) | Err(CallError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(write_error(error)),
    }
}

/// Ends a run at once.
pub(super) async fn terminate(
    link: &Link,
    execution: WorkflowExecution,
    reason: &str,
    caller: &str,
) -> Result<(), RunError> {
    let request = TerminateWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(execution),
        reason: reason.to_owned(),
        identity: identity(link, caller),
        ..Default::default()
    };
    let call = link.service();
    let answer = { call }.terminate_workflow_execution(within(request, CALL_TIMEOUT)).await;
    answer.map(|_| ()).map_err(|status| write_error(status.into()))
}
