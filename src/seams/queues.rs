//! What Temporal reports of the task queues.

use std::sync::Arc;

/// Somebody who polls a task queue for workflow tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poller {
    /// How the process names itself in Temporal.
    pub identity: String,
    /// Its last poll, milliseconds since the Unix epoch.
    pub last_access_ms: i64,
}

/// A task queue as Temporal reported it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSeen {
    /// Pollers of the last five minutes or so: Temporal tells late, and leaves out who is busy.
    pub pollers: Vec<Poller>,
    /// The latest poll this replica ever heard of, milliseconds since the Unix epoch.
    pub last_polled_ms: Option<i64>,
    /// Workflow tasks that wait, roughly; none when the server does not count them.
    pub backlog: Option<i64>,
    /// When it was asked, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// The task queues of the registered workers, as last reported. Kept in memory: asking costs nothing.
pub trait Queues: Send + Sync {
    /// The last report of a queue; none when there has been none yet.
    fn seen(&self, task_queue: &str) -> Option<Arc<QueueSeen>>;
}
