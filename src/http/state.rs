//! What handlers work with.

use std::ops::Deref;
use std::sync::Arc;

use super::service::{Metrics, Readiness};
use crate::{
    fleet::Fleet,
    schema::ValidatorCache,
    seams::{
        Attributes, Queues, Reads, Runs, Shutdown, Starts, Tasks, Writes, reconcile::Reconciles,
        schedules::Schedules,
    },
};

/// Shared by all handlers; cloned for each request, which is one pointer.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

impl From<Parts> for AppState {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What there is to work with.
pub struct Parts {
    /// Says whether this replica can serve.
    pub readiness: Arc<dyn Readiness>,
    /// Counts requests and renders what was counted.
    pub metrics: Arc<dyn Metrics>,
    /// Changes the registry.
    pub writes: Arc<dyn Writes>,
    /// The registry as this replica sees it.
    pub reads: Arc<dyn Reads>,
    /// Starts runs.
    pub starts: Arc<dyn Starts>,
    /// Schedules of the namespace.
    pub schedules: Arc<dyn Schedules>,
    /// Sees runs, speaks to them and ends them.
    pub runs: Arc<dyn Runs>,
    /// Runs that wait for a person.
    pub tasks: Arc<dyn Tasks>,
    /// The namespace's search attributes.
    pub attributes: Arc<dyn Attributes>,
    /// Reconciles them with what is declared.
    pub reconciles: Arc<dyn Reconciles>,
    /// Ends the registry workflow.
    pub shutdown: Arc<dyn Shutdown>,
    /// Compiled schemas, by content hash.
    pub validators: Arc<ValidatorCache>,
    /// Judges the health of workers.
    pub fleet: Arc<Fleet>,
    /// What Temporal reports of the task queues.
    pub queues: Arc<dyn Queues>,
    /// The registry's own task queue, refused for other work.
    pub own_queue: Arc<str>,
    /// How long a counter of workflow ids outlives its last claim.
    pub slug_ttl_ms: i64,
}
