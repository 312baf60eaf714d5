//! The ledger: group commit. One batched update of this replica is in flight at a time; whatever is submitted meanwhile
//! forms the next. A batch is sent again until it is known to be applied; the registry applies it once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue as Json;
use temporalio_common::data_converters::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, debug_span};

use super::{
    codec,
    connection::{CallError, Link},
    mirror::Mirror,
    update::{Answer, update},
    workflow::{APPLY_BATCH, AWAITING_STATE, HANDING_OVER},
};
use crate::{
    clock,
    registry::{BatchReply, Command, Outcome},
    seams::{Reads, WriteError, Writes},
    telemetry::Metrics,
};

/// Commands waiting for a batch; beyond it a submission is refused.
const QUEUE_MAX: usize = 8_192;
/// Commands in one batch: bounds the time of one workflow task.
const BATCH_COMMANDS_MAX: usize = 2_048;
/// JSON bytes of one batch: under Temporal's 2 MiB even when it does not compress.
const BATCH_BYTES_MAX: usize = 1_200_000;
/// One attempt to send a batch; the same batch is sent again after it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// A batch that found no answer for this long is given up: all its callers have long been told so.
const GIVE_UP_AFTER: Duration = Duration::from_secs(120);
/// How often heartbeats and lapses are looked through.
const TICK: Duration = Duration::from_millis(250);

const WAITING: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

struct Item {
    json: Box<Json>,
    stage: Arc<AtomicU8>,
    /// What the caller was doing, for traces.
    span: Span,
    answer: oneshot::Sender<Result<Outcome, WriteError>>,
}

/// Submits commands.
#[derive(Clone)]
pub struct Ledger {
    queue: mpsc::Sender<Item>,
    deadline: Duration,
}

/// Brings the registry workflow back when a write finds it gone.
#[async_trait::async_trait]
pub trait Revive: Send + Sync {
    /// Makes sure that the registry workflow runs.
    async fn revive(&self) -> Result<(), CallError>;
}

#[derive(Serialize)]
struct BatchWire<'a> {
    replica: &'a str,
    sequence: u64,
    known_revision: u64,
    known_born: u64,
    commands: Vec<&'a Json>,
}

impl Ledger {
    /// Starts the ledger of this replica. `deadline`: how long a caller waits for an outcome.
    pub fn start(
        link: Arc<Link>,
        mirror: Arc<Mirror>,
        revive: Arc<dyn Revive>,
        deadline: Duration,
        metrics: Metrics,
    ) -> Self {
        let (queue, items) = mpsc::channel(QUEUE_MAX);
        let replica = uuid::Uuid::now_v7().simple().to_string();
        let writer = Writer { link, mirror, revive, replica, sequence: 0, metrics, carried: None };
        tokio::spawn(writer.run(items));
        Self { queue, deadline }
    }

    /// Commands waiting for a batch.
    pub fn waiting(&self) -> usize {
        QUEUE_MAX - self.queue.capacity()
    }
}

#[async_trait::async_trait]
impl Writes for Ledger {
    /// When the caller goes away, a command that was not sent yet is withdrawn; one that was sent is applied all the same.
    async fn submit(&self, command: &Command) -> Result<Outcome, WriteError> {
        let json =
            serde_json::value::to_raw_value(command).map_err(|_| WriteError::TooLarge(BATCH_BYTES_MAX))?;
        if json.get().len() > BATCH_BYTES_MAX {
            return Err(WriteError::TooLarge(BATCH_BYTES_MAX));
        }
        let stage = Arc::new(AtomicU8::new(WAITING));
        let withdraw = Withdraw(stage.clone());
        let (answer, outcome) = oneshot::channel();
        self.queue
            .try_send(Item { json, stage, span: Span::current(), answer })
            .map_err(|_| WriteError::QueueFull)?;
        match timeout_at(Instant::now() + self.deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(WriteError::Unavailable("shutting down".to_owned())),
            Err(_) if withdraw.now() => Err(WriteError::Unavailable("no answer from Temporal".to_owned())),
            Err(_) => Err(WriteError::OutcomeUnknown),
        }
    }
}

/// Withdraws a waiting command when its caller goes away.
struct Withdraw(Arc<AtomicU8>);

impl Withdraw {
    /// Whether the command was still waiting, and now never will be sent.
    fn now(&self) -> bool {
        self.0.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.now();
    }
}

struct Writer {
    link: Arc<Link>,
    mirror: Arc<Mirror>,
    revive: Arc<dyn Revive>,
    replica: String,
    sequence: u64,
    metrics: Metrics,
    /// Taken from the queue but too large for the last batch.
    carried: Option<Item>,
}

impl Writer {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut tick = Instant::now();
        loop {
            let first = match self.carried.take() {
                Some(item) => Some(item),
                None => match timeout_at(tick, items.recv()).await {
                    Ok(Some(item)) => Some(item),
                    Ok(None) => return,
                    Err(_) => None,
                },
            };
            let mut housekeeping = Vec::new();
            if tick <= Instant::now() {
                housekeeping = self.housekeeping();
                tick = Instant::now() + TICK;
            }
            let batch = self.gather(first, &mut items);
            if !batch.is_empty() || !housekeeping.is_empty() {
                let span = debug_span!("ledger batch", commands = batch.len() + housekeeping.len());
                for item in &batch {
                    span.follows_from(&item.span);
                }
                self.commit(batch, housekeeping).instrument(span).await;
            }
        }
    }

    /// Heartbeats that must become durable and lapses that must be noted.
    fn housekeeping(&self) -> Vec<Box<Json>> {
        if !self.mirror.is_running() {
            return Vec::new();
        }
        let now_ms = clock::now_ms();
        let renewals = self.mirror.renewals_due(now_ms);
        let mut commands = Vec::new();
        if !renewals.is_empty() {
            commands.push(Command::Renew(renewals));
        }
        if self.mirror.sweep_due(now_ms) {
            commands.push(Command::Sweep);
        }
        commands.iter().filter_map(|command| serde_json::value::to_raw_value(command).ok()).collect()
    }

    fn gather(&mut self, first: Option<Item>, items: &mut mpsc::Receiver<Item>) -> Vec<Item> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        while let Some(item) = next {
            bytes += item.json.get().len();
            if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                self.carried = Some(item);
                break;
            }
            batch.push(item);
            next = if batch.len() < BATCH_COMMANDS_MAX { items.try_recv().ok() } else { None };
        }
        batch
    }

    async fn commit(&mut self, mut batch: Vec<Item>, housekeeping: Vec<Box<Json>>) {
        self.sequence += 1;
        let (begun, begun_ms) = (Instant::now(), clock::steady_ms());
        let mut delivered = false;
        let mut pause = PAUSE_MIN;
        let mut attempts = 0_u64;
        let error = loop {
            if !delivered {
                // Nothing has left this process yet: callers that went away take their commands with them.
                let mark = |item: &Item| {
                    item.stage.compare_exchange(WAITING, SENT, Ordering::AcqRel, Ordering::Acquire)
                };
                batch.retain(|item| mark(item).is_ok() || item.stage.load(Ordering::Acquire) == SENT);
                if batch.is_empty() && housekeeping.is_empty() {
                    return;
                }
            }
            attempts += 1;
            match self.attempt(&batch, &housekeeping).await {
                Ok(reply) => {
                    let commands = batch.len() + housekeeping.len();
                    self.metrics.ledger_batch_commands.observe(commands as f64);
                    self.metrics.ledger_batch_seconds.observe(begun.elapsed().as_secs_f64());
                    return self.answer(batch, housekeeping.len(), reply, begun_ms).await;
                }
                // Accepted, perhaps, and not answered for.
                Err(Attempt::Again) => delivered = true,
                Err(Attempt::NotSent(error)) => {
                    tracing::debug!(error, "batch not sent");
                    if !delivered {
                        for item in &batch {
                            item.stage.store(WAITING, Ordering::Release);
                        }
                    }
                }
                Err(Attempt::Unknown(error)) => {
                    tracing::debug!(error, "batch unanswered");
                    delivered = true;
                }
                Err(Attempt::Gone) => match self.revived(&batch).await {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::debug!(error, "registry workflow is gone");
                        if batch.is_empty() {
                            return;
                        }
                    }
                },
                Err(Attempt::Refused(error)) => break error,
            }
            if begun.elapsed() > GIVE_UP_AFTER {
                break "no answer from Temporal".to_owned();
            }
            self.metrics.ledger_retries_total.inc();
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        };
        self.metrics.ledger_batches_lost_total.inc();
        tracing::error!(error, attempts, commands = batch.len(), "a batch was given up");
        let known = if delivered { WriteError::OutcomeUnknown } else { WriteError::Unavailable(error) };
        for item in batch {
            let _ = item.answer.send(Err(known.clone()));
        }
    }

    /// A write brings the registry back; housekeeping alone does not undo a shutdown.
    async fn revived(&self, batch: &[Item]) -> Result<(), String> {
        if batch.is_empty() {
            return Err("not running".to_owned());
        }
        self.revive.revive().await.map_err(|error| error.to_string())
    }

    async fn attempt(&self, batch: &[Item], housekeeping: &[Box<Json>]) -> Result<BatchReply, Attempt> {
        let refused = |error: codec::CodecError| Attempt::Refused(error.to_string());
        let commands =
            housekeeping.iter().chain(batch.iter().map(|item| &item.json)).map(|json| &**json).collect();
        let (known_revision, known_born) = self.mirror.view().reached();
        let wire = BatchWire {
            replica: &self.replica,
            sequence: self.sequence,
            known_revision,
            known_born,
            commands,
        };
        let argument = codec::encode(&wire).map_err(refused)?;
        let id = format!("{}-{}", self.replica, self.sequence);
        let registry = self.link.registry_execution();
        match update(&self.link, registry, APPLY_BATCH, id, vec![argument], ATTEMPT_TIMEOUT).await? {
            Answer::Pending => Err(Attempt::Again),
            Answer::Done(payloads) => codec::decode(&RawValue::new(payloads)).map_err(refused),
            Answer::Failed(message) if is_passing(&message) => Err(Attempt::Again),
            Answer::Failed(message) => Err(Attempt::Refused(message)),
        }
    }

    /// The view learns of the changes before any caller learns of its outcome, so that everyone reads their own writes.
    async fn answer(&self, batch: Vec<Item>, skip: usize, reply: BatchReply, sent_ms: i64) {
        if !self.mirror.take_all(&reply.changes, sent_ms)
            && let Err(error) = self.mirror.complete().await
        {
            tracing::warn!(%error, "writes were applied, but this replica's view lags");
        }
        for (item, outcome) in batch.into_iter().zip(reply.outcomes.into_iter().skip(skip)) {
            let _ = item.answer.send(Ok(outcome));
        }
    }
}

/// What became of one attempt to send a batch.
enum Attempt {
    /// Not applied, or applied with the answer lost in a hand-over: the same batch again.
    Again,
    /// Nothing left this process.
    NotSent(String),
    /// It may have been applied: the same batch again.
    Unknown(String),
    /// The registry workflow does not run.
    Gone,
    /// It will never be taken.
    Refused(String),
}

impl From<CallError> for Attempt {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotFound(_) => Self::Gone,
            CallError::Unreachable(message) => Self::NotSent(message),
            CallError::Unanswered(message)
            | CallError::Exhausted(message)
            | CallError::Precondition(message)
            | CallError::Internal(message) => Self::Unknown(message),
            CallError::Invalid(message) | CallError::Denied(message) => Self::Refused(message),
            CallError::AlreadyExists { message, .. } => Self::Refused(message),
        }
    }
}

/// Failures of an update that speak of a hand-over or a failover: the batch may or may not be in the state that was handed
/// over, and the ring of last batches tells.
fn is_passing(message: &str) -> bool {
    message.contains(HANDING_OVER)
        || message.contains(AWAITING_STATE)
        || message.contains("completed before the Update")
        || message.contains("was aborted")
        // A worker that lost its connection amid a workflow task may answer the next one without a word on its updates.
        || message.contains("wasn't processed by worker")
}
