//! Workers coming, heartbeating, draining and leaving.

use std::collections::BTreeSet;

use super::{
    Outcome, Refusal, Registration, Renewal, Served, SpecClaim, Standing, Verdict, Worker, WorkerState,
    changes::Key, size, state::Registry,
};

impl Registry {
    pub(super) fn register(&mut self, wanted: &Registration, now_ms: i64) -> Outcome {
        match self.try_register(wanted, now_ms) {
            Ok(outcome) => outcome,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn try_register(&mut self, wanted: &Registration, now_ms: i64) -> Result<Outcome, Refusal> {
        self.foreign_queue(&wanted.task_queue)?;
        for claim in &wanted.workflows {
            self.foreign_queue(&claim.spec.task_queue)?;
        }
        let standing = self.state.workers.get(&wanted.worker_id);
        let known = standing.filter(|worker| worker.forgotten_at_ms() >= now_ms).cloned();
        if standing.is_none() {
            self.room_for_worker()?;
        }
        let grown = self.check_standings(wanted)?;
        let epoch =
            known.as_ref().filter(|known| known.incarnation == wanted.incarnation).map(|known| known.epoch);
        let worker = worker_of(wanted, known.as_ref().filter(|_| epoch.is_some()), now_ms);
        self.room_for(grown + size::worker(&worker).saturating_sub(standing.map_or(0, size::worker)))?;
        if known.is_none() {
            self.forget_worker(&wanted.worker_id);
        }
        let before = self.state.revision;
        let offers = wanted.workflows.iter();
        let verdicts: Vec<Verdict> =
            offers.map(|claim| self.offer_type(claim, &wanted.worker_id, now_ms)).collect();
        let types_changed = self.state.revision > before;
        let same = known.as_ref().is_some_and(|known| epoch.is_some() && same_worker(known, &worker));
        if let (Some(epoch), true) = (epoch, same) {
            if !worker.is_static {
                self.renew_at(&worker.worker_id, epoch, now_ms);
            }
            return Ok(Outcome::Registered { epoch, changed: types_changed, verdicts });
        }
        let epoch = self.put_worker(worker, known.as_ref(), epoch);
        Ok(Outcome::Registered { epoch, changed: true, verdicts })
    }

    /// Finds out before anything changes whether every spec can be judged: a refusal changes nothing. Gives the bytes by
    /// which the types may grow.
    fn check_standings(&self, wanted: &Registration) -> Result<u64, Refusal> {
        let mut names = BTreeSet::new();
        let (mut created, mut grown) = (0, 0);
        for claim in &wanted.workflows {
            let name = &claim.spec.workflow_type;
            if !names.insert(name) {
                return Err(Refusal::BadName { reason: format!("workflow type {name} is listed twice") });
            }
            let Some(entry) = self.state.types.get(name) else {
                created += 1;
                grown += size::revision(&claim.spec);
                continue;
            };
            let known = entry.knows(&claim.hash);
            let judged = match &claim.standing {
                Standing::Never | Standing::Force => true,
                Standing::Compared(compared) => known || compared.base_hash == entry.current.hash,
                Standing::Uncompared => known,
            };
            let replaces = match &claim.standing {
                Standing::Force => entry.current.hash != claim.hash,
                Standing::Compared(compared) => !known && compared.broken.is_empty(),
                Standing::Never | Standing::Uncompared => false,
            };
            if replaces {
                grown += size::revision(&claim.spec);
            }
            if !judged {
                return Err(Refusal::CompareAgain { workflow_type: name.clone() });
            }
        }
        self.room_for_types(created)?;
        Ok(grown)
    }

    fn room_for_worker(&self) -> Result<(), Refusal> {
        let limit = self.state.limits.workers_max;
        if self.state.workers.len() < limit {
            return Ok(());
        }
        Err(Refusal::Full { what: "workers".to_owned(), limit: limit as u64 })
    }

    pub(super) fn foreign_queue(&self, task_queue: &str) -> Result<(), Refusal> {
        if task_queue == self.state.limits.own_queue {
            return Err(Refusal::RegistryQueue { task_queue: task_queue.to_owned() });
        }
        Ok(())
    }

    fn put_worker(&mut self, mut worker: Worker, known: Option<&Worker>, epoch: Option<u64>) -> u64 {
        if let Some(known) = known {
            self.shrink(size::worker(known));
            self.index.remove(&known.renewed);
        }
        let before = known.map_or(0, |known| known.changed);
        worker.changed = self.touch(Key::Worker(worker.worker_id.clone()), before);
        worker.renewed = 0;
        worker.epoch = epoch.unwrap_or(worker.changed);
        let epoch = worker.epoch;
        self.grow(size::worker(&worker));
        self.state.workers.insert(worker.worker_id.clone(), worker);
        epoch
    }

    /// Changes a worker in place; what is not a renewal is a change of the worker.
    pub(super) fn change_worker(&mut self, worker_id: &str, change: impl FnOnce(&mut Worker)) {
        let Some(mut worker) = self.state.workers.get(worker_id).cloned() else { return };
        let known = worker.clone();
        change(&mut worker);
        self.put_worker(worker, Some(&known), Some(known.epoch));
    }

    pub(super) fn renew(&mut self, renewals: &[Renewal], now_ms: i64) {
        for renewal in renewals {
            let seen_ms = now_ms - renewal.age_ms.max(0);
            self.renew_at(&renewal.worker_id, renewal.epoch, seen_ms);
        }
    }

    /// Renews a lease; a worker or epoch that is not known is no error here: the replica has answered `reregister`.
    pub(super) fn renew_at(&mut self, worker_id: &str, epoch: u64, seen_ms: i64) {
        let Some(worker) = self.state.workers.get(worker_id) else { return };
        if worker.epoch != epoch || worker.last_seen_ms >= seen_ms {
            return;
        }
        if worker.lapsed {
            return self.change_worker(worker_id, |worker| {
                worker.last_seen_ms = seen_ms;
                worker.lapsed = false;
            });
        }
        let renewed = self.touch(Key::Lease(worker_id.to_owned()), worker.renewed);
        if let Some(worker) = self.state.workers.get_mut(worker_id) {
            worker.last_seen_ms = seen_ms;
            worker.renewed = renewed;
        }
    }

    /// The epoch of a worker as known to the workflow itself.
    pub fn epoch_of(&self, worker_id: &str) -> Option<u64> {
        self.state.workers.get(worker_id).map(|worker| worker.epoch)
    }

    pub(super) fn drain(&mut self, worker_id: &str, epoch: Option<u64>) -> Outcome {
        if let Err(refusal) = self.fence(worker_id, epoch) {
            return Outcome::Refused(refusal);
        }
        let active = |worker: &Worker| worker.state == WorkerState::Active;
        if self.state.workers.get(worker_id).is_some_and(active) {
            self.change_worker(worker_id, |worker| worker.state = WorkerState::Draining);
        }
        Outcome::Done
    }

    pub(super) fn deregister(&mut self, worker_id: &str, epoch: Option<u64>) -> Outcome {
        if let Err(refusal) = self.fence(worker_id, epoch) {
            return Outcome::Refused(refusal);
        }
        self.forget_worker(worker_id);
        Outcome::Done
    }

    fn fence(&self, worker_id: &str, epoch: Option<u64>) -> Result<(), Refusal> {
        let Some(worker) = self.state.workers.get(worker_id) else {
            return Err(Refusal::WorkerNotFound { worker_id: worker_id.to_owned() });
        };
        if epoch.is_some_and(|epoch| epoch != worker.epoch) {
            return Err(Refusal::StaleEpoch { current: worker.epoch });
        }
        Ok(())
    }

    fn forget_worker(&mut self, worker_id: &str) {
        if let Some(worker) = self.state.workers.remove(worker_id) {
            self.shrink(size::worker(&worker));
            self.index.remove(&worker.renewed);
            self.bury(Key::Worker(worker_id.to_owned()), worker.changed);
        }
    }

    /// Marks lapsed leases, forgets workers long gone, old counters and old records.
    pub(super) fn sweep(&mut self, now_ms: i64) {
        let gone = |worker: &&Worker| worker.forgotten_at_ms() < now_ms;
        let lapsed =
            |worker: &&Worker| !worker.lapsed && worker.lease_expires_ms(worker.last_seen_ms) < now_ms;
        let id = |worker: &Worker| worker.worker_id.clone();
        let forgotten: Vec<String> = self.state.workers.values().filter(gone).map(id).collect();
        for worker_id in forgotten {
            self.forget_worker(&worker_id);
        }
        let overdue: Vec<String> = self.state.workers.values().filter(lapsed).map(id).collect();
        for worker_id in overdue {
            self.change_worker(&worker_id, |worker| worker.lapsed = true);
        }
        self.forget_slugs(now_ms);
        self.forget_reservations(now_ms);
    }
}

fn worker_of(wanted: &Registration, known: Option<&Worker>, now_ms: i64) -> Worker {
    let served = |claim: &SpecClaim| Served {
        workflow_type: claim.spec.workflow_type.clone(),
        task_queue: claim.spec.task_queue.clone(),
        hash: claim.hash.clone(),
    };
    // Every start of a replica declares a static worker again: that is no reason to end its draining.
    let standing = known.filter(|known| known.is_static && wanted.is_static).map(|known| known.state);
    Worker {
        worker_id: wanted.worker_id.clone(),
        task_queue: wanted.task_queue.clone(),
        workflows: wanted.workflows.iter().map(served).collect(),
        ttl_seconds: wanted.ttl_seconds,
        last_seen_ms: now_ms,
        registered_at_ms: known.map_or(now_ms, |known| known.registered_at_ms),
        epoch: 0,
        incarnation: wanted.incarnation.clone(),
        state: standing.unwrap_or_default(),
        lapsed: false,
        environment: wanted.environment.clone(),
        labels: wanted.labels.clone(),
        host: wanted.host.clone(),
        version: wanted.version.clone(),
        metadata: wanted.metadata.clone(),
        is_static: wanted.is_static,
        changed: 0,
        renewed: 0,
    }
}

/// Whether a registration says nothing new about a worker.
fn same_worker(known: &Worker, wanted: &Worker) -> bool {
    let told = Worker {
        last_seen_ms: known.last_seen_ms,
        epoch: known.epoch,
        changed: known.changed,
        renewed: known.renewed,
        lapsed: known.lapsed,
        ..wanted.clone()
    };
    told == *known
}
