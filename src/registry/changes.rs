//! What changed since a revision, in pages: how replicas keep their view.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Attribute, Lease, SlugCounter, Status, TypeEntry, Worker,
    idempotency::Reserved,
    state::{Registry, json_bytes},
};

/// Deletions remembered for replicas that catch up; beyond it the oldest go and a late replica starts over, which costs
/// it one reading of everything. They are handed over with the state, so that they must not crowd out what it is about.
pub const TOMBSTONES_MAX: usize = 5_000;

/// Names one thing in the registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Key {
    Type(String),
    Worker(String),
    Lease(String),
    Slug(String),
    Attribute(String),
    Reservation(String),
}

/// A page of changes: everything that changed in `(from, to]`, as it stands now.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    /// The revision the reader said it has reached.
    #[serde(default)]
    pub since: u64,
    /// The revision these follow on.
    pub from: u64,
    /// The revision the reader has reached with these.
    pub to: u64,
    /// The registry's revision; there is another page while `to < head`.
    pub head: u64,
    /// The reader's revision is too old to catch up: drop everything, then apply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// Types put.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Arc<TypeEntry>>,
    /// Workers put.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<Arc<Worker>>,
    /// Leases renewed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leases: Vec<Lease>,
    /// Slug counters put.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slugs: Vec<SlugCounter>,
    /// Declared attributes put.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// Idempotency records put.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reserved>,
    /// Things deleted: apply before the puts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Key>,
    /// Counters of the registry as a whole.
    pub status: Status,
}

impl Registry {
    /// Changes after `since`, at most about `bytes_max` of JSON (always at least one change). `born`: the registry's
    /// revision when the reader began from nothing; it cannot hold what was deleted before, so that it needs to be told
    /// of later deletions only.
    pub fn changes_since(&self, since: u64, born: u64, bytes_max: u64) -> Changes {
        let head = self.state.revision;
        let forgotten = since > 0 && since.max(born) < self.state.tombstone_floor;
        let reset = since > head || born > head || forgotten;
        let from = if reset { 0 } else { since };
        let status = self.status();
        let mut page = Changes { since, from, to: from, head, reset, status, ..Changes::default() };
        let mut bytes = 0;
        for (&revision, key) in self.index.range(from + 1..) {
            if bytes >= bytes_max && page.to > from {
                return page;
            }
            bytes += self.collect(key, &mut page);
            page.to = revision;
        }
        page.to = head;
        page
    }

    fn collect(&self, key: &Key, page: &mut Changes) -> u64 {
        let state = &self.state;
        match key {
            Key::Type(name) => state.types.get(name).map(|entry| {
                page.types.push(Arc::new(entry.clone()));
                json_bytes(entry)
            }),
            Key::Worker(id) => state.workers.get(id).map(|worker| {
                page.workers.push(Arc::new(worker.clone()));
                json_bytes(worker)
            }),
            Key::Lease(id) => state.workers.get(id).map(|worker| {
                page.leases.push(worker.lease());
                64
            }),
            Key::Slug(slug) => state.slugs.get(slug).map(|counter| {
                page.slugs.push(counter.clone());
                64 + slug.len() as u64
            }),
            Key::Attribute(name) => state.attributes.get(name).map(|attribute| {
                page.attributes.push(attribute.clone());
                json_bytes(attribute)
            }),
            Key::Reservation(key) => state.reservations.get(key).map(|reserved| {
                page.reservations.push(reserved.clone());
                json_bytes(reserved)
            }),
        }
        .unwrap_or_else(|| {
            page.removed.push(key.clone());
            64
        })
    }

    /// Takes the next revision for a thing that was last changed at `before` (0: new).
    pub(super) fn touch(&mut self, key: Key, before: u64) -> u64 {
        if before > 0 {
            self.index.remove(&before);
        }
        self.state.revision += 1;
        self.index.insert(self.state.revision, key);
        self.state.revision
    }

    /// Records a deletion, bounded.
    pub(super) fn bury(&mut self, key: Key, before: u64) {
        let at = self.touch(key.clone(), before);
        self.state.tombstones.push_back((at, key));
        while self.state.tombstones.len() > TOMBSTONES_MAX {
            if let Some((dropped, _)) = self.state.tombstones.pop_front() {
                self.index.remove(&dropped);
                self.state.tombstone_floor = dropped;
            }
        }
    }
}
