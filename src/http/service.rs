//! `/health`, `/ready` and the metrics: open to probes and scrapers without a token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::problem::Problem;
use super::state::AppState;
use crate::seams::{Freshness, Reads};

/// Says whether this replica can serve.
pub trait Readiness: Send + Sync {
    /// The problem (503) that keeps this replica from serving right now. Must not block.
    fn ready(&self) -> Result<(), Problem>;
}

/// Ready while the registry workflow runs and this replica's view of it is fresh.
pub struct ViewReadiness {
    reads: Arc<dyn Reads>,
}

impl ViewReadiness {
    /// Goes by this view.
    pub fn new(reads: Arc<dyn Reads>) -> Self {
        Self { reads }
    }
}

impl Readiness for ViewReadiness {
    fn ready(&self) -> Result<(), Problem> {
        let freshness = self.reads.freshness();
        let detail = match &freshness {
            Freshness { is_ready: true, .. } => return Ok(()),
            Freshness { is_running: false, .. } => "the registry workflow is not running".to_owned(),
            Freshness { age_ms, .. } => {
                format!("this replica's view of the registry is {age_ms} ms old")
            }
        };
        Err(Problem::new(Code::TemporalUnavailable, detail))
    }
}

/// Where requests are counted.
pub trait Metrics: Send + Sync {
    /// One request was answered. `method`, `route` (a template such as `/runs/{workflow_id}`, or
    /// `unmatched`) and `code` (of the problem answered with; empty for none) are safe as labels.
    fn answered(&self, method: &str, route: &str, status: u16, code: &str, seconds: f64);

    /// Everything counted, in the Prometheus text format.
    fn render(&self) -> String;
}

/// Where metrics are served unless configured otherwise.
pub(super) const METRICS_PATH: &str = "/metrics";

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::open(routes!(health)))
        .with(Endpoint::open(routes!(ready)).problems(&[Code::TemporalUnavailable, Code::ShuttingDown]))
        .with(Endpoint::open(routes!(metrics)))
}

/// The state of this process.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// Is this process alive?
#[utoipa::path(get, path = "/health", tag = "service", responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Can this replica serve?
///
/// 503 unless the registry runs and this replica's view of it is fresh.
#[utoipa::path(get, path = "/ready", tag = "service", responses((status = 200, body = Health)))]
async fn ready(State(state): State<AppState>) -> Result<Json<Health>, Problem> {
    state.readiness.ready()?;
    Ok(Json(Health { status: "ready" }))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "service",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4"))
)]
async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render())
}
