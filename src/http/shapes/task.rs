//! The JSON of tasks.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::rfc3339;
use crate::seams::{Task, TaskStatus};

/// Where a task stands; `unknown` while its runner does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they say it")]
pub enum TaskStatusWord {
    Open,
    Claimed,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
    Unknown,
}

impl From<TaskStatus> for TaskStatusWord {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Open => Self::Open,
            TaskStatus::Claimed => Self::Claimed,
            TaskStatus::Completed => Self::Completed,
            TaskStatus::Failed => Self::Failed,
            TaskStatus::TimedOut => Self::TimedOut,
            TaskStatus::Cancelled => Self::Cancelled,
            TaskStatus::Unknown => Self::Unknown,
        }
    }
}

impl From<TaskStatusWord> for TaskStatus {
    fn from(word: TaskStatusWord) -> Self {
        match word {
            TaskStatusWord::Open => Self::Open,
            TaskStatusWord::Claimed => Self::Claimed,
            TaskStatusWord::Completed => Self::Completed,
            TaskStatusWord::Failed => Self::Failed,
            TaskStatusWord::TimedOut => Self::TimedOut,
            TaskStatusWord::Cancelled => Self::Cancelled,
            TaskStatusWord::Unknown => Self::Unknown,
        }
    }
}

/// A task: a run that waits for a person or another system.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "workflow_id": "invoice-r7", "run_id": "019b2f0e-9f0b-7c3a-a5a6-0d6f3f2e8b11", "workflow_type": "approve.v1",
    "status": "claimed", "title": "Approve 30", "description": "Is an amount of 30 all right?",
    "input": {"amount": 30},
    "input_schema": {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]},
    "output_schema": {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]},
    "created_at": "2026-05-01T12:00:00.000Z", "due_at": null, "closed_at": null,
    "assignee": "ann", "claimed_at": "2026-05-01T12:01:00.000Z", "lease_expires_at": "2026-05-01T12:16:00.000Z"
}))]
pub struct TaskShape {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
    /// Its type.
    pub workflow_type: String,
    /// Where it stands.
    pub status: TaskStatusWord,
    /// One line.
    pub title: Option<String>,
    /// What is asked for.
    pub description: Option<String>,
    /// What the run was started with.
    pub input: Option<Value>,
    /// JSON Schema of the input.
    pub input_schema: Option<Value>,
    /// JSON Schema that the output must fit: the form.
    pub output_schema: Option<Value>,
    /// When it came up (RFC 3339).
    pub created_at: Option<String>,
    /// When it times out (RFC 3339); null when it waits for ever.
    pub due_at: Option<String>,
    /// When it ended (RFC 3339).
    pub closed_at: Option<String>,
    /// Who works or worked on it.
    pub assignee: Option<String>,
    /// Since when (RFC 3339).
    pub claimed_at: Option<String>,
    /// When the claim ends unless it is renewed (RFC 3339).
    pub lease_expires_at: Option<String>,
}

impl TaskShape {
    /// A task whose type takes inputs that fit this schema.
    pub fn new(task: Task, input_schema: Option<Value>) -> Self {
        Self {
            workflow_id: task.workflow_id,
            run_id: task.run_id,
            workflow_type: task.workflow_type,
            status: task.status.into(),
            title: task.title,
            description: task.description,
            input: task.input,
            input_schema,
            output_schema: task.output_schema,
            created_at: task.created_at_ms.map(rfc3339),
            due_at: task.due_at_ms.map(rfc3339),
            closed_at: task.closed_at_ms.map(rfc3339),
            assignee: task.assignee,
            claimed_at: task.claimed_at_ms.map(rfc3339),
            lease_expires_at: task.lease_expires_at_ms.map(rfc3339),
        }
    }
}
