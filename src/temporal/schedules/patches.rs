//! The changes that are patches: each takes its turn, and is not over before the schedule has taken it in.

use super::action::overlap;
use super::calls::{Backfill, CALL_TIMEOUT, Looks, Schedules};
use super::description::ScheduleDescription;
use super::error::ScheduleError;
use super::preview::workflow_id;
use super::request::OverlapPolicy;
use super::times::{datetime, timestamp};
use super::turns::Turn;
use crate::clock;
use chrono::{DateTime, Utc};
use std::time::Duration;
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    BackfillRequest, SchedulePatch, TriggerImmediatelyRequest,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, ListScheduleMatchingTimesRequest, PatchScheduleRequest,
};
use tokio::time::Instant;
use uuid::Uuid;

/// How long the effect of a patch is looked for before it is taken for lost. It shows on the first look, unless the
/// patch was swallowed by another replica's.
const SHOWS_WITHIN: Duration = Duration::from_secs(2);
/// How often a patch is sent.
const ATTEMPTS: u32 = 4;

/// What is asked of a schedule in one turn.
#[derive(Debug, Clone)]
enum Change {
    Pause(String),
    Unpause(String),
    Trigger(Option<OverlapPolicy>),
    Backfill(Vec<Backfill>),
    /// A patch that the server takes once under this name, however often it is sent.
    Once(String, Vec<Backfill>),
}

impl Schedules {
    /// Pauses a schedule; the note replaces its own.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`]; as every change, [`ScheduleError::ResourceExhausted`] when too many want to change
    /// the same schedule and [`ScheduleError::OutcomeUnknown`] when no effect shows.
    pub async fn pause(&self, id: &str, note: &str) -> Result<(), ScheduleError> {
        // The server takes an empty note for no pause at all.
        let note = if note.is_empty() { "paused" } else { note };
        self.in_turn(id, Change::Pause(note.to_owned())).await
    }

    /// Lets a paused schedule go on; the note replaces its own.
    ///
    /// # Errors
    /// As [`Schedules::pause`].
    pub async fn unpause(&self, id: &str, note: &str) -> Result<(), ScheduleError> {
        let note = if note.is_empty() { "unpaused" } else { note };
        self.in_turn(id, Change::Unpause(note.to_owned())).await
    }

    /// Fires once, now, paused or not. The run is there, or waits or is dropped as the overlap policy has it, when this
    /// returns.
    ///
    /// # Errors
    /// As [`Schedules::pause`].
    pub async fn trigger(&self, id: &str, policy: Option<OverlapPolicy>) -> Result<(), ScheduleError> {
        self.in_turn(id, Change::Trigger(policy)).await
    }

    /// Fires for stretches of time as if they passed now. The server has taken the order when this returns; a long one
    /// it carries out in its own time.
    ///
    /// # Errors
    /// As [`Schedules::pause`].
    pub async fn backfill(&self, id: &str, stretches: &[Backfill]) -> Result<(), ScheduleError> {
        self.in_turn(id, Change::Backfill(stretches.to_vec())).await
    }

    /// Fires for these times, under a name that the server takes once.
    pub(super) async fn fire_once_for(
        &self,
        id: &str,
        name: String,
        due: &[DateTime<Utc>],
    ) -> Result<(), ScheduleError> {
        let moment = |at: &DateTime<Utc>| Backfill { start_at: *at, end_at: *at, overlap_policy: None };
        self.in_turn(id, Change::Once(name, due.iter().map(moment).collect())).await
    }

    /// A caller that leaves while it waits has changed nothing; one that leaves later does not cut its turn short.
    async fn in_turn(&self, id: &str, change: Change) -> Result<(), ScheduleError> {
        let turn = self.turns.take(id).await?;
        let (schedules, id) = (self.clone(), id.to_owned());
        let done = tokio::spawn(async move { schedules.carry_out(turn, &id, change).await });
        done.await.unwrap_or_else(|error| Err(ScheduleError::Internal(error.to_string())))
    }

    async fn carry_out(&self, mut turn: Turn, id: &str, change: Change) -> Result<(), ScheduleError> {
        let before = self.describe(id).await?;
        match change {
            Change::Pause(note) => {
                let patch = SchedulePatch { pause: note.clone(), ..SchedulePatch::default() };
                self.set_paused(&before, patch, true, &note).await
            }
            Change::Unpause(note) => {
                let patch = SchedulePatch { unpause: note.clone(), ..SchedulePatch::default() };
                self.set_paused(&before, patch, false, &note).await
            }
            Change::Trigger(policy) => self.trigger_in_turn(&mut turn, &before, policy).await,
            Change::Backfill(stretches) => self.backfill_in_turn(&before, &stretches).await,
            Change::Once(name, stretches) => {
                self.patch(id, backfills(&stretches), name).await?;
                // Whoever is next must not swallow it: once a look is answered, it has been taken in.
                self.look(id).await.map(|_| ())
            }
        }
    }

    async fn set_paused(
        &self,
        before: &ScheduleDescription,
        patch: SchedulePatch,
        paused: bool,
        note: &str,
    ) -> Result<(), ScheduleError> {
        // Another token with another state is somebody's later word.
        let shows = |seen: &ScheduleDescription| {
            (seen.paused == paused && seen.note == note) || seen.conflict_token != before.conflict_token
        };
        for _ in 0..ATTEMPTS {
            self.patch(&before.id, patch.clone(), Uuid::new_v4().to_string()).await?;
            if self.shows(&before.id, shows).await? {
                return Ok(());
            }
        }
        Err(no_effect())
    }

    async fn trigger_in_turn(
        &self,
        turn: &mut Turn,
        before: &ScheduleDescription,
        policy: Option<OverlapPolicy>,
    ) -> Result<(), ScheduleError> {
        let mut due = free_second(turn, before)?;
        for _ in 0..ATTEMPTS {
            let trigger = TriggerImmediatelyRequest {
                overlap_policy: overridden(policy),
                scheduled_time: Some(timestamp(due)),
            };
            let patch = SchedulePatch { trigger_immediately: Some(trigger), ..SchedulePatch::default() };
            self.patch(&before.id, patch, Uuid::new_v4().to_string()).await?;
            if self.shows(&before.id, |seen| triggered(before, seen, due, policy)).await? {
                return Ok(());
            }
            // Either it was swallowed, and is sent again as it is: should it come through after all, it has the same
            // name. Or another run has its name.
            if self.has_run(&workflow_id(&before.workflow_id, due)).await? {
                due = free_second(turn, &self.look(&before.id).await?)?;
            }
        }
        Err(no_effect())
    }

    async fn backfill_in_turn(
        &self,
        before: &ScheduleDescription,
        stretches: &[Backfill],
    ) -> Result<(), ScheduleError> {
        let first = self.first_time(&before.id, stretches).await?;
        let first = first.map(|due| workflow_id(&before.workflow_id, due));
        // Where nothing will show, or it would not be new, being taken in has to do.
        let will_show = match &first {
            Some(first) => !self.has_run(first).await?,
            None => false,
        };
        let fires = |seen: &ScheduleDescription| seen.counts.settled() + seen.counts.waiting;
        for _ in 0..ATTEMPTS {
            self.patch(&before.id, backfills(stretches), Uuid::new_v4().to_string()).await?;
            if !will_show {
                return self.look(&before.id).await.map(|_| ());
            }
            if self.shows(&before.id, |seen| fires(seen) > fires(before)).await? {
                return Ok(());
            }
            if let Some(first) = &first
                && self.has_run(first).await?
            {
                return Ok(());
            }
        }
        Err(no_effect())
    }

    /// Sends a patch; the server takes one of that name once.
    async fn patch(&self, id: &str, patch: SchedulePatch, name: String) -> Result<(), ScheduleError> {
        let request = PatchScheduleRequest {
            namespace: self.namespace(),
            schedule_id: id.to_owned(),
            patch: Some(patch),
            identity: self.identity(),
            request_id: name,
        };
        self.service().patch_schedule(Self::request(request)).await?;
        Ok(())
    }

    /// Looks until something shows, for a while.
    async fn shows(
        &self,
        id: &str,
        shows: impl Fn(&ScheduleDescription) -> bool,
    ) -> Result<bool, ScheduleError> {
        let mut looks = Looks::until(Instant::now() + SHOWS_WITHIN);
        loop {
            if shows(&self.look(id).await?) {
                return Ok(true);
            }
            if !looks.pause().await {
                return Ok(false);
            }
        }
    }

    /// A description after something was sent: without one, nobody knows what came of it.
    async fn look(&self, id: &str) -> Result<ScheduleDescription, ScheduleError> {
        self.describe(id).await.map_err(|error| match error {
            ScheduleError::NotFound => error,
            error => ScheduleError::OutcomeUnknown(error.to_string()),
        })
    }

    /// The first time of a schedule in any of the stretches.
    async fn first_time(
        &self,
        id: &str,
        stretches: &[Backfill],
    ) -> Result<Option<DateTime<Utc>>, ScheduleError> {
        for stretch in stretches {
            let request = ListScheduleMatchingTimesRequest {
                namespace: self.namespace(),
                schedule_id: id.to_owned(),
                // The server leaves the beginning out.
                start_time: Some(timestamp(stretch.start_at - chrono::Duration::milliseconds(1))),
                end_time: Some(timestamp(stretch.end_at)),
            };
            let found = self.service().list_schedule_matching_times(Self::request(request)).await?;
            let first = found.into_inner().start_time.into_iter().find_map(datetime);
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    /// Whether there is a run of this workflow id, open or closed.
    pub(super) async fn has_run(&self, workflow_id: &str) -> Result<bool, ScheduleError> {
        let execution = WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() };
        let request =
            DescribeWorkflowExecutionRequest { namespace: self.namespace(), execution: Some(execution) };
        let mut request = Self::request(request);
        request.set_timeout(CALL_TIMEOUT);
        match self.service().describe_workflow_execution(request).await.map_err(ScheduleError::from) {
            Ok(_) => Ok(true),
            Err(ScheduleError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether a trigger dated so has been carried out.
fn triggered(
    before: &ScheduleDescription,
    seen: &ScheduleDescription,
    due: DateTime<Utc>,
    policy: Option<OverlapPolicy>,
) -> bool {
    if seen.recent.iter().any(|fire| fire.scheduled_at == Some(due)) {
        return true;
    }
    let change = |seen: &ScheduleDescription| seen.stamp.as_ref().map(|stamp| stamp.change.clone());
    if seen.updated_at != before.updated_at && change(seen) == change(before) {
        // A server that counts a patch as an update takes every one of them, and dates triggers itself.
        let is_new = |run_id: &String| before.recent.iter().all(|fire| fire.run_id != *run_id);
        return seen.recent.iter().any(|fire| is_new(&fire.run_id));
    }
    // With runs side by side every trigger starts one; else it may have to wait or to give way.
    let held_up = |seen: &ScheduleDescription| {
        seen.counts.skipped + seen.counts.dropped > before.counts.skipped + before.counts.dropped
            || seen.counts.waiting > before.counts.waiting
    };
    policy.unwrap_or(before.overlap_policy) != OverlapPolicy::AllowAll && held_up(seen)
}

fn free_second(turn: &mut Turn, seen: &ScheduleDescription) -> Result<DateTime<Utc>, ScheduleError> {
    let now = DateTime::from_timestamp_millis(clock::now_ms()).unwrap_or_default();
    let taken = |at: DateTime<Utc>| {
        let name = workflow_id(&seen.workflow_id, at);
        // The server's clock may be behind: a fire to come must not lose its name either.
        seen.next_fires.contains(&at) || seen.recent.iter().any(|fire| fire.workflow_id == name)
    };
    let too_many = || ScheduleError::ResourceExhausted("this schedule is triggered too often".to_owned());
    turn.free_second(now, taken).ok_or_else(too_many)
}

fn backfills(stretches: &[Backfill]) -> SchedulePatch {
    let backfill = |stretch: &Backfill| BackfillRequest {
        start_time: Some(timestamp(stretch.start_at)),
        end_time: Some(timestamp(stretch.end_at)),
        overlap_policy: overridden(stretch.overlap_policy),
    };
    SchedulePatch { backfill_request: stretches.iter().map(backfill).collect(), ..SchedulePatch::default() }
}

fn overridden(policy: Option<OverlapPolicy>) -> i32 {
    policy.map_or(ScheduleOverlapPolicy::Unspecified, overlap) as i32
}

fn no_effect() -> ScheduleError {
    ScheduleError::OutcomeUnknown("the schedule was told, and no effect shows".to_owned())
}
