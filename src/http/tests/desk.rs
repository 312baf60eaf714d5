//! What is behind the front door, without Temporal: the rules themselves and the view of one replica.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    clock,
    registry::{AttributeStatus, AttributeType, Command, Outcome, Provisioned, Registry, State},
    seams::{
        ActualAttribute, Attributes, Cursor, Freshness, Message, Milestones, Poller, Progress, QueueSeen,
        Queues, Reads, RunError, RunFilter, RunInfo, RunPage, RunRef, Runs, Shutdown, StartError,
        StartRequest, Started, Starts, Task, TaskError, Unanswered, WriteError, Writes,
        reconcile::ReconcileError, schedules::ScheduleFailure,
    },
    view::View,
};

/// The run of a task and what comes of anything asked of it.
type TaskRun = (RunInfo, Result<Task, TaskError>);

/// The rules and one replica's view of them.
pub struct Desk {
    registry: Mutex<Registry>,
    view: ArcSwap<View>,
    generation: AtomicU64,
    revision: watch::Sender<u64>,
    /// What the namespace has.
    pub actual: Mutex<BTreeMap<String, ActualAttribute>>,
    /// Temporal cannot be reached.
    pub is_away: AtomicBool,
    /// The registry workflow runs.
    pub is_running: AtomicBool,
    /// What Temporal reports of task queues.
    pub seen: Mutex<BTreeMap<String, Arc<QueueSeen>>>,
    /// What was asked for that changes something anywhere, by whatever seam.
    pub changes_asked: AtomicUsize,
    /// How often the registry was asked.
    pub catch_ups: AtomicUsize,
    /// When this replica came up.
    pub up_since_ms: AtomicI64,
    /// What to answer instead of the outcome.
    pub fails_with: Mutex<Option<WriteError>>,
    /// Every wait for a revision is over at once.
    pub is_hurried: AtomicBool,
    /// When the view was known to be complete.
    pub confirmed_ms: AtomicI64,
    /// What another replica does just before each write of this one.
    pub meanwhile: Mutex<Option<Box<dyn FnMut() -> Command + Send>>>,
    /// Why nothing comes of any request about a schedule.
    pub schedules_fail_with: Mutex<ScheduleFailure>,
    /// Runs of tasks, by workflow id, and what comes of anything asked of them.
    pub tasks: Mutex<BTreeMap<String, TaskRun>>,
    /// What was asked of them.
    pub task_calls: Mutex<Vec<Value>>,
    /// Why nothing is reconciled.
    pub reconciles_fail_with: Mutex<ReconcileError>,
}

impl Default for Desk {
    fn default() -> Self {
        let mut registry = Registry::new(State::default());
        registry.begin_run(clock::now_ms());
        let desk = Self {
            registry: Mutex::new(registry),
            view: ArcSwap::default(),
            generation: AtomicU64::default(),
            revision: watch::channel(0).0,
            actual: Mutex::default(),
            seen: Mutex::default(),
            is_away: AtomicBool::new(false),
            is_running: AtomicBool::new(true),
            changes_asked: AtomicUsize::new(0),
            catch_ups: AtomicUsize::new(0),
            up_since_ms: AtomicI64::new(0),
            fails_with: Mutex::default(),
            is_hurried: AtomicBool::new(false),
            confirmed_ms: AtomicI64::new(clock::steady_ms()),
            meanwhile: Mutex::default(),
            schedules_fail_with: Mutex::new(ScheduleFailure::NotFound),
            tasks: Mutex::default(),
            task_calls: Mutex::default(),
            reconciles_fail_with: Mutex::new(ReconcileError::Unanswered("away".to_owned())),
        };
        desk.look();
        desk
    }
}

impl Desk {
    /// Another replica writes: this view does not know yet. `ago_ms`: how long ago that was.
    pub fn elsewhere(&self, command: &Command, ago_ms: i64) -> Outcome {
        self.registry.lock().apply(command, clock::now_ms() - ago_ms)
    }

    /// Writes some time ago, known here.
    pub fn earlier(&self, command: &Command, ago_ms: i64) {
        self.elsewhere(command, ago_ms);
        self.look();
    }

    /// Brings the view up to date.
    pub fn look(&self) {
        let (since, born) = self.view.load().reached();
        let changes = self.registry.lock().changes_since(since, born, u64::MAX);
        let next = self.view.load().after(&changes).unwrap();
        let revision = next.revision;
        self.view.store(Arc::new(next));
        self.generation.fetch_add(1, SeqCst);
        self.confirmed_ms.store(clock::steady_ms(), SeqCst);
        self.revision.send_replace(revision);
    }

    /// The revision of the view.
    pub fn reads_revision(&self) -> u64 {
        self.view.load().revision
    }

    /// What the provisioning of an attribute found out, not known here yet.
    pub fn provisioned(&self, name: &str, kind: AttributeType, status: AttributeStatus) {
        let results = vec![Provisioned { name: name.to_owned(), kind, status }];
        self.elsewhere(&Command::Provisioned(results), 0);
    }

    /// The namespace has this attribute.
    pub fn has_attribute(&self, name: &str, kind: AttributeType) {
        self.actual.lock().insert(name.to_owned(), ActualAttribute { kind: Some(kind), system: false });
    }

    /// Temporal reports of a task queue, that it was last polled this long ago (by nobody for none).
    pub fn polled(&self, task_queue: &str, ago_ms: Option<i64>) {
        let at_ms = clock::now_ms();
        let poller = |ago_ms: i64| Poller { identity: "1@host".to_owned(), last_access_ms: at_ms - ago_ms };
        let last_polled_ms = ago_ms.map(|ago_ms| at_ms - ago_ms);
        let pollers = ago_ms.map(poller).into_iter().collect();
        let seen = QueueSeen { pollers, last_polled_ms, backlog: Some(3), at_ms };
        self.seen.lock().insert(task_queue.to_owned(), Arc::new(seen));
        self.generation.fetch_add(1, SeqCst);
    }

    /// Somebody asked for a change.
    pub fn asked(&self) {
        self.changes_asked.fetch_add(1, SeqCst);
    }

    fn reachable(&self) -> Result<(), Unanswered> {
        if self.is_away.load(SeqCst) { Err(Unanswered("away".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Writes for Desk {
    async fn submit(&self, command: &Command) -> Result<Outcome, WriteError> {
        self.asked();
        self.reachable().map_err(|why| WriteError::Unavailable(why.0))?;
        if let Some(error) = self.fails_with.lock().clone() {
            return Err(error);
        }
        if let Some(meanwhile) = &mut *self.meanwhile.lock() {
            let between = meanwhile();
            self.elsewhere(&between, 0);
        }
        let outcome = self.elsewhere(command, 0);
        self.look();
        Ok(outcome)
    }
}

#[async_trait]
impl Reads for Desk {
    fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    fn freshness(&self) -> Freshness {
        let age_ms = (clock::steady_ms() - self.confirmed_ms.load(SeqCst)).max(0);
        let is_running = self.is_running.load(SeqCst);
        Freshness {
            age_ms,
            is_running,
            is_ready: is_running && age_ms < 5_000,
            run_id: "run-1".into(),
            history_events: 12,
            up_since_ms: self.up_since_ms.load(SeqCst),
        }
    }

    async fn catch_up(&self) -> Result<(), Unanswered> {
        self.reachable()?;
        self.catch_ups.fetch_add(1, SeqCst);
        self.look();
        Ok(())
    }

    async fn reached(&self, revision: u64, within: Duration) -> Result<(), Unanswered> {
        let within = if self.is_hurried.load(SeqCst) { Duration::ZERO } else { within };
        let mut seen = self.revision.subscribe();
        let reached = tokio::time::timeout(within, seen.wait_for(|at| *at >= revision)).await;
        reached.map(|_| ()).map_err(|_| Unanswered("not in sight".to_owned()))
    }

    fn heartbeat(&self, worker_id: &str, epoch: Option<u64>, now_ms: i64) -> Option<(i64, u32)> {
        self.asked();
        let view = self.view.load();
        let member = view.workers.get(worker_id)?;
        if epoch.is_some_and(|epoch| epoch != member.worker.epoch) {
            return None;
        }
        member.heartbeat(now_ms);
        self.generation.fetch_add(1, SeqCst);
        Some((member.lease_expires_ms(), member.worker.heartbeat_interval_seconds()))
    }

    fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }
}

#[async_trait]
impl Attributes for Desk {
    async fn actual(&self) -> Result<BTreeMap<String, ActualAttribute>, Unanswered> {
        self.reachable()?;
        Ok(self.actual.lock().clone())
    }
}

impl Queues for Desk {
    fn seen(&self, task_queue: &str) -> Option<Arc<QueueSeen>> {
        self.seen.lock().get(task_queue).cloned()
    }
}

#[async_trait]
impl Shutdown for Desk {
    async fn shut_down(&self) -> Result<(), Unanswered> {
        self.asked();
        self.reachable()?;
        self.is_running.store(false, SeqCst);
        Ok(())
    }
}

/// There are no workflows to start without Temporal.
#[async_trait]
impl Starts for Desk {
    async fn start(&self, _: StartRequest) -> Result<Started, StartError> {
        self.asked();
        Err(StartError::TemporalUnavailable("nothing is started here".to_owned()))
    }
}

/// There are no runs here but those of tasks.
#[async_trait]
impl Runs for Desk {
    async fn list(&self, _: &RunFilter) -> Result<RunPage, RunError> {
        Ok(RunPage::default())
    }

    async fn describe(&self, run: &RunRef) -> Result<RunInfo, RunError> {
        self.tasks.lock().get(&run.workflow_id).map(|(run, _)| run.clone()).ok_or(RunError::NotFound)
    }

    async fn result(&self, _: &RunRef, _: Duration) -> Result<Progress, RunError> {
        Err(RunError::NotFound)
    }

    async fn milestones(&self, _: &Cursor) -> Result<Milestones, RunError> {
        Err(RunError::NotFound)
    }

    async fn signal(&self, _: &RunRef, _: Message) -> Result<(), RunError> {
        self.asked();
        Err(RunError::NotFound)
    }

    async fn query(&self, _: &RunRef, _: Message) -> Result<Value, RunError> {
        self.asked();
        Err(RunError::NotFound)
    }

    async fn update(&self, _: &RunRef, _: Message, _: Duration) -> Result<Value, RunError> {
        self.asked();
        Err(RunError::NotFound)
    }

    async fn cancel(&self, _: &RunRef, _: &str, _: &str) -> Result<(), RunError> {
        self.asked();
        Err(RunError::NotFound)
    }

    async fn terminate(&self, _: &RunRef, _: &str, _: &str) -> Result<(), RunError> {
        self.asked();
        Err(RunError::NotFound)
    }

    async fn restart(&self, _: &RunRef, _: &str) -> Result<Started, RunError> {
        self.asked();
        Err(RunError::NotFound)
    }
}

/// A spec in JSON whose input has one property `day`.
pub fn spec(name: &str) -> Value {
    json!({
        "workflow_type": name,
        "task_queue": "reports",
        "input_schema": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    })
}

/// A registration in JSON of a worker that serves these specs.
pub fn worker(id: &str, workflows: Vec<Value>) -> Value {
    json!({"worker_id": id, "task_queue": "reports", "workflows": workflows, "ttl_seconds": 10})
}

/// The same as a command.
pub fn registration(id: &str, types: &[&str]) -> Command {
    use crate::registry::{Registration, Spec, SpecClaim, Standing};

    let claim = |name: &&str| {
        let spec: Spec = serde_json::from_value(spec(name)).unwrap();
        let hash = crate::schema::content_hash(&spec.content());
        SpecClaim { spec: Arc::new(spec), hash, standing: Standing::Never }
    };
    Command::Register(Registration {
        worker_id: id.to_owned(),
        task_queue: "reports".to_owned(),
        workflows: types.iter().map(claim).collect(),
        ttl_seconds: 10,
        environment: "local".to_owned(),
        labels: BTreeMap::new(),
        host: String::new(),
        version: String::new(),
        metadata: serde_json::Map::new(),
        incarnation: None,
        is_static: false,
    })
}
