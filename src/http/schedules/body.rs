//! What a client says about a schedule.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::Problem;
use crate::http::start_body::RetryPolicyBody;
use crate::schema::Violation;
use crate::seams::schedules::request::{
    CATCHUP_WINDOW_SECONDS, CalendarRequest, DispatchMode, OverlapPolicy, RetryPolicy, ScheduleRequest,
    Timeouts, parse_datetime,
};

/// What to start, and when. At least one of `interval_seconds`, `cron`, `calendars` and `fire_offsets_seconds` says when;
/// several of the first three add up. Empty texts count as absent. Every datetime needs a zone.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleBody {
    /// The workflow type to start.
    #[schema(min_length = 1)]
    workflow_type: String,
    /// Each fire starts the workflow id `<this>-<time of the fire>`; the schedule's id when absent.
    workflow_id: Option<String>,
    /// Start on this queue, wherever the type is. When absent, the schedule follows its type.
    task_queue: Option<String>,
    /// The one argument of the workflow; `{}` when absent. Checked against the input schema of the type.
    input: Option<Value>,
    /// Fire every so many seconds, counted from the Unix epoch.
    interval_seconds: Option<i64>,
    /// Shift the interval's fires by this much; less than the interval.
    offset_seconds: Option<i64>,
    /// Fire once at each of these distances from now, in seconds; 0 is at once. Nothing else may say when.
    #[schema(min_items = 1)]
    fire_offsets_seconds: Option<Vec<i64>>,
    /// Cron strings of five, six or seven fields, `@daily` and the like, or `@every <duration>`; `CRON_TZ=` may begin them.
    cron: Option<Vec<String>>,
    /// Calendars, cron notation in every field.
    calendars: Option<Vec<CalendarBody>>,
    /// IANA name of the zone that cron strings and calendars are read in; UTC when absent.
    time_zone: Option<String>,
    /// No fire before this.
    start_at: Option<String>,
    /// No fire after this.
    end_at: Option<String>,
    /// Delay each fire by a random time up to this.
    jitter_seconds: Option<i64>,
    /// What happens to a fire while a run of an earlier one is open; `skip` when absent.
    overlap_policy: Option<OverlapName>,
    /// A fire missed while Temporal was away is made up for within this time; at least 10, 60 when absent.
    catchup_window_seconds: Option<i64>,
    /// Pause the schedule when a run fails or times out.
    pause_on_failure: Option<bool>,
    /// Fire at most so many times.
    limited_actions: Option<i64>,
    /// A remark shown with the schedule; pausing replaces it.
    note: Option<String>,
    /// Values of declared search attributes, for the runs.
    search_attributes: Option<Map<String, Value>>,
    /// Memo of the runs.
    memo: Option<Map<String, Value>>,
    /// Timeout of a run with all its retries and continuations.
    execution_timeout_seconds: Option<f64>,
    /// Timeout of one run.
    run_timeout_seconds: Option<f64>,
    /// Timeout of one workflow task.
    task_timeout_seconds: Option<f64>,
    /// Retries of a failed run; none when absent.
    retry_policy: Option<RetryPolicyBody>,
    /// Who finds the queue when a fire is due; `direct` when absent.
    dispatch: Option<DispatchName>,
}

/// One calendar. Day of the month and day of the week must both match.
#[derive(Clone, Debug, Default, Deserialize, serde::Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Calendar, example = json!({"hour": "8-18/2", "minute": "30", "day_of_week": "mon-fri"}))]
pub struct CalendarBody {
    /// 0 when absent.
    second: Option<String>,
    /// 0 when absent.
    minute: Option<String>,
    /// 0 when absent.
    hour: Option<String>,
    /// Every day when absent.
    day_of_month: Option<String>,
    /// Every month when absent.
    month: Option<String>,
    /// Every day when absent; 0 and 7 are Sunday.
    day_of_week: Option<String>,
    /// Every year when absent.
    year: Option<String>,
}

/// What happens to a fire while a run of an earlier one is open.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OverlapPolicy)]
pub enum OverlapName {
    /// The fire is dropped.
    Skip,
    /// One fire waits, further ones are dropped.
    BufferOne,
    /// Every fire waits.
    BufferAll,
    /// The open run is cancelled, then the fire starts.
    CancelOther,
    /// The open run is terminated, then the fire starts.
    TerminateOther,
    /// Both run.
    AllowAll,
}

/// Who finds the queue when a fire is due.
#[derive(Clone, Copy, Debug, Deserialize, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ScheduleDispatch)]
pub enum DispatchName {
    /// Temporal starts the workflow itself, on the queue that the schedule holds. Scheduled work goes on while the
    /// registry is down; a type that moves is followed within a minute.
    Direct,
    /// Each fire runs a small workflow on the registry's queue, which looks the target up at that moment, claims
    /// `<slug>-r<N>` and runs the type as its child until it ends. Always the right queue and a counted id; but a fire
    /// waits while no replica of the registry is up, and each costs one workflow more.
    ResolveAtFire,
}

/// Which schedules to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ScheduleFilter {
    /// Only those that start this type.
    pub workflow_type: Option<String>,
    /// Only paused ones, or only others.
    pub paused: Option<bool>,
    /// Only ids that begin with this.
    pub id_prefix: Option<String>,
    /// Items at most, 1 to 1000; 100 when absent.
    pub limit: Option<u32>,
    /// Where the last page ended.
    pub page_token: Option<String>,
}

/// How much to foretell.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// Fires at most, 1 to 1000; 10 when absent.
    pub limit: Option<u32>,
    /// Foretell from this moment on; from now when absent.
    pub from: Option<String>,
    /// The id the schedule will have; `schedule` when absent.
    pub schedule_id: Option<String>,
}

/// A remark.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoteBody {
    /// Replaces the schedule's own.
    pub note: String,
}

/// How to fire now.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TriggerBody {
    /// Overrides the schedule's own policy.
    pub overlap_policy: Option<OverlapName>,
}

/// A stretch of time to fire for as if it passed now.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillBody {
    /// Its beginning.
    pub start_at: String,
    /// Its end, inclusive.
    pub end_at: String,
    /// Overrides the schedule's own policy.
    pub overlap_policy: Option<OverlapName>,
}

impl ScheduleBody {
    /// The type it is about.
    pub fn workflow_type(&self) -> &str {
        &self.workflow_type
    }

    /// The request behind this body. Violations are those a schema cannot say, all at once.
    pub fn request(self) -> Result<ScheduleRequest, Problem> {
        let mut details = Vec::new();
        let start_at = moment("start_at", self.start_at.as_deref(), &mut details);
        let end_at = moment("end_at", self.end_at.as_deref(), &mut details);
        if !details.is_empty() {
            return Err(Problem::invalid_request(details));
        }
        let values = |given: Option<Map<String, Value>>| -> BTreeMap<String, Value> {
            given.unwrap_or_default().into_iter().collect()
        };
        let defaults = ScheduleRequest::new(&self.workflow_type);
        Ok(ScheduleRequest {
            workflow_id: given(self.workflow_id),
            task_queue: given(self.task_queue),
            input: self.input.unwrap_or(defaults.input),
            interval_seconds: self.interval_seconds,
            fire_offsets_seconds: self.fire_offsets_seconds.unwrap_or_default(),
            start_at,
            end_at,
            overlap_policy: self.overlap_policy.map_or(OverlapPolicy::default(), OverlapName::policy),
            search_attributes: values(self.search_attributes),
            note: self.note.unwrap_or_default(),
            cron: self.cron.unwrap_or_default(),
            calendars: self.calendars.unwrap_or_default().into_iter().map(CalendarBody::request).collect(),
            time_zone: given(self.time_zone),
            jitter_seconds: self.jitter_seconds,
            offset_seconds: self.offset_seconds,
            catchup_window_seconds: self.catchup_window_seconds.unwrap_or(CATCHUP_WINDOW_SECONDS),
            pause_on_failure: self.pause_on_failure.unwrap_or_default(),
            limited_actions: self.limited_actions,
            memo: values(self.memo),
            timeouts: Timeouts {
                execution_seconds: self.execution_timeout_seconds,
                run_seconds: self.run_timeout_seconds,
                task_seconds: self.task_timeout_seconds,
            },
            retry_policy: self.retry_policy.map(retries),
            dispatch: self.dispatch.map_or(DispatchMode::Direct, DispatchName::mode),
            workflow_type: self.workflow_type,
        })
    }
}

/// A text that is not empty.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Reads a datetime of the body.
pub(super) fn moment(
    field: &str,
    text: Option<&str>,
    details: &mut Vec<Violation>,
) -> Option<DateTime<FixedOffset>> {
    match parse_datetime(text.filter(|text| !text.is_empty())?) {
        Ok(moment) => Some(moment),
        Err(why) => {
            details.extend(Problem::invalid_at(&["body", field], why.to_string(), "datetime").details);
            None
        }
    }
}

fn retries(body: RetryPolicyBody) -> RetryPolicy {
    RetryPolicy {
        initial_interval_seconds: body.initial_interval_seconds,
        backoff_coefficient: body.backoff_coefficient,
        maximum_interval_seconds: body.maximum_interval_seconds,
        // A larger number is refused by the schema of the body.
        maximum_attempts: body.maximum_attempts.and_then(|attempts| i32::try_from(attempts).ok()),
        non_retryable_error_types: body.non_retryable_error_types,
    }
}

/// Retries as a client would ask for them.
pub(super) fn told(policy: RetryPolicy) -> RetryPolicyBody {
    RetryPolicyBody {
        initial_interval_seconds: policy.initial_interval_seconds,
        backoff_coefficient: policy.backoff_coefficient,
        maximum_interval_seconds: policy.maximum_interval_seconds,
        maximum_attempts: policy.maximum_attempts.and_then(|attempts| u32::try_from(attempts).ok()),
        non_retryable_error_types: policy.non_retryable_error_types,
    }
}

impl CalendarBody {
    fn request(self) -> CalendarRequest {
        let Self { second, minute, hour, day_of_month, month, day_of_week, year } = self;
        CalendarRequest { second, minute, hour, day_of_month, month, day_of_week, year }
    }

    /// What a calendar that exists looks like.
    pub fn of(calendar: CalendarRequest) -> Self {
        let CalendarRequest { second, minute, hour, day_of_month, month, day_of_week, year } = calendar;
        Self { second, minute, hour, day_of_month, month, day_of_week, year }
    }
}

impl OverlapName {
    /// The policy of this name.
    pub fn policy(self) -> OverlapPolicy {
        match self {
            Self::Skip => OverlapPolicy::Skip,
            Self::BufferOne => OverlapPolicy::BufferOne,
            Self::BufferAll => OverlapPolicy::BufferAll,
            Self::CancelOther => OverlapPolicy::CancelOther,
            Self::TerminateOther => OverlapPolicy::TerminateOther,
            Self::AllowAll => OverlapPolicy::AllowAll,
        }
    }

    /// The name of a policy.
    pub fn of(policy: OverlapPolicy) -> Self {
        match policy {
            OverlapPolicy::Skip => Self::Skip,
            OverlapPolicy::BufferOne => Self::BufferOne,
            OverlapPolicy::BufferAll => Self::BufferAll,
            OverlapPolicy::CancelOther => Self::CancelOther,
            OverlapPolicy::TerminateOther => Self::TerminateOther,
            OverlapPolicy::AllowAll => Self::AllowAll,
        }
    }
}

impl DispatchName {
    fn mode(self) -> DispatchMode {
        match self {
            Self::Direct => DispatchMode::Direct,
            Self::ResolveAtFire => DispatchMode::ResolveAtFire,
        }
    }

    /// The name of a mode.
    pub fn of(mode: DispatchMode) -> Self {
        match mode {
            DispatchMode::Direct => Self::Direct,
            DispatchMode::ResolveAtFire => Self::ResolveAtFire,
        }
    }
}
