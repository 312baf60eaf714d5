//! The error catalogue: every `code` a client can meet, in one table.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

/// Declares the enum and its table together, so that no code can lack a status, a title or a meaning.
macro_rules! catalogue {
    ($($variant:ident $name:literal $status:literal $title:literal, $meaning:literal;)*) => {
        /// The stable `code` of a problem. Clients branch on it; a name never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the catalogue (by status).
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name on the wire, snake_case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The HTTP status it is always sent with.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Code::$variant => $status,)* };
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// A short, constant title.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// One line saying when it happens.
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }
        }
    };
}

catalogue! {
    InvalidJson "invalid_json" 400 "Not JSON", "The body is not UTF-8 JSON; the detail names line and column.";
    InvalidRequest "invalid_request" 400 "Invalid request", "The request was read, but its shape or a value is wrong; see details.";
    InvalidInput "invalid_input" 400 "Invalid input", "The input does not fit the schema of the workflow type; see details.";
    RegistryQueueRefused "registry_queue_refused" 400 "Registry queue refused", "The registry's own task queue cannot be a target.";
    Unauthorized "unauthorized" 401 "Unauthorized", "No token was given, or it is not known.";
    Forbidden "forbidden" 403 "Forbidden", "The token is known, but its roles or workflow types do not allow this.";
    ForeignOrigin "foreign_origin" 403 "Foreign origin", "Without authentication only pages of this machine may call.";
    RouteNotFound "route_not_found" 404 "No such route", "No route has this path.";
    WorkflowNotFound "workflow_not_found" 404 "Workflow type not found", "No workflow type of this name is registered.";
    WorkflowUnavailable "workflow_unavailable" 404 "Workflow type unavailable", "The workflow type is unknown or disabled, so it cannot be started.";
    WorkerNotFound "worker_not_found" 404 "Worker not found", "No worker of this id is registered.";
    RevisionNotFound "revision_not_found" 404 "Revision not found", "The workflow type has no revision of this number.";
    RunNotFound "run_not_found" 404 "Run not found", "No run has this workflow id (and run id).";
    ScheduleNotFound "schedule_not_found" 404 "Schedule not found", "No schedule has this id.";
    TaskNotFound "task_not_found" 404 "Task not found", "No task has this workflow id.";
    MethodNotAllowed "method_not_allowed" 405 "Method not allowed", "The path exists, the method does not; Allow lists those that do.";
    AlreadyRegistered "already_registered" 409 "Already registered", "A workflow type of this name exists already.";
    AlreadyStarted "already_started" 409 "Already started", "A run with this workflow id exists already; it is named.";
    StaleEpoch "stale_epoch" 409 "Stale epoch", "A newer incarnation of this worker has registered since.";
    ConflictingSpec "conflicting_spec" 409 "Conflicting spec", "The spec differs from the registered one and may not replace it.";
    SearchAttributeConflict "search_attribute_conflict" 409 "Search attribute conflict", "A declared search attribute exists with another type.";
    IdempotencyKeyReused "idempotency_key_reused" 409 "Idempotency key reused", "The Idempotency-Key was used before with another body.";
    ScheduleExists "schedule_exists" 409 "Schedule exists", "A different schedule has this id.";
    TaskClaimed "task_claimed" 409 "Task claimed", "Somebody else holds the task; who, and until when, is named.";
    TaskClosed "task_closed" 409 "Task closed", "The task has ended, so it takes no more of these.";
    RunClosed "run_closed" 409 "Run closed", "The run has ended, so it takes no more of these.";
    RevisionMismatch "revision_mismatch" 412 "Revision mismatch", "If-Match does not name the current revision: read again, then retry.";
    BodyTooLarge "body_too_large" 413 "Body too large", "The body is over the limit; nothing was executed.";
    UnsupportedMediaType "unsupported_media_type" 415 "Unsupported media type", "A content type was given and it is not JSON, or the body is compressed.";
    ForeignHost "foreign_host" 421 "Foreign host", "Without authentication only Host names of this machine are served.";
    InvalidSchema "invalid_schema" 422 "Schema not admissible", "A schema does not compile, or refers to something outside itself.";
    MessageFailed "message_failed" 422 "Message failed", "The workflow refused or failed the query or update; see failure.";
    TooManyRequests "too_many_requests" 429 "Too many requests", "Over a rate or concurrency limit: wait as Retry-After says.";
    RegistryFull "registry_full" 429 "Registry full", "The registry holds as much as it may: remove something first.";
    QueueFull "queue_full" 429 "Write queue full", "More writes wait than the registry takes: retry as Retry-After says.";
    Internal "internal" 500 "Internal error", "A defect of this server; the request id finds it in the log.";
    NoHealthyWorker "no_healthy_worker" 503 "No healthy worker", "The workflow type is known, but no matching worker is healthy.";
    SearchAttributesUnavailable "search_attributes_unavailable" 503 "Search attributes unavailable", "Search attributes of this type are not usable yet, or clash.";
    TemporalUnavailable "temporal_unavailable" 503 "Temporal unavailable", "Temporal did not answer in time, or this replica is not ready.";
    ShuttingDown "shutting_down" 503 "Shutting down", "This replica is shutting down: retry at another one.";
    OutcomeUnknown "outcome_unknown" 504 "Outcome unknown", "The deadline passed after a write was sent: retry with the same Idempotency-Key.";
}

impl Code {
    /// Seconds a client is told to wait when the problem names none; `None` where waiting does not help.
    pub fn default_retry_after_seconds(self) -> Option<u32> {
        match (self, self.status().as_u16()) {
            (Code::RegistryFull, _) => Some(60),
            (_, 429) => Some(1),
            (_, 503) => Some(2),
            _ => None,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The whole catalogue as a Markdown table, for the OpenAPI document and for review.
pub fn catalogue() -> String {
    let mut table = String::from("| status | code | title | meaning |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (status, title, meaning) = (code.status().as_u16(), code.title(), code.meaning());
        table.push_str(&format!("| {status} | `{}` | {title} | {meaning} |\n", code.as_str()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_snake_case_and_statuses_rise() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.is_sorted_by_key(|code| code.status().as_u16()));
    }

    #[test]
    fn every_429_and_503_says_when_to_retry() {
        for code in Code::ALL {
            let waits = matches!(code.status().as_u16(), 429 | 503);
            assert_eq!(code.default_retry_after_seconds().is_some(), waits, "{code:?}");
        }
    }

    #[test]
    fn the_catalogue_has_a_line_for_each_code() {
        assert_eq!(catalogue().lines().count(), Code::ALL.len() + 2);
    }
}
