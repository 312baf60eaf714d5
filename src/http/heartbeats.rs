//! Heartbeats: renewed in memory at once, durable a little later.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::answers::rendered;
use super::auth::{Identity, Role};
use super::body::{Bulk, BulkJson, Object, OptionalJson};
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
    #[schema(value_type = Vec<WorkerAlive>)]
    workers: Vec<Object<WorkerAlive>>,
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

impl Bulk for HeartbeatsRequest {
    fn fits(&self) -> bool {
        let epoch_fits = |epoch: u64| i64::try_from(epoch).is_ok();
        self.workers.iter().all(|Object(one)| !one.worker_id.is_empty() && one.epoch.is_none_or(epoch_fits))
    }
}

/// The answer to a heartbeat.
#[derive(Serialize, ToSchema)]
struct HeartbeatAnswer {
    status: HeartbeatStatus,
    /// When the lease ends unless another heartbeat comes; `null` when there is none.
    #[schema(value_type = Option<String>, example = "2026-05-01T12:01:00.000Z")]
    lease_expires_at: Option<Arc<str>>,
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

/// Renders answers. Most leases renewed together end together, and are written once.
#[derive(Default)]
struct Answering {
    last: Option<(i64, Arc<str>)>,
}

impl Answering {
    fn answer(&mut self, lease: Option<(i64, u32)>) -> HeartbeatAnswer {
        let Some((ends_ms, interval)) = lease else {
            return HeartbeatAnswer {
                status: HeartbeatStatus::Reregister,
                lease_expires_at: None,
                heartbeat_interval_seconds: None,
            };
        };
        let ends_at = match &self.last {
            Some((known_ms, text)) if *known_ms == ends_ms => text.clone(),
            _ => self.last.insert((ends_ms, rfc3339(ends_ms).into())).1.clone(),
        };
        HeartbeatAnswer {
            status: HeartbeatStatus::Ack,
            lease_expires_at: Some(ends_at),
            heartbeat_interval_seconds: Some(interval),
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
) -> Result<Response, Problem> {
    let heard = hear(&state, &who, vec![WorkerAlive { worker_id, epoch }]).await?;
    let lease = heard.into_iter().next().and_then(|(_, lease)| lease);
    rendered(&Answering::default().answer(lease))
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
    BulkJson(body): BulkJson<HeartbeatsRequest>,
) -> Result<Response, Problem> {
    let alive = body.workers.into_iter().map(|Object(one)| one).collect();
    let heard = hear(&state, &who, alive).await?.into_iter();
    let mut answering = Answering::default();
    let workers = heard.map(|(worker_id, lease)| WorkerHeard { worker_id, answer: answering.answer(lease) });
    rendered(&HeartbeatsAnswer { workers: workers.collect() })
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
    let renew = |one: &WorkerAlive, now_ms: i64| state.reads.heartbeat(&one.worker_id, one.epoch, now_ms);
    let now_ms = clock::now_ms();
    let mut leases: Vec<Option<(i64, u32)>> = alive.iter().map(|one| renew(one, now_ms)).collect();
    let view = state.reads.view();
    let unknown: Vec<usize> =
        (0..alive.len()).filter(|at| leases[*at].is_none() && may_be_elsewhere(&view, &alive[*at])).collect();
    if !unknown.is_empty() {
        match state.reads.catch_up().await {
            Ok(()) => {
                let now_ms = clock::now_ms();
                unknown.into_iter().for_each(|at| leases[at] = renew(&alive[at], now_ms));
            }
            // Those that are known must not lapse on account of one that is not: that one registers again, or tries to.
            Err(Unanswered(_)) if leases.iter().any(Option::is_some) => {}
            Err(Unanswered(why)) => {
                let detail =
                    format!("this worker is not known here, and the registry cannot be asked: {why}");
                return Err(Problem::new(Code::TemporalUnavailable, detail));
            }
        }
    }
    Ok(alive.into_iter().map(|one| one.worker_id).zip(leases).collect())
}

/// Whether another replica may know this worker and epoch: epochs only rise, so an older one is gone for good.
fn may_be_elsewhere(view: &View, one: &WorkerAlive) -> bool {
    let known = view.workers.get(&one.worker_id).map(|member| member.worker.epoch);
    known.is_none_or(|known| one.epoch.is_none_or(|epoch| epoch > known))
}
