//! The rules once more, with plain maps and no care for speed.

use std::collections::BTreeMap;

use temporal_registry::registry::{
    AttributeStatus,
    AttributeType::{self, Int, Keyword, Text},
    VerdictKind,
};

pub const TYPES_MAX: usize = 3;
pub const WORKERS_MAX: usize = 2;
pub const SLUGS_MAX: usize = 2;
pub const RESERVATIONS_MAX: usize = 2;
pub const REVISIONS_KEPT: usize = 1;
pub const SLUG_TTL_MS: i64 = 100_000;
pub const RESERVATION_TTL_MS: i64 = 60_000;
pub const TTL_MS: i64 = 10_000;

/// The attributes that a version of any type declares.
pub fn attributes_of(version: u8) -> &'static [(&'static str, AttributeType)] {
    match version {
        1 => &[("Stage", Keyword)],
        2 => &[("Stage", Int), ("Other", Text)],
        3 => &[("Other", Text)],
        _ => &[],
    }
}

/// What a worker says of its spec beside what stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stand {
    Uncompared,
    Compatible(u8),
    Breaking(u8),
    Never,
    Force,
}

/// An outcome without what only the registry can know.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Registered { kept: bool, changed: bool, verdicts: Vec<(VerdictKind, u32)> },
    Put(u32, bool, bool),
    Claimed(String, u64),
    SlugReset(String, u64),
    Reserved { workflow_id: String, run: Option<String>, created: bool },
    Done,
    Refused(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    pub enabled: bool,
    /// `(number, version)`, newest first.
    pub revisions: Vec<(u32, u8)>,
    pub known: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    pub epoch: u64,
    pub incarnation: Option<String>,
    pub served: Vec<(String, u8)>,
    pub seen_ms: i64,
    pub draining: bool,
    pub lapsed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub fingerprint: String,
    pub workflow_id: String,
    pub run: Option<String>,
    pub at_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Naive {
    pub now_ms: i64,
    pub types: BTreeMap<String, Type>,
    pub workers: BTreeMap<String, Worker>,
    pub slugs: BTreeMap<String, (u64, i64)>,
    /// Slugs by their last claims, oldest first.
    pub claimed: Vec<String>,
    pub records: BTreeMap<String, Record>,
    pub attributes: BTreeMap<String, (AttributeType, AttributeStatus)>,
}

impl Naive {
    fn version(&self, name: &str) -> Option<u8> {
        self.types.get(name).map(|found| found.revisions[0].1)
    }

    /// `(type, kind)` of everyone who declares an attribute now.
    fn declarers<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = (&'a str, AttributeType)> {
        self.types.iter().flat_map(move |(name, found)| {
            let all = attributes_of(found.revisions[0].1).iter();
            all.filter(move |(a, _)| *a == attribute).map(move |(_, kind)| (name.as_str(), *kind))
        })
    }

    fn is_free(&self, name: &str, attribute: &str, kind: AttributeType) -> bool {
        self.declarers(attribute).all(|(other, as_kind)| other == name || as_kind == kind)
    }

    fn clashes(&self, name: &str, version: u8) -> bool {
        attributes_of(version).iter().any(|(attribute, kind)| match self.attributes.get(*attribute) {
            None => false,
            Some((known, status)) if known == kind => matches!(status, AttributeStatus::Conflict(_)),
            Some(_) => !self.is_free(name, attribute, *kind),
        })
    }

    fn stand(&mut self, name: &str, version: u8, enabled: bool) -> u32 {
        let old = self.types.remove(name);
        let number = old.as_ref().map_or(0, |old| old.revisions[0].0) + 1;
        let mut next = old.clone().unwrap_or(Type { enabled, revisions: Vec::new(), known: Vec::new() });
        if let Some((_, last)) = next.revisions.first().copied() {
            next.known.retain(|version| *version != last);
            next.known.push(last);
        }
        next.revisions.insert(0, (number, version));
        next.revisions.truncate(1 + REVISIONS_KEPT);
        self.types.insert(name.to_owned(), next);
        for (attribute, kind) in attributes_of(version) {
            let differs = self.attributes.get(*attribute).is_none_or(|(known, _)| known != kind);
            if differs && self.is_free(name, attribute, *kind) {
                self.attributes.insert((*attribute).to_owned(), (*kind, AttributeStatus::Pending));
            }
        }
        if let Some(old) = old {
            self.release(old.revisions[0].1);
        }
        number
    }

    fn release(&mut self, version: u8) {
        for (attribute, _) in attributes_of(version) {
            let Some((known, _)) = self.attributes.get(*attribute) else { continue };
            let mut kinds: Vec<AttributeType> = self.declarers(attribute).map(|(_, kind)| kind).collect();
            kinds.sort();
            if kinds.contains(known) {
                continue;
            }
            match kinds.first() {
                None => _ = self.attributes.remove(*attribute),
                Some(kind) => {
                    _ = self.attributes.insert((*attribute).to_owned(), (*kind, AttributeStatus::Pending));
                }
            }
        }
    }

    pub fn create(&mut self, name: &str, version: u8) -> Said {
        if self.types.contains_key(name) {
            return Said::Refused("already registered");
        }
        self.replace(name, version, true, None)
    }

    pub fn replace(&mut self, name: &str, version: u8, enabled: bool, base: Option<u32>) -> Said {
        let (number, same) =
            self.types.get(name).map_or((0, false), |t| (t.revisions[0].0, t.revisions[0].1 == version));
        let created = number == 0;
        if base.is_some_and(|base| base != number) {
            return Said::Refused("revision mismatch");
        }
        if !same && self.clashes(name, version) {
            return Said::Refused("attribute conflict");
        }
        if created && self.types.len() >= TYPES_MAX {
            return Said::Refused("full");
        }
        let number = if same { number } else { self.stand(name, version, enabled) };
        let found = self.types.get_mut(name).unwrap();
        let switched = std::mem::replace(&mut found.enabled, enabled) != enabled;
        Said::Put(number, created, !same || switched)
    }

    pub fn enable(&mut self, name: &str, enabled: bool) -> Said {
        let Some(found) = self.types.get_mut(name) else { return Said::Refused("type not found") };
        let switched = std::mem::replace(&mut found.enabled, enabled) != enabled;
        Said::Put(found.revisions[0].0, false, switched)
    }

    pub fn delete(&mut self, name: &str) -> Said {
        let Some(gone) = self.types.remove(name) else { return Said::Refused("type not found") };
        self.release(gone.revisions[0].1);
        for worker in self.workers.values_mut() {
            worker.served.retain(|(served, _)| served != name);
        }
        Said::Done
    }

    fn is_forgotten(&self, worker: &Worker) -> bool {
        worker.seen_ms + 6 * TTL_MS < self.now_ms
    }

    /// The epoch of the worker is left at 0 when it is a new one.
    pub fn register(
        &mut self,
        id: &str,
        served: &[(String, u8, Stand)],
        incarnation: Option<String>,
    ) -> Said {
        let there = self.workers.get(id).cloned();
        if there.is_none() && self.workers.len() >= WORKERS_MAX {
            return Said::Refused("full");
        }
        let mut created = 0;
        for (at, (name, version, stand)) in served.iter().enumerate() {
            if served[..at].iter().any(|(other, ..)| other == name) {
                return Said::Refused("bad name");
            }
            let Some(found) = self.types.get(name) else {
                created += 1;
                continue;
            };
            let judged = match stand {
                Stand::Never | Stand::Force => true,
                Stand::Compatible(base) | Stand::Breaking(base) => {
                    found.knows(*version) || *base == found.revisions[0].1
                }
                Stand::Uncompared => found.knows(*version),
            };
            if !judged {
                return Said::Refused("compare again");
            }
        }
        if created > 0 && self.types.len() + created > TYPES_MAX {
            return Said::Refused("full");
        }
        let numbers = |types: &BTreeMap<String, Type>| -> Vec<(String, u32)> {
            types.iter().map(|(name, found)| (name.clone(), found.revisions[0].0)).collect()
        };
        let before = numbers(&self.types);
        let verdicts =
            served.iter().map(|(name, version, stand)| self.offer(name, *version, *stand)).collect();
        let types_changed = before != numbers(&self.types);
        let known = there.filter(|worker| !self.is_forgotten(worker));
        let kept = known.as_ref().filter(|worker| worker.incarnation == incarnation);
        let worker = Worker {
            epoch: kept.map_or(0, |worker| worker.epoch),
            incarnation,
            served: served.iter().map(|(name, version, _)| (name.clone(), *version)).collect(),
            seen_ms: self.now_ms,
            draining: false,
            lapsed: false,
        };
        let same = kept.is_some_and(|kept| kept.served == worker.served && !kept.draining);
        let kept = kept.is_some();
        self.workers.insert(id.to_owned(), worker);
        Said::Registered { kept, changed: !same || types_changed, verdicts }
    }

    fn offer(&mut self, name: &str, version: u8, stand: Stand) -> (VerdictKind, u32) {
        let Some(found) = self.types.get(name) else {
            self.stand(name, version, true);
            return self.ready(name, VerdictKind::Created);
        };
        let number = found.revisions[0].0;
        if found.revisions[0].1 == version {
            return self.ready(name, VerdictKind::Unchanged);
        }
        if found.knows(version) && stand != Stand::Force {
            let older = found.revisions.iter().find(|(_, other)| *other == version);
            return (VerdictKind::Unchanged, older.map_or(number, |(older, _)| *older));
        }
        if matches!(stand, Stand::Never | Stand::Breaking(_)) {
            return (VerdictKind::Incompatible, number);
        }
        if self.clashes(name, version) {
            return (VerdictKind::Unavailable, number);
        }
        self.stand(name, version, true);
        self.ready(name, VerdictKind::Revised)
    }

    fn ready(&self, name: &str, kind: VerdictKind) -> (VerdictKind, u32) {
        let mut kind = kind;
        for (attribute, as_kind) in attributes_of(self.version(name).unwrap()) {
            match self.attributes.get(*attribute) {
                Some((known, AttributeStatus::Ready)) if known == as_kind => {}
                Some((known, AttributeStatus::Pending)) if known == as_kind => kind = VerdictKind::Pending,
                _ => {
                    kind = VerdictKind::Unavailable;
                    break;
                }
            }
        }
        (kind, self.types[name].revisions[0].0)
    }

    pub fn renew(&mut self, id: &str, epoch: u64, age_ms: i64) -> Said {
        let seen_ms = self.now_ms - age_ms;
        if let Some(worker) = self.workers.get_mut(id)
            && worker.epoch == epoch
            && worker.seen_ms < seen_ms
        {
            worker.seen_ms = seen_ms;
            worker.lapsed = false;
        }
        Said::Done
    }

    pub fn leave(&mut self, id: &str, epoch: Option<u64>, drain: bool) -> Said {
        let Some(worker) = self.workers.get_mut(id) else { return Said::Refused("worker not found") };
        if epoch.is_some_and(|epoch| epoch != worker.epoch) {
            return Said::Refused("stale epoch");
        }
        worker.draining = true;
        if !drain {
            self.workers.remove(id);
        }
        Said::Done
    }

    pub fn claim(&mut self, slug: &str) -> Said {
        let now_ms = self.now_ms;
        self.forget_slugs();
        let last = self.slugs.entry(slug.to_owned()).or_insert((0, now_ms));
        *last = (last.0 + 1, now_ms);
        let counter = last.0;
        self.claimed.retain(|other| other != slug);
        self.claimed.push(slug.to_owned());
        while self.slugs.len() > SLUGS_MAX {
            self.slugs.remove(&self.claimed.remove(0));
        }
        Said::Claimed(slug.to_owned(), counter)
    }

    fn forget_slugs(&mut self) {
        self.slugs.retain(|_, (_, at_ms)| self.now_ms - *at_ms <= SLUG_TTL_MS);
        self.claimed.retain(|slug| self.slugs.contains_key(slug));
    }

    pub fn reset(&mut self, slug: &str) -> Said {
        self.forget_slugs();
        self.claimed.retain(|other| other != slug);
        Said::SlugReset(slug.to_owned(), self.slugs.remove(slug).map_or(0, |(counter, _)| counter))
    }

    pub fn reserve(
        &mut self,
        key: &str,
        fingerprint: &str,
        id: &str,
        slug: Option<&str>,
        instead: bool,
    ) -> Said {
        let now_ms = self.now_ms;
        self.records.retain(|other, record| other != key || now_ms - record.at_ms <= RESERVATION_TTL_MS);
        if let Some(found) = self.records.get(key) {
            if found.fingerprint != fingerprint {
                return Said::Refused("key reused");
            }
            if !instead || found.run.is_some() {
                let (workflow_id, run) = (found.workflow_id.clone(), found.run.clone());
                return Said::Reserved { workflow_id, run, created: false };
            }
        }
        let workflow_id = match slug.map(|slug| self.claim(slug)) {
            Some(Said::Claimed(slug, counter)) => format!("{slug}-r{counter}"),
            _ => id.to_owned(),
        };
        self.records.retain(|_, record| now_ms - record.at_ms <= RESERVATION_TTL_MS);
        let record = Record {
            fingerprint: fingerprint.to_owned(),
            workflow_id: workflow_id.clone(),
            run: None,
            at_ms: now_ms,
        };
        self.records.insert(key.to_owned(), record);
        while self.records.len() > RESERVATIONS_MAX {
            let oldest = self
                .records
                .iter()
                .filter(|(other, _)| *other != key)
                .map(|(key, record)| (record.at_ms, key.clone()))
                .min()
                .unwrap();
            self.records.remove(&oldest.1);
        }
        Said::Reserved { workflow_id, run: None, created: true }
    }

    pub fn settle(&mut self, key: &str, workflow_id: &str, run: &str) -> Said {
        if let Some(found) = self.records.get_mut(key)
            && found.workflow_id == workflow_id
        {
            found.run.get_or_insert(run.to_owned());
        }
        Said::Done
    }

    pub fn sweep(&mut self) -> Said {
        let now_ms = self.now_ms;
        self.workers.retain(|_, worker| worker.seen_ms + 6 * TTL_MS >= now_ms);
        for worker in self.workers.values_mut() {
            worker.lapsed |= worker.seen_ms + TTL_MS < now_ms;
        }
        self.forget_slugs();
        self.records.retain(|_, record| now_ms - record.at_ms <= RESERVATION_TTL_MS);
        Said::Done
    }

    pub fn provisioned(&mut self, name: &str, kind: AttributeType, status: AttributeStatus) -> Said {
        if let Some((known, was)) = self.attributes.get_mut(name)
            && *known == kind
        {
            *was = status;
        }
        Said::Done
    }
}

impl Type {
    fn knows(&self, version: u8) -> bool {
        self.known.contains(&version) || self.revisions.iter().any(|(_, other)| *other == version)
    }
}
