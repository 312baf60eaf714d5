//! `/registry/workers`: registering, listing, draining and leaving.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::{ApiJson, OptionalJson};
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::labels::Labels;
use super::page::Page;
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::refusal::worker_not_found;
use super::registration::{Checked, Registered, RegistrationShape, require_reach};
use super::shapes::{VerdictShape, WorkerHealth, WorkerShape};
use super::state::AppState;
use crate::{clock, registry::Command, view::Member};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(list_workers)).from_view())
        .with(Endpoint::needs(Role::Register, routes!(register_worker)).from_view().problems(&[
            Code::InvalidSchema,
            Code::RegistryQueueRefused,
            Code::StaleEpoch,
            Code::RegistryFull,
            Code::QueueFull,
            Code::TemporalUnavailable,
        ]))
        .with(Endpoint::needs(Role::Read, routes!(get_worker)).from_view().problems(&[Code::WorkerNotFound]))
        .with(Endpoint::needs(Role::Register, routes!(delete_worker)).from_view().problems(LEAVING))
        .with(Endpoint::needs(Role::Register, routes!(drain_worker)).from_view().problems(LEAVING))
}

const LEAVING: &[Code] =
    &[Code::WorkerNotFound, Code::StaleEpoch, Code::QueueFull, Code::TemporalUnavailable];

/// Which workers to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WorkerFilter {
    /// Serving anything on this task queue.
    task_queue: Option<String>,
    /// On this host.
    host: Option<String>,
    /// Of this environment.
    environment: Option<String>,
    /// With this label, as `key=value`; repeatable, and all of them count.
    #[serde(default)]
    label: Vec<String>,
    /// `healthy`, `unhealthy` or `unknown`.
    #[param(inline)]
    health: Option<WorkerHealth>,
    /// Serving this workflow type.
    workflow_type: Option<String>,
    /// Items at most, 1 to 1000; all of them when absent.
    limit: Option<u32>,
    /// Where the last page ended.
    page_token: Option<String>,
}

/// Workers, by id.
#[derive(Serialize, ToSchema)]
struct WorkerList {
    workers: Vec<WorkerShape>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// How to register.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Forcing {
    /// Specs of this body replace those that stand, compatible or not.
    #[serde(default)]
    force: bool,
}

/// A registered worker and what became of its types.
#[derive(Serialize, ToSchema)]
struct WorkerRegistered {
    #[serde(flatten)]
    worker: WorkerShape,
    /// One for each type, in the order given.
    verdicts: Vec<VerdictShape>,
}

/// Which incarnation of a worker is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Fence {
    /// Only this epoch of the worker; a newer one stays as it is.
    epoch: Option<u64>,
}

/// Which incarnation of a worker is meant.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct DrainRequest {
    /// Only this epoch of the worker; a newer one stays as it is.
    #[schema(example = 17)]
    epoch: Option<u64>,
}

/// Lists workers.
///
/// Health is judged at the moment of reading.
#[utoipa::path(
    get, path = "/registry/workers", tag = "workers", params(WorkerFilter),
    responses((status = 200, body = WorkerList))
)]
async fn list_workers(
    State(state): State<AppState>,
    ApiQuery(filter): ApiQuery<WorkerFilter>,
) -> Result<Json<WorkerList>, Problem> {
    let page = Page::new(filter.limit, filter.page_token.as_deref())?;
    let labels = Labels::read(&filter.label)?;
    let view = state.reads.view();
    let judge = state.fleet.judge(&view, clock::now_ms());
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let fits = |member: &&Member| {
        let worker = &*member.worker;
        let on = |queue: &str| {
            worker.task_queue == queue || worker.workflows.iter().any(|served| served.task_queue == queue)
        };
        is(&filter.host, &worker.host)
            && is(&filter.environment, &worker.environment)
            && labels.all_in(&worker.labels)
            && filter.task_queue.as_deref().is_none_or(on)
            && filter.workflow_type.as_deref().is_none_or(|name| worker.queue_for(name).is_some())
    };
    let shapes = view.workers.values().filter(fits).map(|member| WorkerShape::of(member, &judge));
    let shapes = shapes.filter(|worker| filter.health.is_none_or(|health| health == worker.health));
    let (workers, next_page_token) = page.cut(shapes, |worker| &worker.worker_id);
    Ok(Json(WorkerList { workers, next_page_token }))
}

/// Registers a worker with the types it serves.
///
/// The same body again changes nothing and answers 200. A spec that differs from the one that stands becomes the next
/// revision when every input that is accepted now still is; else the verdict says what broke.
#[utoipa::path(
    post, path = "/registry/workers", tag = "workers", params(Forcing),
    request_body(content = RegistrationShape, example = json!({
        "worker_id": "w1", "task_queue": "reports", "ttl_seconds": 60,
        "workflows": [{
            "workflow_type": "report.v1",
            "input_schema": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
        }]
    })),
    responses(
        (status = 201, body = WorkerRegistered, description = "Registered."),
        (status = 200, body = WorkerRegistered, description = "Nothing changed; the lease is renewed.")
    )
)]
async fn register_worker(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiQuery(how): ApiQuery<Forcing>,
    ApiJson(body): ApiJson<RegistrationShape>,
) -> Result<Response, Problem> {
    let checked = Checked::new((&state).into(), &who, body, how.force).await?;
    require_reach(&state.reads.view(), &who, checked.worker_id())?;
    let Registered { member, changed, verdicts } = checked.submit(&state).await?;
    let judge = state.fleet.judge(&state.reads.view(), clock::now_ms());
    let worker = WorkerShape::of(&member, &judge);
    let verdicts = verdicts.into_iter().map(VerdictShape::from).collect();
    let status = if changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(WorkerRegistered { worker, verdicts })).into_response())
}

/// One worker.
#[utoipa::path(
    get, path = "/registry/workers/{worker_id}", tag = "workers", params(("worker_id" = String, Path)),
    responses((status = 200, body = WorkerShape))
)]
async fn get_worker(
    State(state): State<AppState>,
    ApiPath(worker_id): ApiPath<String>,
) -> Result<Json<WorkerShape>, Problem> {
    shown(&state, &worker_id)
}

/// A worker leaves.
///
/// With `epoch`, an older incarnation cannot remove a newer one.
#[utoipa::path(
    delete, path = "/registry/workers/{worker_id}", tag = "workers",
    params(("worker_id" = String, Path), Fence), responses((status = 204, description = "Gone."))
)]
async fn delete_worker(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(worker_id): ApiPath<String>,
    ApiQuery(Fence { epoch }): ApiQuery<Fence>,
) -> Result<StatusCode, Problem> {
    require_reach(&state.reads.view(), &who, &worker_id)?;
    state.write(&Command::Deregister { worker_id, epoch }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A worker finishes what it has and takes no new starts.
///
/// It goes on to heartbeat; registering again ends the draining.
#[utoipa::path(
    post, path = "/registry/workers/{worker_id}/drain", tag = "workers", params(("worker_id" = String, Path)),
    request_body(content = Option<DrainRequest>, example = json!({"epoch": 17})),
    responses((status = 200, body = WorkerShape))
)]
async fn drain_worker(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(worker_id): ApiPath<String>,
    OptionalJson(DrainRequest { epoch }): OptionalJson<DrainRequest>,
) -> Result<Json<WorkerShape>, Problem> {
    require_reach(&state.reads.view(), &who, &worker_id)?;
    state.write(&Command::Drain { worker_id: worker_id.clone(), epoch }).await?;
    shown(&state, &worker_id)
}

fn shown(state: &AppState, worker_id: &str) -> Result<Json<WorkerShape>, Problem> {
    let view = state.reads.view();
    let member = view.workers.get(worker_id).ok_or_else(|| worker_not_found(worker_id))?;
    Ok(Json(WorkerShape::of(member, &state.fleet.judge(&view, clock::now_ms()))))
}
