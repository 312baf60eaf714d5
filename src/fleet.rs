//! The workers as a whole: their health, judged in one place for listings and for starts.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    registry::{Health, Preservation, PreservationRules, Worker},
    seams::{Queues, Reads},
    view::{Member, View},
};

/// How long a finding about all workers together is good for, in milliseconds.
const GOOD_FOR_MS: i64 = 250;

/// How long what Temporal said of a queue counts, in milliseconds: Temporal itself forgets a poller after that.
pub const SEEN_FOR_MS: i64 = 300_000;

/// Judges workers by their lease, by what became of the others, and by what this replica could have seen; those that
/// never heartbeat by who polls their queues.
pub struct Fleet {
    reads: Arc<dyn Reads>,
    queues: Arc<dyn Queues>,
    rules: PreservationRules,
    found: Mutex<Option<Found>>,
}

/// Which spans of time are not held against the workers, and what that was found from.
struct Found {
    revision: u64,
    at_ms: i64,
    preservation: Arc<Preservation>,
}

impl Fleet {
    /// The workers of this replica's view, judged by these rules.
    pub fn new(reads: Arc<dyn Reads>, queues: Arc<dyn Queues>, rules: PreservationRules) -> Self {
        Self { reads, queues, rules, found: Mutex::new(None) }
    }

    /// The health of one worker of the current view at `now_ms`, milliseconds since the Unix epoch.
    pub fn health(&self, member: &Member, now_ms: i64) -> Health {
        self.judge(&self.reads.view(), now_ms).health(member)
    }

    /// Prepares to judge many workers of one view at one moment.
    pub fn judge(&self, view: &View, now_ms: i64) -> Judge {
        let up_since_ms = self.reads.freshness().up_since_ms;
        let preservation = self.preservation(view, now_ms);
        Judge { preservation, queues: self.queues.clone(), up_since_ms, now_ms }
    }

    /// Looks at all workers, at most every 250 ms unless the view moved.
    fn preservation(&self, view: &View, now_ms: i64) -> Arc<Preservation> {
        let mut found = self.found.lock();
        if let Some(found) = &*found
            && found.revision == view.revision
            && (0..GOOD_FOR_MS).contains(&(now_ms - found.at_ms))
        {
            return found.preservation.clone();
        }
        let leased = view.workers.values().filter(|member| !member.worker.is_static);
        let ends = leased.map(Member::lease_expires_ms);
        let preservation = Arc::new(Preservation::of(&self.rules, ends, now_ms));
        *found = Some(Found { revision: view.revision, at_ms: now_ms, preservation: preservation.clone() });
        preservation
    }
}

/// Judges workers of one view at one moment.
#[derive(Clone)]
pub struct Judge {
    preservation: Arc<Preservation>,
    queues: Arc<dyn Queues>,
    up_since_ms: i64,
    now_ms: i64,
}

impl Judge {
    /// The health of one worker.
    pub fn health(&self, member: &Member) -> Health {
        if member.worker.is_static {
            return self.polled(&member.worker);
        }
        let unseen_until_ms = member.unseen_until_ms(self.up_since_ms);
        Health::judge(member.lease_expires_ms(), unseen_until_ms, &self.preservation, self.now_ms)
    }

    /// The health of a worker that never heartbeats: whether somebody polls a queue it serves.
    fn polled(&self, worker: &Worker) -> Health {
        let mut found = Health::Unhealthy;
        for task_queue in worker.queues() {
            let Some(seen) = self.queues.seen(task_queue) else {
                found = Health::Unknown;
                continue;
            };
            let since_ms = self.now_ms - SEEN_FOR_MS;
            if seen.pollers.iter().any(|poller| poller.last_access_ms >= since_ms) {
                return Health::Healthy;
            }
            if seen.at_ms < since_ms {
                found = Health::Unknown;
            }
        }
        found
    }

    /// The moment, milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }
}
