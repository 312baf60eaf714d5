//! Updates and signals of the registry workflow.

use std::time::Duration;

use temporalio_common::protos::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowExecution},
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    update::v1::{Input, Meta, Request, WaitPolicy, outcome::Value},
    workflowservice::v1::{SignalWorkflowExecutionRequest, UpdateWorkflowExecutionRequest},
};

use super::connection::{CALL_TIMEOUT, CallError, Link, within};

/// What became of an update that Temporal took.
pub(super) enum Answer {
    /// This is its result.
    Done(Vec<Payload>),
    /// It was refused, or failed, with this text.
    Failed(String),
    /// Not known yet: the same update again.
    Pending,
}

/// Sends an update and waits for what becomes of it. The same id again is the same update, within one run.
pub(super) async fn update(
    link: &Link,
    execution: WorkflowExecution,
    name: &str,
    update_id: String,
    args: Vec<Payload>,
    deadline: Duration,
) -> Result<Answer, CallError> {
    let args = Some(Payloads { payloads: args });
    let request = UpdateWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(execution),
        first_execution_run_id: String::new(),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed.into() }),
        request: Some(Request {
            meta: Some(Meta { update_id, identity: link.identity() }),
            input: Some(Input { header: None, name: name.to_owned(), args }),
            ..Default::default()
        }),
    };
    let answer = link.service().update_workflow_execution(within(request, deadline)).await?.into_inner();
    Ok(match answer.outcome.and_then(|outcome| outcome.value) {
        None => Answer::Pending,
        Some(Value::Success(payloads)) => Answer::Done(payloads.payloads),
        Some(Value::Failure(failure)) => Answer::Failed(failure.message),
    })
}

/// Sends a signal without arguments to the registry workflow.
pub(super) async fn signal(link: &Link, name: &str) -> Result<(), CallError> {
    let request = SignalWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(link.registry_execution()),
        signal_name: name.to_owned(),
        identity: link.identity(),
        request_id: uuid::Uuid::now_v7().to_string(),
        ..Default::default()
    };
    link.service().signal_workflow_execution(within(request, CALL_TIMEOUT)).await?;
    Ok(())
}
