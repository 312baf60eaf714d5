//! `/registry/status`: the registry as a whole.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::Role;
use super::endpoint::{Endpoint, Routes};
use super::shapes::{TypeStatus, epoch_seconds};
use super::state::AppState;
use super::warnings::{self, Warning};
use crate::{clock, registry::Health};

/// Most warnings that are told.
const WARNINGS_SHOWN: usize = 20;

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Read, routes!(get_status)).from_view())
}

/// The registry as a whole.
#[derive(Serialize, ToSchema)]
struct RegistryStatus {
    /// Registered workflow types.
    workflow_count: usize,
    /// Registered workers.
    worker_count: usize,
    /// Workers that are not unhealthy.
    healthy_worker_count: usize,
    /// When the registry was first started, seconds since the Unix epoch.
    started_at_epoch: f64,
    /// When a replica last came up, seconds since the Unix epoch.
    last_registry_service_started_epoch: f64,
    /// How that replica names itself.
    registry_service_process_id: String,
    /// Rises with every change.
    revision: u64,
    /// The current run of the registry workflow.
    run_id: String,
    /// Events in its history.
    history_events: i64,
    /// Estimated size of its state.
    state_bytes: u64,
    /// Signals that were not understood.
    rejected_signals: u64,
    /// Why, newest last; the latest only.
    rejections: Vec<String>,
    /// Workers whose lease ran out.
    unhealthy_worker_count: usize,
    /// Workers whose lease ran out in a way that does not speak against them; among the healthy ones.
    unknown_worker_count: usize,
    /// Types whose search attributes are being provisioned.
    pending_workflow_count: usize,
    /// Types whose search attributes cannot be had.
    unavailable_workflow_count: usize,
    /// Schedules that no longer fit their type; their `problems` say why.
    schedule_problem_count: usize,
    /// Task queues where something looks wrong, counted once for each thing.
    warning_count: usize,
    /// The first 20 of them.
    warnings: Vec<Warning>,
    /// How many runs the registry workflow has had.
    registry_runs: u64,
    /// Whether the registry workflow was running when last looked at.
    is_running: bool,
    /// Milliseconds since this replica's view was known to be complete.
    age_ms: i64,
}

/// The registry as a whole, as this replica sees it.
#[utoipa::path(
    get, path = "/registry/status", tag = "registry", responses((status = 200, body = RegistryStatus))
)]
async fn get_status(State(state): State<AppState>) -> Json<RegistryStatus> {
    let now_ms = clock::now_ms();
    let (view, freshness) = (state.reads.view(), state.reads.freshness());
    let judge = state.fleet.judge(&view, now_ms);
    let (mut unhealthy, mut unknown) = (0, 0);
    for member in view.workers.values() {
        match judge.health(member) {
            Health::Healthy => {}
            Health::Unhealthy => unhealthy += 1,
            Health::Unknown => unknown += 1,
        }
    }
    let (mut pending, mut unavailable) = (0, 0);
    for entry in view.types.values() {
        match TypeStatus::of(&view, entry).0 {
            TypeStatus::Ready => {}
            TypeStatus::Pending => pending += 1,
            TypeStatus::Unavailable => unavailable += 1,
        }
    }
    let warnings = warnings::of_all(&state, &view, &judge);
    let (worker_count, status) = (view.workers.len(), &view.status);
    Json(RegistryStatus {
        workflow_count: view.types.len(),
        worker_count,
        healthy_worker_count: worker_count - unhealthy,
        started_at_epoch: epoch_seconds(status.started_at_ms),
        last_registry_service_started_epoch: epoch_seconds(status.service_started_ms),
        registry_service_process_id: status.service_process_id.clone(),
        revision: view.revision,
        run_id: freshness.run_id.to_string(),
        history_events: freshness.history_events,
        state_bytes: status.state_bytes,
        rejected_signals: status.rejected_signals,
        rejections: status.rejections.clone(),
        unhealthy_worker_count: unhealthy,
        unknown_worker_count: unknown,
        pending_workflow_count: pending,
        unavailable_workflow_count: unavailable,
        schedule_problem_count: state.schedules.problem_count(),
        warning_count: warnings.len(),
        warnings: warnings.into_iter().take(WARNINGS_SHOWN).collect(),
        registry_runs: status.runs,
        is_running: freshness.is_running,
        age_ms: freshness.age_ms,
    })
}
