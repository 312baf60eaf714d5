//! Idempotency records: one key, one run, however often and wherever it is asked for.

use serde::{Deserialize, Serialize};

use super::{Outcome, Refusal, Reservation, changes::Key, run_name, size, state::Registry};

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The client's key, scoped by whoever asks.
    pub key: String,
    /// Hash of the request that came with it first.
    pub fingerprint: String,
    /// The workflow id chosen for it.
    pub workflow_id: String,
    /// The run started for it, once that is known; with the queue it went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<(String, String)>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Registry revision of the last change.
    pub changed: u64,
}

impl Registry {
    /// Gives the record of a key, making it (and claiming a number when a name is given) the first time.
    pub(super) fn reserve(&mut self, wanted: &Reservation, now_ms: i64) -> Outcome {
        let due = |found: &&Reserved| now_ms - found.at_ms > self.state.limits.reservation_ttl_ms;
        if let Some(found) = self.state.reservations.get(&wanted.key).filter(|found| !due(found)) {
            if found.fingerprint != wanted.fingerprint {
                return Outcome::Refused(Refusal::KeyReused);
            }
            // The id chosen before turned out to be in use: take the next number under the same key.
            let superseded = wanted.instead_of.as_deref() == Some(found.workflow_id.as_str());
            if !superseded || found.run.is_some() {
                return Outcome::Reserved { reserved: found.clone(), created: false };
            }
        }
        let workflow_id = match &wanted.name {
            None => wanted.workflow_id.clone(),
            Some(name) => match self.next_run(name, now_ms) {
                Ok((slug, counter)) => run_name(&slug, counter),
                Err(refusal) => return Outcome::Refused(refusal),
            },
        };
        self.forget_reservations(now_ms);
        let (key, fingerprint) = (wanted.key.clone(), wanted.fingerprint.clone());
        let reserved = Reserved { key, fingerprint, workflow_id, run: None, at_ms: now_ms, changed: 0 };
        let reserved = self.put_reservation(reserved);
        // Never the one just made, however many are made in one millisecond.
        while self.state.reservations.len() > self.state.limits.reservations_max
            && let Some(oldest) = self.reservation_age.iter().find(|(_, key)| *key != wanted.key).cloned()
        {
            self.forget_reservation(oldest);
        }
        Outcome::Reserved { reserved, created: true }
    }

    /// Notes the run that was started for a key.
    pub(super) fn settle(&mut self, key: &str, workflow_id: &str, run: &(String, String)) -> Outcome {
        if let Some(found) = self.state.reservations.get(key)
            && found.workflow_id == workflow_id
            && found.run.is_none()
        {
            let settled = Reserved { run: Some(run.clone()), ..found.clone() };
            self.put_reservation(settled);
        }
        Outcome::Done
    }

    fn put_reservation(&mut self, mut reserved: Reserved) -> Reserved {
        let before = self.state.reservations.get(&reserved.key);
        let (old, at) =
            before.map_or((0, None), |found| (size::reserved(found), Some((found.changed, found.at_ms))));
        self.shrink(old);
        if let Some((_, at_ms)) = at {
            self.reservation_age.remove(&(at_ms, reserved.key.clone()));
        }
        reserved.changed =
            self.touch(Key::Reservation(reserved.key.clone()), at.map_or(0, |(changed, _)| changed));
        self.grow(size::reserved(&reserved));
        self.reservation_age.insert((reserved.at_ms, reserved.key.clone()));
        self.state.reservations.insert(reserved.key.clone(), reserved.clone());
        reserved
    }

    /// Drops records older than the configured time.
    pub(super) fn forget_reservations(&mut self, now_ms: i64) {
        let ttl_ms = self.state.limits.reservation_ttl_ms;
        while let Some(oldest) = self.reservation_age.first().filter(|(at, _)| now_ms - at > ttl_ms).cloned()
        {
            self.forget_reservation(oldest);
        }
    }

    fn forget_reservation(&mut self, aged: (i64, String)) {
        self.reservation_age.remove(&aged);
        let (_, key) = aged;
        if let Some(dropped) = self.state.reservations.remove(&key) {
            self.shrink(size::reserved(&dropped));
            self.bury(Key::Reservation(key), dropped.changed);
        }
    }
}
