//! Starts that do more: `execute` waits for the end, `signal-with-start` sends a signal too.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::{ApiJson, OptionalJson};
use super::endpoint::{Endpoint, Routes};
use super::gate::Writing;
use super::outcome::{Ending, ending};
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::shapes::RunStatusWord;
use super::start_body::{IdConflictName, StartBody};
use super::starts::{START_PROBLEMS, StartedBody, launch, location};
use super::state::AppState;
use super::waiting::{WAIT_SECONDS, wait};
use crate::seams::{RunRef, Signal};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Dispatch, routes!(execute)).problems(START_PROBLEMS).waits())
        .with(Endpoint::needs(Role::Dispatch, routes!(signal_with_start)).problems(START_PROBLEMS).waits())
}

/// How long to wait for the end.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ExecuteParams {
    /// Seconds to wait: 30 when absent, at most 300. `Prefer: wait=N` says the same.
    #[param(minimum = 0)]
    wait: Option<f64>,
}

/// A run that was started, and what came of it.
#[derive(Serialize, ToSchema)]
struct ExecutedBody {
    #[serde(flatten)]
    #[schema(inline)]
    started: StartedBody,
    #[serde(flatten)]
    #[schema(inline)]
    ending: Ending,
}

/// Starts a run and waits for its end.
///
/// 200 with the status and the result when it ends in time, failed or not; 202 otherwise.
#[utoipa::path(
    post, path = "/workflows/{workflow_type}/execute", tag = "runs",
    params(
        ("workflow_type" = String, Path), ExecuteParams,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")
    ),
    request_body = Option<StartBody>,
    responses(
        (status = 200, body = ExecutedBody, headers(("Location" = String, description = "The run."))),
        (status = 202, body = ExecutedBody, headers(("Location" = String, description = "The run.")))
    )
)]
async fn execute(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    Extension(writing): Extension<Writing>,
    ApiPath(workflow_type): ApiPath<String>,
    ApiQuery(params): ApiQuery<ExecuteParams>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<StartBody>,
) -> Result<Response, Problem> {
    let within = wait(params.wait, &headers, WAIT_SECONDS);
    body.without_signal()?;
    let started = launch(&state, &who, &headers, &workflow_type, body, None).await?;
    writing.done();
    let run = RunRef { workflow_id: started.workflow_id.clone(), run_id: Some(started.run_id.clone()) };
    let (status, ending) = match state.runs.result(&run, within).await {
        Ok(progress) => match progress.ended {
            Some(ended) => (StatusCode::OK, ending(&state, &progress.run, ended)),
            None => (StatusCode::ACCEPTED, going_on(progress.run.status.into())),
        },
        // It was started: that is the answer, whatever else is not known.
        Err(error) => {
            tracing::warn!(?error, "a run was started but cannot be waited for");
            (StatusCode::ACCEPTED, going_on(RunStatusWord::Running))
        }
    };
    let place = location(&started.workflow_id);
    let body = ExecutedBody { started: started.into(), ending };
    Ok((status, [(header::LOCATION, place)], Json(body)).into_response())
}

fn going_on(status: RunStatusWord) -> Ending {
    Ending { status, result: None, failure: None, result_errors: Vec::new() }
}

/// Sends a signal to the open run of an id, or to one that is started for it.
///
/// `created` says whether a run was started. An open run is what `id_conflict_policy` `use_existing` asks for, so `fail`
/// is refused here.
#[utoipa::path(
    post, path = "/workflows/{workflow_type}/signal-with-start", tag = "runs",
    params(
        ("workflow_type" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")
    ),
    request_body = StartBody,
    responses((status = 200, body = StartedBody, headers(("Location" = String, description = "The run."))))
)]
async fn signal_with_start(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_type): ApiPath<String>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<StartBody>,
) -> Result<StartedBody, Problem> {
    let signal = signal(&body)?;
    let started = launch(&state, &who, &headers, &workflow_type, body, Some(signal)).await?;
    Ok(started.into())
}

fn signal(body: &StartBody) -> Result<Signal, Problem> {
    let Some(signal) = &body.signal else {
        return Err(Problem::invalid_at(&["body", "signal"], "is required here", "missing"));
    };
    if body.id_conflict_policy == Some(IdConflictName::Fail) {
        let msg = "an open run gets the signal: `use_existing` or `terminate_existing`";
        return Err(Problem::invalid_at(&["body", "id_conflict_policy"], msg, "value_error"));
    }
    let arguments = match (signal.input.clone(), signal.args.clone()) {
        (Some(_), Some(_)) => {
            let msg = "set either `input` or `args`, not both";
            return Err(Problem::invalid_at(&["body", "signal", "args"], msg, "value_error"));
        }
        (Some(input), None) => vec![input],
        (None, args) => args.unwrap_or_default(),
    };
    Ok(Signal { name: signal.name.clone(), arguments })
}
