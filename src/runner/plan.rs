//! What a run is going to do, decided once and kept in its history.
//!
//! A workflow must not look at the configuration: another runner, or the same one after an edit, may hold a
//! different one while the run is replayed. The first step of every run therefore asks a local activity for the
//! plan, and everything after depends on that recorded answer alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What to do for one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Plan {
    /// Nothing: the input or the configuration does not allow it.
    Rejected {
        /// Why, for a human.
        reason: String,
    },
    /// One activity that starts a process or makes an HTTP exchange.
    Single(Single),
    /// A remote job: kick off, poll, maybe cancel.
    Remote(Remote),
    /// A task for a person or another system.
    Manual(Manual),
}

/// The plan of `subprocess` and `http`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Single {
    /// Seconds one attempt may take at most, grace included.
    pub attempt_seconds: u64,
    /// How often it may be tried when a runner is lost; 1 unless the entry is idempotent.
    pub attempts: u32,
}

/// The plan of `http_async`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// Seconds from the start of the run until the remote job is given up.
    pub timeout_seconds: u64,
    /// Seconds between two polls.
    pub poll_interval_seconds: u64,
    /// Seconds one HTTP exchange may take.
    pub request_seconds: u64,
    /// How often the kick-off may be tried when a runner is lost; 1 unless the entry is idempotent.
    pub kickoff_attempts: u32,
    /// Whether the entry names a URL that stops the remote job.
    pub cancellable: bool,
}

/// The plan of `manual`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manual {
    /// One line for a list.
    pub title: String,
    /// What is asked for.
    pub description: String,
    /// JSON Schema the output must fit; `{}` accepts everything.
    pub form_schema: Value,
    /// Seconds until the task times out; `None` waits for ever.
    pub timeout_seconds: Option<u64>,
    /// Lease of a claim that does not name one, in seconds.
    pub lease_seconds: u64,
}

/// What one poll of a remote job found, as the activity answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kickoff {
    /// Id of the remote job, absent when the kick-off itself ended the run.
    pub run_id: Option<String>,
    /// The end of the run when there is no remote job to wait for.
    pub ended: Option<super::outcome::RunResult>,
}
