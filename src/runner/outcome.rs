//! The one result shape every kind of entry ends with.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How an execution ended. A failed execution is still a completed workflow: the status says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The work was done.
    Succeeded,
    /// The work ran and did not succeed, or its fate is not known (see [`RunResult::outcome`]).
    Failed,
    /// The work did not end within `timeout_seconds` and was stopped.
    TimedOut,
    /// The run was cancelled and the work was stopped.
    Cancelled,
    /// The work was never started: bad input, missing executable, forbidden address.
    Rejected,
}

/// A file (or the head of an HTTP answer) that belongs to an execution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is: `stdout`, `stderr`, `body`, `response`, or the name of a file the process left.
    pub name: String,
    /// Where the file is on the runner's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Size of the file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// HTTP status of a `response`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// HTTP headers of a `response`; repeated ones are joined with a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Value>,
}

/// The result of one execution, the same for every kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// How it ended.
    pub status: Status,
    /// Exit code of a process (128 + signal when a signal ended it), status of an HTTP answer.
    pub exit_code: Option<i64>,
    /// RFC 3339, UTC.
    pub started_at: Option<String>,
    /// RFC 3339, UTC.
    pub finished_at: Option<String>,
    /// One short text for a human; `None` when it succeeded.
    pub error_summary: Option<String>,
    /// What the work gave back.
    pub output: Value,
    /// Files the work left on the runner's host.
    pub artifacts: Vec<Artifact>,
    /// `unknown` when nobody can say whether the work was done: its runner was lost on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

impl RunResult {
    /// A result with nothing but its status and the moment it began.
    pub fn new(status: Status, started: Option<SystemTime>) -> Self {
        Self {
            status,
            exit_code: None,
            started_at: started.map(rfc3339),
            finished_at: None,
            error_summary: None,
            output: Value::Null,
            artifacts: Vec::new(),
            outcome: None,
        }
    }

    /// A result for work that was never started.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::new(Status::Rejected, None).because(reason)
    }

    /// The same result with its end time, unless it has one.
    pub fn finished(mut self, at: Option<SystemTime>) -> Self {
        self.finished_at = self.finished_at.or_else(|| at.map(rfc3339));
        self
    }

    /// The same result with an `error_summary`, cut to a readable length.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        const LONGEST: usize = 2_000;
        let mut reason = reason.into();
        if reason.len() > LONGEST {
            let cut = (0..=LONGEST).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
            reason.truncate(cut);
            reason.push('…');
        }
        self.error_summary = Some(reason);
        self
    }

    /// The same result, marked as one whose true ending nobody knows.
    pub fn unknown(mut self) -> Self {
        self.outcome = Some("unknown".to_owned());
        self
    }
}

/// A time as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_has_exactly_the_promised_members() {
        let plain = serde_json::to_value(RunResult::new(Status::TimedOut, None)).unwrap();
        let names: Vec<_> = plain.as_object().unwrap().keys().cloned().collect();
        assert_eq!(
            names,
            ["status", "exit_code", "started_at", "finished_at", "error_summary", "output", "artifacts"]
        );
        assert_eq!(plain["status"], "timed_out");
        let lost = serde_json::to_value(RunResult::new(Status::Failed, None).unknown()).unwrap();
        assert_eq!(lost["outcome"], "unknown");
    }

    #[test]
    fn a_long_summary_is_cut_on_a_character() {
        let result = RunResult::rejected("é".repeat(4_000));
        let summary = result.error_summary.unwrap();
        assert!(summary.len() < 2_010 && summary.ends_with('…'), "{}", summary.len());
    }
}
