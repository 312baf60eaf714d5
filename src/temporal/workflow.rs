//! The workflow shell: the durable singleton around the rules. It decodes, applies, answers and hands over; what is
//! right or wrong is decided in `registry`.

#[cfg(test)]
mod replay;
mod surface;

pub use surface::register;

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use temporalio_common::{data_converters::RawValue, protos::temporal::api::common::v1::Payload};
use temporalio_sdk::{
    ActivityOptions, CancellableFuture, ContinueAsNewOptions, TimerOptions, WorkflowCancellationToken,
    WorkflowContext, WorkflowResult,
};

use super::{
    codec::{self, CodecError},
    provision::Provisioner,
    reference::{self, ClaimedWire, NameWire, ResetWire},
};
use crate::registry::{
    AttributeStatus, Batch, Changes, Command, Outcome, Provisioned, Refusal, Registry, State, run_name,
};

/// Name of the signal that ends the registry workflow.
pub const SHUTDOWN: &str = "shutdown_registry";
/// Name of the signal that ends a hand-over now. Replicas of earlier builds send it when a batch of theirs is refused.
pub const HURRY: &str = "hurry_hand_over";
/// Name of the update that carries a batch.
pub const APPLY_BATCH: &str = "apply_batch";
/// Name of the update that gives a run its state.
pub const TAKE_STATE: &str = "take_state";
/// Name of the query that gives changes since a revision.
pub const CHANGES_SINCE: &str = "changes_since";
/// Name of the update that claims the next number of a slug.
const CLAIM_SLUG_ID: &str = "claim_slug_id";
/// Name of the update that starts a slug over.
const RESET_SLUG: &str = "reset_slug";
/// Name of the signal that services of the reference send all the time.
const SERVICE_HEARTBEAT: &str = "registry_service_heartbeat";
/// What a refused batch says while a run hands over: send it again.
pub const HANDING_OVER: &str = "registry is handing over to its next run";
/// What a run says that was started without a state, by somebody who is no replica, until it is given one.
pub const AWAITING_STATE: &str = "registry is waiting for its state";

/// Hand over at this many commands: replay applies them all again, and this keeps it within a second.
const COMMANDS_MAX: usize = 20_000;
/// Signals kept for a state that is yet to come; it comes within a second of a replica's seeing that it is missing.
const EARLY_SIGNALS_MAX: usize = 1_000;
/// JSON bytes of changes sent along with the answer to a batch; the rest is fetched by query.
const REPLY_CHANGES_BYTES_MAX: u64 = 600_000;
/// JSON bytes of changes in the answer to a query, well under Temporal's 2 MiB even when they do not compress.
const PAGE_BYTES_MAX: u64 = 1_000_000;
/// A hand-over that no batch ends is over after this long. Not sooner: a timer that fires while a batch has the state packed
/// makes Temporal refuse the end of the run, and all is replayed.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(1);
/// Marks hand-overs that a refused batch ends; those that an earlier build began replay as they were.
const ENDED_BY_REFUSAL: &str = "hand-over-ended-by-refusal";
/// Times a hand-over gives way to an update of another client that completes in the same task.
const YIELDS_MAX: usize = 20;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The query for changes.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangesQuery {
    /// The revision the reader has reached.
    pub since: u64,
    /// `View::born` of the reader's view.
    #[serde(default)]
    pub born: u64,
}

/// The workflow task at hand, as far as the shell looks at it.
struct Task {
    history_length: u32,
    continue_as_new_suggested: bool,
    time: Option<SystemTime>,
}

/// The registry workflow.
pub struct RegistryWorkflow {
    registry: Registry,
    /// Commands applied in this run.
    commands: usize,
    /// History length when the last update was accepted: tells whether one completes in the task at hand.
    last_update_at: u32,
    /// Time of the last workflow task that changed something: queries have no clock of their own.
    last_seen_ms: i64,
    handover_due: bool,
    handing_over: bool,
    /// Batches refused in this run, and hand-overs hurried by signal.
    refusals: u32,
    hurries: u32,
    shutdown: bool,
    /// Why the state it was given cannot be read.
    unreadable: Option<CodecError>,
    /// Signals that came before the state did; none once it is here. Nothing is answered for or handed over until then.
    early: Option<Vec<(String, RawValue)>>,
}

impl RegistryWorkflow {
    fn begin(started: Option<SystemTime>, input: &RawValue) -> Self {
        let (state, unreadable) = match codec::take_over(input) {
            Ok(state) => (state, None),
            Err(error) => (State::default(), Some(error)),
        };
        let mut registry = Registry::new(state);
        let now_ms = ms(started);
        let early = input.payloads.is_empty().then(Vec::new);
        if early.is_none() {
            registry.begin_run(now_ms);
        }
        Self {
            registry,
            commands: 0,
            last_update_at: 0,
            last_seen_ms: now_ms,
            handover_due: false,
            handing_over: false,
            refusals: 0,
            hurries: 0,
            shutdown: false,
            unreadable,
            early,
        }
    }

    fn validate_state(&self, input: &RawValue) -> Result<(), Failure> {
        self.require_open()?;
        codec::decode_state(input)?.check()?;
        codec::flag(input.payloads.get(1))?;
        Ok(())
    }

    /// Writes are not taken while the state is on its way out; without one yet, a shutdown waits.
    fn require_open(&self) -> Result<(), Failure> {
        if self.handing_over || (self.shutdown && self.early.is_none()) {
            return Err(HANDING_OVER.into());
        }
        Ok(())
    }

    fn take_update(&mut self, task: &Task, name: &str, input: &RawValue) -> Result<RawValue, Failure> {
        let payload = match name {
            APPLY_BATCH => self.apply_batch(task, input)?,
            TAKE_STATE => {
                self.take_state(task, codec::decode_state(input)?, codec::flag(input.payloads.get(1))?)?
            }
            CLAIM_SLUG_ID => self.claim_slug_id(task, codec::decode(input)?)?,
            _ => self.reset_slug(task, codec::decode(input)?)?,
        };
        Ok(RawValue::new(vec![payload]))
    }

    /// Not validated first: for that the SDK would copy the state that this run began with, at each batch.
    fn apply_batch(&mut self, task: &Task, input: &RawValue) -> Result<Payload, Failure> {
        self.require_open().inspect_err(|_| self.refusals += 1)?;
        let batch: Batch = codec::decode(input)?;
        self.commands += batch.commands.len();
        let now_ms = self.note_update(task);
        Ok(codec::encode(&self.registry.apply_batch(&batch, now_ms, REPLY_CHANGES_BYTES_MAX))?)
    }

    /// Takes a state where there is none, or in place of the one there is when that is asked for. Answers whether it did.
    fn take_state(&mut self, task: &Task, state: State, replace: bool) -> Result<Payload, Failure> {
        let now_ms = self.note_update(task);
        let room = self.early.is_some() || (self.registry.state().is_blank() && !state.is_blank());
        if replace || room {
            self.registry.take_over(state);
            self.registry.begin_run(now_ms);
            for (name, input) in self.early.take().unwrap_or_default() {
                self.apply_signal(&name, &input, now_ms);
            }
            // A large argument stays in the history of this run; the next begins without it.
            self.handover_due = true;
        }
        Ok(codec::plain(&(replace || room))?)
    }

    fn claim_slug_id(&mut self, task: &Task, NameWire { name }: NameWire) -> Result<Payload, Failure> {
        let now_ms = self.note_update(task);
        match self.registry.apply(&Command::Claim { name }, now_ms) {
            Outcome::Claimed { slug, counter } => {
                let workflow_id = run_name(&slug, counter);
                Ok(codec::plain(&ClaimedWire { slug, counter, workflow_id })?)
            }
            other => Err(refused(other)),
        }
    }

    fn reset_slug(&mut self, task: &Task, NameWire { name }: NameWire) -> Result<Payload, Failure> {
        let now_ms = self.note_update(task);
        match self.registry.apply(&Command::ResetSlug { name }, now_ms) {
            Outcome::SlugReset { slug, previous_counter } => {
                Ok(codec::plain(&ResetWire { slug, previous_counter, reset_to: 0 })?)
            }
            other => Err(refused(other)),
        }
    }

    /// Applies a signal, or counts it with the reason why not. Nothing in a signal can fail the workflow task.
    fn take_signal(&mut self, task: &Task, name: &str, input: &RawValue) {
        let now_ms = self.note_task(task);
        if name == SHUTDOWN {
            self.shutdown = true;
            return;
        }
        if name == HURRY {
            self.hurries += 1;
            return;
        }
        // Kept so that services of the reference do not fail; their liveness is of no interest here.
        if name == SERVICE_HEARTBEAT {
            return;
        }
        match &mut self.early {
            None => self.apply_signal(name, input, now_ms),
            Some(early) if early.len() < EARLY_SIGNALS_MAX => early.push((name.to_owned(), input.clone())),
            Some(_) => {}
        }
    }

    fn apply_signal(&mut self, name: &str, input: &RawValue, now_ms: i64) {
        let commands = match input.payloads.as_slice() {
            [one] => codec::json_of(one)
                .map_err(|error| error.to_string())
                .and_then(|json| reference::signal(name, &json, &self.registry)),
            other => Err(format!("expected one argument, got {}", other.len())),
        };
        let refused = match commands {
            Err(reason) => Some(reason),
            Ok(commands) => commands.iter().find_map(|command| match self.registry.apply(command, now_ms) {
                // As in the reference, naming what is not there is no error over signals.
                Outcome::Refused(Refusal::WorkerNotFound { .. } | Refusal::TypeNotFound { .. }) => None,
                Outcome::Refused(refusal) => Some(format!("{refusal:?}")),
                _ => None,
            }),
        };
        if let Some(reason) = refused {
            self.registry.reject_signal(&format!("{name}: {reason}"));
        }
    }

    fn answer(&self, name: &str, input: &RawValue) -> Result<RawValue, Failure> {
        let payload = if name == CHANGES_SINCE {
            if self.early.is_some() {
                return Err(AWAITING_STATE.into());
            }
            let ChangesQuery { since, born } = codec::decode(input)?;
            let changes: Changes = self.registry.changes_since(since, born, PAGE_BYTES_MAX);
            codec::encode(&changes)?
        } else {
            let argument = match input.payloads.as_slice() {
                [one] => Some(serde_json::from_slice(&codec::json_of(one)?)?),
                _ => None,
            };
            codec::plain(&reference::query(name, argument.as_ref(), &self.registry, self.last_seen_ms)?)?
        };
        Ok(RawValue::new(vec![payload]))
    }

    fn note_update(&mut self, task: &Task) -> i64 {
        self.last_update_at = task.history_length;
        self.note_task(task)
    }

    fn note_task(&mut self, task: &Task) -> i64 {
        self.handover_due |= self.commands >= COMMANDS_MAX
            || task.history_length >= self.registry.state().limits.run_events_max
            || task.continue_as_new_suggested;
        self.last_seen_ms = ms(task.time);
        self.last_seen_ms
    }
}

/// Waits, provisions and hands over until the registry is shut down; the result is its state.
async fn run(ctx: &mut WorkflowContext<RegistryWorkflow>) -> WorkflowResult<RawValue> {
    // Failing the task is the refusal: the run stays as it is until a program that can read its state comes along. Not
    // while the run is made, where a panic would end the worker.
    if let Some(error) = ctx.state(|s| s.unreadable.as_ref().map(ToString::to_string)) {
        panic!("cannot take over the registry: {error}");
    }
    // Cancelled before it had a state, it leaves none that could be mistaken for one.
    if ctx.wait_condition(|s| s.early.is_none()).await.is_err() {
        return Ok(RawValue::new(Vec::new()));
    }
    loop {
        let woken = ctx.wait_condition(|s| s.shutdown || s.handover_due || s.registry.has_pending()).await;
        // A cancelled registry closes like one that was shut down: its state is its result.
        if woken.is_err() || ctx.state(|s| s.shutdown) {
            return Ok(ctx.state(|s| codec::encode_state(s.registry.state())).map_err(packing)?);
        }
        if ctx.state(|s| s.handover_due) {
            hand_over(ctx).await?;
        }
        provision(ctx).await;
    }
}

/// Ends this run and gives its state to the next. An update that completes in the same workflow task would lose its answer,
/// so batches are refused from here on: the first refused one ends the run, since it is sent again in any case, or a timer
/// does when none comes.
async fn hand_over(ctx: &mut WorkflowContext<RegistryWorkflow>) -> WorkflowResult<()> {
    ctx.state_mut(|s| s.handing_over = true);
    let by_refusal = ctx.patched(ENDED_BY_REFUSAL);
    let wanted = move |s: &RegistryWorkflow| s.hurries + if by_refusal { s.refusals } else { 0 };
    for within in std::iter::once(HAND_OVER_WITHIN).chain([Duration::from_millis(1); YIELDS_MAX]) {
        let before = ctx.state(wanted);
        let hurried = pin!(ctx.wait_condition(move |s| wanted(s) > before));
        // Tied to this run's own cancellation, a timer that is dropped before it fired keeps the run in memory for good.
        let apart = WorkflowCancellationToken::new();
        let timer = pin!(ctx.timer(TimerOptions::builder(within).cancellation_token(apart).build()));
        if let Either::Right((_, timer)) = select(timer, hurried).await {
            timer.cancel();
        }
        if ctx.state(|s| s.last_update_at) != ctx.history_length() {
            break;
        }
    }
    let handlers = ctx.clone();
    ctx.wait_condition(move |_| handlers.all_handlers_finished()).await?;
    let state = ctx.state(|s| codec::hand_over(s.registry.state())).map_err(packing)?;
    let options = ContinueAsNewOptions::builder().task_timeout(task_timeout(&state.payloads)).build();
    ctx.continue_as_new(state, options)?;
    Ok(())
}

/// Temporal gives a workflow task up after this long, and with it the replica that died over it. Reading the state and
/// replaying a nearly full run has to end before, on a busy machine too: two seconds, and 0.7 for each megabyte of state.
/// Not more: with what comes after, writes go on within five seconds of a replica's death, in a full registry too. After
/// three attempts Temporal adds five seconds by itself, and more with each (`getStartToCloseTimeout` of its server).
pub(super) fn task_timeout(state: &[Payload]) -> Duration {
    let bytes: u64 = state.iter().map(|payload| payload.data.len() as u64).sum();
    Duration::from_secs(2) + Duration::from_micros(bytes * 7 / 10)
}

/// Has the attributes that types declare made ready, by one activity for all that wait.
async fn provision(ctx: &mut WorkflowContext<RegistryWorkflow>) {
    let pending = ctx.state(|s| s.registry.pending_attributes());
    if pending.is_empty() {
        return;
    }
    let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(60));
    let failed = |reason: String| {
        let result = |a: &crate::registry::Attribute| Provisioned {
            name: a.name.clone(),
            kind: a.kind,
            status: AttributeStatus::Conflict(format!("could not be provisioned: {reason}")),
        };
        pending.iter().map(result).collect::<Vec<_>>()
    };
    let results = match ctx.execute_activity(Provisioner::provision, pending.clone(), options).await {
        Ok(results) => results,
        Err(error) => failed(error.to_string()),
    };
    let now_ms = ms(ctx.workflow_time());
    ctx.state_mut(|s| s.registry.apply(&Command::Provisioned(results), now_ms));
}

fn ms(time: Option<SystemTime>) -> i64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn refused(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Refused(Refusal::BadName { reason }) => reason.into(),
        other => format!("{other:?}").into(),
    }
}

fn packing(error: CodecError) -> temporalio_sdk::ApplicationFailure {
    temporalio_sdk::ApplicationFailure::new(error)
}
