//! The bounds of one registry, each with its reason.

use serde::{Deserialize, Serialize};

/// Bounds and retention. A replica tells them when it comes up; they are part of the state, so that every replica and
/// every replay judges by the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Workflow types; listing and hand-over grow with them.
    pub types_max: usize,
    /// Workers; the same.
    pub workers_max: usize,
    /// Earlier revisions kept for each type.
    pub revisions_kept: usize,
    /// Slug counters; beyond it the least recently claimed go.
    pub slugs_max: usize,
    /// How long a slug counter outlives its last claim; for ever when absent.
    pub slug_ttl_ms: Option<i64>,
    /// Idempotency records; beyond it the oldest go.
    pub reservations_max: usize,
    /// How long an idempotency record is kept.
    pub reservation_ttl_ms: i64,
    /// Packed state; Temporal refuses a payload of 2 MiB, the rest is reserve.
    pub packed_bytes_max: u64,
    /// History events of one run of the registry workflow: what a replica replays before it can take over from one that
    /// died. Replay costs the SDK more than twice as much for twice as many. Absent in what builds wrote that took 5,000.
    #[serde(default = "run_events_max_before")]
    pub run_events_max: u32,
    /// The registry's own task queue, which is no place for other work.
    pub own_queue: String,
}

fn run_events_max_before() -> u32 {
    5_000
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            types_max: 5_000,
            workers_max: 20_000,
            revisions_kept: 10,
            slugs_max: 10_000,
            slug_ttl_ms: Some(30 * 24 * 3600 * 1000),
            reservations_max: 10_000,
            reservation_ttl_ms: 24 * 3600 * 1000,
            packed_bytes_max: 1_700_000,
            run_events_max: 1_500,
            own_queue: "registry-service".to_owned(),
        }
    }
}
