//! A registry that takes another state in place of its own.

use super::state::{Registry, State};

/// How far the revision leaps when a state may lack what other replicas have seen: further than any of them can be ahead.
const LEAP: u64 = 1_000_000_000;

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
