//! The catalogue: workflow types with their revisions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Outcome, Refusal, Spec, SpecClaim, Standing, Verdict, VerdictKind, changes::Key, outcome::verdict,
    shared, size, state::Registry,
};

/// Content hashes remembered per type beyond the kept revisions, so that an old worker never flips a type back.
const KNOWN_HASHES_MAX: usize = 64;

/// What must stand for a change to be made: a revision number (0: nothing), and the registry's revision at which the type
/// changed last; anything when absent.
type Base = (Option<u32>, Option<u64>);

/// A registered workflow type: its current spec and its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypeEntry {
    /// The spec that stands.
    pub current: Revision,
    /// Whether it may be started.
    pub enabled: bool,
    /// Earlier specs, newest first; bounded by `Limits::revisions_kept`.
    pub past: Vec<Revision>,
    /// Hashes of earlier content, oldest first; bounded.
    pub known: Vec<String>,
    /// Registry revision of the last change.
    pub changed: u64,
}

/// One spec in the history of a type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Counts from 1 within the type.
    pub number: u32,
    /// The spec.
    #[serde(deserialize_with = "shared::read")]
    pub spec: Arc<Spec>,
    /// Content hash of the spec.
    pub hash: String,
    /// When it was registered, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who registered it.
    pub source: Source,
}

/// Who registered a spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A request or signal about the type itself.
    Admin,
    /// The registration of this worker.
    Worker(String),
}

impl TypeEntry {
    /// The Temporal workflow type.
    pub fn workflow_type(&self) -> &str {
        &self.current.spec.workflow_type
    }

    /// The current spec as it stands, with `enabled` as set.
    pub fn spec(&self) -> Spec {
        Spec { enabled: self.enabled, ..(*self.current.spec).clone() }
    }

    /// All revisions, newest first.
    pub fn revisions(&self) -> impl Iterator<Item = &Revision> {
        std::iter::once(&self.current).chain(&self.past)
    }

    /// Whether this content stands or stood before.
    pub fn knows(&self, hash: &str) -> bool {
        self.revisions().any(|revision| revision.hash == hash) || self.known.iter().any(|known| known == hash)
    }
}

impl Registry {
    /// POST: exactly one of several creators wins.
    pub(super) fn create_type(&mut self, claim: &SpecClaim, now_ms: i64) -> Outcome {
        let name = &claim.spec.workflow_type;
        if self.state.types.contains_key(name) {
            return Outcome::Refused(Refusal::AlreadyRegistered { workflow_type: name.clone() });
        }
        if let Err(refusal) = self.admit(claim) {
            return Outcome::Refused(refusal);
        }
        self.insert_type(claim, Source::Admin, now_ms);
        Outcome::Put { number: 1, created: true, changed: true }
    }

    /// PUT: full replace, whatever stands.
    pub(super) fn replace_type(
        &mut self,
        claim: &SpecClaim,
        base: Base,
        keeps_enabled: bool,
        now_ms: i64,
    ) -> Outcome {
        let name = &claim.spec.workflow_type;
        if let Err(refusal) = self.require_base(name, base) {
            return Outcome::Refused(refusal);
        }
        if let Err(refusal) = self.admit(claim) {
            return Outcome::Refused(refusal);
        }
        let Some(entry) = self.state.types.get(name) else {
            self.insert_type(claim, Source::Admin, now_ms);
            return Outcome::Put { number: 1, created: true, changed: true };
        };
        let same = entry.current.hash == claim.hash;
        let enabled = if keeps_enabled { entry.enabled } else { claim.spec.enabled };
        if same && entry.enabled == enabled {
            return Outcome::Put { number: entry.current.number, created: false, changed: false };
        }
        let number = if same { entry.current.number } else { self.revise(claim, Source::Admin, now_ms) };
        self.set_enabled(name, enabled);
        Outcome::Put { number, created: false, changed: true }
    }

    /// A change demands what was seen to stand.
    fn require_base(&self, name: &str, (number, changed): Base) -> Result<(), Refusal> {
        let (current, last) =
            self.state.types.get(name).map_or((0, 0), |entry| (entry.current.number, entry.changed));
        if number.is_some_and(|number| number != current) || changed.is_some_and(|changed| changed != last) {
            return Err(Refusal::RevisionMismatch { current });
        }
        Ok(())
    }

    /// Switches a type on or off; makes no new revision.
    pub(super) fn set_enabled(&mut self, name: &str, enabled: bool) -> Outcome {
        let Some(entry) = self.state.types.get(name) else {
            return Outcome::Refused(Refusal::TypeNotFound { workflow_type: name.to_owned() });
        };
        let number = entry.current.number;
        if entry.enabled == enabled {
            return Outcome::Put { number, created: false, changed: false };
        }
        let changed = self.touch(Key::Type(name.to_owned()), entry.changed);
        if let Some(entry) = self.state.types.get_mut(name) {
            entry.enabled = enabled;
            entry.changed = changed;
        }
        Outcome::Put { number, created: false, changed: true }
    }

    /// Removes a type and strips it from the workers that serve it.
    pub(super) fn delete_type(&mut self, name: &str, base: Base) -> Outcome {
        let Some(entry) = self.state.types.get(name) else {
            return Outcome::Refused(Refusal::TypeNotFound { workflow_type: name.to_owned() });
        };
        if let Err(refusal) = self.require_base(name, base) {
            return Outcome::Refused(refusal);
        }
        let (changed, bytes, spec) = (entry.changed, size::entry(entry), entry.current.spec.clone());
        self.state.types.remove(name);
        self.shrink(bytes);
        self.release_attributes(&spec);
        self.bury(Key::Type(name.to_owned()), changed);
        let serving: Vec<String> = self
            .state
            .workers
            .values()
            .filter(|w| w.queue_for(name).is_some())
            .map(|w| w.worker_id.clone())
            .collect();
        for id in serving {
            self.change_worker(&id, |worker| worker.workflows.retain(|served| served.workflow_type != name));
        }
        Outcome::Done
    }

    /// What a worker's spec does to the catalogue. Never refuses: the verdict tells.
    /// The registration was checked before: there is room, and every comparison holds.
    pub(super) fn offer_type(&mut self, claim: &SpecClaim, worker_id: &str, now_ms: i64) -> Verdict {
        let name = &claim.spec.workflow_type;
        let source = Source::Worker(worker_id.to_owned());
        let Some(entry) = self.state.types.get(name) else {
            self.insert_type(claim, source, now_ms);
            return self.readiness(name, VerdictKind::Created);
        };
        let number = entry.current.number;
        if entry.current.hash == claim.hash {
            return self.readiness(name, VerdictKind::Unchanged);
        }
        let older =
            entry.past.iter().find(|revision| revision.hash == claim.hash).map(|revision| revision.number);
        let broken = match (&claim.standing, entry.knows(&claim.hash)) {
            (Standing::Force, _) => &[][..],
            // An older spec is served, but does not become the current one again.
            (_, true) => return verdict(name, VerdictKind::Unchanged, older.unwrap_or(number)),
            (Standing::Compared(compared), false) => &compared.broken,
            (Standing::Never | Standing::Uncompared, false) => {
                let reason = "a differing spec sent as a signal never replaces the current one";
                return verdict(name, VerdictKind::Incompatible, number).because(reason);
            }
        };
        if !broken.is_empty() {
            let reason = "some input that the current schema accepts is no longer accepted";
            let told = verdict(name, VerdictKind::Incompatible, number).because(reason);
            return Verdict { broken: broken.to_vec(), ..told };
        }
        if let Some((attribute, reason)) = self.attribute_clash(&claim.spec) {
            let reason = format!("search attribute {attribute}: {reason}");
            return verdict(name, VerdictKind::Unavailable, number).because(&reason);
        }
        self.revise(claim, source, now_ms);
        self.readiness(name, VerdictKind::Revised)
    }

    fn readiness(&self, name: &str, kind: VerdictKind) -> Verdict {
        let Some(entry) = self.state.types.get(name) else { return verdict(name, kind, 0) };
        let number = entry.current.number;
        match self.attributes_hold(&entry.current.spec) {
            None => verdict(name, kind, number),
            Some((pending, reason)) => {
                let kind = if pending { VerdictKind::Pending } else { VerdictKind::Unavailable };
                verdict(name, kind, number).because(&reason)
            }
        }
    }

    fn admit(&self, claim: &SpecClaim) -> Result<(), Refusal> {
        let spec = &claim.spec;
        let current = self.state.types.get(&spec.workflow_type).map(|entry| &entry.current);
        if current.is_some_and(|current| current.hash == claim.hash) {
            return Ok(());
        }
        if let Some((attribute, reason)) = self.attribute_clash(spec) {
            return Err(Refusal::AttributeConflict { attribute, reason });
        }
        self.room_for_types(usize::from(current.is_none()))?;
        self.room_for(size::revision(spec))
    }

    /// Whether there may be so many types more.
    pub(super) fn room_for_types(&self, more: usize) -> Result<(), Refusal> {
        let limit = self.state.limits.types_max;
        if more == 0 || self.state.types.len() + more <= limit {
            return Ok(());
        }
        Err(Refusal::Full { what: "workflow types".to_owned(), limit: limit as u64 })
    }

    fn insert_type(&mut self, claim: &SpecClaim, source: Source, now_ms: i64) {
        let name = claim.spec.workflow_type.clone();
        let changed = self.touch(Key::Type(name.clone()), 0);
        let current =
            Revision { number: 1, spec: claim.spec.clone(), hash: claim.hash.clone(), at_ms: now_ms, source };
        let entry =
            TypeEntry { current, enabled: claim.spec.enabled, past: Vec::new(), known: Vec::new(), changed };
        self.grow(size::entry(&entry));
        self.state.types.insert(name, entry);
        self.declare_attributes(&claim.spec);
    }

    fn revise(&mut self, claim: &SpecClaim, source: Source, now_ms: i64) -> u32 {
        let name = &claim.spec.workflow_type;
        let Some(mut entry) = self.state.types.remove(name) else { return 0 };
        let before = size::entry(&entry);
        let number = entry.current.number + 1;
        let next =
            Revision { number, spec: claim.spec.clone(), hash: claim.hash.clone(), at_ms: now_ms, source };
        let last = std::mem::replace(&mut entry.current, next);
        let replaced = last.spec.clone();
        entry.known.retain(|hash| *hash != last.hash);
        entry.known.push(last.hash.clone());
        if entry.known.len() > KNOWN_HASHES_MAX {
            entry.known.remove(0);
        }
        entry.past.insert(0, last);
        entry.past.truncate(self.state.limits.revisions_kept);
        entry.changed = self.touch(Key::Type(name.clone()), entry.changed);
        self.shrink(before);
        self.grow(size::entry(&entry));
        self.state.types.insert(name.clone(), entry);
        self.declare_attributes(&claim.spec);
        self.release_attributes(&replaced);
        number
    }
}
