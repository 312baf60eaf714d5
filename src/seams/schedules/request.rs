//! What a caller asks for, before it is checked.

use chrono::{DateTime, FixedOffset, NaiveDateTime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::schema::content_hash;

/// A schedule as requested. Nothing here is checked yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleRequest {
    /// The type of the workflow to start.
    pub workflow_type: String,
    /// The workflow id that each fire's time is appended to; the schedule's id when absent or empty.
    pub workflow_id: Option<String>,
    /// The queue to start on; when absent or empty the type's own, followed when it moves.
    pub task_queue: Option<String>,
    /// The workflow's single argument.
    pub input: Value,
    /// Fire every so many seconds, counted from the epoch.
    pub interval_seconds: Option<i64>,
    /// Fire once at each of these distances from now, in seconds; 0 is now.
    pub fire_offsets_seconds: Vec<i64>,
    /// No fire before this.
    pub start_at: Option<DateTime<FixedOffset>>,
    /// No fire after this.
    pub end_at: Option<DateTime<FixedOffset>>,
    /// What to do when a run of the last fire is still open.
    pub overlap_policy: OverlapPolicy,
    /// Search attributes of the started runs.
    pub search_attributes: BTreeMap<String, Value>,
    /// A remark shown with the schedule.
    pub note: String,
    /// Cron strings.
    pub cron: Vec<String>,
    /// Calendars, cron notation a field.
    pub calendars: Vec<CalendarRequest>,
    /// IANA name of the zone that cron strings and calendars are read in; UTC when absent or empty.
    pub time_zone: Option<String>,
    /// Delay each fire by a random time up to this.
    pub jitter_seconds: Option<i64>,
    /// Shift the interval's fires by this much; less than the interval.
    pub offset_seconds: Option<i64>,
    /// A fire missed while the server was away is made up for within this time.
    pub catchup_window_seconds: i64,
    /// Pause the schedule when a run fails or times out.
    pub pause_on_failure: bool,
    /// Fire at most so many times.
    pub limited_actions: Option<i64>,
    /// Memo of the started runs.
    pub memo: BTreeMap<String, Value>,
    /// Limits on the started runs.
    pub timeouts: Timeouts,
    /// Retries of failed runs.
    pub retry_policy: Option<RetryPolicy>,
    /// Who finds the queue when a fire is due.
    pub dispatch: DispatchMode,
}

/// Who finds the queue that a fire starts its workflow on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatchMode {
    /// Temporal starts the workflow itself, on the queue the schedule holds: the registry need not be up.
    #[default]
    Direct,
    /// Each fire runs a small workflow of the registry's that looks the target up at that moment and claims a run id.
    ResolveAtFire,
}

/// The catch-up window when none is asked for. Temporal's own default is a year, which makes an outage end in a flood.
pub const CATCHUP_WINDOW_SECONDS: i64 = 60;

impl ScheduleRequest {
    /// A request for that type with every field at its default, which has no times yet.
    pub fn new(workflow_type: &str) -> Self {
        Self {
            workflow_type: workflow_type.to_owned(),
            workflow_id: None,
            task_queue: None,
            input: Value::Object(Map::new()),
            interval_seconds: None,
            fire_offsets_seconds: Vec::new(),
            start_at: None,
            end_at: None,
            overlap_policy: OverlapPolicy::Skip,
            search_attributes: BTreeMap::new(),
            note: String::new(),
            cron: Vec::new(),
            calendars: Vec::new(),
            time_zone: None,
            jitter_seconds: None,
            offset_seconds: None,
            catchup_window_seconds: CATCHUP_WINDOW_SECONDS,
            pause_on_failure: false,
            limited_actions: None,
            memo: BTreeMap::new(),
            timeouts: Timeouts::default(),
            retry_policy: None,
            dispatch: DispatchMode::Direct,
        }
    }

    /// The workflow id that fire times are appended to.
    pub fn base_workflow_id<'a>(&'a self, schedule_id: &'a str) -> &'a str {
        self.workflow_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(schedule_id)
    }

    /// The queue the caller insists on, if any.
    pub fn pinned_task_queue(&self) -> Option<&str> {
        self.task_queue.as_deref().filter(|queue| !queue.is_empty())
    }

    /// Equal for requests that ask for the same, whatever the order of their keys.
    pub fn hash(&self) -> String {
        serde_json::to_value(self).map(|value| content_hash(&value)).unwrap_or_default()
    }
}

/// One calendar, cron notation a field; an absent or blank field has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalendarRequest {
    /// Default 0.
    pub second: Option<String>,
    /// Default 0.
    pub minute: Option<String>,
    /// Default 0.
    pub hour: Option<String>,
    /// Default every day.
    pub day_of_month: Option<String>,
    /// Default every month.
    pub month: Option<String>,
    /// Default every day; 0 and 7 are Sunday. Both this and the day of the month must match.
    pub day_of_week: Option<String>,
    /// Default every year.
    pub year: Option<String>,
}

/// What happens to a fire while a run of an earlier one is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    /// The fire is dropped.
    #[default]
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

/// Limits on a started workflow, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Of the whole chain of runs.
    pub execution_seconds: Option<f64>,
    /// Of a single run.
    pub run_seconds: Option<f64>,
    /// Of a single workflow task.
    pub task_seconds: Option<f64>,
}

/// How a failed run is retried. Absent fields have Temporal's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Before the first retry.
    pub initial_interval_seconds: Option<f64>,
    /// Growth from one retry to the next, at least 1.
    pub backoff_coefficient: Option<f64>,
    /// The longest distance between retries.
    pub maximum_interval_seconds: Option<f64>,
    /// Attempts in all; 0 is without limit.
    pub maximum_attempts: Option<i32>,
    /// Errors that are not retried.
    pub non_retryable_error_types: Vec<String>,
}

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where, from the outside in; indexes are written as numbers. Empty is the request as a whole.
    pub field: Vec<String>,
    /// A sentence for people.
    pub msg: String,
    /// A stable word for programs: `missing`, `greater_than`, `greater_than_equal`, `less_than`, `less_than_equal`,
    /// `cron`, `calendar`, `time_zone`, `conflict`, `too_long`.
    pub kind: &'static str,
}

/// Something worth saying about a request that is carried out all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldWarning {
    /// The field it is about.
    pub field: String,
    /// A sentence for people.
    pub message: String,
}

/// Why a text is not a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatetimeError {
    /// A date and time, but nobody can know where.
    #[error("has no time zone: append Z or an offset like +02:00")]
    Naive,
    /// Not RFC 3339.
    #[error("is not a datetime like 2027-03-28T01:00:00Z")]
    Malformed,
}

/// Reads an RFC 3339 datetime, which has a time zone. A space may stand for the `T`.
///
/// # Errors
/// [`DatetimeError::Naive`] when only the zone is missing, otherwise [`DatetimeError::Malformed`].
pub fn parse_datetime(text: &str) -> Result<DateTime<FixedOffset>, DatetimeError> {
    let text = text.trim();
    if let Ok(datetime) = DateTime::parse_from_rfc3339(text) {
        return Ok(datetime);
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    if naive.iter().any(|format| NaiveDateTime::parse_from_str(text, format).is_ok()) {
        return Err(DatetimeError::Naive);
    }
    Err(DatetimeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn datetimes_need_a_zone() {
        let table = [
            ("2027-03-28T01:00:00Z", Ok("2027-03-28T01:00:00+00:00")),
            ("2027-03-28 01:00:00.5+02:00", Ok("2027-03-28T01:00:00.500+02:00")),
            ("2027-03-28T01:00:00", Err(DatetimeError::Naive)),
            ("2027-03-28 01:00", Err(DatetimeError::Naive)),
            ("2027-03-28", Err(DatetimeError::Malformed)),
            ("2027-02-30T01:00:00Z", Err(DatetimeError::Malformed)),
            ("soon", Err(DatetimeError::Malformed)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_datetime(text).map(|at| at.to_rfc3339()), expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn the_hash_sees_content_and_not_order() {
        let mut one = ScheduleRequest::new("report.v1");
        one.input = json!({"a": 1, "b": [{"c": 2, "d": 3}]});
        let mut other = one.clone();
        other.input = json!({"b": [{"d": 3, "c": 2}], "a": 1});
        assert_eq!(one.hash(), other.hash());
        other.input = json!({"b": [{"d": 3, "c": 2}], "a": 2});
        assert_ne!(one.hash(), other.hash());
    }
}
