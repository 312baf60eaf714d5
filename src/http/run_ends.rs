//! Ending runs, and starting them again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::OptionalJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::run_problem::closed;
use super::runs::{RunParams, run_ref};
use super::shapes::RunRefShape;
use super::state::AppState;
use crate::seams::{RunInfo, RunRef};

const PROBLEMS: &[Code] = &[
    Code::RunNotFound,
    Code::RunClosed,
    Code::TooManyRequests,
    Code::TemporalUnavailable,
    Code::OutcomeUnknown,
];
const RESTART_PROBLEMS: &[Code] = &[
    Code::InvalidInput,
    Code::WorkflowUnavailable,
    Code::RunNotFound,
    Code::InvalidSchema,
    Code::TooManyRequests,
    Code::NoHealthyWorker,
    Code::SearchAttributesUnavailable,
    Code::TemporalUnavailable,
    Code::OutcomeUnknown,
];

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Dispatch, routes!(cancel_run)).problems(PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(terminate_run)).problems(PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(restart_run)).problems(RESTART_PROBLEMS))
}

/// Why a run is ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct EndBody {
    /// For people.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Asks a run to end.
///
/// 202 when Temporal has taken it; the workflow decides what becomes of it.
#[utoipa::path(
    post, path = "/runs/{workflow_id}/cancel", tag = "runs",
    params(("workflow_id" = String, Path), RunParams),
    request_body = Option<EndBody>,
    responses((status = 202, body = RunRefShape))
)]
async fn cancel_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    ApiQuery(params): ApiQuery<RunParams>,
    OptionalJson(body): OptionalJson<EndBody>,
) -> Result<(StatusCode, Json<RunRefShape>), Problem> {
    let run = run_ref(workflow_id, params.run_id);
    let info = open(&state, &who, &run).await?;
    state.runs.cancel(&run, &body.reason.unwrap_or_default(), &who.name).await?;
    Ok(accepted(info))
}

/// Ends a run at once.
#[utoipa::path(
    post, path = "/runs/{workflow_id}/terminate", tag = "runs",
    params(("workflow_id" = String, Path), RunParams),
    request_body = Option<EndBody>,
    responses((status = 202, body = RunRefShape))
)]
async fn terminate_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    ApiQuery(params): ApiQuery<RunParams>,
    OptionalJson(body): OptionalJson<EndBody>,
) -> Result<(StatusCode, Json<RunRefShape>), Problem> {
    let run = run_ref(workflow_id, params.run_id);
    let info = open(&state, &who, &run).await?;
    state.runs.terminate(&run, &body.reason.unwrap_or_default(), &who.name).await?;
    Ok(accepted(info))
}

/// Starts a run again.
///
/// Ends it if it is open, and starts the same type with the same input and id where it would go today.
#[utoipa::path(
    post, path = "/runs/{workflow_id}/restart", tag = "runs",
    params(("workflow_id" = String, Path), RunParams),
    responses((status = 200, body = RunRefShape))
)]
async fn restart_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    ApiQuery(params): ApiQuery<RunParams>,
) -> Result<Json<RunRefShape>, Problem> {
    let run = run_ref(workflow_id, params.run_id);
    who.require_type(&state.runs.describe(&run).await?.workflow_type)?;
    let started = state.runs.restart(&run, &who.name).await?;
    Ok(Json(RunRefShape { workflow_id: started.workflow_id, run_id: started.run_id }))
}

/// The run, when it is open and the caller may touch its type.
async fn open(state: &AppState, who: &Identity, run: &RunRef) -> Result<RunInfo, Problem> {
    let info = state.runs.describe(run).await?;
    who.require_type(&info.workflow_type)?;
    if info.status.is_open() { Ok(info) } else { Err(closed()) }
}

fn accepted(info: RunInfo) -> (StatusCode, Json<RunRefShape>) {
    (StatusCode::ACCEPTED, Json(RunRefShape { workflow_id: info.workflow_id, run_id: info.run_id }))
}
