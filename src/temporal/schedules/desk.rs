//! What the front door asks about schedules, done: checked against the registry, then one call to Temporal.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::action::PreparedSchedule;
use super::advice::{lasting, misfit, unfit_at_fire, violation, warnings};
use super::book::Book;
use super::calls::{Backfill, Schedules as Calls};
use super::description::ScheduleDescription;
use super::error::ScheduleError;
use super::finish::Finish;
use super::fire::{Firing, Resolver};
use super::fit::{Queue, Types};
use super::listing;
use super::preview;
use super::reconcile::Reconciler;
use super::request::{DispatchMode, FieldWarning, OverlapPolicy, ScheduleRequest};
use super::spec::{CompiledSpec, compile};
use super::state::{ScheduleDetail, ScheduleSummary};
use super::told::{detail, failure, version_of};
use crate::{
    clock,
    fleet::Fleet,
    registry::{TypeEntry, run_name, slugify},
    schema::{ValidatorCache, Violation},
    seams::{
        Reads, StartError, Writes,
        schedules::{Accepted, Listing, Preview, Put, ScheduleFailure, Schedules, Stretch},
    },
    temporal::connection::Link,
    view::View,
};

/// The longest schedule id, in bytes: it is part of workflow ids that Temporal bounds at 1000.
const ID_BYTES_MAX: usize = 900;
/// How long a request waits for search attributes that are being provisioned.
const ATTRIBUTES_WITHIN: Duration = Duration::from_secs(15);
/// How long single fires are followed right after the creation; later ones are left to the sweep.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(60);
/// How long a due fire is waited for before it is left to the sweep.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);
/// A first fire closer than this may have been late already when the server heard of it.
const LATE_BELOW: Duration = Duration::from_secs(1);
/// How often an upsert is tried against others' creations and deletions.
const PUT_ATTEMPTS: u32 = 5;

/// Schedules as the front door sees them.
pub struct Desk {
    calls: Calls,
    types: Types,
    book: Arc<Book>,
}

/// A request that passed every check.
struct Checked {
    prepared: PreparedSchedule,
    spec: CompiledSpec,
    task_queue: String,
    warnings: Vec<FieldWarning>,
}

impl Desk {
    /// The desk, with a reconciler that runs beside it for as long as this process.
    pub fn start(
        link: &Link,
        reads: Arc<dyn Reads>,
        writes: Arc<dyn Writes>,
        fleet: Arc<Fleet>,
        validators: Arc<ValidatorCache>,
        firing: &Firing,
    ) -> Self {
        let types = Types { reads, fleet, validators, own_queue: link.registry.task_queue.clone() };
        firing.ready(Resolver { types: types.clone(), writes });
        let calls = Calls::new(link.client().clone());
        let book = Arc::new(Book::default());
        let reconciler = Reconciler::new(calls.clone(), types.clone(), book.clone(), link.identity());
        tokio::spawn(async move { reconciler.run().await });
        Self { calls, types, book }
    }

    /// What this replica remembers of the schedules.
    pub fn book(&self) -> Arc<Book> {
        self.book.clone()
    }

    async fn check(&self, id: &str, request: &ScheduleRequest) -> Result<Checked, ScheduleFailure> {
        if request.pinned_task_queue() == Some(&self.types.own_queue) {
            return Err(ScheduleFailure::RegistryQueue(self.types.own_queue.clone()));
        }
        let compiled = compile(request, now());
        let mut violations: Vec<Violation> = match &compiled {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(violation).collect(),
        };
        if id.len() > ID_BYTES_MAX {
            violations.push(misfit(&["id"], &format!("must be at most {ID_BYTES_MAX} bytes"), "too_long"));
        }
        violations.extend(unfit_at_fire(id, request));
        let (view, entry) = match self.usable_type(request).await {
            Ok(found) => found,
            // What is wrong with the request itself is the better answer.
            Err(_) if !violations.is_empty() => return Err(ScheduleFailure::Invalid(violations)),
            Err(failure) => return Err(failure),
        };
        let attributes = match self.types.encode(&view, &entry, &request.search_attributes) {
            Ok(attributes) => attributes,
            Err(StartError::AttributesUnavailable(why)) => {
                return Err(ScheduleFailure::AttributesUnavailable(why));
            }
            Err(StartError::Invalid(more)) => {
                violations.extend(more);
                Default::default()
            }
            Err(other) => return Err(ScheduleFailure::Internal(format!("{other:?}"))),
        };
        let spec = match compiled {
            Ok(spec) if violations.is_empty() => spec,
            Ok(_) | Err(_) => return Err(ScheduleFailure::Invalid(violations)),
        };
        let broken = self.types.violations(&entry, &request.input).map_err(ScheduleFailure::InvalidSchema)?;
        if !broken.is_empty() {
            return Err(ScheduleFailure::InvalidInput(broken));
        }
        let queue = match request.pinned_task_queue() {
            Some(name) => Queue { name: name.to_owned(), is_served: true },
            None => self.types.queue(&view, &entry),
        };
        let warnings = warnings(request, &spec, &view, &entry, &queue);
        let task_queue = match request.dispatch {
            DispatchMode::Direct => queue.name,
            DispatchMode::ResolveAtFire => self.types.own_queue.clone(),
        };
        let prepared =
            PreparedSchedule::new(id, request, &spec, &task_queue).with_search_attributes(attributes);
        Ok(Checked { prepared, spec, task_queue, warnings })
    }

    /// The type, when it may be scheduled; waits for search attributes that the request sets and that are on their way.
    async fn usable_type(
        &self,
        request: &ScheduleRequest,
    ) -> Result<(Arc<View>, Arc<TypeEntry>), ScheduleFailure> {
        let deadline = Instant::now() + ATTRIBUTES_WITHIN;
        loop {
            let view = self.types.view();
            let entry = view.types.get(&request.workflow_type).filter(|entry| entry.enabled).cloned();
            let unavailable = || ScheduleFailure::TypeUnavailable(request.workflow_type.clone());
            let entry = entry.ok_or_else(unavailable)?;
            match self.types.attributes_hold(&view, &request.search_attributes) {
                None => return Ok((view, entry)),
                Some((true, _)) if Instant::now() < deadline => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    // Either the view moved, or the time is over: both are seen on the next look.
                    let _ = self.types.reads.reached(view.revision + 1, left).await;
                }
                Some((_, why)) => return Err(ScheduleFailure::AttributesUnavailable(why)),
            }
        }
    }

    fn accepted(&self, request: &ScheduleRequest, checked: Checked, outcome: Put) -> Accepted {
        Accepted {
            outcome,
            warnings: checked.warnings,
            task_queue: checked.task_queue,
            catchup_window_seconds: request.catchup_window_seconds,
        }
    }

    /// Follows single fires that are due soon, so that the schedule is gone as soon as they are confirmed. Fires whose
    /// time passed on the way are not left until then.
    fn follow(&self, id: &str, checked: &Checked) {
        self.book.look_again(id);
        let Some(last) = last_single_fire(&checked.spec) else { return };
        // A time that has passed is no time to wait.
        let until = |at: DateTime<Utc>| (at - now()).to_std().unwrap_or_default();
        let wait = until(last);
        let is_late = checked.spec.one_shots.first().is_some_and(|first| until(*first) < LATE_BELOW);
        if wait > FOLLOWED_WITHIN && !is_late {
            return;
        }
        let (calls, book, id) = (self.calls.clone(), self.book.clone(), id.to_owned());
        tokio::spawn(async move {
            let confirm = || calls.confirm_and_remove(&id, CONFIRM_WITHIN);
            let mut outcome = if is_late { confirm().await } else { Ok(Finish::Ongoing) };
            if wait <= FOLLOWED_WITHIN && outcome == Ok(Finish::Ongoing) {
                tokio::time::sleep(wait).await;
                outcome = confirm().await;
            }
            if let Err(error) = outcome {
                tracing::debug!(schedule = id, %error, "the end of a schedule is left to the sweep");
            }
            book.look_again(&id);
        });
    }
}

#[async_trait::async_trait]
impl Schedules for Desk {
    async fn create(&self, id: &str, request: &ScheduleRequest) -> Result<Accepted, ScheduleFailure> {
        let checked = self.check(id, request).await?;
        match self.calls.create(&checked.prepared).await {
            Ok(()) => {
                self.follow(id, &checked);
                Ok(self.accepted(request, checked, Put::Created))
            }
            Err(ScheduleError::AlreadyExists) => match self.calls.describe(id).await {
                Ok(seen) if is_same(&seen, &checked) => Ok(self.accepted(request, checked, Put::Unchanged)),
                // It was there a moment ago: a schedule of single fires that is done, of the same request at the same
                // time as like as not. Making it again would fire twice.
                Err(ScheduleError::NotFound) if checked.spec.one_shot_fires().is_some() => {
                    Ok(self.accepted(request, checked, Put::Unchanged))
                }
                Ok(seen) if seen.stamp.is_none() => Err(ScheduleFailure::Foreign),
                Ok(_) | Err(ScheduleError::NotFound) => Err(ScheduleFailure::Exists),
                Err(error) => Err(failure(error)),
            },
            Err(error) => Err(failure(error)),
        }
    }

    async fn put(
        &self,
        id: &str,
        request: &ScheduleRequest,
        version: Option<&str>,
    ) -> Result<Accepted, ScheduleFailure> {
        let checked = self.check(id, request).await?;
        for _ in 0..PUT_ATTEMPTS {
            let seen = match self.calls.describe(id).await {
                Ok(seen) => seen,
                Err(ScheduleError::NotFound) if version.is_some() => return Err(ScheduleFailure::Changed),
                Err(ScheduleError::NotFound) => match self.calls.create(&checked.prepared).await {
                    Ok(()) => {
                        self.follow(id, &checked);
                        return Ok(self.accepted(request, checked, Put::Created));
                    }
                    Err(ScheduleError::AlreadyExists) => continue,
                    Err(error) => return Err(failure(error)),
                },
                Err(error) => return Err(failure(error)),
            };
            if version.is_some_and(|version| version != version_of(&seen)) {
                return Err(ScheduleFailure::Changed);
            }
            let Some(stamp) = &seen.stamp else { return Err(ScheduleFailure::Foreign) };
            if is_same(&seen, &checked) {
                return Ok(self.accepted(request, checked, Put::Unchanged));
            }
            lasting(stamp, request)?;
            let token = version.map(|_| &seen.conflict_token);
            match self.calls.replace(&checked.prepared, token).await {
                Ok(()) => {
                    self.follow(id, &checked);
                    return Ok(self.accepted(request, checked, Put::Replaced));
                }
                Err(ScheduleError::NotFound) if version.is_none() => {}
                Err(ScheduleError::NotFound | ScheduleError::Conflict) => {
                    return Err(ScheduleFailure::Changed);
                }
                Err(error) => return Err(failure(error)),
            }
        }
        Err(ScheduleFailure::OverLimit("others keep changing this schedule".to_owned()))
    }

    async fn preview(
        &self,
        id: &str,
        request: &ScheduleRequest,
        from: Option<DateTime<Utc>>,
        n: usize,
    ) -> Result<Preview, ScheduleFailure> {
        let checked = self.check(id, request).await?;
        let base = request.base_workflow_id(id);
        let fires = preview::preview(&checked.spec, base, from.unwrap_or_else(now), n);
        let fires = match request.dispatch {
            DispatchMode::Direct => fires.into_iter().map(|fire| (fire.at, fire.workflow_id)).collect(),
            DispatchMode::ResolveAtFire => {
                // As long as nobody else claims a number of this name meanwhile.
                let slug = slugify(base);
                let last = self.types.view().slugs.get(&slug).map_or(0, |counter| counter.counter);
                let named = fires.into_iter().zip(last + 1..);
                named.map(|(fire, number)| (fire.at, run_name(&slug, number))).collect()
            }
        };
        Ok(Preview { fires, task_queue: checked.task_queue, warnings: checked.warnings })
    }

    async fn describe(&self, id: &str) -> Result<ScheduleDetail, ScheduleFailure> {
        let seen = self.calls.describe(id).await.map_err(failure)?;
        let problems = match &seen.stamp {
            Some(_) => self.types.problems(&self.types.view(), &seen.stored()),
            None => Vec::new(),
        };
        Ok(detail(seen, problems))
    }

    async fn list(
        &self,
        wanted: &Listing,
    ) -> Result<(Vec<ScheduleSummary>, Option<String>), ScheduleFailure> {
        let (found, next) = listing::page(&self.calls, wanted).await.map_err(|error| match error {
            ScheduleError::Invalid(_) if wanted.page_token.is_some() => {
                ScheduleFailure::Invalid(vec![misfit(
                    &["page_token"],
                    "is not a token given by this list",
                    "page_token",
                )])
            }
            error => failure(error),
        })?;
        let summary = |entry: listing::Listed| ScheduleSummary {
            problems: self.book.problems_of(&entry.id),
            is_ours: entry.created_stamp.is_some(),
            id: entry.id,
            workflow_type: entry.workflow_type,
            paused: entry.paused,
            note: entry.note,
            spec: entry.spec,
            next_fires: entry.next_fires,
            recent: entry.recent,
        };
        Ok((found.into_iter().map(summary).collect(), next))
    }

    async fn delete(&self, id: &str) -> Result<(), ScheduleFailure> {
        self.calls.delete(id).await.map_err(failure)?;
        self.book.forget(id);
        Ok(())
    }

    async fn pause(&self, id: &str, note: &str) -> Result<(), ScheduleFailure> {
        self.calls.pause(id, note).await.map_err(failure)
    }

    async fn unpause(&self, id: &str, note: &str) -> Result<(), ScheduleFailure> {
        self.calls.unpause(id, note).await.map_err(failure)
    }

    async fn trigger(&self, id: &str, overlap_policy: Option<OverlapPolicy>) -> Result<(), ScheduleFailure> {
        self.calls.trigger(id, overlap_policy).await.map_err(failure)
    }

    async fn backfill(&self, id: &str, stretch: Stretch) -> Result<(), ScheduleFailure> {
        let Stretch { start_at, end_at, overlap_policy } = stretch;
        let stretch = Backfill { start_at, end_at, overlap_policy };
        self.calls.backfill(id, &[stretch]).await.map_err(failure)
    }

    fn problem_count(&self) -> usize {
        self.book.problem_count()
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(clock::now_ms()).unwrap_or_default()
}

fn is_same(seen: &ScheduleDescription, checked: &Checked) -> bool {
    seen.stamp.as_ref().is_some_and(|stamp| stamp.spec_hash == checked.prepared.stamp().spec_hash)
}

/// When a schedule of single fires is over; `None` for one that goes on.
fn last_single_fire(spec: &CompiledSpec) -> Option<DateTime<Utc>> {
    spec.one_shot_fires()?;
    spec.one_shots.last().copied().or(spec.immediate)
}
