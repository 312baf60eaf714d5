//! `GET /runs` and below: seeing runs and waiting for them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::outcome::{OutcomeBody, outcome};
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::shapes::{RunShape, RunStatusWord};
use super::starts::location;
use super::state::AppState;
use super::waiting::wait;
use crate::seams::{RunFilter, RunRef};

/// Runs on a page unless the client says how many.
const LIMIT: u32 = 100;

pub(super) fn routes() -> Routes {
    let problems = &[Code::RunNotFound, Code::TooManyRequests, Code::TemporalUnavailable];
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(list_runs)).problems(&[Code::TooManyRequests]))
        .with(Endpoint::needs(Role::Read, routes!(get_run)).problems(problems))
        .with(Endpoint::needs(Role::Read, routes!(get_result)).problems(problems).waits())
}

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Of this type.
    workflow_type: Option<String>,
    /// Standing so.
    #[param(inline)]
    status: Option<RunStatusWord>,
    /// A visibility query, for example `Customer = 'acme'`.
    query: Option<String>,
    /// 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// As given by the last page.
    page_token: Option<String>,
}

/// Which run of a workflow id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RunParams {
    /// This run; the latest one when absent.
    pub run_id: Option<String>,
}

/// Which run of a workflow id, and for how long.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitParams {
    /// This run; the latest one when absent.
    pub run_id: Option<String>,
    /// Seconds to wait, at most 300. `Prefer: wait=N` says the same.
    #[param(minimum = 0)]
    pub wait: Option<f64>,
}

/// The run that a path and a query name.
pub(super) fn run_ref(workflow_id: String, run_id: Option<String>) -> RunRef {
    RunRef { workflow_id, run_id: run_id.filter(|run_id| !run_id.is_empty()) }
}

/// Some runs.
#[derive(Serialize, ToSchema)]
struct RunList {
    runs: Vec<RunShape>,
    /// Where the next page begins, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// Lists runs, latest first.
///
/// As Temporal's visibility has them, which is about a second behind. A page may hold fewer runs than asked for.
#[utoipa::path(get, path = "/runs", tag = "runs", params(ListParams), responses((status = 200, body = RunList)))]
async fn list_runs(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiQuery(params): ApiQuery<ListParams>,
) -> Result<Json<RunList>, Problem> {
    let page = params.page_token.map(|token| BASE64_URL_SAFE_NO_PAD.decode(token)).transpose();
    let page = page.map_err(|_| {
        Problem::invalid_at(&["query", "page_token"], "is not a token given by this list", "page_token")
    })?;
    let filter = RunFilter {
        workflow_type: params.workflow_type.filter(|name| !name.is_empty()),
        status: params.status.map(Into::into),
        query: params.query.filter(|query| !query.trim().is_empty()),
        limit: params.limit.unwrap_or(LIMIT),
        page: page.unwrap_or_default(),
    };
    let page = state.runs.list(&filter).await?;
    let runs =
        page.runs.into_iter().filter(|run| who.may_touch(&run.workflow_type)).map(Into::into).collect();
    let next_page_token = (!page.next.is_empty()).then(|| BASE64_URL_SAFE_NO_PAD.encode(page.next));
    Ok(Json(RunList { runs, next_page_token }))
}

/// One run.
#[utoipa::path(
    get, path = "/runs/{workflow_id}", tag = "runs",
    params(("workflow_id" = String, Path), RunParams), responses((status = 200, body = RunShape))
)]
async fn get_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    ApiQuery(params): ApiQuery<RunParams>,
) -> Result<Json<RunShape>, Problem> {
    let run = state.runs.describe(&run_ref(workflow_id, params.run_id)).await?;
    who.require_type(&run.workflow_type)?;
    Ok(Json(run.into()))
}

/// The result of a run.
///
/// Follows continuations, retries and the like to the end. 202 with the run when it has not ended in time.
#[utoipa::path(
    get, path = "/runs/{workflow_id}/result", tag = "runs",
    params(("workflow_id" = String, Path), WaitParams),
    responses((status = 200, body = OutcomeBody), (status = 202, body = RunShape))
)]
async fn get_result(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    ApiQuery(params): ApiQuery<WaitParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = location(&workflow_id);
    let within = wait(params.wait, &headers, 0.0);
    let progress = state.runs.result(&run_ref(workflow_id, params.run_id), within).await?;
    who.require_type(&progress.run.workflow_type)?;
    Ok(match progress.ended {
        Some(ended) => Json(outcome(&state, progress.run, ended)).into_response(),
        None => {
            let run: RunShape = progress.run.into();
            (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(run)).into_response()
        }
    })
}
