//! The JSON of runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::rfc3339;
use crate::seams::{Failure, Milestone, RunInfo, RunStatus};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "Temporal's words")]
pub enum RunStatusWord {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    TimedOut,
    ContinuedAsNew,
    Paused,
}

impl From<RunStatus> for RunStatusWord {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Running => Self::Running,
            RunStatus::Completed => Self::Completed,
            RunStatus::Failed => Self::Failed,
            RunStatus::Canceled => Self::Canceled,
            RunStatus::Terminated => Self::Terminated,
            RunStatus::TimedOut => Self::TimedOut,
            RunStatus::ContinuedAsNew => Self::ContinuedAsNew,
            RunStatus::Paused => Self::Paused,
        }
    }
}

impl From<RunStatusWord> for RunStatus {
    fn from(word: RunStatusWord) -> Self {
        match word {
            RunStatusWord::Running => Self::Running,
            RunStatusWord::Completed => Self::Completed,
            RunStatusWord::Failed => Self::Failed,
            RunStatusWord::Canceled => Self::Canceled,
            RunStatusWord::Terminated => Self::Terminated,
            RunStatusWord::TimedOut => Self::TimedOut,
            RunStatusWord::ContinuedAsNew => Self::ContinuedAsNew,
            RunStatusWord::Paused => Self::Paused,
        }
    }
}

/// A run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunShape {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
    /// The first run of the chain it continues; itself when it continues none.
    pub first_run_id: String,
    /// Its type.
    pub workflow_type: String,
    /// Where it stands.
    pub status: RunStatusWord,
    /// The queue it was started on.
    pub task_queue: String,
    /// When it was started (RFC 3339).
    pub started_at: Option<String>,
    /// When it ended (RFC 3339).
    pub closed_at: Option<String>,
    /// Events in its history.
    pub history_events: i64,
    /// The run that started it, if one did.
    pub parent: Option<RunRefShape>,
    /// Its memo.
    pub memo: Map<String, Value>,
    /// Its search attributes.
    pub search_attributes: BTreeMap<String, Value>,
}

impl From<RunInfo> for RunShape {
    fn from(run: RunInfo) -> Self {
        Self {
            workflow_id: run.workflow_id,
            run_id: run.run_id,
            first_run_id: run.first_run_id,
            workflow_type: run.workflow_type,
            status: run.status.into(),
            task_queue: run.task_queue,
            started_at: run.started_at_ms.map(rfc3339),
            closed_at: run.closed_at_ms.map(rfc3339),
            history_events: run.history_events,
            parent: run.parent.map(|(workflow_id, run_id)| RunRefShape { workflow_id, run_id }),
            memo: run.memo,
            search_attributes: run.search_attributes,
        }
    }
}

/// Names a run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RunRefShape {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
}

/// Why a run, or a part of it, failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FailureShape {
    /// In words.
    pub message: String,
    /// The application's name for it, or what kind of failure it is.
    pub r#type: String,
    /// What the application added.
    pub details: Vec<Value>,
    /// What was behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion, nullable = false)]
    pub cause: Option<Box<FailureShape>>,
}

impl From<Failure> for FailureShape {
    fn from(failure: Failure) -> Self {
        let Failure { message, kind, details, cause } = failure;
        Self { message, r#type: kind, details, cause: cause.map(|cause| Box::new((*cause).into())) }
    }
}

/// Something in the history of a run that matters to people.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MilestoneShape {
    /// The run.
    pub run_id: String,
    /// Counts from 1 in the run, with gaps.
    pub event_id: i64,
    /// When (RFC 3339).
    pub at: Option<String>,
    /// What, for example `activity_task_scheduled`.
    pub r#type: String,
    /// Where the run stands after it, when that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<RunStatusWord>,
    /// Which signal, activity, timer, child or update.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// How far the work of a runner is, as its query `progress` tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub progress: Option<Value>,
}

impl From<Milestone> for MilestoneShape {
    fn from(milestone: Milestone) -> Self {
        let Milestone { run_id, event_id, at_ms, kind, status, name, progress } = milestone;
        let (at, status) = (at_ms.map(rfc3339), status.map(Into::into));
        Self { run_id, event_id, at, r#type: kind, status, name, progress }
    }
}
