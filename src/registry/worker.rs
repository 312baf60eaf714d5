//! A worker as registered, and its lease.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How many lease lengths after the last heartbeat a worker is forgotten.
pub const FORGOTTEN_AFTER_LEASES: i64 = 6;
/// The end of a lease that never ends: the last moment of the year 9999, milliseconds since the Unix epoch.
const FOREVER_MS: i64 = 253_402_300_799_000;

/// A worker process that serves workflow types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Chosen by the worker; unique in the registry.
    pub worker_id: String,
    /// Its main task queue.
    pub task_queue: String,
    /// The types it serves, in the order registered.
    pub workflows: Vec<Served>,
    /// Length of its lease in seconds.
    pub ttl_seconds: u32,
    /// Last registration or heartbeat known durably, milliseconds since the Unix epoch.
    pub last_seen_ms: i64,
    /// First registration of this epoch, milliseconds since the Unix epoch.
    pub registered_at_ms: i64,
    /// Fences incarnations of one worker id: only ever rises.
    pub epoch: u64,
    /// Chosen by the worker; a new value asks for a new epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Whether new starts may be routed to it.
    #[serde(default)]
    pub state: WorkerState,
    /// Whether a running replica saw its lease run out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
    /// Free text; the reference's word for a deployment stage.
    pub environment: String,
    /// Free key-value pairs to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Machine it runs on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Anything else, kept as given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Declared by the configuration rather than by itself: it never heartbeats, so its lease never ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_static: bool,
    /// Registry revision of the last change that is not a renewal.
    pub changed: u64,
    /// Registry revision of the last renewal.
    pub renewed: u64,
}

/// Whether new starts may be routed to a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerState {
    /// Takes new starts.
    #[default]
    Active,
    /// Finishes what it has; takes no new starts.
    Draining,
}

/// One type that a worker serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Temporal workflow type.
    pub workflow_type: String,
    /// Task queue on which this worker serves it.
    pub task_queue: String,
    /// Content hash of the spec this worker was built with.
    pub hash: String,
}

/// The renewable part of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose lease.
    pub worker_id: String,
    /// Which incarnation's.
    pub epoch: u64,
    /// Last heartbeat, milliseconds since the Unix epoch.
    pub last_seen_ms: i64,
    /// Registry revision of the renewal.
    #[serde(default)]
    pub renewed: u64,
}

impl Worker {
    /// Length of the lease in milliseconds.
    pub fn ttl_ms(&self) -> i64 {
        i64::from(self.ttl_seconds) * 1000
    }

    /// When the lease runs out if nothing renews it, for a heartbeat seen at `last_seen_ms`.
    pub fn lease_expires_ms(&self, last_seen_ms: i64) -> i64 {
        if self.is_static { FOREVER_MS } else { last_seen_ms + self.ttl_ms() }
    }

    /// When the worker is forgotten if nothing renews its lease.
    pub fn forgotten_at_ms(&self) -> i64 {
        if self.is_static {
            return FOREVER_MS;
        }
        self.last_seen_ms + self.ttl_ms() * FORGOTTEN_AFTER_LEASES
    }

    /// How often it should heartbeat, in seconds: three times in a lease, so that one lost heartbeat is no lapse.
    pub fn heartbeat_interval_seconds(&self) -> u32 {
        (self.ttl_seconds / 3).max(1)
    }

    /// The task queue on which it serves a type, if it does.
    pub fn queue_for(&self, workflow_type: &str) -> Option<&Served> {
        self.workflows.iter().find(|served| served.workflow_type == workflow_type)
    }

    /// A task queue that it alone polls, for the same types: its `metadata.own_task_queue`. What is meant for this worker
    /// and no other goes there.
    pub fn own_queue(&self) -> Option<&str> {
        self.metadata.get("own_task_queue")?.as_str().filter(|task_queue| !task_queue.is_empty())
    }

    /// The task queues on which it serves types, each once and sorted; its main one when it serves none.
    pub fn queues(&self) -> BTreeSet<&str> {
        let served: BTreeSet<&str> = self.workflows.iter().map(|served| served.task_queue.as_str()).collect();
        if served.is_empty() { BTreeSet::from([self.task_queue.as_str()]) } else { served }
    }

    /// Its lease as known durably.
    pub fn lease(&self) -> Lease {
        Lease {
            worker_id: self.worker_id.clone(),
            epoch: self.epoch,
            last_seen_ms: self.last_seen_ms,
            renewed: self.renewed,
        }
    }
}
