//! The task queues of a view with who is on them, and what looks wrong there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::state::AppState;
use crate::{
    fleet::Judge,
    registry::Health,
    seams::{QueueSeen, Queues},
    view::{Member, View},
};

/// How long a worker has to show up among the pollers of its queue: a poll takes up to a minute.
const POLLS_WITHIN_MS: i64 = 60_000;
/// Types that one message names.
const NAMED_MAX: usize = 5;

/// Something about a task queue that looks wrong.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Warning {
    /// What looks wrong.
    pub code: WarningCode,
    /// Where.
    #[schema(example = "reports")]
    pub task_queue: String,
    /// Whom it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub worker_id: Option<String>,
    /// For people.
    pub message: String,
}

/// What looks wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// A worker heartbeats here, and Temporal has not seen anybody poll its queue.
    NeverPolled,
    /// Nobody who is alive serves some type of this queue.
    NoLiveWorker,
}

/// A task queue with what is on it.
pub struct QueueAt<'a> {
    /// Its name.
    pub name: &'a str,
    /// The types that name it, and those served on it.
    pub types: BTreeSet<&'a str>,
    /// The workers on it, by id.
    pub workers: BTreeMap<&'a str, &'a Member>,
    /// What Temporal last reported.
    pub seen: Option<Arc<QueueSeen>>,
}

/// Every task queue of a view, by name.
pub fn queues<'a>(view: &'a View, reported: &dyn Queues) -> BTreeMap<&'a str, QueueAt<'a>> {
    let mut found: BTreeMap<&str, QueueAt<'_>> = BTreeMap::new();
    let named = |name: &'a str| QueueAt {
        name,
        types: BTreeSet::new(),
        workers: BTreeMap::new(),
        seen: reported.seen(name),
    };
    for entry in view.types.values() {
        let name = entry.current.spec.task_queue.as_str();
        found.entry(name).or_insert_with(|| named(name)).types.insert(entry.workflow_type());
    }
    for member in view.workers.values() {
        for name in member.worker.queues() {
            let queue = found.entry(name).or_insert_with(|| named(name));
            queue.workers.insert(&member.worker.worker_id, member);
        }
        for served in &member.worker.workflows {
            if let Some(queue) = found.get_mut(served.task_queue.as_str()) {
                queue.types.insert(&served.workflow_type);
            }
        }
    }
    found
}

/// Everything that looks wrong, by queue.
pub fn of_all(state: &AppState, view: &View, judge: &Judge) -> Vec<Warning> {
    queues(view, &*state.queues).values().flat_map(|queue| queue.warnings(view, judge)).collect()
}

impl QueueAt<'_> {
    /// What looks wrong about it.
    pub fn warnings(&self, view: &View, judge: &Judge) -> Vec<Warning> {
        let unpolled = self.workers.values().filter(|member| self.is_unpolled_by(member, judge));
        let unpolled = unpolled.map(|member| Warning {
            code: WarningCode::NeverPolled,
            task_queue: self.name.to_owned(),
            worker_id: Some(member.worker.worker_id.clone()),
            message: format!(
                "worker {} heartbeats, but nobody has polled task queue {} since it registered: it may serve another \
                 queue, namespace or Temporal",
                member.worker.worker_id, self.name
            ),
        });
        let mut found: Vec<Warning> = unpolled.collect();
        let is_unserved = |name: &&&str| {
            view.types.get(**name).is_some_and(|entry| entry.enabled)
                && !view.workers_of(name).any(|member| judge.health(member).is_usable())
        };
        let unserved: Vec<&str> = self.types.iter().filter(is_unserved).copied().collect();
        if !unserved.is_empty() {
            let more = unserved.len().saturating_sub(NAMED_MAX);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let names = unserved[..unserved.len().min(NAMED_MAX)].join(", ");
            found.push(Warning {
                code: WarningCode::NoLiveWorker,
                task_queue: self.name.to_owned(),
                worker_id: None,
                message: format!("no live worker serves {names}{more}"),
            });
        }
        found
    }

    /// Whether a live worker had the time to be seen polling, and nobody was. Temporal tells late: only what it said
    /// well after the registration counts.
    fn is_unpolled_by(&self, member: &Member, judge: &Judge) -> bool {
        let worker = &*member.worker;
        if worker.is_static || judge.health(member) != Health::Healthy {
            return false;
        }
        let since_ms = worker.registered_at_ms;
        self.seen.as_ref().is_some_and(|seen| {
            seen.at_ms >= since_ms + POLLS_WITHIN_MS
                && seen.last_polled_ms.is_none_or(|at_ms| at_ms < since_ms - POLLS_WITHIN_MS)
        })
    }
}
