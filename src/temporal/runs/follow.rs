//! Waiting for the end of runs: any number of waiters, one long poll.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::{describe, history, read_error};
use crate::{
    seams::{Ended, Progress, RunError, RunInfo, RunRef, RunStatus},
    temporal::connection::{CALL_TIMEOUT, CallError, Link},
};

/// Pauses between attempts while Temporal is away.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How much longer than it was asked to a wait lasts when Temporal has not told yet what there is to wait for.
const GRACE: Duration = Duration::from_millis(700);

type Flights = Arc<Mutex<HashMap<RunRef, Weak<Flight>>>>;

/// Follows runs for as long as somebody waits for them.
pub(super) struct Follow {
    link: Arc<Link>,
    flights: Flights,
}

/// One run that is followed. Ends with the last waiter.
struct Flight {
    run: RunRef,
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
    flights: Flights,
}

/// What is known of a run that is followed.
#[derive(Clone, Default)]
struct Seen {
    run: Option<RunInfo>,
    ended: Option<Result<Ended, RunError>>,
    /// Why nothing is known yet.
    trouble: Option<String>,
}

impl Seen {
    /// Whether there is something to tell a waiter whose time is up.
    fn tells(&self) -> bool {
        self.ended.is_some()
            || self.trouble.is_some()
            || self.run.as_ref().is_some_and(|run| run.status.is_open())
    }
}

impl Follow {
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, flights: Flights::default() }
    }

    /// Waits for the end of a run, for this long; looks at it once in any case.
    pub async fn result(&self, run: &RunRef, wait: Duration) -> Result<Progress, RunError> {
        let mut deadline = Instant::now() + wait;
        let mut grace = GRACE;
        if wait.is_zero() {
            grace = CALL_TIMEOUT;
            // Who does not wait asks how it is now, which those who follow the run learn a moment later.
            let info = describe(&self.link, run).await.map_err(read_error)?;
            if info.status.is_open() {
                return Ok(Progress { run: info, ended: None });
            }
            if info.status != RunStatus::ContinuedAsNew {
                deadline += CALL_TIMEOUT;
            }
        }
        let flight = self.join(run);
        let mut seen = flight.seen.clone();
        // Both waits end at once when the flight has nothing more to tell.
        match timeout_at(deadline, seen.wait_for(|seen| seen.ended.is_some())).await {
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
        match timeout(grace, seen.wait_for(Seen::tells)).await {
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
        let seen = seen.borrow().clone();
        match (seen.ended, seen.run) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(ended)), Some(run)) => Ok(Progress { run, ended: Some(ended) }),
            (None, Some(run)) => Ok(Progress { run, ended: None }),
            (_, None) => {
                let why = seen.trouble.unwrap_or_else(|| "no answer in time".to_owned());
                Err(RunError::TemporalUnavailable(why))
            }
        }
    }

    fn join(&self, run: &RunRef) -> Arc<Flight> {
        let mut flights = self.flights.lock();
        let found = flights.get(run).and_then(Weak::upgrade);
        // The latest run of an id may be another one once a flight has ended.
        if let Some(flight) = &found
            && flight.seen.borrow().ended.is_none()
        {
            return flight.clone();
        }
        let (tell, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(follow(self.link.clone(), run.clone(), tell)).abort_handle();
        let flight = Arc::new(Flight { run: run.clone(), seen, task, flights: self.flights.clone() });
        flights.insert(run.clone(), Arc::downgrade(&flight));
        // In this order: the end of a flight takes the lock.
        drop(flights);
        drop(found);
        flight
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
        let mut flights = self.flights.lock();
        if flights.get(&self.run).is_some_and(|flight| flight.strong_count() == 0) {
            flights.remove(&self.run);
        }
    }
}

/// Follows a run and all that continues it.
async fn follow(link: Arc<Link>, mut run: RunRef, tell: watch::Sender<Seen>) {
    let mut pause = PAUSE_MIN;
    loop {
        let error = match step(&link, &run, &tell).await {
            Ok(Some(next)) => {
                pause = PAUSE_MIN;
                run.run_id = Some(next);
                continue;
            }
            Ok(None) => return,
            Err(error) => error,
        };
        if !error.is_passing() {
            tell.send_modify(|seen| seen.ended = Some(Err(read_error(error))));
            return;
        }
        tell.send_modify(|seen| seen.trouble = Some(error.to_string()));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Follows one run to its end: the run that continues it, if any.
async fn step(link: &Link, run: &RunRef, tell: &watch::Sender<Seen>) -> Result<Option<String>, CallError> {
    let info = describe(link, run).await?;
    let run_id = info.run_id.clone();
    tell.send_modify(|seen| {
        seen.run = Some(info);
        seen.trouble = None;
    });
    let close = history::close_of(link, &run.workflow_id, &run_id).await?;
    if close.next.is_none() {
        tell.send_modify(|seen| {
            if let Some(run) = &mut seen.run {
                run.status = close.status;
                run.closed_at_ms = close.at_ms;
            }
            seen.ended = Some(Ok(close.ended));
        });
    }
    Ok(close.next)
}
