//! `GET /tasks` and below: work for people, and for systems that ask for it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::OptionalJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::idempotency;
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::shapes::{TaskShape, TaskStatusWord};
use super::state::AppState;
use super::task_problem::{no_runner, no_task, problem};
use crate::clock;
use crate::seams::{RunError, RunInfo, RunRef, Task, TaskAction, TaskChange, TaskFilter};
use crate::view::View;

/// Tasks on a page unless the client says how many. Each is asked for, so a page is smaller than one of runs.
const LIMIT: u32 = 20;

const READ_PROBLEMS: &[Code] =
    &[Code::TaskNotFound, Code::TooManyRequests, Code::NoHealthyWorker, Code::TemporalUnavailable];
const PROBLEMS: &[Code] = &[
    Code::InvalidInput,
    Code::TaskNotFound,
    Code::TaskClaimed,
    Code::TaskClosed,
    Code::MessageFailed,
    Code::NoHealthyWorker,
    Code::TemporalUnavailable,
    Code::OutcomeUnknown,
];

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(list_tasks)).problems(&[Code::TooManyRequests]))
        .with(Endpoint::needs(Role::Read, routes!(get_task)).problems(READ_PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(claim_task)).problems(PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(release_task)).problems(PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(complete_task)).problems(PROBLEMS))
        .with(Endpoint::needs(Role::Dispatch, routes!(fail_task)).problems(PROBLEMS))
}

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Of this type.
    workflow_type: Option<String>,
    /// Standing so.
    #[param(inline)]
    status: Option<TaskStatusWord>,
    /// 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// As given by the last page.
    page_token: Option<String>,
}

/// Some tasks.
#[derive(Serialize, ToSchema)]
struct TaskList {
    tasks: Vec<TaskShape>,
    /// Where the next page begins, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// Who takes a task, and for how long.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ClaimBody {
    /// The name of the token when absent.
    #[schema(min_length = 1, max_length = 1000)]
    assignee: Option<String>,
    /// How long the claim holds unless it is renewed; as the type says when absent.
    #[schema(minimum = 1, maximum = 604_800)]
    lease_seconds: Option<u64>,
}

/// Who gives a task back.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ReleaseBody {
    /// Refused when the task is held by somebody else; whoever holds it when absent.
    #[schema(min_length = 1, max_length = 1000)]
    assignee: Option<String>,
}

/// The result of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct CompleteBody {
    /// Has to fit the `output_schema` of the task; null when absent.
    output: Option<Value>,
    /// Refused when the task is held by somebody else; whoever holds it when absent.
    #[schema(min_length = 1, max_length = 1000)]
    assignee: Option<String>,
}

/// Why a task is given up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct FailBody {
    /// For people; becomes the `error_summary` of the result.
    #[schema(min_length = 1, max_length = 1000)]
    reason: Option<String>,
    /// Refused when the task is held by somebody else; whoever holds it when absent.
    #[schema(min_length = 1, max_length = 1000)]
    assignee: Option<String>,
}

/// Lists tasks, latest first.
///
/// A new task is there at once where it was started through the replica asked, else after about a second. A page may hold fewer tasks than asked for. A task whose runner does not
/// answer is `unknown`, with what is known without it, and listed under every status it may have.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(ListParams), responses((status = 200, body = TaskList)))]
async fn list_tasks(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiQuery(params): ApiQuery<ListParams>,
) -> Result<Json<TaskList>, Problem> {
    let page = params.page_token.map(|token| BASE64_URL_SAFE_NO_PAD.decode(token)).transpose();
    let page = page.map_err(|_| {
        Problem::invalid_at(&["query", "page_token"], "is not a token given by this list", "page_token")
    })?;
    let view = state.reads.view();
    let wanted = params.workflow_type.filter(|name| !name.is_empty());
    let specs = view.types.values().map(|entry| &entry.current.spec).filter(|spec| spec.is_manual());
    let names = specs.map(|spec| &spec.workflow_type);
    let names = names.filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == *name));
    let workflow_types: Vec<_> = names.filter(|name| who.may_touch(name)).cloned().collect();
    if workflow_types.is_empty() {
        return Ok(Json(TaskList { tasks: Vec::new(), next_page_token: None }));
    }
    let filter = TaskFilter {
        workflow_types,
        status: params.status.map(Into::into),
        limit: params.limit.unwrap_or(LIMIT),
        page: page.unwrap_or_default(),
    };
    let page = state.tasks.list(&filter).await?;
    let next_page_token = (!page.next.is_empty()).then(|| BASE64_URL_SAFE_NO_PAD.encode(page.next));
    let tasks = page.tasks.into_iter().map(|task| shape(&view, task)).collect();
    Ok(Json(TaskList { tasks, next_page_token }))
}

/// One task.
#[utoipa::path(
    get, path = "/tasks/{workflow_id}", tag = "tasks", params(("workflow_id" = String, Path)),
    responses((status = 200, body = TaskShape))
)]
async fn get_task(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
) -> Result<Json<TaskShape>, Problem> {
    let run = known(&state, &who, workflow_id).await?;
    let task = state.tasks.get(run).await.map_err(|error| problem(&state, error, &Value::Null))?;
    Ok(Json(shape(&state.reads.view(), task)))
}

/// Takes a task, or holds it longer.
///
/// While the lease lasts, nobody else can claim it: 409 `task_claimed` names the holder.
#[utoipa::path(
    post, path = "/tasks/{workflow_id}/claim", tag = "tasks",
    params(("workflow_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body(content = Option<ClaimBody>, example = json!({"assignee": "ann", "lease_seconds": 900})),
    responses((status = 200, body = TaskShape))
)]
async fn claim_task(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<ClaimBody>,
) -> Result<Json<TaskShape>, Problem> {
    let assignee = body.assignee.unwrap_or_else(|| who.name.to_string());
    let action = TaskAction::Claim { assignee, lease_seconds: body.lease_seconds };
    change(&state, &who, workflow_id, &headers, action).await
}

/// Gives a task back.
#[utoipa::path(
    post, path = "/tasks/{workflow_id}/release", tag = "tasks",
    params(("workflow_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body(content = Option<ReleaseBody>, example = json!({"assignee": "ann"})),
    responses((status = 200, body = TaskShape))
)]
async fn release_task(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<ReleaseBody>,
) -> Result<Json<TaskShape>, Problem> {
    let action = TaskAction::Release { assignee: body.assignee };
    change(&state, &who, workflow_id, &headers, action).await
}

/// Completes a task.
///
/// The output is that of the run: `GET /runs/{workflow_id}/result` has it. One that does not fit the form is 400
/// `invalid_input`, and the task stays as it is.
#[utoipa::path(
    post, path = "/tasks/{workflow_id}/complete", tag = "tasks",
    params(("workflow_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body(content = Option<CompleteBody>, example = json!({"output": {"approved": true}, "assignee": "ann"})),
    responses((status = 200, body = TaskShape))
)]
async fn complete_task(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<CompleteBody>,
) -> Result<Json<TaskShape>, Problem> {
    let action = TaskAction::Complete { output: body.output.unwrap_or_default(), assignee: body.assignee };
    change(&state, &who, workflow_id, &headers, action).await
}

/// Gives a task up.
///
/// Its run completes with the status `failed` in its result.
#[utoipa::path(
    post, path = "/tasks/{workflow_id}/fail", tag = "tasks",
    params(("workflow_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body(content = Option<FailBody>, example = json!({"reason": "the amount is wrong", "assignee": "ann"})),
    responses((status = 200, body = TaskShape))
)]
async fn fail_task(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(workflow_id): ApiPath<String>,
    headers: HeaderMap,
    OptionalJson(body): OptionalJson<FailBody>,
) -> Result<Json<TaskShape>, Problem> {
    let action = TaskAction::Fail { reason: body.reason, assignee: body.assignee };
    change(&state, &who, workflow_id, &headers, action).await
}

async fn change(
    state: &AppState,
    who: &Identity,
    workflow_id: String,
    headers: &HeaderMap,
    action: TaskAction,
) -> Result<Json<TaskShape>, Problem> {
    let id = idempotency::key(headers)?;
    let run = known(state, who, workflow_id).await?;
    if run.status.is_open() && !is_served(state, &run.workflow_type) {
        return Err(no_runner(&run.workflow_type));
    }
    let output = match &action {
        TaskAction::Complete { output, .. } => output.clone(),
        _ => Value::Null,
    };
    let change = TaskChange { action, id, caller: who.name.to_string() };
    let changed = state.tasks.change(run, change).await;
    let task = changed.map_err(|error| problem(state, error, &output))?;
    Ok(Json(shape(&state.reads.view(), task)))
}

/// The run behind a task, when there is one and the caller may touch its type.
async fn known(state: &AppState, who: &Identity, workflow_id: String) -> Result<RunInfo, Problem> {
    let run = state.runs.describe(&RunRef { workflow_id, run_id: None }).await;
    let run = run.map_err(|error| if error == RunError::NotFound { no_task() } else { error.into() })?;
    who.require_type(&run.workflow_type)?;
    let view = state.reads.view();
    let is_of_manual_type =
        view.types.get(&run.workflow_type).is_some_and(|entry| entry.current.spec.is_manual());
    if is_of_manual_type { Ok(run) } else { Err(no_task()) }
}

/// Whether somebody is there who can carry out what is asked of a task.
fn is_served(state: &AppState, workflow_type: &str) -> bool {
    let view = state.reads.view();
    let judge = state.fleet.judge(&view, clock::now_ms());
    view.workers_of(workflow_type).any(|member| judge.health(member).is_usable())
}

fn shape(view: &View, task: Task) -> TaskShape {
    let entry = view.types.get(&task.workflow_type);
    TaskShape::new(task, entry.map(|entry| entry.current.spec.input_schema.clone()))
}
