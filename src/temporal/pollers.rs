//! Who polls the task queues, as Temporal reports it: asked for in the background, never in a request.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use temporalio_common::protos::temporal::api::{
    enums::v1::{TaskQueueKind, TaskQueueType},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::DescribeTaskQueueRequest,
};

use super::connection::{CALL_TIMEOUT, CallError, Link, within};
use crate::{
    clock,
    seams::{Poller, QueueSeen, Queues, Reads},
    view::View,
};

/// How often every queue is asked about.
const ROUND_EVERY_MS: i64 = 15_000;
/// How often is looked for queues that are new, and for a round that is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most queues asked about at a time; the others follow in the next round.
const QUEUES_MAX: usize = 200;

/// What Temporal reports of the task queues of this replica's view.
pub struct Pollers {
    link: Arc<Link>,
    reads: Arc<dyn Reads>,
    seen: RwLock<BTreeMap<String, Arc<QueueSeen>>>,
}

impl Pollers {
    /// Knows nothing yet.
    pub fn new(link: Arc<Link>, reads: Arc<dyn Reads>) -> Self {
        Self { link, reads, seen: RwLock::default() }
    }

    /// Keeps asking until this process ends: about new queues within a second, about all others every 15 s.
    pub async fn follow(&self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut due_ms, mut last) = (0, String::new());
        loop {
            every.tick().await;
            let queues = queues(&self.reads.view());
            let now_ms = clock::now_ms();
            let round = if now_ms >= due_ms {
                due_ms = now_ms + jittered(ROUND_EVERY_MS);
                self.seen.write().retain(|name, _| queues.contains(name));
                after(&queues, &last)
            } else {
                let seen = self.seen.read();
                queues.into_iter().filter(|name| !seen.contains_key(name)).take(QUEUES_MAX).collect()
            };
            for name in round {
                match self.ask(&name).await {
                    Ok(()) => last = name,
                    Err(error) if error.is_passing() => {
                        tracing::debug!(%error, "task queues are not reported on");
                        due_ms = clock::now_ms() + jittered(ROUND_EVERY_MS);
                        tokio::time::sleep(LOOK_EVERY * 5).await;
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(%error, task_queue = name, "this task queue is not reported on");
                        // Known to be unknown, so that the next look does not ask again at once.
                        self.seen.write().entry(name.clone()).or_default();
                        last = name;
                    }
                }
            }
        }
    }

    async fn ask(&self, name: &str) -> Result<(), CallError> {
        let task_queue = TaskQueue {
            name: name.to_owned(),
            kind: TaskQueueKind::Normal.into(),
            normal_name: String::new(),
        };
        let request = DescribeTaskQueueRequest {
            namespace: self.link.namespace(),
            task_queue: Some(task_queue),
            task_queue_type: TaskQueueType::Workflow.into(),
            report_stats: true,
            ..Default::default()
        };
        let at_ms = clock::now_ms();
        let answer = self.link.service().describe_task_queue(within(request, CALL_TIMEOUT)).await?;
        let answer = answer.into_inner();
        let pollers = answer.pollers.into_iter().map(|poller| {
            let at = poller.last_access_time.unwrap_or_default();
            let last_access_ms = at.seconds * 1000 + i64::from(at.nanos) / 1_000_000;
            Poller { identity: poller.identity, last_access_ms }
        });
        let mut pollers: Vec<Poller> = pollers.collect();
        pollers.sort_unstable_by(|left, right| left.identity.cmp(&right.identity));
        let mut seen = self.seen.write();
        let before = seen.get(name).and_then(|seen| seen.last_polled_ms);
        let last_polled_ms = pollers.iter().map(|poller| poller.last_access_ms).max().max(before);
        let backlog = answer.stats.map(|stats| stats.approximate_backlog_count);
        seen.insert(name.to_owned(), Arc::new(QueueSeen { pollers, last_polled_ms, backlog, at_ms }));
        Ok(())
    }
}

impl Queues for Pollers {
    fn seen(&self, task_queue: &str) -> Option<Arc<QueueSeen>> {
        self.seen.read().get(task_queue).filter(|seen| seen.at_ms > 0).cloned()
    }
}

/// Every task queue that a type names or a worker serves.
fn queues(view: &View) -> BTreeSet<String> {
    let named = view.types.values().map(|entry| entry.current.spec.task_queue.as_str());
    let served = view.workers.values().flat_map(|member| member.worker.queues());
    named.chain(served).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The queues that come after the last one asked about, around the end, as many as one round takes.
fn after(queues: &BTreeSet<String>, last: &str) -> Vec<String> {
    let rest = queues.range::<str, _>((Bound::Excluded(last), Bound::Unbounded));
    let first = queues.range::<str, _>((Bound::Unbounded, Bound::Included(last)));
    rest.chain(first).take(QUEUES_MAX).cloned().collect()
}

/// Give or take a tenth, so that replicas started together do not ask together.
fn jittered(ms: i64) -> i64 {
    rand::random_range(ms - ms / 10..=ms + ms / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_go_around() {
        let many: BTreeSet<String> = (0..450).map(|at| format!("q{at:03}")).collect();
        let (mut asked, mut last) = (BTreeSet::new(), String::new());
        for _ in 0..3 {
            let round = after(&many, &last);
            assert_eq!(round.len(), QUEUES_MAX);
            last.clone_from(&round[QUEUES_MAX - 1]);
            asked.extend(round);
        }
        assert_eq!(asked, many);
        assert_eq!(last, "q149");
        let few: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
        for (last, expected) in [("", "abc"), ("a", "bca"), ("bb", "cab"), ("c", "abc"), ("z", "abc")] {
            assert_eq!(after(&few, last).concat(), expected, "after {last:?}");
        }
    }

    #[test]
    fn jitter_stays_near() {
        let range = (0..200).map(|_| jittered(15_000)).collect::<BTreeSet<_>>();
        assert!(range.iter().all(|ms| (13_500..=16_500).contains(ms)), "{range:?}");
        assert!(range.len() > 10);
    }
}
