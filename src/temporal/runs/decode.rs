//! Temporal's words about runs, in ours.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::{
    common::v1::{Payload, Payloads},
    enums::v1::{TimeoutType, WorkflowExecutionStatus},
    failure::v1::{Failure as ProtoFailure, failure::FailureInfo},
    workflow::v1::WorkflowExecutionInfo,
};

use crate::{
    seams::{Failure, RunInfo, RunStatus},
    temporal::{codec, connection::CallError},
};

/// Causes of causes that are told.
const CAUSES_MAX: usize = 8;

/// What is known of a run.
pub(super) fn info(info: WorkflowExecutionInfo) -> Result<RunInfo, CallError> {
    let status = status(info.status())?;
    let execution = info.execution.unwrap_or_default();
    let first = Some(info.first_run_id).filter(|id| !id.is_empty());
    let memo = info.memo.unwrap_or_default().fields;
    let memo: BTreeMap<String, Value> =
        memo.iter().map(|(key, payload)| (key.clone(), value(payload))).collect();
    let attributes = info.search_attributes.unwrap_or_default().indexed_fields;
    let parent = info.parent_execution.filter(|parent| !parent.workflow_id.is_empty());
    Ok(RunInfo {
        first_run_id: first.unwrap_or_else(|| execution.run_id.clone()),
        workflow_id: execution.workflow_id,
        run_id: execution.run_id,
        workflow_type: info.r#type.unwrap_or_default().name,
        status,
        task_queue: info.task_queue,
        started_at_ms: info.start_time.as_ref().map(milliseconds),
        closed_at_ms: info.close_time.as_ref().map(milliseconds),
        history_events: info.history_length,
        parent: parent.map(|parent| (parent.workflow_id, parent.run_id)),
        memo: memo.into_iter().collect(),
        search_attributes: attributes.iter().map(|(name, payload)| (name.clone(), value(payload))).collect(),
    })
}

fn status(status: WorkflowExecutionStatus) -> Result<RunStatus, CallError> {
    match status {
        WorkflowExecutionStatus::Running => Ok(RunStatus::Running),
        WorkflowExecutionStatus::Completed => Ok(RunStatus::Completed),
        WorkflowExecutionStatus::Failed => Ok(RunStatus::Failed),
        WorkflowExecutionStatus::Canceled => Ok(RunStatus::Canceled),
        WorkflowExecutionStatus::Terminated => Ok(RunStatus::Terminated),
        WorkflowExecutionStatus::ContinuedAsNew => Ok(RunStatus::ContinuedAsNew),
        WorkflowExecutionStatus::TimedOut => Ok(RunStatus::TimedOut),
        WorkflowExecutionStatus::Paused => Ok(RunStatus::Paused),
        WorkflowExecutionStatus::Unspecified => Err(CallError::Internal("a run without a status".to_owned())),
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn milliseconds(at: &prost_wkt_types::Timestamp) -> i64 {
    at.seconds * 1000 + i64::from(at.nanos) / 1_000_000
}

/// The value of a payload. What is not JSON is given as its encoding and its bytes in base64.
pub(super) fn value(payload: &Payload) -> Value {
    let encoding =
        payload.metadata.get("encoding").map(|name| String::from_utf8_lossy(name)).unwrap_or_default();
    if encoding == "binary/null" {
        return Value::Null;
    }
    let json = codec::json_of(payload).ok().and_then(|json| serde_json::from_slice(&json).ok());
    json.unwrap_or_else(|| json!({"encoding": encoding, "data": BASE64_STANDARD.encode(&payload.data)}))
}

/// The values of payloads.
pub(super) fn values(payloads: &Payloads) -> Vec<Value> {
    payloads.payloads.iter().map(value).collect()
}

/// A result: null for none, a list for several.
pub(super) fn result(payloads: Option<Payloads>) -> Value {
    let mut values = values(&payloads.unwrap_or_default());
    match values.len() {
        0 => Value::Null,
        1 => values.swap_remove(0),
        _ => Value::Array(values),
    }
}

/// A failure with its causes.
pub(super) fn failure(found: &ProtoFailure) -> Failure {
    told(found, CAUSES_MAX)
}

fn told(found: &ProtoFailure, causes: usize) -> Failure {
    let mut details = Vec::new();
    let mut add = |payloads: &Option<Payloads>| details.extend(payloads.iter().flat_map(values));
    let kind = match &found.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            add(&info.details);
            if info.r#type.is_empty() { "application".to_owned() } else { info.r#type.clone() }
        }
        Some(FailureInfo::TimeoutFailureInfo(info)) => match info.timeout_type() {
            TimeoutType::StartToClose => "timeout_start_to_close".to_owned(),
            TimeoutType::ScheduleToStart => "timeout_schedule_to_start".to_owned(),
            TimeoutType::ScheduleToClose => "timeout_schedule_to_close".to_owned(),
            TimeoutType::Heartbeat => "timeout_heartbeat".to_owned(),
            TimeoutType::Unspecified => "timeout".to_owned(),
        },
        Some(FailureInfo::CanceledFailureInfo(info)) => {
            add(&info.details);
            "canceled".to_owned()
        }
        Some(FailureInfo::TerminatedFailureInfo(_)) => "terminated".to_owned(),
        Some(FailureInfo::ServerFailureInfo(_)) => "server".to_owned(),
        Some(FailureInfo::ResetWorkflowFailureInfo(_)) => "reset".to_owned(),
        Some(FailureInfo::ActivityFailureInfo(info)) => {
            details.push(json!({"activity_type": info.activity_type.clone().unwrap_or_default().name,
                "activity_id": info.activity_id}));
            "activity".to_owned()
        }
        Some(FailureInfo::ChildWorkflowExecutionFailureInfo(info)) => {
            let child = info.workflow_execution.clone().unwrap_or_default();
            details.push(json!({"workflow_type": info.workflow_type.clone().unwrap_or_default().name,
                "workflow_id": child.workflow_id, "run_id": child.run_id}));
            "child_workflow".to_owned()
        }
        Some(
            FailureInfo::NexusOperationExecutionFailureInfo(_) | FailureInfo::NexusHandlerFailureInfo(_),
        ) => "nexus".to_owned(),
        None => "unknown".to_owned(),
    };
    let cause = found.cause.as_ref().filter(|_| causes > 0);
    let cause = cause.map(|cause| Box::new(told(cause, causes - 1)));
    Failure { message: found.message.clone(), kind, details, cause }
}

/// A failure that Temporal tells without a failure.
pub(super) fn ended_with(message: &str, kind: &str, details: Vec<Value>) -> Failure {
    Failure { message: message.to_owned(), kind: kind.to_owned(), details, cause: None }
}
