//! What a client is told about a schedule.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::body::{CalendarBody, DispatchName, OverlapName, told};
use crate::http::problem::ViolationShape;
use crate::http::start_body::RetryPolicyBody;
use crate::schema::Violation;
use crate::seams::schedules::{
    Accepted, Preview, Put,
    request::FieldWarning,
    state::{Problem, RecentAction, RunningAction, ScheduleDetail, ScheduleSummary, SpecEcho},
};

/// A moment in UTC, whole seconds.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn instants(all: Vec<DateTime<Utc>>) -> Vec<String> {
    all.into_iter().map(instant).collect()
}

/// A schedule that was made, replaced, or found to be as asked for.
#[derive(Serialize, ToSchema)]
pub struct ScheduleAccepted {
    /// Its id.
    #[schema(example = "nightly")]
    id: String,
    /// What became of it.
    status: AcceptedStatus,
    /// What it does not hurt to know.
    warnings: Vec<ScheduleWarning>,
    /// The queue it starts on.
    task_queue: String,
    /// A missed fire is made up for within this time.
    #[schema(example = 60)]
    catchup_window_seconds: i64,
}

/// What became of a schedule.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AcceptedStatus {
    /// It is new.
    Created,
    /// It took the place of another.
    Replaced,
    /// The very same is there already; nothing was done.
    AlreadyExists,
}

/// Something worth knowing about a schedule that was accepted all the same.
#[derive(Serialize, ToSchema)]
pub struct ScheduleWarning {
    /// The field it is about.
    field: String,
    /// A sentence for people.
    message: String,
}

impl From<FieldWarning> for ScheduleWarning {
    fn from(FieldWarning { field, message }: FieldWarning) -> Self {
        Self { field, message }
    }
}

impl ScheduleAccepted {
    /// The answer about the schedule of this id.
    pub fn of(id: &str, accepted: Accepted) -> Self {
        Self {
            id: id.to_owned(),
            status: match accepted.outcome {
                Put::Created => AcceptedStatus::Created,
                Put::Replaced => AcceptedStatus::Replaced,
                Put::Unchanged => AcceptedStatus::AlreadyExists,
            },
            warnings: accepted.warnings.into_iter().map(ScheduleWarning::from).collect(),
            task_queue: accepted.task_queue,
            catchup_window_seconds: accepted.catchup_window_seconds,
        }
    }
}

/// What a schedule would do.
#[derive(Serialize, ToSchema)]
pub struct SchedulePreview {
    /// The first fires. Jitter comes on top of the times and does not change the ids.
    fires: Vec<PreviewedFire>,
    /// The queue it would start on.
    task_queue: String,
    /// What a creation would warn of.
    warnings: Vec<ScheduleWarning>,
}

/// A fire to come.
#[derive(Serialize, ToSchema)]
pub struct PreviewedFire {
    /// When.
    #[schema(example = "2027-03-28T01:00:00Z")]
    at: String,
    /// The workflow id it starts.
    #[schema(example = "nightly-2027-03-28T01:00:00Z")]
    workflow_id: String,
}

impl From<Preview> for SchedulePreview {
    fn from(preview: Preview) -> Self {
        let fire = |(at, workflow_id)| PreviewedFire { at: instant(at), workflow_id };
        Self {
            fires: preview.fires.into_iter().map(fire).collect(),
            task_queue: preview.task_queue,
            warnings: preview.warnings.into_iter().map(ScheduleWarning::from).collect(),
        }
    }
}

/// When a schedule fires, as Temporal has it.
#[derive(Serialize, ToSchema)]
pub struct ScheduleTimes {
    /// Regular fires.
    intervals: Vec<IntervalShape>,
    /// Cron strings, as given.
    cron: Vec<String>,
    /// Calendars.
    calendars: Vec<CalendarBody>,
    /// Single fires.
    one_shots: Vec<String>,
    /// No fire before this.
    start_at: Option<String>,
    /// No fire after this.
    end_at: Option<String>,
    /// The zone of cron strings and calendars.
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    /// Each fire is delayed by a random time up to this.
    jitter_seconds: i64,
}

/// Regular fires.
#[derive(Serialize, ToSchema)]
#[schema(as = Interval)]
pub struct IntervalShape {
    interval_seconds: i64,
    offset_seconds: i64,
}

impl From<SpecEcho> for ScheduleTimes {
    fn from(echo: SpecEcho) -> Self {
        let interval =
            |(interval_seconds, offset_seconds)| IntervalShape { interval_seconds, offset_seconds };
        let time_zone = if echo.time_zone.is_empty() { "UTC".to_owned() } else { echo.time_zone };
        Self {
            intervals: echo.intervals.into_iter().map(interval).collect(),
            cron: echo.cron,
            calendars: echo.calendars.into_iter().map(CalendarBody::of).collect(),
            one_shots: instants(echo.one_shots),
            start_at: echo.start_at.map(instant),
            end_at: echo.end_at.map(instant),
            time_zone,
            jitter_seconds: echo.jitter_seconds,
        }
    }
}

/// An open run.
#[derive(Serialize, ToSchema)]
#[schema(as = RunningScheduleAction)]
pub struct RunningShape {
    /// Its workflow id.
    workflow_id: String,
    /// The run that the schedule started.
    first_execution_run_id: String,
}

impl From<RunningAction> for RunningShape {
    fn from(RunningAction { workflow_id, first_execution_run_id }: RunningAction) -> Self {
        Self { workflow_id, first_execution_run_id }
    }
}

/// A fire that happened.
#[derive(Serialize, ToSchema)]
#[schema(as = RecentScheduleAction)]
pub struct RecentShape {
    /// When it was due.
    scheduled_at: String,
    /// When it happened; empty when it has not started anything yet.
    started_at: String,
    /// The workflow id it started.
    workflow_id: String,
    /// The run it started.
    run_id: String,
}

impl From<RecentAction> for RecentShape {
    fn from(recent: RecentAction) -> Self {
        Self {
            scheduled_at: recent.scheduled_at.map(instant).unwrap_or_default(),
            started_at: recent.started_at.map(instant).unwrap_or_default(),
            workflow_id: recent.workflow_id,
            run_id: recent.run_id,
        }
    }
}

/// Why a schedule is not what it should be.
#[derive(Serialize, ToSchema)]
pub struct ScheduleProblem {
    /// `input_invalid`, `type_missing`, `type_disabled`, `search_attributes_invalid` or `queue_moved`.
    #[schema(example = "input_invalid")]
    code: &'static str,
    /// A sentence for people.
    message: String,
    /// Where, when it is about a value.
    #[schema(value_type = Vec<ViolationShape>)]
    details: Vec<Violation>,
}

impl From<Problem> for ScheduleProblem {
    fn from(Problem { code, message, details }: Problem) -> Self {
        Self { code: code.name(), message, details }
    }
}

fn problems(all: Vec<Problem>) -> Vec<ScheduleProblem> {
    all.into_iter().map(ScheduleProblem::from).collect()
}

/// Fires so far.
#[derive(Serialize, ToSchema)]
pub struct ScheduleCounts {
    /// Started a workflow.
    fired: i64,
    /// Missed, and too late to be made up for.
    missed: i64,
    /// Dropped because a run was open.
    skipped: i64,
    /// Dropped because too many were waiting.
    dropped: i64,
    /// Waiting for a run to end.
    waiting: i64,
}

/// Everything about a schedule.
#[derive(Serialize, ToSchema)]
pub struct ScheduleShape {
    /// Its id.
    #[schema(example = "nightly")]
    id: String,
    /// Whether it is paused.
    paused: bool,
    /// The next fires, at most ten.
    next_fires: Vec<String>,
    /// Open runs.
    running: Vec<RunningShape>,
    /// The last fires, at most ten, oldest first.
    recent: Vec<RecentShape>,
    /// The type it starts.
    #[schema(example = "report.v1")]
    workflow_type: String,
    /// What fire times are appended to.
    workflow_id: String,
    /// The queue it starts on.
    task_queue: String,
    /// Whether the queue follows the type when that moves; not when it was named.
    follows_type: bool,
    /// Who finds the queue when a fire is due.
    dispatch: DispatchName,
    /// Whether it was made through this registry; others are shown, and left alone.
    managed: bool,
    /// Its remark; pausing replaces it.
    note: String,
    /// The argument; null when it is not one JSON value.
    input: Option<Value>,
    /// When it fires.
    spec: ScheduleTimes,
    /// What happens to a fire while a run of an earlier one is open.
    overlap_policy: OverlapName,
    /// A missed fire is made up for within this time.
    catchup_window_seconds: i64,
    /// Whether a failed run pauses it.
    pause_on_failure: bool,
    /// Fires left; null is without limit.
    remaining_actions: Option<i64>,
    /// Search attributes of the runs.
    search_attributes: BTreeMap<String, Value>,
    /// Memo of the runs.
    memo: BTreeMap<String, Value>,
    /// Timeout of a run with all its retries and continuations; null is without.
    execution_timeout_seconds: Option<f64>,
    /// Timeout of one run; null is without.
    run_timeout_seconds: Option<f64>,
    /// Timeout of one workflow task; null is as Temporal has it.
    task_timeout_seconds: Option<f64>,
    /// Retries of a failed run; null is none.
    retry_policy: Option<RetryPolicyBody>,
    /// Fires so far.
    counts: ScheduleCounts,
    /// When it was made.
    created_at: Option<String>,
    /// When it was last changed.
    updated_at: Option<String>,
    /// What is wrong with it. Nothing is changed because of it.
    problems: Vec<ScheduleProblem>,
}

impl From<ScheduleDetail> for ScheduleShape {
    fn from(detail: ScheduleDetail) -> Self {
        let counts = detail.counts;
        Self {
            id: detail.id,
            paused: detail.paused,
            next_fires: instants(detail.next_fires),
            running: detail.running.into_iter().map(RunningShape::from).collect(),
            recent: detail.recent.into_iter().map(RecentShape::from).collect(),
            workflow_type: detail.workflow_type,
            workflow_id: detail.workflow_id,
            task_queue: detail.task_queue,
            follows_type: detail.is_ours && !detail.is_pinned,
            dispatch: DispatchName::of(detail.dispatch),
            managed: detail.is_ours,
            note: detail.note,
            input: detail.input,
            spec: detail.spec.into(),
            overlap_policy: OverlapName::of(detail.overlap_policy),
            catchup_window_seconds: detail.catchup_window_seconds,
            pause_on_failure: detail.pause_on_failure,
            remaining_actions: detail.remaining_actions,
            search_attributes: detail.search_attributes,
            memo: detail.memo,
            execution_timeout_seconds: detail.timeouts.execution_seconds,
            run_timeout_seconds: detail.timeouts.run_seconds,
            task_timeout_seconds: detail.timeouts.task_seconds,
            retry_policy: detail.retry_policy.map(told),
            counts: ScheduleCounts {
                fired: counts.fired,
                missed: counts.missed,
                skipped: counts.skipped,
                dropped: counts.dropped,
                waiting: counts.waiting,
            },
            created_at: detail.created_at.map(instant),
            updated_at: detail.updated_at.map(instant),
            problems: problems(detail.problems),
        }
    }
}

/// Schedules, newest first.
#[derive(Serialize, ToSchema)]
pub struct ScheduleList {
    pub(super) schedules: Vec<ListedSchedule>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) next_page_token: Option<String>,
}

/// A schedule in a list. Up to some seconds behind.
#[derive(Serialize, ToSchema)]
pub struct ListedSchedule {
    /// Its id.
    #[schema(example = "nightly")]
    id: String,
    /// Whether it is paused.
    paused: bool,
    /// The type it starts.
    workflow_type: String,
    /// Whether it was made through this registry.
    managed: bool,
    /// Its remark.
    note: String,
    /// When it fires.
    spec: ScheduleTimes,
    /// The next fires, at most five.
    next_fires: Vec<String>,
    /// The last fires, at most five.
    recent: Vec<RecentShape>,
    /// What is wrong with it.
    problems: Vec<ScheduleProblem>,
}

impl From<ScheduleSummary> for ListedSchedule {
    fn from(summary: ScheduleSummary) -> Self {
        Self {
            id: summary.id,
            paused: summary.paused,
            workflow_type: summary.workflow_type,
            managed: summary.is_ours,
            note: summary.note,
            spec: summary.spec.into(),
            next_fires: instants(summary.next_fires),
            recent: summary.recent.into_iter().map(RecentShape::from).collect(),
            problems: problems(summary.problems),
        }
    }
}

/// What was done to a schedule.
#[derive(Serialize, ToSchema)]
pub struct ScheduleTouched {
    /// Its id.
    pub(super) id: String,
    /// What was done.
    pub(super) status: Touch,
}

/// What was done to a schedule.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Touch {
    /// It does not fire until it is unpaused.
    Paused,
    /// It goes on.
    Unpaused,
    /// It has fired, as far as the overlap policy let it.
    Triggered,
    /// It fires for the stretch of time, in a moment.
    Backfilled,
}
