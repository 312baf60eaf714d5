//! `POST /workflows/{workflow_type}/start`.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::OptionalJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::idempotency;
use super::params::ApiPath;
use super::problem::Problem;
use super::start_body::StartBody;
use super::state::AppState;
use crate::registry::Refusal;
use crate::schema::Violation;
use crate::seams::{IdConflict, RunError, RunId, RunRef, Signal, StartError, StartRequest, Started};

/// The problems every start can answer with.
pub(super) const START_PROBLEMS: &[Code] = &[
    Code::InvalidInput,
    Code::RegistryQueueRefused,
    Code::WorkflowUnavailable,
    Code::AlreadyStarted,
    Code::IdempotencyKeyReused,
    Code::InvalidSchema,
    Code::QueueFull,
    Code::RegistryFull,
    Code::NoHealthyWorker,
    Code::SearchAttributesUnavailable,
    Code::TemporalUnavailable,
    Code::OutcomeUnknown,
];

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Dispatch, routes!(start)).problems(START_PROBLEMS).waits())
}

/// A run that was started, or found.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartedBody {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
    /// The queue it was started on.
    pub task_queue: String,
    /// Its type.
    pub workflow_type: String,
    /// Whether this very request started it.
    pub created: bool,
}

impl From<Started> for StartedBody {
    fn from(started: Started) -> Self {
        let Started { workflow_id, run_id, task_queue, workflow_type, created } = started;
        Self { workflow_id, run_id, task_queue, workflow_type, created }
    }
}

impl IntoResponse for StartedBody {
    fn into_response(self) -> Response {
        let place = location(&self.workflow_id);
        ([(header::LOCATION, place)], Json(self)).into_response()
    }
}

/// Where a run is found.
pub(super) fn location(workflow_id: &str) -> HeaderValue {
    let path = format!("/runs/{}", utf8_percent_encode(workflow_id, PLAIN));
    // Percent-encoded, so that it is always a header value.
    HeaderValue::from_str(&path).unwrap_or(HeaderValue::from_static("/runs"))
}

/// Everything but what a path segment may hold as it is.
const PLAIN: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'@');

/// Starts a run.
///
/// The input is checked before an id is claimed. With an `Idempotency-Key` the same request is answered with the same
/// run however often it is sent, for 24 hours unless configured otherwise.
#[utoipa::path(
    post,
    path = "/workflows/{workflow_type}/start",
    tag = "runs",
    params(
        ("workflow_type" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")
    ),
    request_body = Option<StartBody>,
    responses((status = 200, body = StartedBody, headers(("Location" = String, description = "The run."))))
)]
async fn start(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_type): ApiPath<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<StartBody>,
) -> Result<StartedBody, Problem> {
    body.without_signal()?;
    Ok(launch(&state, &who, &headers, &workflow_type, body, None).await?.into())
}

/// Starts what a body asks for. The same body under the same key is the same run, whichever of the routes it came by.
pub(super) async fn launch(
    state: &AppState,
    who: &Identity,
    headers: &HeaderMap,
    workflow_type: &str,
    body: StartBody,
    signal: Option<Signal>,
) -> Result<Started, Problem> {
    who.require_type(workflow_type)?;
    let idempotency = idempotency::keyed(headers, workflow_type, &body)?;
    let place: &[&str] = if body.args.is_some() { &["args", "0"] } else { &["input"] };
    let request = body.request(workflow_type, &who.name)?;
    let request = StartRequest { idempotency, signal, ..request };
    require_reach(state, who, &request).await?;
    state.starts.start(request).await.map_err(|error| start_problem(error, place))
}

/// `forbidden` when the start would signal, end or show an open run of a type that the caller may not touch.
async fn require_reach(state: &AppState, who: &Identity, request: &StartRequest) -> Result<(), Problem> {
    let RunId::Given(workflow_id) = &request.run_id else { return Ok(()) };
    let is_passive = request.signal.is_none() && request.id_conflict == IdConflict::Fail;
    if who.workflow_types.is_none() || is_passive {
        return Ok(());
    }
    match state.runs.describe(&RunRef { workflow_id: workflow_id.clone(), run_id: None }).await {
        Ok(run) if run.status.is_open() => who.require_type(&run.workflow_type),
        Ok(_) | Err(RunError::NotFound) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The problem behind a start that was not made; `input` is the place of the checked argument in the body.
pub(super) fn start_problem(error: StartError, input: &[&str]) -> Problem {
    match error {
        StartError::Unavailable(name) => {
            Problem::new(Code::WorkflowUnavailable, format!("workflow type {name} is unknown or disabled"))
        }
        StartError::AttributesUnavailable(reason) => Problem::new(Code::SearchAttributesUnavailable, reason),
        StartError::NoHealthyWorker { detail, stale_for_seconds } => {
            Problem::new(Code::NoHealthyWorker, detail).with("stale_for_seconds", stale_for_seconds)
        }
        StartError::InvalidInput(details) => {
            let detail = match details.len() {
                1 => "the input does not fit its schema in one place".to_owned(),
                count => format!("the input does not fit its schema in {count} places"),
            };
            Problem::new(Code::InvalidInput, detail).with_details(in_input(details, input))
        }
        StartError::Invalid(details) => Problem::invalid_request(in_body(details)),
        StartError::InvalidSchema(why) => Problem::new(Code::InvalidSchema, why),
        StartError::RegistryQueue(queue) => {
            Problem::new(Code::RegistryQueueRefused, format!("{queue} is the registry's own task queue"))
        }
        StartError::AlreadyStarted { workflow_id, run_id } => {
            let detail = format!("workflow id {workflow_id} is taken by run {run_id}");
            Problem::new(Code::AlreadyStarted, detail).with("workflow_id", workflow_id).with("run_id", run_id)
        }
        StartError::KeyReused => {
            let detail = "this Idempotency-Key came with another request before";
            Problem::new(Code::IdempotencyKeyReused, detail)
        }
        StartError::Write(error) => error.into(),
        StartError::Full { what, limit } => Refusal::Full { what, limit }.into(),
        StartError::OverLimit(why) => Problem::new(Code::TooManyRequests, why),
        StartError::Refused(why) => Problem::new(Code::InvalidRequest, format!("Temporal refuses it: {why}")),
        StartError::TemporalUnavailable(why) => Problem::new(Code::TemporalUnavailable, why),
        StartError::OutcomeUnknown(why) => Problem::new(
            Code::OutcomeUnknown,
            format!(
                "it was sent, but Temporal gave no answer in time ({why}): retry with the same Idempotency-Key"
            ),
        ),
        StartError::Internal(why) => {
            tracing::error!(why, "a start failed");
            Problem::new(Code::Internal, "the start failed in a way nobody expects; see the log")
        }
    }
}

/// Places in the body.
pub(super) fn in_body(mut details: Vec<Violation>) -> Vec<Violation> {
    details.iter_mut().for_each(|violation| violation.loc.insert(0, "body".into()));
    details
}

/// Places in the input of a workflow, signal, query or update, or in the output of a task. As in the reference system, `loc` is the place in the
/// input itself; the pointer leads there from the top of the body.
pub(super) fn in_input(mut details: Vec<Violation>, input: &[&str]) -> Vec<Violation> {
    let pointer: String = input.iter().map(|part| format!("/{part}")).collect();
    details.iter_mut().for_each(|violation| violation.pointer.insert_str(0, &pointer));
    details
}
