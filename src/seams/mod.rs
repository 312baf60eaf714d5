//! The seams between the front door and what is behind it: traits and plain data, neither HTTP nor Temporal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    registry::{AttributeType, Command, Outcome},
    view::View,
};

mod queues;
pub mod reconcile;
mod runs;
pub mod schedules;
mod starts;
mod tasks;

pub use queues::*;
pub use runs::*;
pub use starts::*;
pub use tasks::*;

/// Why a write has no outcome.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WriteError {
    /// Too many writes wait already; nothing was done.
    #[error("too many writes are waiting")]
    QueueFull,
    /// Larger than one write may be; nothing was done.
    #[error("the request is larger than {0} bytes")]
    TooLarge(usize),
    /// Temporal cannot be reached, or the registry workflow cannot run; nothing was done.
    #[error("the registry cannot be written to: {0}")]
    Unavailable(String),
    /// The deadline passed after the write was sent: it may or may not be applied.
    #[error("no answer in time; the write may or may not have been applied")]
    OutcomeUnknown,
}

/// A question that nobody answered.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("no answer from the registry workflow: {0}")]
pub struct Unanswered(pub String);

/// Writes: group commit into the registry workflow.
#[async_trait]
pub trait Writes: Send + Sync {
    /// Submits a command and waits for its outcome, for as long as the configured deadline. The view of this replica
    /// holds the outcome when this returns.
    async fn submit(&self, command: &Command) -> Result<Outcome, WriteError>;
}

/// How far a replica's view can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Milliseconds since the view was last known to be complete.
    pub age_ms: i64,
    /// Whether the registry workflow was running when last looked at.
    pub is_running: bool,
    /// Whether the registry workflow runs and the view is fresh.
    pub is_ready: bool,
    /// The current run of the registry workflow.
    pub run_id: Arc<str>,
    /// Events in its history.
    pub history_events: i64,
    /// When this replica came up, milliseconds since the Unix epoch.
    pub up_since_ms: i64,
}

/// Reads: the view of this replica, in memory.
#[async_trait]
pub trait Reads: Send + Sync {
    /// The view as it is now.
    fn view(&self) -> Arc<View>;
    /// How far it can be trusted.
    fn freshness(&self) -> Freshness;
    /// Brings the view to everything written anywhere before this call. Asks the registry workflow once.
    async fn catch_up(&self) -> Result<(), Unanswered>;
    /// Waits until the view has reached a revision, or fails after `within`.
    async fn reached(&self, revision: u64, within: Duration) -> Result<(), Unanswered>;
    /// Notes a heartbeat in memory: when the lease ends now (ms since the Unix epoch) and the heartbeat interval in
    /// seconds. `None`: this worker, or this epoch of it, is not known.
    fn heartbeat(&self, worker_id: &str, epoch: Option<u64>, now_ms: i64) -> Option<(i64, u32)>;
    /// Changes after anything a view shows has changed, be it durable or a heartbeat.
    fn generation(&self) -> u64;
}

/// A search attribute as it is in the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualAttribute {
    /// Its type; none for a type this program does not know.
    pub kind: Option<AttributeType>,
    /// Whether it belongs to Temporal itself.
    pub system: bool,
}

/// The namespace's own search attributes.
#[async_trait]
pub trait Attributes: Send + Sync {
    /// Everything that is there, by name.
    async fn actual(&self) -> Result<BTreeMap<String, ActualAttribute>, Unanswered>;
}

/// Ends the registry workflow; its state goes to the next start.
#[async_trait]
pub trait Shutdown: Send + Sync {
    /// Returns when Temporal has taken the request.
    async fn shut_down(&self) -> Result<(), Unanswered>;
}
