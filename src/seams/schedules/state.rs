//! What is known of a schedule that exists.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::request::{CalendarRequest, DispatchMode, OverlapPolicy, RetryPolicy, Timeouts};
use crate::schema::Violation;

/// The times of a schedule as the server has them, in the words they were asked for in as far as these are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SpecEcho {
    /// Regular fires as `(every, offset)`, in seconds.
    pub intervals: Vec<(i64, i64)>,
    /// Cron strings.
    pub cron: Vec<String>,
    /// Calendars.
    pub calendars: Vec<CalendarRequest>,
    /// Single fires.
    pub one_shots: Vec<DateTime<Utc>>,
    /// The first second that may fire.
    pub start_at: Option<DateTime<Utc>>,
    /// The last second that may fire.
    pub end_at: Option<DateTime<Utc>>,
    /// The zone of cron strings and calendars; empty is UTC.
    pub time_zone: String,
    /// How much a fire may be delayed at random.
    pub jitter_seconds: i64,
}

/// An open run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningAction {
    /// Its workflow id.
    pub workflow_id: String,
    /// The run that the schedule started.
    pub first_execution_run_id: String,
}

/// A fire that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentAction {
    /// When it was due, jitter included.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When it happened.
    pub started_at: Option<DateTime<Utc>>,
    /// The workflow id it started.
    pub workflow_id: String,
    /// The run it started.
    pub run_id: String,
}

/// What became of the fires of a schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FireCounts {
    /// Started a workflow.
    pub fired: i64,
    /// Missed, and too late to be made up for.
    pub missed: i64,
    /// Dropped because a run was open.
    pub skipped: i64,
    /// Dropped because too many were waiting.
    pub dropped: i64,
    /// Still waiting for a run to end.
    pub waiting: i64,
}

impl FireCounts {
    /// Fires that are over, one way or another.
    pub fn settled(self) -> i64 {
        self.fired + self.missed + self.skipped + self.dropped
    }
}

/// Why a schedule is not what it should be. Found by comparing it with its type; nothing is changed because of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What is wrong.
    pub code: ProblemCode,
    /// A sentence for people.
    pub message: String,
    /// Where in the stored input or search attributes, when that is what is wrong.
    pub details: Vec<Violation>,
}

/// What can be wrong with a schedule that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemCode {
    /// Its type is not registered any more.
    TypeMissing,
    /// Its type is switched off.
    TypeDisabled,
    /// Its stored input no longer fits the schema of its type.
    InputInvalid,
    /// It sets a search attribute that its type does not declare so any more.
    SearchAttributesInvalid,
    /// Its queue differs from its type's, and it could not be moved yet.
    QueueMoved,
}

impl ProblemCode {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::TypeMissing => "type_missing",
            Self::TypeDisabled => "type_disabled",
            Self::InputInvalid => "input_invalid",
            Self::SearchAttributesInvalid => "search_attributes_invalid",
            Self::QueueMoved => "queue_moved",
        }
    }
}

/// Everything about one schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleDetail {
    /// Its id.
    pub id: String,
    /// Names the state it is in; another one after every change.
    pub version: String,
    /// The type it starts.
    pub workflow_type: String,
    /// Who finds the queue.
    pub dispatch: DispatchMode,
    /// Whether the caller named the queue, so that it stays.
    pub is_pinned: bool,
    /// Whether it was made through this registry.
    pub is_ours: bool,
    /// The queue it starts on.
    pub task_queue: String,
    /// The id that fire times are appended to.
    pub workflow_id: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Its remark; pausing replaces it.
    pub note: String,
    /// The argument of what it starts; `None` when it is not one JSON value.
    pub input: Option<Value>,
    /// Memo of the runs.
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
    /// How late a missed fire is still made up for, in seconds.
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
    /// When it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// A schedule in a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSummary {
    /// Its id.
    pub id: String,
    /// The type it starts.
    pub workflow_type: String,
    /// Whether it was made through this registry.
    pub is_ours: bool,
    /// Whether it is paused.
    pub paused: bool,
    /// Its remark.
    pub note: String,
    /// Its times.
    pub spec: SpecEcho,
    /// The next fires, at most five.
    pub next_fires: Vec<DateTime<Utc>>,
    /// The last fires, at most five.
    pub recent: Vec<RecentAction>,
    /// What was wrong with it when it was last looked at, seconds ago.
    pub problems: Vec<Problem>,
}
