//! Keeps the gauges at what they measure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::{
    clock,
    fleet::Fleet,
    http::service::Readiness,
    registry::{Health, WorkerState},
    seams::Reads,
    telemetry::Metrics,
    temporal::{
        ledger::Ledger,
        mirror::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, Mirror},
    },
    view::View,
};

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(1);
/// How many times of those the workers are counted, too: that takes a look at each of them.
const WORKERS_EVERY: u32 = 5;
/// Most pairs of type and queue with a label of their own; the workers of the others share one.
const PAIRS_MAX: usize = 200;
/// The label they share.
const OTHER: &str = "other";

/// What the gauges measure.
pub struct Gauges {
    /// Where they are.
    pub metrics: Metrics,
    /// The view and the run.
    pub mirror: Arc<Mirror>,
    /// The queue of writes.
    pub ledger: Ledger,
    /// The health of workers.
    pub fleet: Arc<Fleet>,
    /// Whether this replica can serve.
    pub readiness: Arc<dyn Readiness>,
}

impl Gauges {
    /// Sets them again and again until this process ends.
    pub async fn run(self) {
        self.metrics.history_events_max.set(HISTORY_EVENTS_MAX);
        self.metrics.history_bytes_max.set(HISTORY_BYTES_MAX);
        let mut every = tokio::time::interval(EVERY);
        let (mut run_id, mut pairs) = (Arc::<str>::from(""), BTreeSet::new());
        for round in (0..WORKERS_EVERY).cycle() {
            every.tick().await;
            let view = self.mirror.view();
            self.registry(&view);
            let run = self.mirror.run();
            self.metrics.history_events.set(run.history_events);
            self.metrics.history_bytes.set(run.history_bytes);
            if !run_id.is_empty() && run_id != run.run_id {
                self.metrics.handovers_total.inc();
            }
            run_id.clone_from(&run.run_id);
            if round == 0 {
                let counted = self.count(&view);
                pairs = set_workers(&self.metrics, &pairs, &counted);
            }
        }
    }

    fn registry(&self, view: &View) {
        let (metrics, status) = (&self.metrics, &view.status);
        let age_ms = self.mirror.freshness().age_ms;
        metrics.ready.set(i64::from(self.readiness.ready().is_ok()));
        metrics.mirror_revision.set(as_gauge(view.revision));
        metrics.mirror_age_seconds.set(age_ms as f64 / 1000.0);
        metrics.rejected_signals.set(as_gauge(status.rejected_signals));
        metrics.state_bytes.set(as_gauge(status.state_bytes));
        metrics.ledger_queue_depth.set(as_gauge(self.ledger.waiting() as u64));
        metrics.types.set(as_gauge(view.types.len() as u64));
        metrics.slugs.set(as_gauge(view.slugs.len() as u64));
        metrics.reservations.set(as_gauge(view.reservations.len() as u64));
    }

    fn count<'a>(&self, view: &'a View) -> Workers<'a> {
        let judge = self.fleet.judge(view, clock::now_ms());
        let mut workers = Workers::default();
        for member in view.workers.values() {
            let health = judge.health(member);
            *workers.by_health.entry(name(health)).or_default() += 1;
            if health == Health::Healthy && member.worker.state == WorkerState::Active {
                for served in &member.worker.workflows {
                    *workers.serving.entry((&served.workflow_type, &served.task_queue)).or_default() += 1;
                }
            }
        }
        workers
    }
}

/// Workers counted.
#[derive(Default)]
struct Workers<'a> {
    by_health: BTreeMap<&'static str, i64>,
    /// Healthy ones that take new starts, by type and queue.
    serving: BTreeMap<(&'a String, &'a String), i64>,
}

fn name(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Unknown => "unknown",
    }
}

/// Sets the gauges of the workers. `before`: the pairs that have a label; those that are gone lose it. Returns the pairs
/// that have one now.
fn set_workers(
    metrics: &Metrics,
    before: &BTreeSet<(String, String)>,
    workers: &Workers<'_>,
) -> BTreeSet<(String, String)> {
    for health in [Health::Healthy, Health::Unhealthy, Health::Unknown].map(name) {
        let count = workers.by_health.get(health).copied().unwrap_or_default();
        metrics.workers.with_label_values(&[health]).set(count);
    }
    let mut now: BTreeMap<(String, String), i64> = BTreeMap::new();
    for ((workflow_type, task_queue), count) in &workers.serving {
        let pair = if now.len() < PAIRS_MAX {
            ((*workflow_type).clone(), (*task_queue).clone())
        } else {
            (OTHER.to_owned(), OTHER.to_owned())
        };
        *now.entry(pair).or_default() += count;
    }
    for (workflow_type, task_queue) in before.iter().filter(|pair| !now.contains_key(*pair)) {
        // Fails only for a label that is not there.
        let _ = metrics.healthy_workers.remove_label_values(&[workflow_type, task_queue]);
    }
    for ((workflow_type, task_queue), count) in &now {
        metrics.healthy_workers.with_label_values(&[workflow_type, task_queue]).set(*count);
    }
    now.into_keys().collect()
}

fn as_gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = metrics.render();
        let of_workers = text.lines().filter(|line| line.starts_with("temporal_registry_healthy_workers{"));
        of_workers.map(|line| line.replace("temporal_registry_healthy_workers", "")).collect()
    }

    #[test]
    fn labels_are_bounded_and_go_when_their_workers_do() {
        let metrics = Metrics::new();
        let names: Vec<String> = (0..PAIRS_MAX + 50).map(|number| format!("t{number:04}")).collect();
        let queue = "q".to_owned();
        let mut workers = Workers::default();
        workers.by_health.insert("healthy", 3);
        workers.serving.extend(names.iter().map(|name| ((name, &queue), 2)));
        let pairs = set_workers(&metrics, &BTreeSet::new(), &workers);
        let all = lines(&metrics);
        assert_eq!(all.len(), PAIRS_MAX + 1);
        assert!(all.contains(&"{task_queue=\"q\",workflow_type=\"t0000\"} 2".to_owned()), "{all:?}");
        assert!(all.contains(&"{task_queue=\"other\",workflow_type=\"other\"} 100".to_owned()), "{all:?}");
        assert!(metrics.render().contains("temporal_registry_workers{health=\"healthy\"} 3"));

        let mut fewer = Workers::default();
        fewer.serving.insert((&names[1], &queue), 1);
        let pairs = set_workers(&metrics, &pairs, &fewer);
        assert_eq!(lines(&metrics), ["{task_queue=\"q\",workflow_type=\"t0001\"} 1"]);
        assert_eq!(pairs.len(), 1);
        assert!(metrics.render().contains("temporal_registry_workers{health=\"healthy\"} 0"));
    }
}
