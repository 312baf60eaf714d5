//! The end of a schedule of single fires: it goes when its fires are known to have happened, not before.

use super::calls::{Looks, Schedules};
use super::description::ScheduleDescription;
use super::error::ScheduleError;
use super::preview::workflow_id;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio::time::Instant;

/// Fires the server remembers one by one; of a schedule with more the older ones cannot be told apart.
const RECENT_MAX: i64 = 10;

/// What became of a schedule of single fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All fires happened (or the server said why one did not), and it is gone.
    Removed,
    /// Fires are still to come, or it is not a schedule of single fires: left alone.
    Ongoing,
    /// The deadline passed before its last fire was confirmed. It stays, for its fire would be lost with it; nothing
    /// is left in it that could fire a second time, and a later look removes it.
    Unconfirmed,
}

impl Schedules {
    /// Removes a schedule of single fires once they are confirmed, and makes up for fires whose time had passed when
    /// the server created the schedule, which the server itself does not consider missed.
    ///
    /// Returns at once when fires are still to come; otherwise looks until `patience` is over. Any number of callers
    /// may do this at the same time.
    ///
    /// # Errors
    /// Of the calls; that the schedule is gone already is none.
    pub async fn confirm_and_remove(&self, id: &str, patience: Duration) -> Result<Finish, ScheduleError> {
        let mut looks = Looks::until(Instant::now() + patience);
        let mut made_up_for = Vec::new();
        loop {
            let seen = match self.describe(id).await {
                Err(ScheduleError::NotFound) => return Ok(Finish::Removed),
                seen => seen?,
            };
            let Some(expected) = seen.stamp.as_ref().and_then(|stamp| stamp.one_shot_fires) else {
                return Ok(Finish::Ongoing);
            };
            for due in too_early(&seen) {
                if !made_up_for.contains(&due) {
                    self.trigger_for(id, None, Some(due)).await?;
                    made_up_for.push(due);
                }
            }
            if !seen.next_fires.is_empty() {
                return Ok(Finish::Ongoing);
            }
            if seen.counts.settled() >= expected && seen.counts.waiting == 0 {
                return match self.delete(id).await {
                    Ok(()) | Err(ScheduleError::NotFound) => Ok(Finish::Removed),
                    Err(error) => Err(error),
                };
            }
            if !looks.pause().await {
                return Ok(Finish::Unconfirmed);
            }
        }
    }
}

/// Single fires that were due before the schedule existed and have not happened.
fn too_early(seen: &ScheduleDescription) -> Vec<DateTime<Utc>> {
    // Not of a schedule with a long past, nor while it is paused: then nothing shall fire.
    if seen.counts.settled() > RECENT_MAX || seen.paused || seen.remaining_actions == Some(0) {
        return Vec::new();
    }
    let created = seen.created_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
    let happened = |due: DateTime<Utc>| {
        let id = workflow_id(&seen.workflow_id, due);
        seen.recent.iter().any(|recent| recent.workflow_id == id)
    };
    seen.spec.one_shots.iter().copied().filter(|due| *due <= created && !happened(*due)).collect()
}
