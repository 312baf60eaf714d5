//! A whole schedule in Temporal's words: what it starts, how, and when.

use super::fire::{FIRE_TYPE, Order};
use super::request::{OverlapPolicy, RetryPolicy, ScheduleRequest};
use super::spec::CompiledSpec;
use super::stamp::{Dispatch, MEMO_KEY, Stamp, of_payload, to_payload};
use super::times;
use prost_wkt_types::Duration;
use serde_json::Value;
use std::collections::BTreeMap;
use temporalio_common::protos::temporal::api::common::v1::{
    Memo, Payload, Payloads, RetryPolicy as ProtoRetryPolicy, SearchAttributes, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::{ScheduleOverlapPolicy, TaskQueueKind};
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleAction, SchedulePatch, SchedulePolicies, ScheduleState, TriggerImmediatelyRequest,
    schedule_action::Action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;

/// A schedule ready to be sent.
#[derive(Debug, Clone)]
pub struct PreparedSchedule {
    pub(super) id: String,
    pub(super) schedule: Schedule,
    pub(super) initial_patch: Option<SchedulePatch>,
    pub(super) stamp: Stamp,
}

impl PreparedSchedule {
    /// Puts a checked request into Temporal's words, to start on `task_queue`.
    pub fn new(id: &str, request: &ScheduleRequest, spec: &CompiledSpec, task_queue: &str) -> Self {
        let stamp = Stamp::new(request, spec);
        let immediate = spec.immediate.is_some();
        // The immediate fire is an explicit one, which the server does not count against the limit.
        let remaining = spec.limited_actions.map(|limit| limit - i64::from(immediate));
        let schedule = Schedule {
            spec: Some(times::to_proto(spec)),
            action: Some(ScheduleAction {
                action: Some(Action::StartWorkflow(start_workflow(id, request, &stamp, task_queue))),
            }),
            policies: Some(SchedulePolicies {
                overlap_policy: overlap(request.overlap_policy) as i32,
                catchup_window: Some(times::seconds(request.catchup_window_seconds)),
                pause_on_failure: request.pause_on_failure,
                ..SchedulePolicies::default()
            }),
            state: Some(ScheduleState {
                notes: request.note.clone(),
                limited_actions: remaining.is_some(),
                remaining_actions: remaining.unwrap_or(0),
                ..ScheduleState::default()
            }),
        };
        // Part of the creation itself: there is no moment in which the schedule exists and the fire can get lost.
        let initial_patch = immediate.then(|| SchedulePatch {
            trigger_immediately: Some(TriggerImmediatelyRequest {
                overlap_policy: overlap(request.overlap_policy) as i32,
                ..TriggerImmediatelyRequest::default()
            }),
            ..SchedulePatch::default()
        });
        Self { id: id.to_owned(), schedule, initial_patch, stamp }
    }

    /// The same, whose runs carry these search attributes, encoded with their types. Those of a fire that resolves its
    /// target are in its order.
    #[must_use]
    pub fn with_search_attributes(mut self, attributes: SearchAttributes) -> Self {
        if self.stamp.dispatch == Dispatch::AtFire {
            return self;
        }
        if let Some(start) = start_of_mut(&mut self.schedule) {
            start.search_attributes = (!attributes.indexed_fields.is_empty()).then_some(attributes);
        }
        self
    }

    /// The same, paused from the start.
    #[must_use]
    pub fn paused(mut self) -> Self {
        if let Some(state) = &mut self.schedule.state {
            state.paused = true;
        }
        self
    }

    /// The mark it will carry.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

fn start_workflow(
    id: &str,
    request: &ScheduleRequest,
    stamp: &Stamp,
    task_queue: &str,
) -> NewWorkflowExecutionInfo {
    let payloads = |values: &BTreeMap<String, Value>| {
        values.iter().map(|(name, value)| (name.clone(), to_payload(value))).collect()
    };
    let mut memo = stamp.to_memo();
    memo.fields.extend(
        request
            .memo
            .iter()
            .filter(|(key, _)| *key != MEMO_KEY)
            .map(|(key, value)| (key.clone(), to_payload(value))),
    );
    if stamp.dispatch == Dispatch::AtFire {
        let order = serde_json::to_value(Order::new(id, request)).unwrap_or_default();
        return NewWorkflowExecutionInfo {
            workflow_id: request.base_workflow_id(id).to_owned(),
            workflow_type: Some(WorkflowType { name: FIRE_TYPE.to_owned() }),
            task_queue: Some(queue(task_queue)),
            input: Some(Payloads { payloads: vec![to_payload(&order)] }),
            memo: Some(memo),
            ..NewWorkflowExecutionInfo::default()
        };
    }
    let attributes = SearchAttributes { indexed_fields: payloads(&request.search_attributes) };
    NewWorkflowExecutionInfo {
        workflow_id: request.base_workflow_id(id).to_owned(),
        workflow_type: Some(WorkflowType { name: request.workflow_type.clone() }),
        task_queue: Some(queue(task_queue)),
        input: Some(Payloads { payloads: vec![to_payload(&request.input)] }),
        workflow_execution_timeout: request.timeouts.execution_seconds.and_then(fraction),
        workflow_run_timeout: request.timeouts.run_seconds.and_then(fraction),
        workflow_task_timeout: request.timeouts.task_seconds.and_then(fraction),
        retry_policy: request.retry_policy.as_ref().map(retry_policy),
        memo: Some(memo),
        search_attributes: (!request.search_attributes.is_empty()).then_some(attributes),
        ..NewWorkflowExecutionInfo::default()
    }
}

/// A normal queue of that name.
pub(super) fn queue(name: &str) -> TaskQueue {
    TaskQueue { name: name.to_owned(), kind: TaskQueueKind::Normal as i32, ..TaskQueue::default() }
}

fn retry_policy(policy: &RetryPolicy) -> ProtoRetryPolicy {
    ProtoRetryPolicy {
        initial_interval: policy.initial_interval_seconds.and_then(fraction),
        backoff_coefficient: policy.backoff_coefficient.unwrap_or(2.0),
        maximum_interval: policy.maximum_interval_seconds.and_then(fraction),
        maximum_attempts: policy.maximum_attempts.unwrap_or(0),
        non_retryable_error_types: policy.non_retryable_error_types.clone(),
    }
}

/// A checked number of seconds, fractions included.
fn fraction(seconds: f64) -> Option<Duration> {
    Duration::try_from(std::time::Duration::try_from_secs_f64(seconds).ok()?).ok()
}

/// The policy in the server's words.
pub(super) fn overlap(policy: OverlapPolicy) -> ScheduleOverlapPolicy {
    match policy {
        OverlapPolicy::Skip => ScheduleOverlapPolicy::Skip,
        OverlapPolicy::BufferOne => ScheduleOverlapPolicy::BufferOne,
        OverlapPolicy::BufferAll => ScheduleOverlapPolicy::BufferAll,
        OverlapPolicy::CancelOther => ScheduleOverlapPolicy::CancelOther,
        OverlapPolicy::TerminateOther => ScheduleOverlapPolicy::TerminateOther,
        OverlapPolicy::AllowAll => ScheduleOverlapPolicy::AllowAll,
    }
}

/// Reads the policy; one that is not set is the default.
pub(super) fn overlap_of(policy: i32) -> OverlapPolicy {
    match ScheduleOverlapPolicy::try_from(policy).unwrap_or_default() {
        ScheduleOverlapPolicy::Unspecified | ScheduleOverlapPolicy::Skip => OverlapPolicy::Skip,
        ScheduleOverlapPolicy::BufferOne => OverlapPolicy::BufferOne,
        ScheduleOverlapPolicy::BufferAll => OverlapPolicy::BufferAll,
        ScheduleOverlapPolicy::CancelOther => OverlapPolicy::CancelOther,
        ScheduleOverlapPolicy::TerminateOther => OverlapPolicy::TerminateOther,
        ScheduleOverlapPolicy::AllowAll => OverlapPolicy::AllowAll,
    }
}

/// What is started, if it is a workflow.
pub(super) fn start_of(schedule: &Schedule) -> Option<&NewWorkflowExecutionInfo> {
    let Action::StartWorkflow(start) = schedule.action.as_ref()?.action.as_ref()?;
    Some(start)
}

/// The same, to be changed.
pub(super) fn start_of_mut(schedule: &mut Schedule) -> Option<&mut NewWorkflowExecutionInfo> {
    let Action::StartWorkflow(start) = schedule.action.as_mut()?.action.as_mut()?;
    Some(start)
}

/// The JSON values of a memo but for the registry's mark; what is not JSON is left out.
pub(super) fn memo_values(memo: Option<&Memo>) -> BTreeMap<String, Value> {
    let fields = memo.into_iter().flat_map(|memo| &memo.fields);
    values(fields.filter(|(key, _)| *key != MEMO_KEY))
}

/// The JSON values of search attributes.
pub(super) fn attribute_values(attributes: Option<&SearchAttributes>) -> BTreeMap<String, Value> {
    values(attributes.into_iter().flat_map(|attributes| &attributes.indexed_fields))
}

fn values<'a>(payloads: impl Iterator<Item = (&'a String, &'a Payload)>) -> BTreeMap<String, Value> {
    payloads.filter_map(|(key, payload)| Some((key.clone(), of_payload(payload)?))).collect()
}
