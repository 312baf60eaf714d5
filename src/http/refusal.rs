//! What the seams say, as problems.

use super::code::Code;
use super::problem::Problem;
use super::state::AppState;
use crate::{
    registry::{Command, Outcome, Refusal},
    seams::{Unanswered, WriteError},
};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadName { reason } => Problem::invalid_at(&["body", "name"], reason, "value_error"),
            Refusal::AlreadyRegistered { workflow_type } => {
                Problem::new(Code::AlreadyRegistered, format!("{workflow_type:?} is registered already"))
                    .with("workflow_type", workflow_type)
            }
            Refusal::TypeNotFound { workflow_type } => workflow_not_found(&workflow_type),
            Refusal::WorkerNotFound { worker_id } => worker_not_found(&worker_id),
            Refusal::StaleEpoch { current } => {
                Problem::new(Code::StaleEpoch, format!("the current epoch of this worker is {current}"))
                    .with("epoch", current)
            }
            Refusal::RevisionMismatch { current: 0 } => {
                Problem::new(Code::RevisionMismatch, "nothing is registered under this name")
                    .with("revision", 0)
            }
            Refusal::RevisionMismatch { current } => {
                Problem::new(Code::RevisionMismatch, format!("revision {current} stands"))
                    .with("revision", current)
            }
            Refusal::CompareAgain { workflow_type } => Problem::new(
                Code::TemporalUnavailable,
                format!("{workflow_type:?} keeps changing while it is being compared"),
            ),
            Refusal::AttributeConflict { attribute, reason } => attribute_conflict(&attribute, &reason),
            Refusal::RegistryQueue { task_queue } => Problem::new(
                Code::RegistryQueueRefused,
                format!("{task_queue:?} is the registry's own task queue"),
            )
            .with("task_queue", task_queue),
            Refusal::KeyReused => {
                Problem::new(Code::IdempotencyKeyReused, "this key came with another request before")
            }
            Refusal::Full { what, limit } => {
                Problem::new(Code::RegistryFull, format!("no room for more {what}: the limit is {limit}"))
                    .with("limit", limit)
            }
        }
    }
}

/// 404: no such workflow type.
pub fn workflow_not_found(workflow_type: &str) -> Problem {
    Problem::new(Code::WorkflowNotFound, format!("no workflow type {workflow_type:?} is registered"))
        .with("workflow_type", workflow_type)
}

/// 404: no such worker.
pub fn worker_not_found(worker_id: &str) -> Problem {
    Problem::new(Code::WorkerNotFound, format!("no worker {worker_id:?} is registered"))
        .with("worker_id", worker_id)
}

/// 409: a search attribute cannot be had as declared.
pub fn attribute_conflict(attribute: &str, reason: &str) -> Problem {
    let detail = format!("search attribute {attribute:?}: {reason}");
    Problem::new(Code::SearchAttributeConflict, detail).with("search_attribute", attribute)
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let code = match &error {
            WriteError::QueueFull => Code::QueueFull,
            WriteError::TooLarge(_) => Code::BodyTooLarge,
            WriteError::Unavailable(_) => Code::TemporalUnavailable,
            WriteError::OutcomeUnknown => Code::OutcomeUnknown,
        };
        Problem::new(code, error.to_string())
    }
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Self {
        Problem::new(Code::TemporalUnavailable, error.to_string())
    }
}

/// 500: the rules answered a command in a way that does not belong to it.
pub fn unexpected(outcome: &Outcome) -> Problem {
    tracing::error!(?outcome, "an outcome that does not belong to its command");
    Problem::new(Code::Internal, "the registry answered in an unexpected way")
}

impl AppState {
    /// Submits a command; a refusal is the problem it stands for.
    pub async fn write(&self, command: &Command) -> Result<Outcome, Problem> {
        match self.writes.submit(command).await? {
            Outcome::Refused(refusal) => Err(refusal.into()),
            outcome => Ok(outcome),
        }
    }
}
