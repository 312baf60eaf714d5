//! Prometheus metrics of this process.

use std::{ops::Deref, sync::Arc};

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

/// What every name begins with.
const PREFIX: &str = "temporal_registry";

/// Upper bounds in seconds.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds in commands.
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The metrics, each a field. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Fields>);

/// The metrics by name; reached through [`Metrics`].
#[derive(Debug)]
pub struct Fields {
    registry: Registry,
    /// Requests answered, by `method`, `route` (the pattern, not the path) and `status`.
    pub http_requests_total: IntCounterVec,
    /// Seconds a request took, by `method` and `route`.
    pub http_request_duration_seconds: HistogramVec,
    /// Requests refused or failed, by the `code` of the problem they were answered with.
    pub http_problems_total: IntCounterVec,
    /// Commands in one ledger batch.
    pub ledger_batch_commands: Histogram,
    /// Seconds from sending a ledger batch to its outcome.
    pub ledger_batch_seconds: Histogram,
    /// Ledger batches given up, their writes lost or of unknown outcome.
    pub ledger_batches_lost_total: IntCounter,
    /// Commands waiting for a batch.
    pub ledger_queue_depth: IntGauge,
    /// Ledger batches sent again.
    pub ledger_retries_total: IntCounter,
    /// Registry revision this replica's view has.
    pub mirror_revision: IntGauge,
    /// Seconds since this replica's view was last known to be current.
    pub mirror_age_seconds: Gauge,
    /// Calls made to Temporal, the registry worker's own included, by `call`.
    pub temporal_calls_total: IntCounterVec,
    /// Those that failed, by `call` and `code` (the gRPC code in lower case, `transport_error` for none).
    pub temporal_call_failures_total: IntCounterVec,
    /// Seconds a call took, by `call`; calls that wait on purpose are left out.
    pub temporal_call_seconds: HistogramVec,
    /// Workflows the registry worker keeps in memory: the registry, and fires whose runs have not ended.
    pub cached_workflows: IntGauge,
    /// Malformed signals the registry workflow refused.
    pub rejected_signals: IntGauge,
    /// Hand-overs of the registry workflow to a new run, as seen by this replica.
    pub handovers_total: IntCounter,
    /// Events in the history of the registry workflow's current run.
    pub history_events: IntGauge,
    /// Events at which Temporal ends a run.
    pub history_events_max: IntGauge,
    /// Size of that history in bytes.
    pub history_bytes: IntGauge,
    /// Bytes at which Temporal ends a run.
    pub history_bytes_max: IntGauge,
    /// Size of the registry's stored state in bytes.
    pub state_bytes: IntGauge,
    /// Bytes at which the registry takes no more.
    pub state_bytes_max: IntGauge,
    /// 1 while this replica can serve, else 0.
    pub ready: IntGauge,
    /// 1, with the `version` of this program.
    pub build_info: IntGaugeVec,
    /// Workflow types registered.
    pub types: IntGauge,
    /// Workers registered, by `health`.
    pub workers: IntGaugeVec,
    /// Healthy workers that take new starts, by `workflow_type` and `task_queue`; bounded in the number of labels.
    pub healthy_workers: IntGaugeVec,
    /// Workflow id counters kept.
    pub slugs: IntGauge,
    /// Idempotency keys remembered.
    pub reservations: IntGauge,
}

impl Deref for Metrics {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl Metrics {
    /// All metrics at zero, in a registry of their own.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let fields = Fields {
            http_requests_total: counters(
                r,
                "http_requests_total",
                "Requests answered.",
                &["method", "route", "status"],
            ),
            http_request_duration_seconds: add(
                r,
                HistogramVec::new(
                    histogram("http_request_duration_seconds", "Seconds a request took.", SECONDS),
                    &["method", "route"],
                ),
            ),
            http_problems_total: counters(
                r,
                "http_problems_total",
                "Requests refused or failed, by problem code.",
                &["code"],
            ),
            ledger_batch_commands: add(
                r,
                Histogram::with_opts(histogram(
                    "ledger_batch_commands",
                    "Commands in one ledger batch.",
                    COMMANDS,
                )),
            ),
            ledger_batch_seconds: add(
                r,
                Histogram::with_opts(histogram(
                    "ledger_batch_seconds",
                    "Seconds from sending a ledger batch to its outcome.",
                    SECONDS,
                )),
            ),
            ledger_batches_lost_total: counter(
                r,
                "ledger_batches_lost_total",
                "Ledger batches given up without an answer from Temporal.",
            ),
            ledger_queue_depth: gauge(r, "ledger_queue_depth", "Commands waiting for a ledger batch."),
            ledger_retries_total: counter(r, "ledger_retries_total", "Ledger batches sent again."),
            mirror_revision: gauge(r, "mirror_revision", "Registry revision this replica's view has."),
            mirror_age_seconds: add(
                r,
                Gauge::with_opts(named(
                    "mirror_age_seconds",
                    "Seconds since this replica's view was last known to be current.",
                )),
            ),
            temporal_calls_total: counters(r, "temporal_calls_total", "Calls to Temporal.", &["call"]),
            temporal_call_failures_total: counters(
                r,
                "temporal_call_failures_total",
                "Calls to Temporal that failed, by gRPC code.",
                &["call", "code"],
            ),
            temporal_call_seconds: add(
                r,
                HistogramVec::new(
                    histogram("temporal_call_seconds", "Seconds a call to Temporal took.", SECONDS),
                    &["call"],
                ),
            ),
            cached_workflows: gauge(r, "cached_workflows", "Workflows the registry worker keeps in memory."),
            rejected_signals: gauge(
                r,
                "rejected_signals",
                "Malformed signals the registry workflow refused.",
            ),
            handovers_total: counter(
                r,
                "handovers_total",
                "Hand-overs of the registry workflow to a new run.",
            ),
            history_events: gauge(r, "history_events", "Events in the registry workflow's current run."),
            history_events_max: gauge(r, "history_events_max", "Events at which Temporal ends a run."),
            history_bytes: gauge(r, "history_bytes", "Bytes in the history of the current run."),
            history_bytes_max: gauge(r, "history_bytes_max", "Bytes at which Temporal ends a run."),
            state_bytes: gauge(r, "state_bytes", "Size of the registry's stored state in bytes."),
            state_bytes_max: gauge(r, "state_bytes_max", "Bytes at which the registry takes no more."),
            ready: gauge(r, "ready", "1 while this replica can serve, else 0."),
            build_info: gauges(r, "build_info", "1, with the version of this program.", &["version"]),
            types: gauge(r, "types", "Workflow types registered."),
            workers: gauges(r, "workers", "Workers registered, by health.", &["health"]),
            healthy_workers: gauges(
                r,
                "healthy_workers",
                "Healthy workers that take new starts, by type and queue.",
                &["workflow_type", "task_queue"],
            ),
            slugs: gauge(r, "slugs", "Workflow id counters kept."),
            reservations: gauge(r, "reservations", "Idempotency keys remembered."),
            registry,
        };
        fields.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self(Arc::new(fields))
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        // Encoding fails only for a family without a name or samples, and `gather` gives none of those.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn named(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(PREFIX).buckets(buckets.to_vec())
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    add(registry, IntCounter::with_opts(named(name, help)))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    add(registry, IntCounterVec::new(named(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    add(registry, IntGaugeVec::new(named(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    add(registry, IntGauge::with_opts(named(name, help)))
}

/// Registers a metric. It fails only on malformed or repeated names, and the names here are constants that the test
/// below registers.
fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("a well-formed metric name");
    registry.register(Box::new(metric.clone())).expect("a metric name used once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_and_shared_by_clones() {
        let metrics = Metrics::new();
        let clone = metrics.clone();
        clone.http_requests_total.with_label_values(&["GET", "/health", "200"]).inc_by(2);
        clone.http_request_duration_seconds.with_label_values(&["GET", "/health"]).observe(0.02);
        clone.temporal_calls_total.with_label_values(&["StartWorkflowExecution"]).inc();
        clone.ledger_batch_commands.observe(3.0);
        clone.mirror_age_seconds.set(1.5);
        let text = metrics.render();
        for line in [
            "temporal_registry_http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 2",
            "temporal_registry_http_request_duration_seconds_bucket{method=\"GET\",route=\"/health\",le=\"0.025\"} 1",
            "temporal_registry_temporal_calls_total{call=\"StartWorkflowExecution\"} 1",
            "temporal_registry_ledger_batch_commands_bucket{le=\"4\"} 1",
            "temporal_registry_mirror_age_seconds 1.5",
            "temporal_registry_handovers_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        let names = text.lines().filter(|line| !line.starts_with('#'));
        assert!(
            names.clone().count() > 10 && names.clone().all(|line| line.starts_with("temporal_registry_"))
        );
    }

    #[test]
    fn two_holders_do_not_share() {
        let (one, two) = (Metrics::new(), Metrics::new());
        one.handovers_total.inc();
        assert_eq!((one.handovers_total.get(), two.handovers_total.get()), (1, 0));
    }
}
