//! The calls about one schedule.

use super::action::{PreparedSchedule, queue, start_of_mut};
use super::description::{ConflictToken, ScheduleDescription};
use super::error::ScheduleError;
use super::finish::times_set_at;
use super::request::OverlapPolicy;
use super::stamp::{Stamp, TimesSet};
use super::turns::Turns;
use chrono::{DateTime, Utc};
use std::time::Duration;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::Request;
use temporalio_client::{Client, NamespacedClient};
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, DescribeScheduleRequest, UpdateScheduleRequest,
};
use tokio::time::Instant;
use uuid::Uuid;

/// The longest a single attempt of a call may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an update may take to show.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a replacement of whatever is there is tried against others' changes.
const REPLACE_ATTEMPTS: u32 = 5;
/// Distance between looks at a schedule, which doubles up to the longest.
const LOOK_SHORTEST: Duration = Duration::from_millis(25);
const LOOK_LONGEST: Duration = Duration::from_millis(500);

/// Schedules of one namespace.
#[derive(Clone)]
pub struct Schedules {
    client: Client,
    pub(super) turns: Turns,
}

/// A stretch of time to fire for as if it passed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backfill {
    /// Its beginning.
    pub start_at: DateTime<Utc>,
    /// Its end, inclusive.
    pub end_at: DateTime<Utc>,
    /// Overrides the schedule's own policy.
    pub overlap_policy: Option<OverlapPolicy>,
}

impl Schedules {
    /// Schedules of the client's namespace.
    pub fn new(client: Client) -> Self {
        Self { client, turns: Turns::default() }
    }

    /// Creates a schedule, its immediate fire included. A repetition of the very same value is taken for the same
    /// creation and succeeds.
    ///
    /// # Errors
    /// [`ScheduleError::AlreadyExists`] when another one has the id, [`ScheduleError::Invalid`] for what the server
    /// does not take, an unknown search attribute among it.
    pub async fn create(&self, prepared: &PreparedSchedule) -> Result<(), ScheduleError> {
        let request = CreateScheduleRequest {
            namespace: self.namespace(),
            schedule_id: prepared.id.clone(),
            schedule: Some(prepared.schedule.clone()),
            initial_patch: prepared.initial_patch.clone(),
            identity: self.client.identity(),
            request_id: prepared.stamp.change.clone(),
            memo: Some(prepared.stamp.to_memo()),
            search_attributes: None,
        };
        self.service().create_schedule(Self::request(request)).await?;
        Ok(())
    }

    /// Everything about a schedule.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn describe(&self, id: &str) -> Result<ScheduleDescription, ScheduleError> {
        let request = DescribeScheduleRequest { namespace: self.namespace(), schedule_id: id.to_owned() };
        let response = self.service().describe_schedule(Self::request(request)).await?;
        Ok(ScheduleDescription::of_proto(id, response.into_inner()))
    }

    /// Replaces a schedule by another; it stays paused if it is. With a token only when it is still in that state.
    /// An immediate fire of the new one is triggered after the replacement has taken effect.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`]; [`ScheduleError::Conflict`] when the token no longer holds;
    /// [`ScheduleError::OutcomeUnknown`] when the change does not show in time.
    pub async fn replace(
        &self,
        prepared: &PreparedSchedule,
        expected: Option<&ConflictToken>,
    ) -> Result<(), ScheduleError> {
        let mut attempts = 0;
        loop {
            let current = self.describe(&prepared.id).await?;
            let mut schedule = prepared.schedule.clone();
            if let Some(state) = &mut schedule.state {
                state.paused |= current.paused;
            }
            // Always on the state just seen: somebody may be pausing it right now.
            let token = expected.unwrap_or(&current.conflict_token);
            attempts += 1;
            match self.update(&prepared.id, schedule, token, &prepared.stamp.change).await {
                Err(ScheduleError::Conflict) if expected.is_none() && attempts < REPLACE_ATTEMPTS => {}
                outcome => break outcome?,
            }
        }
        match &prepared.initial_patch {
            Some(_) => self.trigger(&prepared.id, None).await,
            None => Ok(()),
        }
    }

    /// Moves a schedule to another queue and leaves the rest as described.
    ///
    /// # Errors
    /// As [`Schedules::replace`]; [`ScheduleError::Conflict`] when it changed since the description.
    pub async fn retarget(
        &self,
        description: &ScheduleDescription,
        task_queue: &str,
    ) -> Result<(), ScheduleError> {
        let mut schedule = description.raw.clone();
        let change = Uuid::new_v4().to_string();
        let (Some(start), Some(stamp)) = (start_of_mut(&mut schedule), description.stamp.clone()) else {
            return Err(ScheduleError::Invalid("not a schedule of this registry".to_owned()));
        };
        start.task_queue = Some(queue(task_queue));
        let set_by = stamp.times_set_by().to_owned();
        let times_set = Some(TimesSet { by: set_by, at: times_set_at(description) });
        let stamp = Stamp { change: change.clone(), times_set, ..stamp };
        start.memo.get_or_insert_default().fields.extend(stamp.to_memo().fields);
        self.update(&description.id, schedule, &description.conflict_token, &change).await
    }

    /// Removes a schedule. Runs it started go on.
    ///
    /// # Errors
    /// [`ScheduleError::NotFound`].
    pub async fn delete(&self, id: &str) -> Result<(), ScheduleError> {
        let request = DeleteScheduleRequest {
            namespace: self.namespace(),
            schedule_id: id.to_owned(),
            identity: self.client.identity(),
        };
        self.service().delete_schedule(Self::request(request)).await?;
        Ok(())
    }

    /// Sends an update and waits until it shows. The server takes an update whose token no longer holds without a
    /// word and drops it, so the mark in the schedule is what tells.
    async fn update(
        &self,
        id: &str,
        schedule: Schedule,
        expected: &ConflictToken,
        change: &str,
    ) -> Result<(), ScheduleError> {
        let request = UpdateScheduleRequest {
            namespace: self.namespace(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            conflict_token: expected.0.clone(),
            identity: self.client.identity(),
            request_id: change.to_owned(),
            ..UpdateScheduleRequest::default()
        };
        self.service().update_schedule(Self::request(request)).await?;
        let mut looks = Looks::until(Instant::now() + UPDATE_TIMEOUT);
        loop {
            let seen = match self.describe(id).await {
                Ok(seen) => seen,
                Err(ScheduleError::NotFound) => return Err(ScheduleError::NotFound),
                Err(error) => return Err(ScheduleError::OutcomeUnknown(error.to_string())),
            };
            if seen.stamp.is_some_and(|stamp| stamp.change == change) {
                return Ok(());
            }
            if *expected != seen.conflict_token {
                return Err(ScheduleError::Conflict);
            }
            if !looks.pause().await {
                return Err(ScheduleError::OutcomeUnknown("the update does not show yet".to_owned()));
            }
        }
    }

    pub(super) fn identity(&self) -> String {
        self.client.identity()
    }

    pub(super) fn namespace(&self) -> String {
        self.client.namespace()
    }

    /// The client itself, unlike the raw service of its connection, repeats calls that failed in passing (a schedule
    /// answers one question at a time). Every write here carries an id that makes its repetition harmless.
    pub(super) fn service(&self) -> impl WorkflowService + use<> {
        self.client.clone()
    }

    pub(super) fn request<T>(message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(CALL_TIMEOUT);
        request
    }
}

/// Pauses between looks at something that takes effect in its own time.
pub(super) struct Looks {
    deadline: Instant,
    next: Duration,
}

impl Looks {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, next: LOOK_SHORTEST }
    }

    /// Waits for the next look; `false` when the time is over.
    pub(super) async fn pause(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.next.min(left)).await;
        self.next = (self.next * 2).min(LOOK_LONGEST);
        true
    }
}
