//! The workflow shell: the durable singleton around the rules. It decodes, applies, answers and hands over; what is
//! right or wrong is decided in `registry`.
#![allow(missing_docs, reason = "the workflow macro generates constants without documentation")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ActivityOptions, ContinueAsNewOptions, SyncWorkflowContext, WorkflowContext, WorkflowContextView,
    WorkflowResult,
};

use super::{
    codec::{self, CodecError},
    provision::Provisioner,
    reference::{self, ClaimedWire, NameWire, ResetWire},
};
use crate::registry::{
    AttributeStatus, Batch, Changes, Command, Outcome, Provisioned, Refusal, Registry, run_name,
};

/// Temporal workflow type of the registry.
pub const WORKFLOW_TYPE: &str = "temporal-registry.v1";
/// Name of the signal that ends the registry workflow.
pub const SHUTDOWN: &str = "shutdown_registry";
/// Name of the update that carries a batch.
pub const APPLY_BATCH: &str = "apply_batch";
/// Name of the query that gives changes since a revision.
pub const CHANGES_SINCE: &str = "changes_since";
/// Name of the update that gives a run its state.
pub const TAKE_STATE: &str = "take_state";
/// What a refused batch says while a run hands over: send it again.
pub const HANDING_OVER: &str = "registry is handing over to its next run";
/// What a run says that was started without a state, by somebody who is no replica, until it is given one.
pub const AWAITING_STATE: &str = "registry is waiting for its state";

/// Hand over at this many history events: a tenth of Temporal's limit, so that replay after a failover stays short.
const EVENTS_MAX: u32 = 5_000;
/// Hand over at this many updates; Temporal refuses more than 2,000 in one run.
const UPDATES_MAX: u32 = 1_500;
/// Hand over at this many commands: replay applies them all again, and this keeps it within a second.
const COMMANDS_MAX: usize = 20_000;
/// Temporal gives a workflow task up after this long, and with it the replica that died over it. Replaying a whole run
/// takes about a second.
pub const TASK_TIMEOUT: Duration = Duration::from_secs(3);
/// Hand over at this many signals; Temporal refuses more than 10,000 in one run.
const SIGNALS_MAX: u32 = 5_000;
/// Signals kept for the state to come; it comes within a second of a replica's seeing that it is missing.
const EARLY_SIGNALS_MAX: usize = 1_000;
/// JSON bytes of changes sent along with the answer to a batch; the rest is fetched by query.
const REPLY_CHANGES_BYTES_MAX: u64 = 600_000;
/// JSON bytes of changes in the answer to a query, well under Temporal's 2 MiB even when they do not compress.
const PAGE_BYTES_MAX: u64 = 1_000_000;
/// Times a hand-over gives way to an update of another client that completes in the same task.
const YIELDS_MAX: u32 = 20;

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

/// The registry workflow.
#[workflow]
pub struct RegistryWorkflow {
    registry: Registry,
    /// Updates accepted in this run.
    updates: u32,
    /// Commands applied in this run.
    commands: usize,
    /// Signals received in this run.
    signals: u32,
    /// History length when the last update was accepted: tells whether one completes in the task at hand.
    last_update_at: u32,
    /// Time of the last workflow task that changed something: queries have no clock of their own.
    last_seen_ms: i64,
    handover_due: bool,
    handing_over: bool,
    shutdown: bool,
    /// Signals that came before the state did; none once it is here. Nothing is answered for or handed over until then.
    early: Option<Vec<(&'static str, RawValue)>>,
}

#[workflow_methods]
impl RegistryWorkflow {
    #[init]
    fn new(ctx: &WorkflowContextView, input: RawValue) -> Self {
        let state = match codec::decode_state(&input) {
            Ok(state) => state,
            // Failing the task is the refusal: the run stays as it is until a program that can read it comes along.
            Err(error) => panic!("cannot take over the registry: {error}"),
        };
        let mut registry = Registry::new(state);
        let now_ms = ms(ctx.start_time());
        let early = input.payloads.is_empty().then(Vec::new);
        if early.is_none() {
            registry.begin_run(now_ms);
        }
        Self {
            registry,
            updates: 0,
            commands: 0,
            signals: 0,
            last_update_at: 0,
            last_seen_ms: now_ms,
            handover_due: false,
            handing_over: false,
            shutdown: false,
            early,
        }
    }

    /// Waits, provisions and hands over until the registry is shut down; the result is its state.
    #[run(name = "temporal-registry.v1")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RawValue> {
        // Cancelled before it had a state, it leaves none that could be mistaken for one.
        if ctx.wait_condition(|s| s.early.is_none()).await.is_err() {
            return Ok(RawValue::new(Vec::new()));
        }
        loop {
            let woken =
                ctx.wait_condition(|s| s.shutdown || s.handover_due || s.registry.has_pending()).await;
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

    #[update_validator(apply_batch)]
    fn validate_batch(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Failure> {
        self.require_open()?;
        codec::decode::<Batch>(input)?;
        Ok(())
    }

    #[update]
    fn apply_batch(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<RawValue, Failure> {
        let batch: Batch = codec::decode(&input)?;
        self.commands += batch.commands.len();
        let task = Task::from(&*ctx);
        self.note_update(&task);
        let reply = self.registry.apply_batch(&batch, task.now_ms, REPLY_CHANGES_BYTES_MAX);
        Ok(RawValue::new(vec![codec::encode(&reply)?]))
    }

    #[update]
    async fn claim_slug_id(ctx: &mut WorkflowContext<Self>, input: RawValue) -> Result<RawValue, Failure> {
        let NameWire { name } = codec::decode(&input)?;
        match applied(ctx, Command::Claim { name }).await? {
            Outcome::Claimed { slug, counter } => {
                let workflow_id = run_name(&slug, counter);
                Ok(RawValue::new(vec![codec::plain(&ClaimedWire { slug, counter, workflow_id })?]))
            }
            other => Err(refused(other)),
        }
    }

    #[update]
    async fn reset_slug(ctx: &mut WorkflowContext<Self>, input: RawValue) -> Result<RawValue, Failure> {
        let NameWire { name } = codec::decode(&input)?;
        match applied(ctx, Command::ResetSlug { name }).await? {
            Outcome::SlugReset { slug, previous_counter } => {
                Ok(RawValue::new(vec![codec::plain(&ResetWire { slug, previous_counter, reset_to: 0 })?]))
            }
            other => Err(refused(other)),
        }
    }

    #[update_validator(take_state)]
    fn validate_state(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Failure> {
        if self.early.is_none() {
            self.require_open()?;
        }
        codec::decode_state(input)?;
        Ok(())
    }

    /// Takes a state where there is none, or in place of the one there is when that is asked for. Answers whether it did.
    #[update]
    fn take_state(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<RawValue, Failure> {
        let state = codec::decode_state(&input)?;
        let replace = codec::flag(input.payloads.get(1))?;
        let task = Task::from(&*ctx);
        self.note_update(&task);
        let room = self.early.is_some() || (self.registry.state().is_blank() && !state.is_blank());
        let taken = replace || room;
        if taken {
            self.registry.take_over(state);
            self.registry.begin_run(task.now_ms);
            for (name, input) in self.early.take().unwrap_or_default() {
                self.apply_signal(name, &input, task.now_ms);
            }
            // A large argument stays in the history of this run; the next begins without it.
            self.handover_due = true;
        }
        Ok(RawValue::new(vec![codec::plain(&taken)?]))
    }

    #[signal]
    fn register_worker(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "register_worker", &input);
    }

    #[signal]
    fn put_workflow(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "put_workflow", &input);
    }

    #[signal]
    fn heartbeat_worker(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "heartbeat_worker", &input);
    }

    #[signal]
    fn unregister_worker(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "unregister_worker", &input);
    }

    #[signal]
    fn set_workflow_enabled(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "set_workflow_enabled", &input);
    }

    #[signal]
    fn unregister_workflow(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "unregister_workflow", &input);
    }

    #[signal]
    fn registry_service_started(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.take_signal(ctx, "registry_service_started", &input);
    }

    /// Kept so that services of the reference do not fail; their liveness is of no interest here.
    #[signal]
    fn registry_service_heartbeat(&mut self, ctx: &mut SyncWorkflowContext<Self>, _input: RawValue) {
        self.note_signal(&Task::from(&*ctx));
    }

    #[signal]
    fn shutdown_registry(&mut self, ctx: &mut SyncWorkflowContext<Self>, _input: RawValue) {
        self.note_signal(&Task::from(&*ctx));
        self.shutdown = true;
    }

    #[query]
    fn changes_since(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        if self.early.is_some() {
            return Err(AWAITING_STATE.into());
        }
        let ChangesQuery { since, born } = codec::decode(&input)?;
        let changes: Changes = self.registry.changes_since(since, born, PAGE_BYTES_MAX);
        Ok(RawValue::new(vec![codec::encode(&changes)?]))
    }

    #[query]
    fn list_workflows(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        self.answer("list_workflows", &input)
    }

    #[query]
    fn get_workflow(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        self.answer("get_workflow", &input)
    }

    #[query]
    fn resolve_workflow(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        self.answer("resolve_workflow", &input)
    }

    #[query]
    fn list_search_attributes(
        &self,
        _ctx: &WorkflowContextView,
        input: RawValue,
    ) -> Result<RawValue, Failure> {
        self.answer("list_search_attributes", &input)
    }

    #[query]
    fn list_workers(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        self.answer("list_workers", &input)
    }

    #[query]
    fn get_status(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        self.answer("get_status", &input)
    }

    #[query]
    fn list_slug_counters(&self, _ctx: &WorkflowContextView, input: RawValue) -> Result<RawValue, Failure> {
        self.answer("list_slug_counters", &input)
    }
}

/// What is known in a workflow task of itself and its run.
struct Task {
    /// Events in the history.
    length: u32,
    handover_suggested: bool,
    now_ms: i64,
}

impl From<&SyncWorkflowContext<RegistryWorkflow>> for Task {
    fn from(ctx: &SyncWorkflowContext<RegistryWorkflow>) -> Self {
        let (length, handover_suggested) = (ctx.history_length(), ctx.continue_as_new_suggested());
        Self { length, handover_suggested, now_ms: ms(ctx.workflow_time()) }
    }
}

impl From<&WorkflowContext<RegistryWorkflow>> for Task {
    fn from(ctx: &WorkflowContext<RegistryWorkflow>) -> Self {
        let (length, handover_suggested) = (ctx.history_length(), ctx.continue_as_new_suggested());
        Self { length, handover_suggested, now_ms: ms(ctx.workflow_time()) }
    }
}

impl RegistryWorkflow {
    fn note_update(&mut self, task: &Task) {
        self.updates += 1;
        self.last_update_at = task.length;
        self.note_task(task);
    }

    /// Whether writes are taken: not while the state is on its way in or out.
    fn require_open(&self) -> Result<(), Failure> {
        if self.handing_over || self.shutdown {
            return Err(HANDING_OVER.into());
        }
        if self.early.is_some() {
            return Err(AWAITING_STATE.into());
        }
        Ok(())
    }

    fn note_signal(&mut self, task: &Task) {
        self.signals += 1;
        self.note_task(task);
    }

    fn note_task(&mut self, task: &Task) {
        self.handover_due |= self.updates >= UPDATES_MAX
            || self.commands >= COMMANDS_MAX
            || self.signals >= SIGNALS_MAX
            || task.length >= EVENTS_MAX
            || task.handover_suggested;
        self.last_seen_ms = task.now_ms;
    }

    /// Applies a signal, or counts it with the reason why not. Nothing in a signal can fail the workflow task.
    fn take_signal(&mut self, ctx: &SyncWorkflowContext<Self>, name: &'static str, input: &RawValue) {
        let task = Task::from(ctx);
        self.note_signal(&task);
        match &mut self.early {
            None => self.apply_signal(name, input, task.now_ms),
            Some(early) if early.len() < EARLY_SIGNALS_MAX => early.push((name, input.clone())),
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
        let argument = match input.payloads.as_slice() {
            [one] => Some(serde_json::from_slice(&codec::json_of(one)?)?),
            _ => None,
        };
        let value = reference::query(name, argument.as_ref(), &self.registry, self.last_seen_ms)?;
        Ok(RawValue::new(vec![codec::plain(&value)?]))
    }
}

/// Ends this run and gives its state to the next. Never in a workflow task that completes an update, whose answer
/// would be lost: batches are refused from here on, and a timer ends the task at hand.
async fn hand_over(ctx: &mut WorkflowContext<RegistryWorkflow>) -> WorkflowResult<()> {
    ctx.state_mut(|s| s.handing_over = true);
    for _ in 0..YIELDS_MAX {
        ctx.timer(Duration::from_millis(1)).await;
        if ctx.state(|s| s.last_update_at) != ctx.history_length() {
            break;
        }
    }
    let handlers = ctx.clone();
    ctx.wait_condition(move |_| handlers.all_handlers_finished()).await?;
    let state = ctx.state(|s| codec::encode_state(s.registry.state())).map_err(packing)?;
    let options = ContinueAsNewOptions::builder().task_timeout(TASK_TIMEOUT).build();
    ctx.continue_as_new(state, options)?;
    Ok(())
}

/// Applies the command of an update that is not a batch, once there is a state to apply it to.
async fn applied(ctx: &mut WorkflowContext<RegistryWorkflow>, command: Command) -> Result<Outcome, Failure> {
    ctx.wait_condition(|s| s.early.is_none()).await?;
    let task = Task::from(&*ctx);
    Ok(ctx.state_mut(|s| {
        s.note_update(&task);
        s.registry.apply(&command, task.now_ms)
    }))
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
