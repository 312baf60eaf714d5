//! Signals, queries and updates.

use std::time::Duration;

use serde_json::Value;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    query::v1::WorkflowQuery,
    update::v1::{Input, Meta, Request, WaitPolicy, outcome},
    workflowservice::v1::{
        QueryWorkflowRequest, SignalWorkflowExecutionRequest, UpdateWorkflowExecutionRequest,
    },
};
use tokio::time::Instant;

use super::{decode, identity, read_error, write_error};
use crate::{
    seams::{Message, RunError},
    temporal::{
        connection::{CALL_TIMEOUT, CallError, Link, within},
        dispatch::payloads,
    },
};

/// Pause before an update is asked for again.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends a signal.
pub(super) async fn signal(
    link: &Link,
    execution: WorkflowExecution,
    message: Message,
) -> Result<(), RunError> {
    // One key may go with several signals of a run; Temporal would take only the first of them.
    let keyed = |key| format!("{}/{}/{key}", message.caller, message.name);
    let request_id = message.id.map_or_else(made_up, keyed);
    let request = SignalWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(execution),
        signal_name: message.name,
        input: Some(payloads(&message.arguments)),
        identity: identity(link, &message.caller),
        request_id,
        ..Default::default()
    };
    let call = link.service();
    let answer = { call }.signal_workflow_execution(within(request, CALL_TIMEOUT)).await;
    answer.map(|_| ()).map_err(|status| write_error(status.into()))
}

/// Asks the workflow.
pub(super) async fn query(
    link: &Link,
    execution: WorkflowExecution,
    message: Message,
) -> Result<Value, RunError> {
    let query = WorkflowQuery {
        query_type: message.name,
        query_args: Some(payloads(&message.arguments)),
        header: None,
    };
    let request = QueryWorkflowRequest {
        namespace: link.namespace(),
        execution: Some(execution),
        query: Some(query),
        query_reject_condition: 0,
    };
    let call = link.service();
    match { call }.query_workflow(within(request, CALL_TIMEOUT)).await.map_err(CallError::from) {
        Ok(answer) => Ok(decode::result(answer.into_inner().query_result)),
        // A query that the workflow does not know or that fails is an invalid argument in Temporal's words.
        Err(CallError::Invalid(why)) => {
            Err(RunError::Failed(decode::ended_with(&why, "query_failed", Vec::new())))
        }
        Err(CallError::Unanswered(why) | CallError::Precondition(why)) => Err(RunError::NoWorker(why)),
        Err(error) => Err(read_error(error)),
    }
}

/// Sends an update and waits for its outcome. The update id makes the workflow take it once, so it is asked for again
/// until the deadline.
pub(super) async fn update(
    link: &Link,
    execution: WorkflowExecution,
    message: Message,
    wait: Duration,
) -> Result<Value, RunError> {
    let update_id = message.id.unwrap_or_else(made_up);
    let request = UpdateWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(execution),
        first_execution_run_id: String::new(),
        wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed.into() }),
        request: Some(Request {
            meta: Some(Meta { update_id: update_id.clone(), identity: identity(link, &message.caller) }),
            input: Some(Input { header: None, name: message.name, args: Some(payloads(&message.arguments)) }),
            ..Default::default()
        }),
    };
    let deadline = Instant::now() + wait;
    let mut was_sent = false;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(RunError::OutcomeUnknown(format!("update {update_id} has no outcome yet")));
        }
        let call = link.service();
        match { call }.update_workflow_execution(within(request.clone(), left)).await.map_err(CallError::from)
        {
            Ok(answer) => match answer.into_inner().outcome.and_then(|outcome| outcome.value) {
                Some(outcome::Value::Success(result)) => return Ok(decode::result(Some(result))),
                Some(outcome::Value::Failure(failure)) => {
                    return Err(RunError::Failed(decode::failure(&failure)));
                }
                None => was_sent = true,
            },
            Err(CallError::Unanswered(_)) => was_sent = true,
            Err(error) if was_sent && error.is_passing() => {}
            Err(error) => return Err(write_error(error)),
        }
        tokio::time::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

fn made_up() -> String {
    uuid::Uuid::new_v4().to_string()
}
