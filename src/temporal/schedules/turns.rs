//! One change to a schedule at a time.
//!
//! A schedule keeps only the last of the patches that reach it between two steps of its own: triggers, pauses and
//! backfills that come together are all answered with success, and all but one are lost. So the callers of a replica
//! take turns, each until the schedule has taken its patch in. What another replica's patch swallowed is missed by its
//! effect, and sent again.

use super::error::ScheduleError;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// Callers of one schedule at the same time, the one whose turn it is included.
const CALLERS_MAX: usize = 200;
/// How long a caller waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(20);
/// How many seconds back a trigger may be dated, for want of a second that is free.
const BACK_SECONDS_MAX: i64 = 600;
/// How long the seconds that were given away are remembered of a schedule that nobody changes.
const REMEMBERED: Duration = Duration::from_secs(BACK_SECONDS_MAX.unsigned_abs());
/// Schedules remembered before those nobody changes are looked for.
const LANES_MIN: usize = 1_000;

/// The queues of the callers, one a schedule.
#[derive(Clone, Default)]
pub(super) struct Turns {
    lanes: Arc<Mutex<HashMap<String, Lane>>>,
}

struct Lane {
    seconds: Arc<tokio::sync::Mutex<Seconds>>,
    asked_at: Instant,
}

/// The right to change a schedule, until it is dropped.
pub(super) struct Turn {
    seconds: OwnedMutexGuard<Seconds>,
}

/// Seconds given to triggers.
#[derive(Default)]
struct Seconds {
    given: BTreeSet<i64>,
}

impl Turns {
    /// Waits for the caller's turn.
    ///
    /// # Errors
    /// [`ScheduleError::ResourceExhausted`] when too many wait, or it takes too long. Nothing was sent then.
    pub async fn take(&self, id: &str) -> Result<Turn, ScheduleError> {
        let seconds = {
            let mut lanes = self.lanes.lock();
            let now = Instant::now();
            if lanes.len() >= LANES_MIN {
                let in_use = |lane: &Lane| Arc::strong_count(&lane.seconds) > 1;
                lanes.retain(|_, lane| in_use(lane) || now < lane.asked_at + REMEMBERED);
            }
            let new = || Lane { seconds: Arc::default(), asked_at: now };
            let lane = lanes.entry(id.to_owned()).or_insert_with(new);
            lane.asked_at = now;
            // Every caller holds one, the lane itself another.
            if Arc::strong_count(&lane.seconds) > CALLERS_MAX {
                return Err(ScheduleError::ResourceExhausted(format!(
                    "more than {CALLERS_MAX} callers change this schedule at once"
                )));
            }
            lane.seconds.clone()
        };
        match tokio::time::timeout(TURN_WITHIN, seconds.lock_owned()).await {
            Ok(seconds) => Ok(Turn { seconds }),
            Err(_) => Err(ScheduleError::ResourceExhausted("others keep changing this schedule".to_owned())),
        }
    }
}

impl Turn {
    /// A moment, no later than `now`, whose second no other trigger has and that is not `taken` otherwise: the server
    /// names a workflow by the second it was due, and drops a fire whose name is in use. Its fraction of a second is
    /// drawn by lot, and tells this trigger from every other.
    pub fn free_second(
        &mut self,
        now: DateTime<Utc>,
        taken: impl Fn(DateTime<Utc>) -> bool,
    ) -> Option<DateTime<Utc>> {
        let now = now.timestamp();
        let first = now - BACK_SECONDS_MAX;
        let given = &mut self.seconds.given;
        *given = given.split_off(&first);
        let is_free = |second: &i64| {
            !given.contains(second) && DateTime::from_timestamp(*second, 0).is_some_and(|at| !taken(at))
        };
        let second = (first..=now).rev().find(is_free)?;
        given.insert(second);
        DateTime::from_timestamp(second, rand::random_range(1..1_000_000) * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    #[tokio::test]
    async fn gives_every_second_once_and_the_latest_first() {
        let turns = Turns::default();
        for expected in [1_000, 998, 997] {
            let mut turn = turns.take("a").await.expect("a turn");
            let given = turn.free_second(at(1_000), |at| at.timestamp() == 999).expect("a second");
            assert_eq!(given.timestamp(), expected);
        }
        let mut other = turns.take("b").await.expect("a turn");
        assert_eq!(other.free_second(at(1_000), |_| false).map(|given| given.timestamp()), Some(1_000));
        assert_eq!(other.free_second(at(1_000), |_| true), None);
    }

    #[tokio::test]
    async fn a_schedule_has_one_caller_at_a_time_and_so_many_waiting() {
        let turns = Turns::default();
        let turn = turns.take("a").await.expect("a turn");
        assert!(turns.take("b").await.is_ok());
        let mut waiting = futures::future::join_all((1..CALLERS_MAX).map(|_| Box::pin(turns.take("a"))));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert!(matches!(turns.take("a").await, Err(ScheduleError::ResourceExhausted(_))), "one too many");
        drop(waiting);
        let mut next = Box::pin(turns.take("a"));
        assert!(futures::poll!(&mut next).is_pending(), "it is still the first one's turn");
        drop(turn);
        assert!(next.await.is_ok());
    }
}
