//! Tasks: runs that wait for a person or another system.

use async_trait::async_trait;
use serde_json::Value;

use super::{RunError, RunInfo};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// Nobody works on it.
    Open,
    /// Somebody does, until the lease ends.
    Claimed,
    /// Done.
    Completed,
    /// Given up by whoever worked on it.
    Failed,
    /// Nobody completed it in time.
    TimedOut,
    /// Its run was cancelled or terminated.
    Cancelled,
    /// Its runner does not answer.
    Unknown,
}

/// A task. Times are milliseconds since the Unix epoch; what only its runner knows is absent when that is silent.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
    /// Its type.
    pub workflow_type: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// One line.
    pub title: Option<String>,
    /// What is asked for.
    pub description: Option<String>,
    /// What the run was started with.
    pub input: Option<Value>,
    /// What the output must fit.
    pub output_schema: Option<Value>,
    /// When it came up.
    pub created_at_ms: Option<i64>,
    /// When it times out.
    pub due_at_ms: Option<i64>,
    /// When it ended.
    pub closed_at_ms: Option<i64>,
    /// Who works or worked on it.
    pub assignee: Option<String>,
    /// Since when.
    pub claimed_at_ms: Option<i64>,
    /// When the claim ends unless it is renewed.
    pub lease_expires_at_ms: Option<i64>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Of one of these types; there is at least one.
    pub workflow_types: Vec<String>,
    /// Standing so, or not known to stand otherwise.
    pub status: Option<TaskStatus>,
    /// At most this many.
    pub limit: u32,
    /// Where the last page ended.
    pub page: Vec<u8>,
}

/// Some tasks.
#[derive(Clone, Debug, Default)]
pub struct TaskPage {
    /// The tasks, latest first.
    pub tasks: Vec<Task>,
    /// Where this page ends; empty when it is the last.
    pub next: Vec<u8>,
}

/// What is done to a task. With an assignee it is refused while somebody else holds the task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskAction {
    /// Take it, or hold it longer.
    Claim {
        /// Who.
        assignee: String,
        /// For how long; as its type says when absent.
        lease_seconds: Option<u64>,
    },
    /// Give it back.
    Release {
        /// Who.
        assignee: Option<String>,
    },
    /// End it with a result.
    Complete {
        /// The result.
        output: Value,
        /// Who.
        assignee: Option<String>,
    },
    /// End it without one.
    Fail {
        /// Why.
        reason: Option<String>,
        /// Who.
        assignee: Option<String>,
    },
}

/// An action and who is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskChange {
    /// What is done.
    pub action: TaskAction,
    /// Makes it happen once however often it is sent.
    pub id: Option<String>,
    /// Who sends it.
    pub caller: String,
}

/// Why something about a task did not work.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskError {
    /// The run is no task (404).
    NotATask,
    /// The task has ended (409).
    Closed,
    /// Somebody else holds it (409).
    Claimed(Box<Task>),
    /// The output does not fit what was asked for (400).
    Misfit {
        /// What was asked for.
        output_schema: Value,
        /// Where it does not fit, as JSON pointers into the output, and what is wrong there.
        broken: Vec<(String, String)>,
    },
    /// Its runner does not take the request (400).
    Refused(String),
    /// As for any run.
    Run(RunError),
}

impl From<RunError> for TaskError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Closed => Self::Closed,
            RunError::NotFound => Self::NotATask,
            other => Self::Run(other),
        }
    }
}

/// Tasks of the namespace.
#[async_trait]
pub trait Tasks: Send + Sync {
    /// Some tasks, latest first.
    async fn list(&self, filter: &TaskFilter) -> Result<TaskPage, RunError>;
    /// The task behind a run.
    async fn get(&self, run: RunInfo) -> Result<Task, TaskError>;
    /// Does something to the task behind a run; the task as it is then.
    async fn change(&self, run: RunInfo, change: TaskChange) -> Result<Task, TaskError>;
}
