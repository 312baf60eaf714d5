//! The state of the registry and its bookkeeping.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Result as Written, Write};

use serde::{Deserialize, Serialize};

use super::{
    Attribute, Limits, Refusal, SlugCounter, TypeEntry, Worker, batch::Applied, changes::Key,
    idempotency::Reserved, size,
};

/// Reasons of rejected signals that are kept, newest last.
const REJECTIONS_KEPT: usize = 20;
/// Characters of a rejection reason that are kept.
const REJECTION_CHARS_MAX: usize = 300;
/// Packed bytes of one remembered deletion: replicas do not know them, so that they are not in what is measured.
const TOMBSTONE_BYTES: u64 = 32;

/// Everything that outlives a run of the registry workflow. Its form is fixed by recorded histories: add, never rename.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
#[serde(default)]
pub struct State {
    pub revision: u64,
    pub types: BTreeMap<String, TypeEntry>,
    pub workers: BTreeMap<String, Worker>,
    pub slugs: BTreeMap<String, SlugCounter>,
    pub attributes: BTreeMap<String, Attribute>,
    pub reservations: BTreeMap<String, Reserved>,
    pub applied: BTreeMap<String, Applied>,
    pub tombstones: VecDeque<(u64, Key)>,
    pub tombstone_floor: u64,
    pub status: Status,
    pub measured: (u64, u64),
    pub limits: Limits,
}

/// Counters of the registry as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// When the registry was first started, milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// When a replica last came up.
    pub service_started_ms: i64,
    /// How that replica names itself.
    pub service_process_id: String,
    /// Signals that were not understood.
    pub rejected_signals: u64,
    /// Why, newest last; bounded.
    pub rejections: Vec<String>,
    /// Estimated packed size of the state in bytes.
    pub state_bytes: u64,
    /// Raw size of the state in bytes, by the registry's own count.
    pub raw_bytes: u64,
    /// Number of runs of the registry workflow so far.
    pub runs: u64,
}

/// The registry: its state and what is derived from it.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(super) state: State,
    pub(super) index: BTreeMap<u64, Key>,
    /// Slugs in the order of their last claims: by the revisions of these, since many share a millisecond.
    pub(super) slug_age: BTreeMap<u64, String>,
    pub(super) reservation_age: BTreeSet<(i64, String)>,
}

impl Registry {
    /// A registry over a state, new or handed over.
    pub fn new(mut state: State) -> Self {
        state.status.raw_bytes = size::all(&state);
        let mut index = BTreeMap::new();
        index.extend(state.types.values().map(|e| (e.changed, Key::Type(e.workflow_type().to_owned()))));
        index.extend(state.workers.values().map(|w| (w.changed, Key::Worker(w.worker_id.clone()))));
        let renewed = state.workers.values().filter(|w| w.renewed > 0);
        index.extend(renewed.map(|w| (w.renewed, Key::Lease(w.worker_id.clone()))));
        index.extend(state.slugs.values().map(|s| (s.changed, Key::Slug(s.slug.clone()))));
        index.extend(state.attributes.values().map(|a| (a.changed, Key::Attribute(a.name.clone()))));
        index.extend(state.reservations.values().map(|r| (r.changed, Key::Reservation(r.key.clone()))));
        index.extend(state.tombstones.iter().cloned());
        let slug_age = state.slugs.values().map(|s| (s.changed, s.slug.clone())).collect();
        let reservation_age = state.reservations.values().map(|r| (r.at_ms, r.key.clone())).collect();
        Self { state, index, slug_age, reservation_age }
    }

    /// The state, to hand over.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Counts a run of the registry workflow.
    pub fn begin_run(&mut self, now_ms: i64) {
        self.state.status.runs += 1;
        if self.state.status.started_at_ms == 0 {
            self.state.status.started_at_ms = now_ms;
        }
    }

    /// The registry's revision: rises with every change.
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    /// Counters of the registry as a whole.
    pub fn status(&self) -> Status {
        Status { state_bytes: self.packed_bytes(0), ..self.state.status.clone() }
    }

    /// Counts a signal that was not understood and keeps why.
    pub fn reject_signal(&mut self, reason: &str) {
        self.state.status.rejected_signals += 1;
        let reason: String = reason.chars().take(REJECTION_CHARS_MAX).collect();
        self.state.status.rejections.push(reason);
        if self.state.status.rejections.len() > REJECTIONS_KEPT {
            self.state.status.rejections.remove(0);
        }
    }

    pub(super) fn service_started(&mut self, process_id: &str, limits: &Limits, now_ms: i64) {
        self.state.limits = limits.clone();
        self.state.status.service_started_ms = now_ms;
        self.state.status.service_process_id = process_id.to_owned();
    }

    pub(super) fn grow(&mut self, bytes: u64) {
        self.state.status.raw_bytes += bytes;
    }

    pub(super) fn shrink(&mut self, bytes: u64) {
        self.state.status.raw_bytes = self.state.status.raw_bytes.saturating_sub(bytes);
    }

    pub(super) fn measured(&mut self, raw_bytes: u64, packed_bytes: u64) {
        self.state.measured = (raw_bytes, packed_bytes);
    }

    /// Packed size once there are so many raw bytes more: as last measured, and what came since at twice the measured
    /// ratio (at full weight before the first measurement): a guess that errs on the large side.
    fn packed_bytes(&self, more_raw_bytes: u64) -> u64 {
        let (raw, packed) = self.state.measured;
        let since = (self.state.status.raw_bytes + more_raw_bytes).saturating_sub(raw);
        let share = since.saturating_mul(2 * packed).checked_div(raw).unwrap_or(since);
        packed + share.min(since) + self.state.tombstones.len() as u64 * TOMBSTONE_BYTES
    }

    /// Whether the state may grow by so many raw bytes. What does not grow it is never refused.
    pub(super) fn room_for(&self, more_raw_bytes: u64) -> Result<(), Refusal> {
        let limit = self.state.limits.packed_bytes_max;
        if more_raw_bytes == 0 || self.packed_bytes(more_raw_bytes) <= limit {
            Ok(())
        } else {
            Err(Refusal::Full { what: "state bytes".to_owned(), limit })
        }
    }
}

/// Bytes of a value as JSON, without writing it anywhere.
pub(super) fn json_bytes(value: &impl Serialize) -> u64 {
    struct Count(u64);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> Written<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> Written<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) | Err(_) => count.0,
    }
}
