//! The end of a schedule of single fires: it goes when its fires are known to have happened, not before.

use super::calls::{Looks, Schedules};
use super::description::ScheduleDescription;
use super::error::ScheduleError;
use super::preview::workflow_id;
use crate::clock;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio::time::Instant;

/// Fires the server remembers one by one; of a schedule with more the older ones cannot be told apart.
const RECENT_MAX: i64 = 10;
/// How long fires that were made up for may take to show before the order to make them is taken for lost.
const MADE_UP_WITHIN: Duration = Duration::from_secs(5);
/// How far the server's clock may be behind this one, and its work behind its clock.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5);

/// What became of a schedule of single fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// All fires happened (or the server said why one did not, or it was paused over them), and it is gone.
    Removed,
    /// Fires are still to come, or it is not a schedule of single fires: left alone.
    Ongoing,
    /// The deadline passed before its last fire was confirmed. It stays, for its fire would be lost with it; nothing
    /// is left in it that could fire a second time, and a later look removes it.
    Unconfirmed,
}

/// How often the late fires of a schedule have been ordered by one caller.
#[derive(Default)]
struct Orders {
    count: u32,
    last: Option<Instant>,
}

impl Schedules {
    /// Removes a schedule of single fires once they are confirmed, and makes up for fires whose time had passed when
    /// the server created the schedule, which the server itself does not consider missed.
    ///
    /// Returns at once when fires are still to come; otherwise looks until `patience` is over. Any number of callers
    /// may do this at the same time, in any number of replicas: late fires are ordered together, under a name made of
    /// the schedule's last change, and the server carries out one order of a name.
    ///
    /// # Errors
    /// Of the calls; that the schedule is gone already is none.
    pub async fn confirm_and_remove(&self, id: &str, patience: Duration) -> Result<Finish, ScheduleError> {
        let mut looks = Looks::until(Instant::now() + patience);
        let mut orders = Orders::default();
        loop {
            let seen = match self.describe(id).await {
                Err(ScheduleError::NotFound) => return Ok(Finish::Removed),
                seen => seen?,
            };
            let Some(expected) = seen.stamp.as_ref().and_then(|stamp| stamp.one_shot_fires) else {
                return Ok(Finish::Ongoing);
            };
            let late = late_fires(&seen);
            let missing = !late.is_empty() && passed(&seen, expected) > settled_or_waiting(&seen);
            if !late.is_empty() && (orders.count == 0 || missing) {
                match self.make_up_for(&seen, &late, &mut orders).await {
                    // The first order has been taken in: the next look says what came of it.
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(ScheduleError::NotFound) => return Ok(Finish::Removed),
                    Err(error) => return Err(error),
                }
            }
            if !missing {
                if !seen.next_fires.is_empty() {
                    return Ok(Finish::Ongoing);
                }
                let settled = seen.counts.settled() >= expected || has_lapsed(&seen);
                if settled && seen.counts.waiting == 0 {
                    return match self.delete(id).await {
                        Ok(()) | Err(ScheduleError::NotFound) => Ok(Finish::Removed),
                        Err(error) => Err(error),
                    };
                }
            }
            if !looks.pause().await {
                return Ok(Finish::Unconfirmed);
            }
        }
    }

    /// Orders late fires; whether it did.
    async fn make_up_for(
        &self,
        seen: &ScheduleDescription,
        late: &[DateTime<Utc>],
        orders: &mut Orders,
    ) -> Result<bool, ScheduleError> {
        let (Some(stamp), Some(first)) = (&seen.stamp, late.first()) else { return Ok(false) };
        if let Some(last) = orders.last {
            // Another patch may have swallowed the order. Those before it may still have been carried out by then, and
            // have left runs.
            if last.elapsed() < MADE_UP_WITHIN
                || self.has_run(&workflow_id(&seen.workflow_id, *first)).await?
            {
                return Ok(false);
            }
        }
        let name = format!("late-{}-{}", stamp.times_set_by(), orders.count);
        self.fire_once_for(&seen.id, name, late).await?;
        *orders = Orders { count: orders.count + 1, last: Some(Instant::now()) };
        Ok(true)
    }
}

/// Single fires that were due before the schedule had them, and are not known to have happened. They happen all
/// together or not at all.
pub(super) fn late_fires(seen: &ScheduleDescription) -> Vec<DateTime<Utc>> {
    // Not of a schedule with a long past, nor while it is paused: then nothing shall fire.
    if seen.counts.settled() > RECENT_MAX || seen.paused || seen.stamp.is_none() {
        return Vec::new();
    }
    let set_at = times_set_at(seen);
    let mut late: Vec<_> = seen.spec.one_shots.iter().copied().filter(|due| *due <= set_at).collect();
    let happened = |due: &DateTime<Utc>| {
        let id = workflow_id(&seen.workflow_id, *due);
        seen.recent.iter().any(|recent| recent.workflow_id == id)
    };
    if late.iter().any(happened) {
        return Vec::new();
    }
    if let Some(remaining) = seen.remaining_actions {
        // What is made up for is not counted against the limit by the server: it may only take what is left over.
        let left = remaining - i64::try_from(to_come(seen)).unwrap_or(i64::MAX);
        late.truncate(usize::try_from(left).unwrap_or(0));
    }
    late
}

/// When the server got to know the times: what was due by then it does not fire.
pub(super) fn times_set_at(seen: &ScheduleDescription) -> DateTime<Utc> {
    let told = seen.stamp.as_ref().and_then(|stamp| stamp.times_set.as_ref());
    told.map(|set| set.at).or(seen.updated_at.max(seen.created_at)).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Whether nothing is left that the server would still fire, though not all fires are accounted for: it counts none of
/// those that were due while the schedule was paused.
fn has_lapsed(seen: &ScheduleDescription) -> bool {
    let Some(last) = seen.spec.one_shots.last() else { return false };
    let made_up_for = Duration::from_secs(seen.catchup_window_seconds.unsigned_abs()) + CLOCKS_APART_MAX;
    let late_ms = clock::now_ms() - last.timestamp_millis();
    !seen.paused && u128::try_from(late_ms).is_ok_and(|late_ms| late_ms > made_up_for.as_millis())
}

/// Single fires that the server still has before it.
fn to_come(seen: &ScheduleDescription) -> usize {
    let Some(next) = seen.next_fires.first() else { return 0 };
    seen.spec.one_shots.iter().filter(|due| *due >= next).count()
}

/// How many fires should have happened by now.
fn passed(seen: &ScheduleDescription, expected: i64) -> i64 {
    expected - i64::try_from(to_come(seen)).unwrap_or(i64::MAX)
}

fn settled_or_waiting(seen: &ScheduleDescription) -> i64 {
    seen.counts.settled() + seen.counts.waiting
}
