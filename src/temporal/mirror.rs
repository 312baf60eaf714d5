//! The mirror: this replica's view, kept fresh. Reads are answered from it without asking Temporal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use temporalio_common::{
    data_converters::RawValue,
    protos::temporal::api::{
        common::v1::{Payloads, WorkflowExecution},
        enums::v1::WorkflowExecutionStatus,
        query::v1::WorkflowQuery,
        workflowservice::v1::{DescribeWorkflowExecutionRequest, QueryWorkflowRequest},
    },
};
use tokio::sync::{Mutex, watch};

use super::{
    codec,
    connection::{CALL_TIMEOUT, CallError, Link, within},
    workflow::{AWAITING_STATE, CHANGES_SINCE, ChangesQuery},
};
use crate::{
    clock,
    registry::{Changes, Renewal},
    seams::{Freshness, Reads, Unanswered},
    view::View,
};

/// A view not confirmed for this long is no longer fresh: `/ready` says so.
pub const FRESH_FOR_MS: i64 = 5_000;
/// Before this program was there: a moment of the steady clock at which nothing was known.
const NEVER_MS: i64 = -FRESH_FOR_MS - 1;
/// Events at which Temporal ends a run, unless its server is configured otherwise.
pub const HISTORY_EVENTS_MAX: i64 = 51_200;
/// Bytes of history at which Temporal ends a run, unless its server is configured otherwise.
pub const HISTORY_BYTES_MAX: i64 = 50 * 1024 * 1024;

/// A view that the answer to a batch completed so lately need not be caught up at once: what others write is seen with a look
/// soon after, and within the second that is promised.
const TOLD_WITHIN_MS: i64 = 500;

/// How long one question waits for its answer before it is asked again.
const ASKED_WITHIN: Duration = Duration::from_secs(2);
/// How long a question waits for those of other replicas, and how often it tries: longer than a workflow task lasts whose
/// worker died over it, since nothing is answered meanwhile.
const TURN_WITHIN: Duration = Duration::from_secs(5);
const TURN_AGAIN: Duration = Duration::from_millis(25);

/// This replica's view of the registry.
pub struct Mirror {
    link: Arc<Link>,
    view: ArcSwap<View>,
    generation: AtomicU64,
    /// Serialises changes of the view.
    writing: parking_lot::Mutex<()>,
    /// Serialises catching up; holds when the last one began.
    catching_up: Mutex<i64>,
    /// When the view was last known to be complete, by the steady clock.
    confirmed_ms: AtomicI64,
    /// When a batch was sent whose answer last completed the view, likewise.
    told_ms: watch::Sender<i64>,
    /// When this replica came up.
    up_since_ms: i64,
    running: AtomicBool,
    /// Whether the run as last seen may hold more than the view does.
    behind: AtomicBool,
    run: ArcSwap<Run>,
    revision: watch::Sender<u64>,
}

/// The run of the registry workflow as last seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its run id.
    pub run_id: Arc<str>,
    /// Events in its history.
    pub history_events: i64,
    /// Bytes of its history.
    pub history_bytes: i64,
}

/// What a look at the registry workflow found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It runs, and the view is fresh.
    Fresh,
    /// It runs without a state.
    Stateless,
    /// It has ended like this.
    Closed(WorkflowExecutionStatus),
}

impl Mirror {
    /// An empty view, not fresh yet.
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            view: ArcSwap::from_pointee(View::default()),
            generation: AtomicU64::new(0),
            writing: parking_lot::Mutex::new(()),
            catching_up: Mutex::new(NEVER_MS),
            confirmed_ms: AtomicI64::new(NEVER_MS),
            told_ms: watch::channel(NEVER_MS).0,
            up_since_ms: clock::now_ms(),
            running: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            run: ArcSwap::from_pointee(Run::default()),
            revision: watch::channel(0).0,
        }
    }

    /// How long ago the view was known to be complete, in milliseconds.
    fn age_ms(&self) -> i64 {
        (clock::steady_ms() - self.confirmed_ms.load(Ordering::Relaxed)).max(0)
    }

    /// Whether the registry workflow runs and the view is fresh.
    pub fn is_ready(&self) -> bool {
        self.is_running() && self.age_ms() <= FRESH_FOR_MS
    }

    /// Whether the registry workflow was running when last looked at.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// The run of the registry workflow as last seen.
    pub fn run(&self) -> Arc<Run> {
        self.run.load_full()
    }

    /// Takes changes into the view. `false`: they do not follow on it, catch up instead.
    pub fn take(&self, changes: &Changes) -> bool {
        let _writing = self.writing.lock();
        let Some(next) = self.view.load().after(changes) else { return false };
        let revision = next.revision;
        self.view.store(Arc::new(next));
        self.generation.fetch_add(1, Ordering::Release);
        self.revision.send_replace(revision);
        true
    }

    /// Takes all that had changed when the registry answered something sent at `sent_ms` of the steady clock. `false`: there
    /// is more, catch up.
    pub fn take_all(&self, changes: &Changes, sent_ms: i64) -> bool {
        let complete = self.take(changes) && changes.to >= changes.head;
        if complete {
            self.confirmed_ms.fetch_max(sent_ms, Ordering::Relaxed);
            self.told_ms.send_modify(|told_ms| *told_ms = sent_ms.max(*told_ms));
        }
        complete
    }

    /// Heartbeats that are not durable yet. Empty unless one of them must not wait any longer: that is when a third of
    /// its lease is left, so that other replicas never see it lapse.
    pub fn renewals_due(&self, now_ms: i64) -> Vec<Renewal> {
        let view = self.view.load();
        let mut pending = Vec::new();
        let mut due = false;
        for member in view.workers.values() {
            let (worker, seen_ms) = (&member.worker, member.last_seen_ms());
            if worker.is_static || seen_ms <= worker.last_seen_ms {
                continue;
            }
            due |= worker.lease_expires_ms(worker.last_seen_ms) - now_ms <= worker.ttl_ms() / 3;
            let (worker_id, epoch) = (worker.worker_id.clone(), worker.epoch);
            pending.push(Renewal { worker_id, epoch, age_ms: (now_ms - seen_ms).max(0) });
        }
        if due { pending } else { Vec::new() }
    }

    /// Whether time has made something due: a lapse to note, a worker to forget. Not while somebody lapsed whom no replica
    /// could hear and who has time to come back: a sweep knows no such mercy.
    pub fn sweep_due(&self, now_ms: i64) -> bool {
        let view = self.view.load();
        let mut due = false;
        for member in view.workers.values() {
            if member.unseen_until_ms(self.up_since_ms).is_some_and(|until| now_ms <= until) {
                return false;
            }
            let lapsed = !member.worker.lapsed && member.lease_expires_ms() < now_ms;
            due |= lapsed || (member.worker.lapsed && member.worker.forgotten_at_ms() < now_ms);
        }
        due
    }

    /// Brings the view to everything that was written before this call.
    pub async fn complete(&self) -> Result<(), CallError> {
        let asked_ms = clock::steady_ms();
        let mut told = self.told_ms.subscribe();
        tokio::select! {
            asked = self.ask(asked_ms) => asked,
            // The answer to a batch that was sent since tells as much.
            _ = told.wait_for(|told_ms| *told_ms > asked_ms) => Ok(()),
        }
    }

    /// Asks the registry workflow for what changed, unless somebody else here did so since.
    async fn ask(&self, asked_ms: i64) -> Result<(), CallError> {
        let mut began_ms = self.catching_up.lock().await;
        if *began_ms > asked_ms {
            return Ok(());
        }
        let (now_ms, give_up) = (clock::steady_ms(), Instant::now() + CALL_TIMEOUT);
        loop {
            let (since, born) = self.view.load().reached();
            let patience = Instant::now() + ASKED_WITHIN;
            let asked = changes_since(&self.link, self.link.registry_execution(), since, born, ASKED_WITHIN);
            match asked.await {
                Ok(page) if self.take(&page) && page.to >= page.head => break,
                // The view moved meanwhile, or there is more: asked again from where it is.
                Ok(_) => {}
                // It waits for a run that ended meanwhile and is replayed for it; the next one knows more.
                Err(CallError::Unanswered(_)) if (patience..give_up).contains(&Instant::now()) => {}
                Err(error) => return Err(error),
            }
        }
        *began_ms = now_ms;
        self.confirmed_ms.fetch_max(now_ms, Ordering::Relaxed);
        Ok(())
    }

    /// Looks at the registry workflow once and catches up if it moved.
    pub async fn look(&self) -> Result<Seen, CallError> {
        let began_ms = clock::steady_ms();
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.link.namespace(),
            execution: Some(self.link.registry_execution()),
        };
        let answer = self.link.service().describe_workflow_execution(within(request, CALL_TIMEOUT)).await;
        let info = match answer.map_err(CallError::from) {
            Ok(answer) => answer.into_inner().workflow_execution_info.unwrap_or_default(),
            Err(error) => {
                if matches!(error, CallError::NotFound(_)) {
                    self.running.store(false, Ordering::Relaxed);
                }
                return Err(error);
            }
        };
        let running = info.status() == WorkflowExecutionStatus::Running;
        self.running.store(running, Ordering::Relaxed);
        if !running {
            return Ok(Seen::Closed(info.status()));
        }
        let run = Run {
            run_id: info.execution.unwrap_or_default().run_id.into(),
            history_events: info.history_length,
            history_bytes: info.history_size_bytes,
        };
        let known = self.run.load_full();
        if *known != run || self.behind.load(Ordering::Relaxed) {
            // A question that waits while a run ends has that run replayed, which holds the next one up. So a replica
            // that writes goes by the answers to its batches.
            let told_ms = *self.told_ms.borrow();
            let told = began_ms - told_ms <= TOLD_WITHIN_MS && known.run_id == run.run_id;
            if !told && let Err(error) = self.complete().await {
                return if is_stateless(&error) { Ok(Seen::Stateless) } else { Err(error) };
            }
            self.behind.store(told, Ordering::Relaxed);
            self.run.store(Arc::new(run));
            if told {
                return Ok(Seen::Fresh);
            }
        }
        self.confirmed_ms.fetch_max(began_ms, Ordering::Relaxed);
        Ok(Seen::Fresh)
    }
}

/// Whether a run said that it has no state yet.
pub(super) fn is_stateless(error: &CallError) -> bool {
    matches!(error, CallError::Invalid(message) if message.contains(AWAITING_STATE))
}

/// Asks a run for its changes since a revision; also one that has ended.
pub(super) async fn changes_since(
    link: &Link,
    execution: WorkflowExecution,
    since: u64,
    born: u64,
    deadline: Duration,
) -> Result<Changes, CallError> {
    let bad = |error: codec::CodecError| CallError::Internal(error.to_string());
    let argument = codec::encode(&ChangesQuery { since, born }).map_err(bad)?;
    let query = WorkflowQuery {
        query_type: CHANGES_SINCE.to_owned(),
        query_args: Some(Payloads { payloads: vec![argument] }),
        header: None,
    };
    let request = QueryWorkflowRequest {
        namespace: link.namespace(),
        execution: Some(execution),
        query: Some(query),
        query_reject_condition: 0,
    };
    let answer = link.service().query_workflow(within(request, deadline)).await?.into_inner();
    let payloads = answer.query_result.unwrap_or_default().payloads;
    codec::decode(&RawValue::new(payloads)).map_err(bad)
}

#[async_trait::async_trait]
impl Reads for Mirror {
    fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    fn freshness(&self) -> Freshness {
        let run = self.run.load();
        Freshness {
            age_ms: self.age_ms(),
            is_running: self.is_running(),
            is_ready: self.is_ready(),
            run_id: run.run_id.clone(),
            history_events: run.history_events,
            up_since_ms: self.up_since_ms,
        }
    }

    async fn catch_up(&self) -> Result<(), Unanswered> {
        // Temporal keeps one question at a time for a run that is at work. That of another replica is soon answered.
        let give_up = Instant::now() + TURN_WITHIN;
        loop {
            match self.complete().await {
                Err(CallError::Exhausted(_)) if Instant::now() < give_up => {
                    tokio::time::sleep(TURN_AGAIN).await;
                }
                outcome => return outcome.map_err(|error| Unanswered(error.to_string())),
            }
        }
    }

    async fn reached(&self, revision: u64, within: Duration) -> Result<(), Unanswered> {
        let mut seen = self.revision.subscribe();
        let reached = seen.wait_for(|reached| *reached >= revision);
        match tokio::time::timeout(within, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Unanswered(format!("revision {revision} is not in sight"))),
        }
    }

    fn heartbeat(&self, worker_id: &str, epoch: Option<u64>, now_ms: i64) -> Option<(i64, u32)> {
        let view = self.view.load();
        let member = view.workers.get(worker_id)?;
        if epoch.is_some_and(|epoch| epoch != member.worker.epoch) {
            return None;
        }
        member.heartbeat(now_ms);
        self.generation.fetch_add(1, Ordering::Release);
        Some((member.lease_expires_ms(), member.worker.heartbeat_interval_seconds()))
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
