//! What a replica remembers of the schedules between two looks: enough to say what is wrong with which, and to see
//! which need another look, without a call for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::state::Problem;

/// A schedule that the index does not list yet is not taken for gone before this long after it was seen.
const INDEX_LAG: Duration = Duration::from_secs(30);

/// What is remembered of one schedule.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The type it starts.
    pub workflow_type: String,
    /// The queue it starts on, when that has to be its type's.
    pub follows: Option<String>,
    /// The search attributes it sets.
    pub attributes: Vec<String>,
    /// The state of its type that it was held against; `None` when there was none.
    pub held_against: Option<(String, bool)>,
    /// What was wrong with it.
    pub problems: Vec<Problem>,
    /// Since when its queue is known not to be its type's.
    pub drifting_since: Option<Instant>,
    /// When it was last looked at.
    pub looked_at: Instant,
    /// Not to be looked at again before this.
    pub not_before: Instant,
}

/// The memory of one replica.
pub struct Book {
    known: Mutex<BTreeMap<String, Known>>,
    unseen: Mutex<BTreeSet<String>>,
    wake: Notify,
    /// The last round that was asked for, and the last one that is over.
    asked: AtomicU64,
    over: watch::Sender<u64>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            unseen: Mutex::default(),
            wake: Notify::new(),
            asked: AtomicU64::new(1),
            over: watch::channel(0).0,
        }
    }
}

impl Book {
    /// Notes that a schedule changed, so that it is looked at soon.
    pub fn look_again(&self, id: &str) {
        self.unseen.lock().insert(id.to_owned());
        self.wake.notify_one();
    }

    /// Notes that a schedule is gone.
    pub fn forget(&self, id: &str) {
        self.known.lock().remove(id);
        self.unseen.lock().remove(id);
    }

    /// What was wrong with a schedule.
    pub fn problems_of(&self, id: &str) -> Vec<Problem> {
        self.known.lock().get(id).map(|known| known.problems.clone()).unwrap_or_default()
    }

    /// How many schedules have problems.
    pub fn problem_count(&self) -> usize {
        self.known.lock().values().filter(|known| !known.problems.is_empty()).count()
    }

    /// The schedules that set one of these search attributes, in order. Waits until every schedule has been looked at
    /// after this was asked: what is about to be removed for good deserves that much.
    ///
    /// # Errors
    /// When that takes longer than `within`.
    pub async fn setting(&self, names: &[String], within: Duration) -> Result<Vec<String>, String> {
        let mut over = self.over.subscribe();
        let round = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        let looked = tokio::time::timeout(within, over.wait_for(|over| *over >= round)).await;
        if !matches!(looked, Ok(Ok(_))) {
            return Err("the schedules have not all been looked at yet".to_owned());
        }
        let sets = |known: &Known| known.attributes.iter().any(|name| names.contains(name));
        let known = self.known.lock();
        Ok(known.iter().filter(|(_, known)| sets(known)).map(|(id, _)| id.clone()).collect())
    }

    /// Resolves when something is to be looked at.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes a whole listing of the registry's schedules: new ones are to be looked at, others are gone.
    pub(super) fn listed(&self, ids: &BTreeSet<String>, began: Instant) {
        let mut known = self.known.lock();
        known.retain(|id, known| ids.contains(id) || known.looked_at + INDEX_LAG > began);
        self.unseen.lock().extend(ids.iter().filter(|id| !known.contains_key(*id)).cloned());
    }

    /// Takes what is to be looked at, adding what is known and `is_due`.
    pub(super) fn take_due(&self, mut is_due: impl FnMut(&mut Known) -> bool) -> Vec<String> {
        let mut due = std::mem::take(&mut *self.unseen.lock());
        let mut known = self.known.lock();
        due.extend(known.iter_mut().filter_map(|(id, known)| is_due(known).then(|| id.clone())));
        due.into_iter().collect()
    }

    /// Whether a schedule has never been looked at.
    pub(super) fn is_new(&self, id: &str) -> bool {
        !self.known.lock().contains_key(id)
    }

    /// Since when a schedule is known to drift.
    pub(super) fn drifting_since(&self, id: &str) -> Option<Instant> {
        self.known.lock().get(id)?.drifting_since
    }

    /// Remembers a look.
    pub(super) fn remember(&self, id: &str, known: Known) {
        self.known.lock().insert(id.to_owned(), known);
    }

    /// The round to begin, and whether somebody waits for it.
    pub(super) fn asked(&self) -> (u64, bool) {
        let asked = self.asked.load(Ordering::SeqCst);
        (asked, asked > *self.over.borrow())
    }

    /// Notes that everything has been listed and looked at since this round was asked for.
    pub(super) fn completed(&self, round: u64) {
        self.over.send_replace(round);
    }
}
