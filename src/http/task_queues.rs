//! `/registry/task-queues`: the queues with who serves what on them, and what Temporal reports of them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::Role;
use super::endpoint::{Endpoint, Routes};
use super::page::Page;
use super::params::ApiQuery;
use super::problem::Problem;
use super::shapes::{WorkerHealth, rfc3339};
use super::state::AppState;
use super::warnings::{QueueAt, Warning, queues};
use crate::{clock, fleet::Judge, registry::Health, view::View};

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Read, routes!(list_task_queues)).from_view())
}

/// How much to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// Items at most, 1 to 1000; all of them when absent.
    limit: Option<u32>,
    /// Where the last page ended.
    page_token: Option<String>,
}

/// Task queues, by name.
#[derive(Serialize, ToSchema)]
struct TaskQueueList {
    task_queues: Vec<TaskQueue>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// A task queue.
#[derive(Serialize, ToSchema)]
struct TaskQueue {
    #[schema(example = "reports")]
    task_queue: String,
    /// The best health among its workers; `unhealthy` when there is none.
    health: WorkerHealth,
    /// The types that name it, and those served on it.
    #[schema(example = json!(["report.v1"]))]
    workflows: Vec<String>,
    /// The workers on it, by id.
    workers: Vec<WorkerThere>,
    /// Who polled it for workflow tasks within the last minutes, as Temporal tells; `null` until it was asked. Late by up
    /// to five minutes, and without those that are busy.
    pollers: Option<Vec<PollerSeen>>,
    /// Workflow tasks that wait on it, roughly; `null` when Temporal does not say.
    #[schema(example = 0)]
    backlog: Option<i64>,
    /// When Temporal was asked.
    #[schema(example = "2026-05-01T12:00:00.000Z")]
    reported_at: Option<String>,
    /// What looks wrong.
    warnings: Vec<Warning>,
}

/// A worker of a queue or a host.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct WorkerThere {
    #[schema(example = "w1")]
    pub worker_id: String,
    /// Judged at this moment.
    pub health: WorkerHealth,
    /// Machine it runs on.
    #[schema(example = "build-host-1")]
    pub host: String,
}

/// Somebody who polls.
#[derive(Serialize, ToSchema)]
struct PollerSeen {
    /// How the process names itself in Temporal.
    #[schema(example = "4711@build-host-1")]
    identity: String,
    /// Its last poll.
    #[schema(example = "2026-05-01T12:00:00.000Z")]
    last_access_at: String,
}

/// Lists task queues with their types, workers, pollers and backlog.
///
/// What Temporal reports is asked for in the background, every 15 seconds.
#[utoipa::path(
    get, path = "/registry/task-queues", tag = "registry", params(Paging),
    responses((status = 200, body = TaskQueueList))
)]
async fn list_task_queues(
    State(state): State<AppState>,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<TaskQueueList>, Problem> {
    let page = Page::new(paging.limit, paging.page_token.as_deref())?;
    let view = state.reads.view();
    let judge = state.fleet.judge(&view, clock::now_ms());
    let (found, next_page_token) = page.cut(queues(&view, &*state.queues).into_values(), |queue| queue.name);
    let task_queues = found.iter().map(|queue| shape(queue, &view, &judge)).collect();
    Ok(Json(TaskQueueList { task_queues, next_page_token }))
}

fn shape(queue: &QueueAt<'_>, view: &View, judge: &Judge) -> TaskQueue {
    let workers = queue.workers.values().map(|member| WorkerThere {
        worker_id: member.worker.worker_id.clone(),
        health: judge.health(member).into(),
        host: member.worker.host.clone(),
    });
    let poller = |poller: &crate::seams::Poller| PollerSeen {
        identity: poller.identity.clone(),
        last_access_at: rfc3339(poller.last_access_ms),
    };
    let seen = queue.seen.as_deref();
    TaskQueue {
        task_queue: queue.name.to_owned(),
        health: best(queue.workers.values().map(|member| judge.health(member))),
        workflows: queue.types.iter().map(|name| (*name).to_owned()).collect(),
        workers: workers.collect(),
        pollers: seen.map(|seen| seen.pollers.iter().map(poller).collect()),
        backlog: seen.and_then(|seen| seen.backlog),
        reported_at: seen.map(|seen| rfc3339(seen.at_ms)),
        warnings: queue.warnings(view, judge),
    }
}

/// The best of some healths; `unhealthy` when there is none.
pub(super) fn best(healths: impl Iterator<Item = Health>) -> WorkerHealth {
    let mut found = Health::Unhealthy;
    for health in healths {
        match health {
            Health::Healthy => return WorkerHealth::Healthy,
            Health::Unknown => found = Health::Unknown,
            Health::Unhealthy => {}
        }
    }
    found.into()
}
