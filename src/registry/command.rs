//! Commands: every change to the registry, as data.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Limits, Provisioned, Spec, compat::Broken, shared};

/// A change asked of the registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A worker registers, or registers again.
    Register(Registration),
    /// Heartbeats, many at once.
    Renew(Vec<Renewal>),
    /// No new starts to this worker.
    Drain {
        /// Which worker.
        worker_id: String,
        /// Which incarnation; the current one when absent.
        epoch: Option<u64>,
    },
    /// A worker leaves.
    Deregister {
        /// Which worker.
        worker_id: String,
        /// Which incarnation; the current one when absent.
        epoch: Option<u64>,
    },
    /// A type that must not exist yet.
    CreateType(SpecClaim),
    /// A type as given, whatever stands.
    ReplaceType {
        /// The spec.
        claim: SpecClaim,
        /// The revision number that must stand (0: none); any when absent.
        base: Option<u32>,
        /// The registry's revision at which the type must have changed last; any when absent. Switching a type, or removing it
        /// and putting another in its place, does not show in its revision number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_changed: Option<u64>,
        /// A type that stands stays switched on or off as it is, whatever the spec says.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_enabled: bool,
    },
    /// Switches a type on or off.
    SetEnabled {
        /// Which type.
        workflow_type: String,
        /// On or off.
        enabled: bool,
    },
    /// Removes a type.
    DeleteType {
        /// Which type.
        workflow_type: String,
        /// The revision number that must stand; any when absent.
        base: Option<u32>,
        /// As in `ReplaceType`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base_changed: Option<u64>,
    },
    /// The next run number of a name.
    Claim {
        /// A human name.
        name: String,
    },
    /// Forgets the counter of a name.
    ResetSlug {
        /// A human name.
        name: String,
    },
    /// Looks up or makes an idempotency record.
    Reserve(Reservation),
    /// Notes the run started for an idempotency record.
    Settle {
        /// The record's key.
        key: String,
        /// The workflow id that was started.
        workflow_id: String,
        /// Run id and task queue.
        run: (String, String),
    },
    /// Does what time has made due: lapses, forgotten workers, old counters and records.
    Sweep,
    /// A replica came up.
    ServiceStarted {
        /// How the replica names itself.
        process_id: String,
        /// The bounds it was configured with.
        limits: Limits,
    },
    /// What came of provisioning search attributes.
    Provisioned(Vec<Provisioned>),
    /// How large the state is when packed, measured by a replica.
    Measured {
        /// Raw bytes at the time, by the registry's own count.
        raw_bytes: u64,
        /// Packed bytes.
        packed_bytes: u64,
    },
}

/// The registration of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Registration {
    pub worker_id: String,
    pub task_queue: String,
    pub workflows: Vec<SpecClaim>,
    pub ttl_seconds: u32,
    pub environment: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_static: bool,
}

/// A spec put forward, with its content hash and what was found out about it beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpecClaim {
    /// The spec.
    #[serde(deserialize_with = "shared::read")]
    pub spec: Arc<Spec>,
    /// Canonical hash of `Spec::content`.
    pub hash: String,
    /// What may become of it beside a spec that stands.
    #[serde(default)]
    pub standing: Standing,
}

/// What may become of a worker's spec beside one that stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Standing {
    /// Not compared with anything: only good while nothing else stands.
    #[default]
    Uncompared,
    /// Compared with the spec of this hash.
    Compared(Compared),
    /// Never replaces what stands.
    Never,
    /// Always replaces what stands.
    Force,
}

/// The result of comparing a spec with the one that stood at the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Content hash of the spec it was compared with.
    pub base_hash: String,
    /// What is no longer accepted; empty: compatible.
    pub broken: Vec<Broken>,
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Whose.
    pub worker_id: String,
    /// Which incarnation's.
    pub epoch: u64,
    /// How long before the batch was sent it arrived, in milliseconds: free of clock differences.
    pub age_ms: i64,
}

/// A request for an idempotency record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The client's key, scoped by whoever asks.
    pub key: String,
    /// Hash of the request.
    pub fingerprint: String,
    /// The workflow id to use when there is no name.
    pub workflow_id: String,
    /// A name to claim the id from.
    pub name: Option<String>,
    /// The id that was given before and turned out to be in use by another run.
    pub instead_of: Option<String>,
}
