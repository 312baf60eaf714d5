//! Keeps schedules true to their types: one whose type moved to another queue is moved, one that no longer fits its
//! type is flagged. It never deletes a schedule that may still fire, and never un-pauses one.
//!
//! Every replica looks; the one that came up last acts. The others act only on what it has left undone for a while, so
//! that its death needs no election. Two that act on the same schedule do no harm: a move is conditional on the state
//! that was seen, so that one of them wins and the other finds it done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::book::{Book, Known};
use super::calls::Schedules;
use super::description::ScheduleDescription;
use super::error::ScheduleError;
use super::finish::{Finish, late_fires};
use super::fit::Types;
use super::listing::ListQuery;
use super::stamp::Dispatch;
use crate::view::View;

/// How often all schedules are listed.
const LIST_EVERY: Duration = Duration::from_secs(20);
/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(500);
/// A schedule is looked at this often even if nothing seems to have changed: others may have changed it.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// How long a drift is left to the replica whose turn it is.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(25);
/// How long a schedule that could not be moved is left alone.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// Schedules looked at or removed at the same time.
const AT_ONCE: usize = 8;
/// How long a schedule of single fires that seems to be over is watched.
const CONFIRM_WITHIN: Duration = Duration::from_secs(3);
/// Schedules in one call of the index.
const PAGE_SIZE: i32 = 500;

/// Keeps schedules true to their types.
pub struct Reconciler {
    calls: Schedules,
    types: Types,
    book: Arc<Book>,
    /// How this replica names itself in the registry.
    identity: String,
}

impl Reconciler {
    /// A reconciler that writes what it finds into the book.
    pub fn new(calls: Schedules, types: Types, book: Arc<Book>, identity: String) -> Self {
        Self { calls, types, book, identity }
    }

    /// Goes on until this process ends.
    pub async fn run(&self) {
        let mut list_at = Instant::now();
        let mut failing = false;
        loop {
            let revision = self.types.view().revision;
            let mut all_listed = false;
            let (round, is_asked) = self.book.asked();
            let is_due = is_asked || Instant::now() >= list_at;
            if is_due && self.types.reads.freshness().is_ready {
                match self.list().await {
                    Ok(()) => (all_listed, failing) = (true, false),
                    Err(error) if !std::mem::replace(&mut failing, true) => {
                        tracing::warn!(%error, "schedules cannot be listed; they are left as they are");
                    }
                    Err(_) => {}
                }
                // Replicas that came up together do not go on together.
                let jitter = Duration::from_millis(rand::random_range(0..2_000));
                list_at = Instant::now() + LIST_EVERY + jitter;
            }
            self.look_at_due().await;
            if all_listed {
                self.book.completed(round);
            }
            let within = list_at.saturating_duration_since(Instant::now()).max(SETTLE);
            tokio::select! {
                // Moved or not, it is time for another round.
                _ = self.types.reads.reached(revision + 1, within) => {}
                () = self.book.woken() => {}
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Lists all schedules, takes note of the registry's own, and removes those that are over.
    async fn list(&self) -> Result<(), ScheduleError> {
        let began = Instant::now();
        let mut ids = BTreeSet::new();
        let mut over = Vec::new();
        let mut query = ListQuery { page_size: PAGE_SIZE, ..ListQuery::default() };
        loop {
            let page = self.calls.list(&query).await?;
            for listed in page.schedules.into_iter().filter(|listed| listed.created_stamp.is_some()) {
                if listed.seems_finished() {
                    over.push(listed.id.clone());
                }
                ids.insert(listed.id);
            }
            query.page_token = page.next_page_token;
            if query.page_token.is_none() {
                break;
            }
        }
        self.book.listed(&ids, began);
        let confirm = |id: String| async move {
            match self.calls.confirm_and_remove(&id, CONFIRM_WITHIN).await {
                Ok(Finish::Removed) => self.book.forget(&id),
                Ok(Finish::Ongoing | Finish::Unconfirmed) => {}
                Err(error) => tracing::debug!(schedule = id, %error, "not confirmed yet"),
            }
        };
        futures::stream::iter(over).for_each_concurrent(AT_ONCE, confirm).await;
        Ok(())
    }

    /// Looks at what changed, or whose type did.
    async fn look_at_due(&self) {
        let now = Instant::now();
        let view = self.types.view();
        let acts = self.acts(&view);
        let mut queues: BTreeMap<String, Option<String>> = BTreeMap::new();
        let due = self.book.take_due(|known| {
            let entry = view.types.get(&known.workflow_type);
            let queue = queues
                .entry(known.workflow_type.clone())
                .or_insert_with(|| entry.map(|entry| self.types.queue(&view, entry).name));
            let drifts = known.follows.is_some() && queue.is_some() && known.follows != *queue;
            known.drifting_since = drifts.then(|| known.drifting_since.unwrap_or(now));
            let waited = known.drifting_since.is_some_and(|since| acts || now >= since + LEFT_TO_OTHERS);
            let changed = held_against(&view, &known.workflow_type) != known.held_against;
            now >= known.not_before && (waited || changed || now >= known.looked_at + LOOK_EVERY)
        });
        let look = |id: String| {
            let view = view.clone();
            async move { self.look_at(&view, &id, acts).await }
        };
        futures::stream::iter(due).for_each_concurrent(AT_ONCE, look).await;
    }

    /// Whether it is this replica's turn to act.
    fn acts(&self, view: &View) -> bool {
        view.status.service_process_id == self.identity
    }

    async fn look_at(&self, view: &View, id: &str, acts: bool) {
        let seen = match self.calls.describe(id).await {
            Ok(seen) if seen.stamp.is_some() => seen,
            Ok(_) | Err(ScheduleError::NotFound) => return self.book.forget(id),
            Err(error) => {
                tracing::debug!(schedule = id, %error, "cannot be looked at now");
                return self.book.look_again(id);
            }
        };
        let began = Instant::now();
        if self.book.is_new(id) && !late_fires(&seen).is_empty() {
            // Who made it may be gone.
            match self.calls.confirm_and_remove(id, CONFIRM_WITHIN).await {
                Ok(Finish::Removed) => return self.book.forget(id),
                Ok(Finish::Ongoing | Finish::Unconfirmed) => {}
                Err(error) => tracing::debug!(schedule = id, %error, "late fires were not made up for"),
            }
        }
        let drifting_since = self.book.drifting_since(id);
        let may_move = acts || drifting_since.is_some_and(|since| began >= since + LEFT_TO_OTHERS);
        let mut follows = seen.stored().follows.map(str::to_owned);
        let mut not_before = began;
        if let Some(queue) = self.drift(view, &seen)
            && may_move
        {
            match self.calls.retarget(&seen, &queue).await {
                Ok(()) => {
                    let (from, workflow_type) = (&seen.task_queue, &seen.workflow_type);
                    tracing::info!(
                        schedule = id,
                        workflow_type,
                        from,
                        to = queue,
                        "moved a schedule with its type"
                    );
                    if seen.stored().follows.is_some() {
                        follows = Some(queue);
                    }
                }
                Err(ScheduleError::NotFound) => return self.book.forget(id),
                Err(error) => {
                    tracing::warn!(schedule = id, %error, "could not move a schedule with its type");
                    not_before = began + FAILED_PAUSE;
                }
            }
        }
        let mut stored = seen.stored();
        stored.follows = follows.as_deref();
        let problems = self.types.problems(view, &stored);
        self.book.remember(
            id,
            Known {
                workflow_type: seen.workflow_type.clone(),
                attributes: seen.search_attributes.keys().cloned().collect(),
                held_against: held_against(view, &seen.workflow_type),
                drifting_since,
                looked_at: began,
                not_before,
                follows,
                problems,
            },
        );
    }

    /// The queue a schedule should start on, when it is another one than it does.
    fn drift(&self, view: &View, seen: &ScheduleDescription) -> Option<String> {
        let wanted = match seen.stamp.as_ref()?.dispatch {
            Dispatch::Pinned => return None,
            Dispatch::Follows => self.types.queue(view, view.types.get(&seen.workflow_type)?).name,
            Dispatch::AtFire => self.types.own_queue.clone(),
        };
        (wanted != seen.task_queue).then_some(wanted)
    }
}

/// What of a type a schedule is held against: its content, and whether it is switched on.
fn held_against(view: &View, workflow_type: &str) -> Option<(String, bool)> {
    view.types.get(workflow_type).map(|entry| (entry.current.hash.clone(), entry.enabled))
}
