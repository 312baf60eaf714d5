//! Replicas with their front doors, in process, over the real dev server, and a worker that does real work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use temporal_registry::{
    fleet::Fleet,
    http::{
        self, FrontDoor,
        limits::LimitSettings,
        problem::Problem,
        service::{Metrics, Readiness},
        state::{AppState, Parts},
    },
    registry::{Command, Limits, Outcome, PreservationRules, Registration, Spec, SpecClaim, Standing},
    schema::{ValidatorCache, content_hash},
    seams::{Reads, Writes},
    temporal::{
        attributes_reconcile::AttributeReconciler,
        connection::RegistryNames,
        connection::Target,
        dispatch::Dispatch,
        replica::{Replica, ReplicaOptions},
        runs::{LiveRuns, LiveTasks},
        schedules::desk::Desk,
    },
};
use tower::ServiceExt;

use super::dev_server;

/// Length of the leases of the workers here: long, unless a test is about its end.
const TTL_SECONDS: u32 = 600;
/// Long enough for whatever takes a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Some replicas of one registry.
pub struct World {
    pub doors: Vec<Door>,
    /// The queue of this world's workers.
    pub queue: String,
}

/// One replica and its front door.
#[derive(Clone)]
pub struct Door {
    pub router: FrontDoor,
    pub replica: Arc<Replica>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn assert_problem(&self, code: &str) {
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        self.body
    }

    pub fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_else(|| panic!("no {member}: {self:?}")).to_owned()
    }
}

struct Quiet;

impl Readiness for Quiet {
    fn ready(&self) -> Result<(), Problem> {
        Ok(())
    }
}

impl Metrics for Quiet {
    fn answered(&self, _method: &str, _route: &str, _status: u16, _code: &str, _seconds: f64) {}

    fn render(&self) -> String {
        String::new()
    }
}

impl World {
    /// A registry of its own with this many replicas.
    pub async fn new(replicas: usize) -> Self {
        Self::with_writes(replicas, |writes| writes).await
    }

    /// The same with something between dispatch and the ledger.
    pub async fn with_writes(replicas: usize, wrap: fn(Arc<dyn Writes>) -> Arc<dyn Writes>) -> Self {
        Self::with_limits(replicas, wrap, LimitSettings::default()).await
    }

    /// The same with limits of its own.
    pub async fn with_limits(
        replicas: usize,
        wrap: fn(Arc<dyn Writes>) -> Arc<dyn Writes>,
        limits: LimitSettings,
    ) -> Self {
        let name = format!("test-{:08x}", rand::random::<u32>());
        let mut doors = Vec::new();
        for number in 0..replicas {
            doors.push(Door::open(&name, number, wrap, limits.clone()).await);
        }
        Self { doors, queue: format!("{name}-work") }
    }

    pub fn door(&self) -> &Door {
        &self.doors[0]
    }

    /// Registers a worker of these types at the first replica; its queue is that of this world.
    pub async fn register(&self, worker_id: &str, specs: &[Value]) {
        self.register_with(worker_id, specs, |_| {}).await;
    }

    pub async fn register_with(
        &self,
        worker_id: &str,
        specs: &[Value],
        change: impl FnOnce(&mut Registration),
    ) {
        let claim = |spec: &Value| {
            let mut spec = spec.clone();
            if spec.get("task_queue").is_none() {
                spec["task_queue"] = json!(self.queue);
            }
            let spec: Spec = serde_json::from_value(spec).expect("a spec");
            SpecClaim { hash: content_hash(&spec.content()), spec: Arc::new(spec), standing: Standing::Force }
        };
        let mut registration = Registration {
            worker_id: worker_id.to_owned(),
            task_queue: self.queue.clone(),
            workflows: specs.iter().map(claim).collect(),
            ttl_seconds: TTL_SECONDS,
            environment: "test".to_owned(),
            labels: Default::default(),
            host: String::new(),
            version: String::new(),
            metadata: Default::default(),
            incarnation: None,
            is_static: false,
        };
        change(&mut registration);
        let outcome = self.submit(Command::Register(registration)).await;
        assert!(matches!(outcome, Outcome::Registered { .. }), "{outcome:?}");
    }

    /// Submits a command at the first replica; all replicas know of it afterwards.
    pub async fn submit(&self, command: Command) -> Outcome {
        let outcome = self.door().replica.ledger.submit(&command).await.expect("an outcome");
        let revision = self.door().replica.mirror.view().revision;
        for door in &self.doors {
            door.replica.mirror.reached(revision, Duration::from_secs(5)).await.expect("the other's view");
        }
        outcome
    }
}

impl Door {
    async fn open(
        name: &str,
        number: usize,
        wrap: fn(Arc<dyn Writes>) -> Arc<dyn Writes>,
        bounds: LimitSettings,
    ) -> Self {
        let target = Target {
            address: dev_server::address(),
            namespace: "default".to_owned(),
            tls: None,
            api_key: None,
            identity: format!("{name}-{number}"),
            retention_days: 1,
        };
        dev_server::client().await;
        let own_queue = format!("{name}-registry");
        let limits = Limits { own_queue: own_queue.clone(), ..Limits::default() };
        let key_ttl = Duration::from_millis(u64::try_from(limits.reservation_ttl_ms).expect("positive"));
        let options = ReplicaOptions {
            target,
            registry: RegistryNames {
                workflow_id: name.to_owned(),
                workflow_type: "temporal-registry.v1".to_owned(),
                task_queue: own_queue.clone(),
            },
            write_deadline: Duration::from_secs(10),
            limits,
        };
        let replica = Arc::new(Replica::start(options).await.expect("a replica"));
        let fleet = Arc::new(Fleet::new(
            replica.mirror.clone(),
            replica.pollers.clone(),
            PreservationRules::default(),
        ));
        let validators = Arc::new(ValidatorCache::new(100));
        let writes = Arc::new(replica.ledger.clone());
        let dispatch = Arc::new(Dispatch::new(
            replica.link.clone(),
            replica.mirror.clone(),
            wrap(writes.clone()),
            fleet.clone(),
            validators.clone(),
            key_ttl,
        ));
        let runs = Arc::new(LiveRuns::new(replica.link.clone(), dispatch.clone()));
        let desk = Desk::start(
            &replica.link,
            replica.mirror.clone(),
            writes.clone(),
            fleet.clone(),
            validators.clone(),
            &replica.firing,
        );
        let reconciles = AttributeReconciler::start(
            replica.link.clone(),
            replica.mirror.clone(),
            writes.clone(),
            desk.book(),
        );
        let state = AppState::from(Parts {
            tasks: Arc::new(LiveTasks::new(runs.clone(), dispatch.recent_tasks())),
            runs,
            schedules: Arc::new(desk),
            reconciles,
            queues: replica.pollers.clone(),
            readiness: Arc::new(Quiet),
            metrics: Arc::new(Quiet),
            writes,
            reads: replica.mirror.clone(),
            starts: dispatch,
            attributes: replica.link.clone(),
            shutdown: replica.keeper.clone(),
            validators,
            fleet,
            own_queue: own_queue.into(),
            slug_ttl_ms: i64::MAX,
        });
        let limits = LimitSettings { max_body_bytes: 8 * 1024 * 1024, ..bounds };
        let router = http::router(state, http::Settings { limits, ..http::Settings::default() });
        Self { router: router.expect("a router"), replica }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).expect("a request")).await
    }

    pub async fn post(&self, uri: &str, body: Value) -> Answer {
        self.send(Request::post(uri).body(Body::from(body.to_string())).expect("a request")).await
    }

    pub async fn post_keyed(&self, uri: &str, key: &str, body: Value) -> Answer {
        let request = Request::post(uri).header("idempotency-key", key).body(Body::from(body.to_string()));
        self.send(request.expect("a request")).await
    }
}

/// Waits until this holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
