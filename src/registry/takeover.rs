//! A registry that takes another state in place of its own.

use std::collections::BTreeSet;

use super::{
    size,
    state::{Registry, State},
};

/// How far the revision leaps when a state may lack what other replicas have seen: further than any of them can be ahead.
const LEAP: u64 = 1_000_000_000;
/// No registry counts so far, nor dates anything so far from 1970; reckoning with more would overflow.
const NUMBER_MAX: u64 = 1 << 53;
/// The same for the revisions of one type.
const REVISIONS_MAX: u32 = 1 << 31;

impl Registry {
    /// Takes a state in place of its own. Revisions go on rising, so that every replica starts over with it; the last
    /// batches of the replicas and the bounds they told are kept, as they are not of the state that was left.
    pub fn take_over(&mut self, mut state: State) {
        let own = &mut self.state;
        if own.revision > 0 {
            state.revision = state.revision.max(own.revision) + 1;
            state.tombstones.clear();
            state.tombstone_floor = state.revision;
        }
        if own.status.service_started_ms > 0 {
            state.limits = std::mem::take(&mut own.limits);
            state.status.service_started_ms = own.status.service_started_ms;
            state.status.service_process_id = std::mem::take(&mut own.status.service_process_id);
        }
        state.applied.append(&mut own.applied);
        *self = Self::new(state);
    }
}

impl State {
    /// The same with its packed size noted.
    #[must_use]
    pub fn measured(self, packed_bytes: u64) -> Self {
        Self { measured: (size::all(&self), packed_bytes), ..self }
    }

    /// What makes it no state of a registry, if anything: it may come from a file that somebody wrote.
    pub fn check(&self) -> Result<(), String> {
        self.check_numbers()?;
        let Self { types, workers, slugs, attributes, reservations, tombstones, .. } = self;
        let types = types.iter().map(|(key, it)| (key, it.workflow_type(), it.changed));
        let workers = workers.iter().map(|(key, it)| (key, it.worker_id.as_str(), it.changed));
        let slugs = slugs.iter().map(|(key, it)| (key, it.slug.as_str(), it.changed));
        let attributes = attributes.iter().map(|(key, it)| (key, it.name.as_str(), it.changed));
        let reservations = reservations.iter().map(|(key, it)| (key, it.key.as_str(), it.changed));
        let all = types.chain(workers).chain(slugs).chain(attributes).chain(reservations);
        let mut revisions = BTreeSet::new();
        let mut changed = |what: &str, revision: u64| {
            if revision == 0 || revision > self.revision {
                return Err(format!(
                    "{what}: changed at {revision}, but the registry's revision is {}",
                    self.revision
                ));
            }
            if revisions.insert(revision) {
                Ok(())
            } else {
                Err(format!("{what}: changed at {revision}, like another"))
            }
        };
        for (key, name, revision) in all {
            if key != name {
                return Err(format!("{key:?} holds what is called {name:?}"));
            }
            changed(key, revision)?;
        }
        for worker in self.workers.values().filter(|worker| worker.renewed > 0) {
            changed(&worker.worker_id, worker.renewed)?;
        }
        for (revision, _) in tombstones {
            changed("a deletion", *revision)?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), String> {
        let Self { types, workers, slugs, reservations, applied, status, .. } = self;
        let own = [self.revision, status.runs, status.rejected_signals, self.measured.0, self.measured.1];
        let counters = slugs.values().map(|counter| counter.counter);
        let times = slugs.values().map(|counter| counter.last_claimed_ms);
        let times = times.chain(workers.values().map(|worker| worker.last_seen_ms));
        let times = times.chain(reservations.values().map(|reserved| reserved.at_ms));
        let times = times.chain(applied.values().map(|applied| applied.at_ms));
        let all = own.into_iter().chain(counters).chain(times.map(i64::unsigned_abs));
        if let Some(number) = all.max().filter(|number| *number > NUMBER_MAX) {
            return Err(format!("{number} is more than a registry counts to"));
        }
        let revisions = types.values().flat_map(|entry| entry.revisions().map(|revision| revision.number));
        match revisions.max().filter(|number| *number > REVISIONS_MAX) {
            Some(number) => Err(format!("{number} is more revisions than a type has")),
            None => Ok(()),
        }
    }

    /// Whether there is nothing in it that anybody wrote.
    pub fn is_blank(&self) -> bool {
        let Self { types, workers, slugs, attributes, reservations, .. } = self;
        let named = types.is_empty() && workers.is_empty() && attributes.is_empty();
        named && slugs.is_empty() && reservations.is_empty()
    }

    /// The same with a revision that makes every replica start over: for a state that may be behind what some have seen.
    #[must_use]
    pub fn leapt(self) -> Self {
        let revision = self.revision + LEAP;
        Self { revision, tombstones: Default::default(), tombstone_floor: revision, ..self }
    }
}
