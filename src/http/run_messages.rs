//! Signals, queries and updates of runs.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::OptionalJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::idempotency;
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::run_problem::closed;
use super::runs::{RunParams, WaitParams, run_ref};
use super::shapes::RunRefShape;
use super::starts::in_input;
use super::state::AppState;
use super::waiting::{WAIT_SECONDS, wait};
use crate::registry::Spec;
use crate::schema::content_hash;
use crate::seams::{Message, RunInfo, RunRef};

const PROBLEMS: &[Code] = &[
    Code::InvalidInput,
    Code::RunNotFound,
    Code::RunClosed,
    Code::MessageFailed,
    Code::InvalidSchema,
    Code::TooManyRequests,
    Code::NoHealthyWorker,
    Code::TemporalUnavailable,
    Code::OutcomeUnknown,
];

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Dispatch, routes!(signal_run)).problems(PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(query_run)).problems(PROBLEMS).reads())
        .with(Endpoint::needs(Role::Dispatch, routes!(update_run)).problems(PROBLEMS).waits())
}

/// The arguments of a message; none when the body is absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct MessageBody {
    /// The one argument. Checked against the declared schema when there is one.
    input: Option<Value>,
    /// Several arguments, or none. The first is checked.
    args: Option<Vec<Value>>,
}

/// What a query or an update answered.
#[derive(Serialize, ToSchema)]
struct MessageResult {
    result: Value,
}

/// Sends a signal.
///
/// 202 when Temporal has taken it. With an `Idempotency-Key` the run gets it once.
#[utoipa::path(
    post, path = "/runs/{workflow_id}/signals/{name}", tag = "runs",
    params(("workflow_id" = String, Path), ("name" = String, Path), RunParams,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = Option<MessageBody>,
    responses((status = 202, body = RunRefShape))
)]
async fn signal_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath((workflow_id, name)): ApiPath<(String, String)>,
    ApiQuery(params): ApiQuery<RunParams>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<MessageBody>,
) -> Result<(StatusCode, Json<RunRefShape>), Problem> {
    let run = run_ref(workflow_id, params.run_id);
    let message = body.message(name, idempotency::key(&headers)?, &who)?;
    let info = known(&state, &who, &run).await?;
    if !info.status.is_open() {
        return Err(closed());
    }
    check(&state, &info, |spec| spec.signals.get(&message.name), &message, &body)?;
    state.runs.signal(&run, message).await?;
    Ok((StatusCode::ACCEPTED, Json(RunRefShape { workflow_id: info.workflow_id, run_id: info.run_id })))
}

/// Asks a run, open or ended.
#[utoipa::path(
    post, path = "/runs/{workflow_id}/queries/{name}", tag = "runs",
    params(("workflow_id" = String, Path), ("name" = String, Path), RunParams),
    request_body = Option<MessageBody>,
    responses((status = 200, body = MessageResult))
)]
async fn query_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath((workflow_id, name)): ApiPath<(String, String)>,
    ApiQuery(params): ApiQuery<RunParams>,
    OptionalJson(body): OptionalJson<MessageBody>,
) -> Result<Json<MessageResult>, Problem> {
    let run = run_ref(workflow_id, params.run_id);
    let message = body.message(name, None, &who)?;
    let info = known(&state, &who, &run).await?;
    check(&state, &info, |spec| spec.queries.get(&message.name), &message, &body)?;
    let result = state.runs.query(&run, message).await?;
    Ok(Json(MessageResult { result }))
}

/// Sends an update and waits for its outcome.
///
/// The `Idempotency-Key` is the update id: the same key again waits for the same update. 504 when there is no outcome in
/// time (30 s unless the request says otherwise); the update may still be carried out.
#[utoipa::path(
    post, path = "/runs/{workflow_id}/updates/{name}", tag = "runs",
    params(("workflow_id" = String, Path), ("name" = String, Path), WaitParams,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = Option<MessageBody>,
    responses((status = 200, body = MessageResult))
)]
async fn update_run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath((workflow_id, name)): ApiPath<(String, String)>,
    ApiQuery(params): ApiQuery<WaitParams>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<MessageBody>,
) -> Result<Json<MessageResult>, Problem> {
    let within = wait(params.wait, &headers, WAIT_SECONDS);
    let run = run_ref(workflow_id, params.run_id);
    let message = body.message(name, idempotency::key(&headers)?, &who)?;
    let info = known(&state, &who, &run).await?;
    check(&state, &info, |spec| spec.updates.get(&message.name), &message, &body)?;
    let result = state.runs.update(&run, message, within).await?;
    Ok(Json(MessageResult { result }))
}

/// The run, when the caller may touch its type.
async fn known(state: &AppState, who: &Identity, run: &RunRef) -> Result<RunInfo, Problem> {
    let info = state.runs.describe(run).await?;
    who.require_type(&info.workflow_type)?;
    Ok(info)
}

impl MessageBody {
    fn message(&self, name: String, id: Option<String>, who: &Identity) -> Result<Message, Problem> {
        let arguments = match (&self.input, &self.args) {
            (Some(_), Some(_)) => {
                let msg = "set either `input` or `args`, not both";
                return Err(Problem::invalid_at(&["body", "args"], msg, "value_error"));
            }
            (Some(input), None) => vec![input.clone()],
            (None, Some(args)) => args.clone(),
            (None, None) => Vec::new(),
        };
        Ok(Message { name, arguments, id, caller: who.name.to_string() })
    }
}

/// Checks the first argument against what the type of the run declares for this message, if it does.
fn check(
    state: &AppState,
    run: &RunInfo,
    declared: impl Fn(&Spec) -> Option<&Value>,
    message: &Message,
    body: &MessageBody,
) -> Result<(), Problem> {
    let view = state.reads.view();
    let Some(entry) = view.types.get(&run.workflow_type) else { return Ok(()) };
    let Some(schema) = declared(&entry.current.spec) else { return Ok(()) };
    let validator = state.validators.get(&content_hash(schema), schema);
    let validator = validator.map_err(|why| Problem::new(Code::InvalidSchema, why.to_string()))?;
    let nothing = Value::Object(Map::new());
    let violations = validator.check(message.arguments.first().unwrap_or(&nothing));
    if violations.is_empty() {
        return Ok(());
    }
    let place: &[&str] = if body.args.is_some() { &["args", "0"] } else { &["input"] };
    let detail = format!("the argument does not fit the schema of {:?}", message.name);
    Err(Problem::new(Code::InvalidInput, detail).with_details(in_input(violations, place)))
}
