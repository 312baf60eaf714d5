//! A schedule as the server has it.

use super::action::{attribute_values, memo_values, overlap_of, start_of};
use super::fire::Order;
use super::fit::Stored;
use super::request::{OverlapPolicy, RetryPolicy, Timeouts};
use super::stamp::{Dispatch, Stamp, of_payload};
use super::state::{FireCounts, RecentAction, RunningAction, SpecEcho};
use super::times::{self, datetime, duration_seconds};
use chrono::{DateTime, Utc};
use prost_wkt_types::Duration as ProtoDuration;
use serde_json::Value;
use std::collections::BTreeMap;
use temporalio_common::protos::temporal::api::common::v1::{
    RetryPolicy as ProtoRetryPolicy, WorkflowExecution,
};
use temporalio_common::protos::temporal::api::schedule::v1::{Schedule, ScheduleActionResult};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

/// Everything the server says of one schedule.
#[derive(Debug, Clone)]
pub struct ScheduleDescription {
    /// Its id.
    pub id: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Its note; pausing replaces it.
    pub note: String,
    /// The type of what it starts.
    pub workflow_type: String,
    /// The queue it starts on.
    pub task_queue: String,
    /// The id that fire times are appended to.
    pub workflow_id: String,
    /// The argument of what it starts; `None` when it is not one JSON value.
    pub input: Option<Value>,
    /// Memo of the runs, without the registry's mark.
    pub memo: BTreeMap<String, Value>,
    /// Search attributes of the runs.
    pub search_attributes: BTreeMap<String, Value>,
    /// Timeouts of the runs.
    pub timeouts: Timeouts,
    /// Retries of the runs; `None` is none.
    pub retry_policy: Option<RetryPolicy>,
    /// Its times.
    pub spec: SpecEcho,
    /// What happens to a fire while a run is open.
    pub overlap_policy: OverlapPolicy,
    /// How late a missed fire is still made up for.
    pub catchup_window_seconds: i64,
    /// Whether a failed run pauses it.
    pub pause_on_failure: bool,
    /// How many fires are left; `None` is without limit.
    pub remaining_actions: Option<i64>,
    /// The next fires, at most ten.
    pub next_fires: Vec<DateTime<Utc>>,
    /// Open runs.
    pub running: Vec<RunningAction>,
    /// The last fires, at most ten, oldest first.
    pub recent: Vec<RecentAction>,
    /// What became of its fires so far.
    pub counts: FireCounts,
    /// When it was created, by the server's clock.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last updated.
    pub updated_at: Option<DateTime<Utc>>,
    /// The registry's mark; `None` on a schedule that is not the registry's.
    pub stamp: Option<Stamp>,
    /// Changes with every change to the schedule.
    pub conflict_token: ConflictToken,
    /// The whole of it, so that an update leaves alone what it is not about.
    pub(super) raw: Schedule,
}

/// Names a state of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConflictToken(pub Vec<u8>);

impl ScheduleDescription {
    /// The part that its type has a say in.
    pub(super) fn stored(&self) -> Stored<'_> {
        let follows = self.stamp.as_ref().is_some_and(|stamp| stamp.dispatch == Dispatch::Follows);
        Stored {
            workflow_type: &self.workflow_type,
            input: self.input.as_ref(),
            search_attributes: &self.search_attributes,
            follows: follows.then_some(self.task_queue.as_str()),
        }
    }

    pub(super) fn of_proto(id: &str, response: DescribeScheduleResponse) -> Self {
        let raw = response.schedule.unwrap_or_default();
        let info = response.info.unwrap_or_default();
        let start = start_of(&raw).cloned().unwrap_or_default();
        let state = raw.state.clone().unwrap_or_default();
        let policies = raw.policies.unwrap_or_default();
        let arguments = start.input.unwrap_or_default().payloads;
        let stamp = Stamp::of_memo(start.memo.as_ref());
        let at_fire = stamp.as_ref().is_some_and(|stamp| stamp.dispatch == Dispatch::AtFire);
        let input = if let [only] = arguments.as_slice() { of_payload(only) } else { None };
        let mut described = Self {
            id: id.to_owned(),
            paused: state.paused,
            note: state.notes,
            workflow_type: start.workflow_type.unwrap_or_default().name,
            task_queue: start.task_queue.unwrap_or_default().name,
            workflow_id: start.workflow_id,
            input,
            memo: memo_values(start.memo.as_ref()),
            search_attributes: attribute_values(start.search_attributes.as_ref()),
            timeouts: Timeouts {
                execution_seconds: seconds(start.workflow_execution_timeout),
                run_seconds: seconds(start.workflow_run_timeout),
                task_seconds: seconds(start.workflow_task_timeout),
            },
            retry_policy: start.retry_policy.map(retries),
            spec: raw.spec.as_ref().map(times::of_proto).unwrap_or_default(),
            overlap_policy: overlap_of(policies.overlap_policy),
            catchup_window_seconds: duration_seconds(policies.catchup_window),
            pause_on_failure: policies.pause_on_failure,
            remaining_actions: state.limited_actions.then_some(state.remaining_actions),
            next_fires: info.future_action_times.into_iter().filter_map(datetime).collect(),
            running: info.running_workflows.into_iter().map(running).collect(),
            recent: info.recent_actions.into_iter().map(recent).collect(),
            counts: FireCounts {
                fired: info.action_count,
                missed: info.missed_catchup_window,
                skipped: info.overlap_skipped,
                dropped: info.buffer_dropped,
                waiting: info.buffer_size,
            },
            created_at: info.create_time.and_then(datetime),
            updated_at: info.update_time.and_then(datetime),
            stamp,
            conflict_token: ConflictToken(response.conflict_token),
            raw,
        };
        // What is asked for is in the order; the workflow that carries it out is no concern of a reader.
        if at_fire && let Some(Ok(order)) = described.input.clone().map(serde_json::from_value::<Order>) {
            described.workflow_type = order.workflow_type;
            described.input = Some(order.input);
            described.search_attributes = order.search_attributes;
            (described.timeouts, described.retry_policy) = (order.timeouts, order.retry_policy);
        }
        described
    }
}

/// Zero stands for a time that is not limited, or that Temporal chooses itself.
fn seconds(duration: Option<ProtoDuration>) -> Option<f64> {
    let duration = std::time::Duration::try_from(duration?).ok()?;
    Some(duration.as_secs_f64()).filter(|seconds| *seconds > 0.0)
}

fn retries(policy: ProtoRetryPolicy) -> RetryPolicy {
    RetryPolicy {
        initial_interval_seconds: seconds(policy.initial_interval),
        backoff_coefficient: Some(policy.backoff_coefficient).filter(|growth| *growth > 0.0),
        maximum_interval_seconds: seconds(policy.maximum_interval),
        maximum_attempts: Some(policy.maximum_attempts),
        non_retryable_error_types: policy.non_retryable_error_types,
    }
}

fn running(execution: WorkflowExecution) -> RunningAction {
    RunningAction { workflow_id: execution.workflow_id, first_execution_run_id: execution.run_id }
}

/// A fire in the words of this room.
pub(super) fn recent(result: ScheduleActionResult) -> RecentAction {
    let started = result.start_workflow_result.unwrap_or_default();
    RecentAction {
        scheduled_at: result.schedule_time.and_then(datetime),
        started_at: result.actual_time.and_then(datetime),
        workflow_id: started.workflow_id,
        run_id: started.run_id,
    }
}
