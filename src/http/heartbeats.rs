//! Heartbeats: renewed in memory at once, durable a little later.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::{ApiJson, OptionalJson};
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::params::ApiPath;
use super::problem::Problem;
use super::registration::require_reach;
use super::shapes::rfc3339;
use super::state::AppState;
use crate::{clock, seams::Unanswered, view::View};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(
            Endpoint::needs(Role::Register, routes!(heartbeat))
                .from_view()
                .problems(&[Code::TemporalUnavailable]),
        )
        .with(
            Endpoint::needs(Role::Register, routes!(heartbeats))
                .from_view()
                .problems(&[Code::TemporalUnavailable]),
        )
}

/// Which incarnation of the worker is alive.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct HeartbeatRequest {
    /// Its epoch; the current one when absent.
    #[schema(example = 17)]
    epoch: Option<u64>,
}

/// Many heartbeats.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HeartbeatsRequest {
    workers: Vec<WorkerAlive>,
}

/// One of many heartbeats.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WorkerAlive {
    #[schema(min_length = 1, example = "w1")]
    worker_id: String,
    /// Its epoch; the current one when absent.
    #[schema(example = 17)]
    epoch: Option<u64>,
}

/// The answer to a heartbeat.
#[derive(Serialize, ToSchema)]
struct HeartbeatAnswer {
    status: HeartbeatStatus,
    /// When the lease ends unless another heartbeat comes; `null` when there is none.
    #[schema(example = "2026-05-01T12:01:00.000Z")]
    lease_expires_at: Option<String>,
    /// How often to heartbeat; `null` when there is no lease.
    #[schema(example = 20)]
    heartbeat_interval_seconds: Option<u32>,
}

/// What a heartbeat did.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HeartbeatStatus {
    /// The lease is renewed.
    Ack,
    /// This worker, or this epoch of it, is not registered: it registers again.
    Reregister,
}

/// The answers to many heartbeats.
#[derive(Serialize, ToSchema)]
struct HeartbeatsAnswer {
    /// One for each, in the order given.
    workers: Vec<WorkerHeard>,
}

/// The answer to one of many heartbeats.
#[derive(Serialize, ToSchema)]
struct WorkerHeard {
    #[schema(example = "w1")]
    worker_id: String,
    #[serde(flatten)]
    answer: HeartbeatAnswer,
}

impl From<Option<(i64, u32)>> for HeartbeatAnswer {
    fn from(lease: Option<(i64, u32)>) -> Self {
        match lease {
            Some((ends_ms, interval)) => Self {
                status: HeartbeatStatus::Ack,
                lease_expires_at: Some(rfc3339(ends_ms)),
                heartbeat_interval_seconds: Some(interval),
            },
            None => Self {
                status: HeartbeatStatus::Reregister,
                lease_expires_at: None,
                heartbeat_interval_seconds: None,
            },
        }
    }
}

/// A worker is alive.
///
/// Takes an empty body. Answers `reregister` when this worker, or this epoch of it, is not known.
#[utoipa::path(
    post, path = "/registry/workers/{worker_id}/heartbeat", tag = "workers",
    params(("worker_id" = String, Path)),
    request_body(content = Option<HeartbeatRequest>, example = json!({"epoch": 17})),
    responses((status = 200, body = HeartbeatAnswer))
)]
async fn heartbeat(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(worker_id): ApiPath<String>,
    OptionalJson(HeartbeatRequest { epoch }): OptionalJson<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, Problem> {
    let heard = hear(&state, &who, vec![WorkerAlive { worker_id, epoch }]).await?;
    let lease = heard.into_iter().next().and_then(|(_, lease)| lease);
    Ok(Json(lease.into()))
}

/// Many workers are alive.
#[utoipa::path(
    post, path = "/registry/heartbeats", tag = "workers",
    request_body(content = HeartbeatsRequest, example = json!({"workers": [{"worker_id": "w1", "epoch": 17}]})),
    responses((status = 200, body = HeartbeatsAnswer))
)]
async fn heartbeats(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiJson(body): ApiJson<HeartbeatsRequest>,
) -> Result<Json<HeartbeatsAnswer>, Problem> {
    let heard = hear(&state, &who, body.workers).await?.into_iter();
    let workers = heard.map(|(worker_id, lease)| WorkerHeard { worker_id, answer: lease.into() });
    Ok(Json(HeartbeatsAnswer { workers: workers.collect() }))
}

/// Renews each lease. One look at the registry itself settles all that this replica does not know.
async fn hear(
    state: &AppState,
    who: &Identity,
    alive: Vec<WorkerAlive>,
) -> Result<Vec<(String, Option<(i64, u32)>)>, Problem> {
    if who.workflow_types.is_some() {
        let view = state.reads.view();
        alive.iter().try_for_each(|one| require_reach(&view, who, &one.worker_id))?;
    }
    let renew = |one: &WorkerAlive| state.reads.heartbeat(&one.worker_id, one.epoch, clock::now_ms());
    let mut leases: BTreeMap<usize, (i64, u32)> =
        alive.iter().enumerate().filter_map(|(at, one)| Some((at, renew(one)?))).collect();
    let view = state.reads.view();
    let unknown: Vec<usize> = (0..alive.len())
        .filter(|at| !leases.contains_key(at) && may_be_elsewhere(&view, &alive[*at]))
        .collect();
    if !unknown.is_empty() {
        match state.reads.catch_up().await {
            Ok(()) => leases.extend(unknown.into_iter().filter_map(|at| Some((at, renew(&alive[at])?)))),
            // Those that are known must not lapse on account of one that is not: that one registers again, or tries to.
            Err(Unanswered(_)) if !leases.is_empty() => {}
            Err(Unanswered(why)) => {
                let detail =
                    format!("this worker is not known here, and the registry cannot be asked: {why}");
                return Err(Problem::new(Code::TemporalUnavailable, detail));
            }
        }
    }
    let answers = alive.into_iter().enumerate().map(|(at, one)| (one.worker_id, leases.get(&at).copied()));
    Ok(answers.collect())
}

/// Whether another replica may know this worker and epoch: epochs only rise, so an older one is gone for good.
fn may_be_elsewhere(view: &View, one: &WorkerAlive) -> bool {
    let known = view.workers.get(&one.worker_id).map(|member| member.worker.epoch);
    known.is_none_or(|known| one.epoch.is_none_or(|epoch| epoch > known))
}
