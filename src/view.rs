//! A replica's view of the registry: immutable, shared, cheap to follow up with changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use imbl::{OrdMap, OrdSet};

use crate::registry::{Attribute, Changes, Key, Reserved, SlugCounter, Status, TypeEntry, Worker};

/// A worker with the last heartbeat this replica knows of, be it durable yet or not.
#[derive(Clone, Debug)]
pub struct Member {
    /// As known durably.
    pub worker: Arc<Worker>,
    seen_ms: Arc<AtomicI64>,
}

impl Member {
    fn new(worker: Arc<Worker>, before: Option<&Member>) -> Self {
        let same = before.filter(|member| member.worker.epoch == worker.epoch);
        let seen_ms = same.map_or_else(|| Arc::new(AtomicI64::new(0)), |member| member.seen_ms.clone());
        seen_ms.fetch_max(worker.last_seen_ms, Ordering::Relaxed);
        Self { worker, seen_ms }
    }

    /// Notes a heartbeat in memory.
    pub fn heartbeat(&self, now_ms: i64) {
        self.seen_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// The last heartbeat, milliseconds since the Unix epoch.
    pub fn last_seen_ms(&self) -> i64 {
        self.seen_ms.load(Ordering::Relaxed)
    }

    /// Nobody was there to hear it when its lease ran out, as far as a replica knows that is up since `up_since_ms`: then it has
    /// one lease from that moment, until the time given.
    pub fn unseen_until_ms(&self, up_since_ms: i64) -> Option<i64> {
        let unheard = !self.worker.lapsed && self.lease_expires_ms() < up_since_ms;
        unheard.then(|| up_since_ms + self.worker.ttl_ms())
    }

    /// When the lease ends unless another heartbeat comes.
    pub fn lease_expires_ms(&self) -> i64 {
        self.worker.lease_expires_ms(self.last_seen_ms())
    }
}

/// Everything a replica knows of the registry, at one revision.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The revision this view has reached.
    pub revision: u64,
    /// The registry's revision when this view began from nothing: it never held what was deleted before.
    pub born: u64,
    /// Types by name.
    pub types: OrdMap<String, Arc<TypeEntry>>,
    /// Workers by id.
    pub workers: OrdMap<String, Member>,
    /// Ids of the workers that serve a type, by type.
    pub serving: OrdMap<String, OrdSet<String>>,
    /// Slug counters by slug.
    pub slugs: OrdMap<String, SlugCounter>,
    /// Declared search attributes by name.
    pub attributes: OrdMap<String, Attribute>,
    /// Idempotency records by key.
    pub reservations: OrdMap<String, Reserved>,
    /// Counters of the registry as a whole.
    pub status: Status,
    /// What will replace this view once complete; only while it starts over.
    successor: Option<Arc<View>>,
}

impl View {
    /// How far this view has come, or the one that is to replace it: revision and birth, to ask for more with.
    pub fn reached(&self) -> (u64, u64) {
        self.successor.as_ref().map_or((self.revision, self.born), |next| (next.revision, next.born))
    }

    /// The view after some changes; none when they do not follow on what is here.
    ///
    /// A view that must start over goes on answering as it was until its successor is complete.
    pub fn after(&self, changes: &Changes) -> Option<View> {
        let begun = View::default();
        let base = match &self.successor {
            // Answers a question that was asked before this view started over, or came to need it no more.
            _ if changes.reset && changes.since != self.reached().0 => return None,
            _ if changes.reset => &begun,
            Some(successor) => successor,
            None => return self.followed(changes, self),
        };
        let successor = base.followed(changes, self)?;
        if successor.revision >= changes.head.max(successor.born) {
            return Some(successor);
        }
        Some(View { successor: Some(Arc::new(successor)), ..self.clone() })
    }

    /// This view with changes that follow on it; heartbeats in memory are those of `shown`.
    fn followed(&self, changes: &Changes, shown: &View) -> Option<View> {
        // What was read before this view was born may have been deleted before, and nobody will say so.
        let is_complete = self.revision >= self.born;
        if changes.from > self.revision || (!is_complete && changes.head < self.born) {
            return None;
        }
        let mut next = self.clone();
        if self.revision == 0 {
            next.born = changes.head;
        }
        // What is older than this view and not in it was deleted since: changes may come late or twice.
        let is_new = |changed: u64| changed > self.revision;
        for key in &changes.removed {
            next.remove(key, changes.to);
        }
        for entry in &changes.types {
            let name = entry.workflow_type();
            let known = next.types.get(name);
            if is_new(entry.changed) && known.is_none_or(|known| known.changed < entry.changed) {
                next.types.insert(name.to_owned(), entry.clone());
            }
        }
        for worker in changes.workers.iter().filter(|worker| is_new(worker.changed)) {
            next.put_worker(worker, shown.workers.get(&worker.worker_id));
        }
        for lease in &changes.leases {
            if let Some(member) = next.workers.get(&lease.worker_id)
                && member.worker.epoch == lease.epoch
                && member.worker.last_seen_ms < lease.last_seen_ms
            {
                let (last_seen_ms, renewed) = (lease.last_seen_ms, lease.renewed);
                let worker = Worker { last_seen_ms, renewed, ..(*member.worker).clone() };
                let member = Member::new(Arc::new(worker), Some(member));
                next.workers.insert(lease.worker_id.clone(), member);
            }
        }
        for counter in &changes.slugs {
            let known = next.slugs.get(&counter.slug);
            if is_new(counter.changed) && known.is_none_or(|known| known.changed < counter.changed) {
                next.slugs.insert(counter.slug.clone(), counter.clone());
            }
        }
        for attribute in &changes.attributes {
            let known = next.attributes.get(&attribute.name);
            if is_new(attribute.changed) && known.is_none_or(|known| known.changed < attribute.changed) {
                next.attributes.insert(attribute.name.clone(), attribute.clone());
            }
        }
        for reserved in &changes.reservations {
            let known = next.reservations.get(&reserved.key);
            if is_new(reserved.changed) && known.is_none_or(|known| known.changed < reserved.changed) {
                next.reservations.insert(reserved.key.clone(), reserved.clone());
            }
        }
        if changes.head >= next.revision {
            next.status = changes.status.clone();
        }
        next.revision = next.revision.max(changes.to);
        Some(next)
    }

    fn put_worker(&mut self, worker: &Arc<Worker>, before: Option<&Member>) {
        let id = &worker.worker_id;
        let known = self.workers.get(id);
        if known.is_some_and(|known| known.worker.changed >= worker.changed) {
            return;
        }
        let served: Vec<String> =
            known.iter().flat_map(|m| m.worker.workflows.iter().map(|s| s.workflow_type.clone())).collect();
        for name in served {
            self.unserve(&name, id);
        }
        for served in &worker.workflows {
            self.serving.entry(served.workflow_type.clone()).or_default().insert(id.clone());
        }
        self.workers.insert(id.clone(), Member::new(worker.clone(), before));
    }

    fn unserve(&mut self, name: &str, worker_id: &str) {
        if let Some(ids) = self.serving.get_mut(name) {
            ids.remove(worker_id);
            if ids.is_empty() {
                self.serving.remove(name);
            }
        }
    }

    /// Removes a thing unless it came back after the changes were read.
    fn remove(&mut self, key: &Key, to: u64) {
        match key {
            Key::Type(name) => {
                if self.types.get(name).is_some_and(|known| known.changed <= to) {
                    self.types.remove(name);
                }
            }
            Key::Worker(id) => {
                if let Some(member) = self.workers.get(id).filter(|m| m.worker.changed <= to).cloned() {
                    for served in &member.worker.workflows {
                        self.unserve(&served.workflow_type, id);
                    }
                    self.workers.remove(id);
                }
            }
            Key::Lease(_) => {}
            Key::Slug(slug) => {
                if self.slugs.get(slug).is_some_and(|known| known.changed <= to) {
                    self.slugs.remove(slug);
                }
            }
            Key::Attribute(name) => {
                if self.attributes.get(name).is_some_and(|known| known.changed <= to) {
                    self.attributes.remove(name);
                }
            }
            Key::Reservation(key) => {
                if self.reservations.get(key).is_some_and(|known| known.changed <= to) {
                    self.reservations.remove(key);
                }
            }
        }
    }

    /// The workers that serve a type.
    pub fn workers_of(&self, workflow_type: &str) -> impl Iterator<Item = &Member> {
        let ids = self.serving.get(workflow_type).into_iter().flatten();
        ids.filter_map(|id| self.workers.get(id))
    }
}
