//! Counts every call to Temporal, the registry worker's own included, by the meter the client reports to.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use temporalio_common::telemetry::{
    TaskQueueLabelStrategy,
    metrics::{
        CoreMeter, Counter, CounterBase, Gauge, GaugeBase, GaugeF64, Histogram, HistogramDuration,
        HistogramDurationBase, HistogramF64, MetricAttributable, MetricAttributes, MetricParameters,
        NewAttributes, NoOpCoreMeter, TemporalMeter, UpDownCounter,
    },
};

use crate::telemetry::{Metrics, traces};

/// The client's labels that are kept; the others name queues and namespaces.
const CALL: &str = "operation";
const CODE: &str = "status_code";

/// The client's instruments that are listened to, and whether their calls wait on purpose.
const CALLS: &[&str] = &["request", "long_request"];
const FAILURES: &[&str] = &["request_failure", "long_request_failure"];
const SECONDS: &[(&str, bool)] = &[("request_latency", false), ("long_request_latency", true)];

/// The worker's instrument that is listened to.
const KEPT: &str = "sticky_cache_size";

/// The meter to run the worker with.
pub fn core_meter(metrics: &Metrics) -> Arc<dyn CoreMeter> {
    Arc::new(CallMeter(metrics.clone()))
}

/// The meter to connect with.
pub fn meter(metrics: &Metrics) -> TemporalMeter {
    TemporalMeter::new(core_meter(metrics), NewAttributes::default(), TaskQueueLabelStrategy::UseNormal)
}

/// Listens to the instruments above and to no others.
#[derive(Debug)]
struct CallMeter(Metrics);

impl CoreMeter for CallMeter {
    fn new_attributes(&self, attributes: NewAttributes) -> MetricAttributes {
        NoOpCoreMeter.new_attributes(attributes)
    }

    fn extend_attributes(&self, existing: MetricAttributes, attributes: NewAttributes) -> MetricAttributes {
        NoOpCoreMeter.extend_attributes(existing, attributes)
    }

    fn counter(&self, parameters: MetricParameters) -> Counter {
        let failures = FAILURES.contains(&&*parameters.name);
        if failures || CALLS.contains(&&*parameters.name) {
            return Counter::new(Arc::new(Calls { metrics: self.0.clone(), failures }));
        }
        NoOpCoreMeter.counter(parameters)
    }

    fn histogram_duration(&self, parameters: MetricParameters) -> HistogramDuration {
        match SECONDS.iter().find(|(name, _)| *name == parameters.name) {
            Some((_, waits)) => {
                HistogramDuration::new(Arc::new(Seconds { metrics: self.0.clone(), waits: *waits }))
            }
            None => NoOpCoreMeter.histogram_duration(parameters),
        }
    }

    fn histogram(&self, parameters: MetricParameters) -> Histogram {
        NoOpCoreMeter.histogram(parameters)
    }

    fn histogram_f64(&self, parameters: MetricParameters) -> HistogramF64 {
        NoOpCoreMeter.histogram_f64(parameters)
    }

    fn gauge(&self, parameters: MetricParameters) -> Gauge {
        if parameters.name == KEPT {
            return Gauge::new(Arc::new(Kept(self.0.clone())));
        }
        NoOpCoreMeter.gauge(parameters)
    }

    fn gauge_f64(&self, parameters: MetricParameters) -> GaugeF64 {
        NoOpCoreMeter.gauge_f64(parameters)
    }

    fn up_down_counter(&self, parameters: MetricParameters) -> UpDownCounter {
        NoOpCoreMeter.up_down_counter(parameters)
    }
}

/// A label the client gave; empty when it gave none.
fn label(attributes: &MetricAttributes, name: &str) -> String {
    let labels: Option<&HashMap<String, String>> = match attributes {
        MetricAttributes::NoOp(labels) => Some(labels),
        _ => None,
    };
    labels.and_then(|labels| labels.get(name)).cloned().unwrap_or_default()
}

struct Calls {
    metrics: Metrics,
    failures: bool,
}

struct CallsOf {
    metrics: Metrics,
    call: String,
    /// The gRPC code, when it is failures that are counted.
    code: Option<String>,
}

impl MetricAttributable<Box<dyn CounterBase>> for Calls {
    fn with_attributes(&self, attributes: &MetricAttributes) -> Result<Box<dyn CounterBase>, Box<dyn Error>> {
        let code = self.failures.then(|| label(attributes, CODE).to_lowercase());
        Ok(Box::new(CallsOf { metrics: self.metrics.clone(), call: label(attributes, CALL), code }))
    }
}

impl CounterBase for CallsOf {
    fn adds(&self, count: u64) {
        match &self.code {
            None => self.metrics.temporal_calls_total.with_label_values(&[&*self.call]).inc_by(count),
            Some(code) => {
                traces::call_failed(&self.call, code);
                let failures = &self.metrics.temporal_call_failures_total;
                failures.with_label_values(&[&*self.call, code]).inc_by(count);
            }
        }
    }
}

struct Seconds {
    metrics: Metrics,
    waits: bool,
}

struct SecondsOf {
    metrics: Metrics,
    call: String,
    waits: bool,
}

impl MetricAttributable<Box<dyn HistogramDurationBase>> for Seconds {
    fn with_attributes(
        &self,
        attributes: &MetricAttributes,
    ) -> Result<Box<dyn HistogramDurationBase>, Box<dyn Error>> {
        let call = label(attributes, CALL);
        Ok(Box::new(SecondsOf { metrics: self.metrics.clone(), call, waits: self.waits }))
    }
}

impl HistogramDurationBase for SecondsOf {
    fn records(&self, lasted: Duration) {
        // The client reports at the end of a call, in the task that made it: the current span is the caller's.
        traces::called(&self.call, lasted);
        if !self.waits {
            let seconds = &self.metrics.temporal_call_seconds;
            seconds.with_label_values(&[&*self.call]).observe(lasted.as_secs_f64());
        }
    }
}

#[derive(Clone)]
struct Kept(Metrics);

impl MetricAttributable<Box<dyn GaugeBase>> for Kept {
    fn with_attributes(&self, _: &MetricAttributes) -> Result<Box<dyn GaugeBase>, Box<dyn Error>> {
        Ok(Box::new(self.clone()))
    }
}

impl GaugeBase for Kept {
    fn records(&self, count: u64) {
        self.0.cached_workflows.set(count.try_into().unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::telemetry::metrics::MetricKeyValue;

    use super::*;

    #[test]
    fn calls_are_counted_by_name_and_failures_by_code() {
        let metrics = Metrics::new();
        let mut meter = meter(&metrics);
        // As the client does it.
        let request = meter.counter("request".into());
        let failure = meter.counter("request_failure".into());
        let latency = meter.histogram_duration("request_latency".into());
        let poll = meter.histogram_duration("long_request_latency".into());
        let other = meter.counter("something_else".into());
        meter.merge_attributes([MetricKeyValue::new("namespace", "default")].into());
        meter.merge_attributes([MetricKeyValue::new("operation", "StartWorkflowExecution")].into());
        let attributes = meter.get_default_attributes();
        request.with_attributes(attributes).unwrap().adds(1);
        request.with_attributes(attributes).unwrap().adds(1);
        latency.with_attributes(attributes).unwrap().records(Duration::from_millis(20));
        poll.with_attributes(attributes).unwrap().records(Duration::from_secs(60));
        other.with_attributes(attributes).unwrap().adds(1);
        let code = [MetricKeyValue::new("status_code", "NOT_FOUND")].into();
        failure.add(1, &meter.extend_attributes(attributes.clone(), code));

        let text = metrics.render();
        for line in [
            "temporal_registry_temporal_calls_total{call=\"StartWorkflowExecution\"} 2",
            "temporal_registry_temporal_call_failures_total{call=\"StartWorkflowExecution\",code=\"not_found\"} 1",
            "temporal_registry_temporal_call_seconds_count{call=\"StartWorkflowExecution\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("default"), "{text}");
    }
}
