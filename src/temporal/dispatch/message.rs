//! A start in Temporal's words.

use std::collections::HashMap;
use std::time::Duration;

use prost_wkt_types::Duration as ProtoDuration;
use serde_json::Value;
use temporalio_common::protos::temporal::api::{
    common::v1::{Header, Memo, Payloads, RetryPolicy as ProtoRetryPolicy, WorkflowType},
    enums::v1::{TaskQueueKind, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest},
};

use super::{is_ours_to_choose, resolve::Resolved};
use crate::{
    seams::{IdConflict, IdReuse, RetryPolicy, StartRequest},
    telemetry::traces,
    temporal::{codec, connection::Link},
};

/// A start, ready to be sent but for the ids.
pub(super) struct Message {
    pub(super) start: StartWorkflowExecutionRequest,
    signal: Option<(String, Payloads)>,
    /// Whether another id is to be taken when this one is in use.
    pub steps_over: bool,
}

impl Message {
    /// Puts a request into Temporal's words.
    pub fn new(link: &Link, request: &StartRequest, resolved: &Resolved) -> Self {
        let attributes = &resolved.search_attributes;
        let memo = request.memo.iter().map(|(name, value)| (name.clone(), codec::of_value(value)));
        let steps_over = is_ours_to_choose(&request.run_id);
        // An id chosen here is for a new run; when it is in use, another one is.
        let conflict = if steps_over { IdConflict::Fail } else { request.id_conflict };
        let start = StartWorkflowExecutionRequest {
            namespace: link.namespace(),
            workflow_type: Some(WorkflowType { name: request.workflow_type.clone() }),
            task_queue: Some(TaskQueue {
                name: resolved.task_queue.clone(),
                kind: TaskQueueKind::Normal.into(),
                ..TaskQueue::default()
            }),
            input: Some(payloads(&request.arguments)),
            workflow_execution_timeout: request.execution_timeout.and_then(duration),
            workflow_run_timeout: request.run_timeout.and_then(duration),
            workflow_task_timeout: request.task_timeout.and_then(duration),
            workflow_start_delay: request.start_delay.filter(|delay| !delay.is_zero()).and_then(duration),
            identity: format!("{}/{}", link.identity(), request.caller),
            workflow_id_reuse_policy: reuse(request.id_reuse).into(),
            workflow_id_conflict_policy: conflicting(conflict).into(),
            retry_policy: request.retry_policy.as_ref().map(retry_policy),
            memo: (!request.memo.is_empty()).then(|| Memo { fields: memo.collect() }),
            search_attributes: (!attributes.indexed_fields.is_empty()).then(|| attributes.clone()),
            header: traces::passed_on().map(trace_header),
            ..StartWorkflowExecutionRequest::default()
        };
        let signal = request.signal.as_ref().map(|signal| (signal.name.clone(), payloads(&signal.arguments)));
        Self { start, signal, steps_over }
    }

    /// The type that is started.
    pub fn workflow_type(&self) -> String {
        self.start.workflow_type.clone().unwrap_or_default().name
    }

    /// The queue it goes to.
    pub fn task_queue(&self) -> String {
        self.start.task_queue.clone().unwrap_or_default().name
    }

    /// Whether a signal goes with it.
    pub fn has_signal(&self) -> bool {
        self.signal.is_some()
    }

    /// The request with these ids.
    pub fn start(&self, workflow_id: &str, request_id: &str) -> StartWorkflowExecutionRequest {
        StartWorkflowExecutionRequest {
            workflow_id: workflow_id.to_owned(),
            request_id: request_id.to_owned(),
            ..self.start.clone()
        }
    }

    /// The request with these ids and a signal; none when there is no signal.
    pub fn signal_with_start(
        &self,
        workflow_id: &str,
        request_id: &str,
    ) -> Option<SignalWithStartWorkflowExecutionRequest> {
        let (signal_name, signal_input) = self.signal.clone()?;
        let start = self.start(workflow_id, request_id);
        let conflict = match start.workflow_id_conflict_policy() {
            // An open run gets the signal: that is what the call is for, and Temporal knows no other way.
            WorkflowIdConflictPolicy::Fail | WorkflowIdConflictPolicy::Unspecified => {
                WorkflowIdConflictPolicy::UseExisting
            }
            named @ (WorkflowIdConflictPolicy::UseExisting | WorkflowIdConflictPolicy::TerminateExisting) => {
                named
            }
        };
        Some(SignalWithStartWorkflowExecutionRequest {
            namespace: start.namespace,
            workflow_id: start.workflow_id,
            workflow_type: start.workflow_type,
            task_queue: start.task_queue,
            input: start.input,
            workflow_execution_timeout: start.workflow_execution_timeout,
            workflow_run_timeout: start.workflow_run_timeout,
            workflow_task_timeout: start.workflow_task_timeout,
            identity: start.identity,
            request_id: start.request_id,
            workflow_id_reuse_policy: start.workflow_id_reuse_policy,
            workflow_id_conflict_policy: conflict.into(),
            signal_name,
            signal_input: Some(signal_input),
            retry_policy: start.retry_policy,
            memo: start.memo,
            search_attributes: start.search_attributes,
            workflow_start_delay: start.workflow_start_delay,
            header: start.header,
            ..SignalWithStartWorkflowExecutionRequest::default()
        })
    }
}

/// Where the tracing interceptors of Temporal's SDKs look for the trace a run is part of.
const TRACE_HEADER: &str = "_tracer-data";

fn trace_header(carrier: HashMap<String, String>) -> Header {
    let carrier = Value::Object(carrier.into_iter().map(|(name, value)| (name, value.into())).collect());
    Header { fields: [(TRACE_HEADER.to_owned(), codec::of_value(&carrier))].into() }
}

/// Arguments as plain JSON payloads.
pub(in crate::temporal) fn payloads(arguments: &[Value]) -> Payloads {
    Payloads { payloads: arguments.iter().map(codec::of_value).collect() }
}

fn duration(duration: Duration) -> Option<ProtoDuration> {
    ProtoDuration::try_from(duration).ok()
}

fn reuse(policy: IdReuse) -> WorkflowIdReusePolicy {
    match policy {
        IdReuse::AllowDuplicate => WorkflowIdReusePolicy::AllowDuplicate,
        IdReuse::AllowDuplicateFailedOnly => WorkflowIdReusePolicy::AllowDuplicateFailedOnly,
        IdReuse::RejectDuplicate => WorkflowIdReusePolicy::RejectDuplicate,
    }
}

fn conflicting(policy: IdConflict) -> WorkflowIdConflictPolicy {
    match policy {
        IdConflict::Fail => WorkflowIdConflictPolicy::Fail,
        IdConflict::UseExisting => WorkflowIdConflictPolicy::UseExisting,
        IdConflict::TerminateExisting => WorkflowIdConflictPolicy::TerminateExisting,
    }
}

fn retry_policy(policy: &RetryPolicy) -> ProtoRetryPolicy {
    ProtoRetryPolicy {
        initial_interval: policy.initial_interval.and_then(duration),
        backoff_coefficient: policy.backoff_coefficient.unwrap_or(2.0),
        maximum_interval: policy.maximum_interval.and_then(duration),
        maximum_attempts: policy.maximum_attempts.and_then(|n| i32::try_from(n).ok()).unwrap_or(0),
        non_retryable_error_types: policy.non_retryable_error_types.clone(),
    }
}
