//! Batches: many commands in one update, applied exactly once.

use serde::{Deserialize, Serialize};

use super::{Changes, Command, Outcome, state::Registry};

/// Replicas whose last batch is remembered; the least recently heard go first.
const REPLICAS_REMEMBERED: usize = 64;
/// How long they are remembered: well beyond the last retry of a batch.
const REMEMBERED_MS: i64 = 15 * 60 * 1000;

/// Commands of one replica, applied in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The replica; it has one batch in flight at a time.
    pub replica: String,
    /// Rises with each batch of the replica; the same number again is a retry.
    pub sequence: u64,
    /// The revision the replica's view has reached.
    pub known_revision: u64,
    /// `View::born` of the replica's view.
    #[serde(default)]
    pub known_born: u64,
    /// What to do.
    pub commands: Vec<Command>,
}

/// The answer to a batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchReply {
    /// One for each command, in order.
    pub outcomes: Vec<Outcome>,
    /// What the replica's view lacks, as far as it fits.
    pub changes: Changes,
}

/// A replica's last batch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// Its number.
    pub sequence: u64,
    /// Its outcomes, for a retry whose answer was lost.
    pub outcomes: Vec<Outcome>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl Registry {
    /// Applies a batch, or gives the outcomes again when it was applied before. A straggler from before the last batch
    /// changes nothing and has no outcomes: nobody waits for them any more.
    pub fn apply_batch(&mut self, batch: &Batch, now_ms: i64, changes_bytes_max: u64) -> BatchReply {
        let last = self.state.applied.get(&batch.replica);
        let outcomes = match last {
            Some(last) if last.sequence == batch.sequence => last.outcomes.clone(),
            Some(last) if last.sequence > batch.sequence => Vec::new(),
            Some(_) | None => {
                let outcomes: Vec<Outcome> =
                    batch.commands.iter().map(|command| self.apply(command, now_ms)).collect();
                self.remember(batch, outcomes.clone(), now_ms);
                outcomes
            }
        };
        let changes = self.changes_since(batch.known_revision, batch.known_born, changes_bytes_max);
        BatchReply { outcomes, changes }
    }

    fn remember(&mut self, batch: &Batch, outcomes: Vec<Outcome>, now_ms: i64) {
        let applied = Applied { sequence: batch.sequence, outcomes, at_ms: now_ms };
        self.state.applied.remove(&batch.replica);
        self.state.applied.retain(|_, other| now_ms - other.at_ms <= REMEMBERED_MS);
        if self.state.applied.len() >= REPLICAS_REMEMBERED {
            let oldest = self.state.applied.iter().min_by_key(|(_, other)| other.at_ms);
            if let Some(replica) = oldest.map(|(replica, _)| replica.clone()) {
                self.state.applied.remove(&replica);
            }
        }
        self.state.applied.insert(batch.replica.clone(), applied);
    }
}
