//! Schedules: what is asked about them, and what comes of it.

pub mod request;
pub mod state;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::schema::Violation;
use request::{FieldWarning, OverlapPolicy, ScheduleRequest};
use state::{ScheduleDetail, ScheduleSummary};

/// A schedule that was made, or was there.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// Whether anything was written.
    pub outcome: Put,
    /// What to tell the caller all the same.
    pub warnings: Vec<FieldWarning>,
    /// The queue it starts on.
    pub task_queue: String,
    /// How late a missed fire is still made up for, in seconds.
    pub catchup_window_seconds: i64,
}

/// What became of a schedule that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It took the place of another of this id.
    Replaced,
    /// The very same was there already; nothing was written.
    Unchanged,
}

/// What a schedule would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The first fires, with the ids of the workflows they start.
    pub fires: Vec<(DateTime<Utc>, String)>,
    /// The queue it would start on.
    pub task_queue: String,
    /// What a creation would warn of.
    pub warnings: Vec<FieldWarning>,
}

/// Which schedules to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only those that start this type.
    pub workflow_type: Option<String>,
    /// Only paused ones, or only others.
    pub paused: Option<bool>,
    /// Only ids that begin with this.
    pub id_prefix: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A stretch of time to fire for as if it passed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its beginning.
    pub start_at: DateTime<Utc>,
    /// Its end, inclusive.
    pub end_at: DateTime<Utc>,
    /// Overrides the schedule's own policy.
    pub overlap_policy: Option<OverlapPolicy>,
}

/// Why nothing came of a request about a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleFailure {
    /// No type of that name, or it is switched off (404).
    TypeUnavailable(String),
    /// No such schedule (404).
    NotFound,
    /// A different schedule has the id (409).
    Exists,
    /// A schedule has the id that the registry did not make (409).
    Foreign,
    /// It is no longer in the state the caller saw (412).
    Changed,
    /// Something in the request does not fit (400); places are counted from the body.
    Invalid(Vec<Violation>),
    /// The input does not fit the schema (400).
    InvalidInput(Vec<Violation>),
    /// The registered schema itself cannot be used (422).
    InvalidSchema(String),
    /// The registry's own queue (400).
    RegistryQueue(String),
    /// A search attribute cannot be used (503).
    AttributesUnavailable(String),
    /// Temporal does not take it, and says so for good (400).
    Refused(String),
    /// Over a limit of Temporal's (429).
    OverLimit(String),
    /// Temporal cannot be reached, or does not let the registry in (503).
    TemporalUnavailable(String),
    /// No answer after it was sent (504).
    OutcomeUnknown(String),
    /// Temporal failed in a way nobody expects (500).
    Internal(String),
}

/// Schedules of the namespace.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Checks a request and makes the schedule; the same again changes nothing, a different one of that id is refused.
    async fn create(&self, id: &str, request: &ScheduleRequest) -> Result<Accepted, ScheduleFailure>;

    /// Checks a request and makes the schedule, in place of any other of that id; with `version` only in place of one
    /// in that state. A schedule that is paused stays so.
    async fn put(
        &self,
        id: &str,
        request: &ScheduleRequest,
        version: Option<&str>,
    ) -> Result<Accepted, ScheduleFailure>;

    /// Checks a request and tells the first `n` fires after `from`. Nothing is made.
    async fn preview(
        &self,
        id: &str,
        request: &ScheduleRequest,
        from: Option<DateTime<Utc>>,
        n: usize,
    ) -> Result<Preview, ScheduleFailure>;

    /// Everything about one schedule.
    async fn describe(&self, id: &str) -> Result<ScheduleDetail, ScheduleFailure>;

    /// One page, newest first, and where the next one begins. Behind the schedules by up to some seconds.
    async fn list(
        &self,
        listing: &Listing,
    ) -> Result<(Vec<ScheduleSummary>, Option<String>), ScheduleFailure>;

    /// Removes a schedule. Runs it started go on.
    async fn delete(&self, id: &str) -> Result<(), ScheduleFailure>;

    /// Pauses a schedule; the note replaces its own.
    async fn pause(&self, id: &str, note: &str) -> Result<(), ScheduleFailure>;

    /// Lets a paused schedule go on; the note replaces its own.
    async fn unpause(&self, id: &str, note: &str) -> Result<(), ScheduleFailure>;

    /// Fires once, now, paused or not.
    async fn trigger(&self, id: &str, overlap_policy: Option<OverlapPolicy>) -> Result<(), ScheduleFailure>;

    /// Fires for a stretch of time.
    async fn backfill(&self, id: &str, stretch: Stretch) -> Result<(), ScheduleFailure>;

    /// How many schedules had problems when they were last looked at, seconds ago.
    fn problem_count(&self) -> usize;
}
