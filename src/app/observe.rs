//! What operators see of the front door: readiness, and requests counted.

use std::sync::Arc;

use crate::{
    http::{
        code::Code,
        problem::Problem,
        service::{self, Readiness},
    },
    seams::Reads,
    telemetry::Metrics,
};

/// Counts requests.
pub struct RequestMetrics(pub Metrics);

impl service::Metrics for RequestMetrics {
    fn answered(&self, method: &str, route: &str, status: u16, code: &str, seconds: f64) {
        self.0.http_requests_total.with_label_values(&[method, route, &status.to_string()]).inc();
        self.0.http_request_duration_seconds.with_label_values(&[method, route]).observe(seconds);
        if !code.is_empty() {
            self.0.http_problems_total.with_label_values(&[code]).inc();
        }
    }

    fn render(&self) -> String {
        self.0.render()
    }
}

/// Ready when the registry workflow runs, this replica's view is fresh, and nobody asked it to stop.
pub struct Ready {
    /// The view.
    pub reads: Arc<dyn Reads>,
    /// Cancelled when this process is to stop.
    pub stop: tokio_util::sync::CancellationToken,
}

impl Readiness for Ready {
    fn ready(&self) -> Result<(), Problem> {
        if self.stop.is_cancelled() {
            return Err(Problem::new(Code::ShuttingDown, "this replica is stopping"));
        }
        let fresh = self.reads.freshness();
        if fresh.is_ready {
            return Ok(());
        }
        let why = if fresh.is_running {
            format!("this replica's view of the registry is {} ms old", fresh.age_ms)
        } else {
            "the registry workflow is not running".to_owned()
        };
        Err(Problem::new(Code::TemporalUnavailable, why))
    }
}
