//! A worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{epoch_seconds, rfc3339};
use crate::{
    fleet::Judge,
    registry::{Health, WorkerState},
    view::Member,
};

/// A worker process that serves workflow types.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Worker)]
pub struct WorkerShape {
    /// Chosen by the worker; unique.
    #[schema(example = "w1")]
    pub worker_id: String,
    /// Its main task queue.
    #[schema(example = "reports")]
    pub task_queue: String,
    /// Length of its lease in seconds.
    #[schema(example = 60)]
    pub ttl_seconds: u32,
    /// Last heartbeat, seconds since the Unix epoch.
    #[schema(example = 1777636800.0)]
    pub last_seen_epoch: f64,
    /// Free text; a deployment stage, say.
    #[schema(example = "local")]
    pub environment: String,
    /// Free key-value pairs to filter by.
    #[schema(example = json!({}))]
    pub labels: BTreeMap<String, String>,
    /// The types it serves.
    #[schema(example = json!(["report.v1"]))]
    pub workflows: Vec<String>,
    /// Whether starts may be routed to it: `health` is not `unhealthy`.
    pub healthy: bool,
    /// Judged at this moment.
    pub health: WorkerHealth,
    /// Whether it takes new starts.
    pub state: WorkerStateWord,
    /// Fences incarnations of this worker id; only ever rises.
    #[schema(example = 17)]
    pub epoch: u64,
    /// The incarnation the worker named, if it did.
    pub incarnation: Option<String>,
    /// When its lease ends unless another heartbeat comes.
    #[schema(example = "2026-05-01T12:01:00.000Z")]
    pub lease_expires_at: String,
    /// When this epoch began.
    #[schema(example = "2026-05-01T12:00:00.000Z")]
    pub registered_at: String,
    /// How often it should heartbeat.
    #[schema(example = 20)]
    pub heartbeat_interval_seconds: u32,
    /// Machine it runs on.
    pub host: String,
    /// Free text.
    pub version: String,
    /// Anything else, kept as given.
    #[schema(example = json!({}))]
    pub metadata: Map<String, Value>,
}

/// Whether a worker can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerHealth {
    /// Its lease holds.
    Healthy,
    /// Its lease ran out.
    Unhealthy,
    /// Its lease ran out together with many others, or while nobody was there to hear it.
    Unknown,
}

/// Whether a worker takes new starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WorkerState)]
#[serde(rename_all = "snake_case")]
pub enum WorkerStateWord {
    /// Takes new starts.
    Active,
    /// Finishes what it has; takes no new starts.
    Draining,
}

impl From<Health> for WorkerHealth {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            Health::Unhealthy => Self::Unhealthy,
            Health::Unknown => Self::Unknown,
        }
    }
}

impl WorkerHealth {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

impl WorkerShape {
    /// A member of the view, judged.
    pub fn of(member: &Member, judge: &Judge) -> Self {
        let worker = &*member.worker;
        let health = judge.health(member);
        Self {
            worker_id: worker.worker_id.clone(),
            task_queue: worker.task_queue.clone(),
            ttl_seconds: worker.ttl_seconds,
            last_seen_epoch: epoch_seconds(member.last_seen_ms()),
            environment: worker.environment.clone(),
            labels: worker.labels.clone(),
            workflows: worker.workflows.iter().map(|served| served.workflow_type.clone()).collect(),
            healthy: health.is_usable(),
            health: health.into(),
            state: match worker.state {
                WorkerState::Active => WorkerStateWord::Active,
                WorkerState::Draining => WorkerStateWord::Draining,
            },
            epoch: worker.epoch,
            incarnation: worker.incarnation.clone(),
            lease_expires_at: rfc3339(member.lease_expires_ms()),
            registered_at: rfc3339(worker.registered_at_ms),
            heartbeat_interval_seconds: worker.heartbeat_interval_seconds(),
            host: worker.host.clone(),
            version: worker.version.clone(),
            metadata: worker.metadata.clone(),
        }
    }
}
