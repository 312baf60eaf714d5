//! A real Temporal, a real runner, and a web server that keeps count.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use temporal_registry::runner::{self, RunnerConfig, TemporalTarget};
use temporalio_client::{
    Client, UntypedQuery, UntypedUpdate, UntypedWorkflow, UntypedWorkflowHandle, WorkflowCancelOptions,
    WorkflowExecuteUpdateOptions, WorkflowGetResultOptions, WorkflowQueryOptions, WorkflowStartOptions,
    errors::WorkflowGetResultError,
};
use temporalio_common::data_converters::{PayloadConverter, RawValue};
use tokio::sync::oneshot;

/// A dev server in memory, ended with the last test that uses it.
pub struct Temporal {
    child: Child,
    pub address: String,
}

static TEMPORAL: Mutex<Weak<Temporal>> = Mutex::new(Weak::new());

pub fn temporal() -> Arc<Temporal> {
    let mut shared = TEMPORAL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cli = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    let child = Command::new(&cli)
        .args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--log-level", "error", "--port"])
        .arg(port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("`{cli}` (TEMPORAL_CLI) cannot be started: {error}"));
    let started = Arc::new(Temporal { child, address: format!("127.0.0.1:{port}") });
    until("Temporal listens", || TcpStream::connect(&started.address).is_ok());
    *shared = Arc::downgrade(&started);
    started
}

impl Drop for Temporal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition, and fails the test when it does not come true.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// A runner on a thread of its own, as [`runner::run`] is not `Send`.
pub struct Runner {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Runner {
    pub fn start(temporal: &Temporal, yaml: &str) -> Self {
        let config = RunnerConfig::parse(yaml, "test").unwrap();
        let target = TemporalTarget {
            address: temporal.address.clone(),
            namespace: "default".to_owned(),
            ..TemporalTarget::default()
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(runner::run(config, target, async {
                let _ = stopped.await;
            }))
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end().unwrap()
    }

    fn end(&mut self) -> Option<anyhow::Result<()>> {
        drop(self.stop.take());
        self.thread.take().map(|thread| thread.join().unwrap())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.end();
    }
}

/// A started run.
pub struct Run(pub UntypedWorkflowHandle<Client>);

pub async fn client(temporal: &Temporal) -> Client {
    let target = TemporalTarget {
        address: temporal.address.clone(),
        namespace: "default".to_owned(),
        ..TemporalTarget::default()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match target.connect("test").await {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < deadline, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub fn raw(value: &Value) -> RawValue {
    RawValue::from_value(value, &PayloadConverter::default())
}

fn json_of(raw: RawValue) -> Value {
    // JSON null travels as a payload without data.
    match raw.payloads[0].data.as_slice() {
        [] => Value::Null,
        data => serde_json::from_slice(data).unwrap(),
    }
}

impl Run {
    pub async fn start(client: &Client, queue: &str, workflow_type: &str, input: RawValue) -> Self {
        let id = format!("{workflow_type}-{}", uuid::Uuid::new_v4());
        let options = WorkflowStartOptions::new(queue, id).build();
        Self(client.start_workflow(UntypedWorkflow::new(workflow_type), input, options).await.unwrap())
    }

    pub fn id(&self) -> &str {
        &self.0.info().workflow_id
    }

    /// The result of a run that completes.
    pub async fn result(&self) -> Value {
        json_of(self.0.get_result(WorkflowGetResultOptions::default()).await.unwrap())
    }

    /// The result of a run that ends as canceled, as the query tells it.
    pub async fn canceled_result(&self) -> Value {
        match self.0.get_result(WorkflowGetResultOptions::default()).await {
            Err(WorkflowGetResultError::Cancelled { .. }) => {}
            other => panic!("the run did not end as canceled: {:?}", other.map(json_of)),
        }
        self.query("result").await
    }

    pub async fn query(&self, name: &str) -> Value {
        let answer = self.0.query(UntypedQuery::new(name), raw(&json!({})), WorkflowQueryOptions::default());
        json_of(answer.await.unwrap())
    }

    pub async fn query_until(&self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            let answer = self.query(name).await;
            if is_it(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "the query {name} still answers {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn update(&self, name: &str, input: Value) -> Value {
        let options = WorkflowExecuteUpdateOptions::default();
        json_of(self.0.execute_update(UntypedUpdate::new(name), raw(&input), options).await.unwrap())
    }

    pub async fn cancel(&self) {
        let options = WorkflowCancelOptions::builder().reason("not wanted").build();
        self.0.cancel(options).await.unwrap();
    }

    /// Everything the history holds, to look for what must not be in it.
    pub async fn history(&self) -> String {
        let history = self.0.fetch_history(Default::default()).to_json().await.unwrap();
        String::from_utf8(history).unwrap()
    }

    /// Waits until the history holds this text.
    pub async fn history_until(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !self.history().await.contains(text) {
            assert!(Instant::now() < deadline, "the history has no {text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Processes that carry this run's id in their environment.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("TEMPORAL_REGISTRY_WORKFLOW_ID={}", self.id());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes())
        })
        .collect()
    }
}

/// What the web server has seen and what it is told to answer.
#[derive(Clone, Default)]
pub struct Web {
    pub state: Arc<Mutex<WebState>>,
    pub address: String,
}

#[derive(Default)]
pub struct WebState {
    pub hits: BTreeMap<String, u32>,
    pub headers: HeaderMap,
    pub body: Value,
    /// Polls that are answered with an error first.
    pub failing_polls: u32,
    /// The state the job is in; it is `running` when absent.
    pub job: Option<String>,
    pub is_cancelled: bool,
    /// A kick-off is not answered as long as this is set.
    pub kick_waits: bool,
}

impl Web {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let web = Self { state: Arc::default(), address: address.to_string() };
        let app = Router::new()
            .route("/echo/{word}", post(echo).get(echo))
            .route("/fail", post(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "broken") }))
            .route("/slow", post(slow))
            .route("/slow-once", post(slow_once))
            .route("/away", post(|| async { (StatusCode::FOUND, [(header::LOCATION, "/echo/moved")]) }))
            .route(
                "/outside",
                post(|| async { (StatusCode::FOUND, [(header::LOCATION, "http://localhost:1/")]) }),
            )
            .route("/big", post(|| async { "x".repeat(5_000) }))
            .route("/kick", post(kick))
            .route("/poll/{id}", get(poll))
            .route("/cancel/{id}", post(cancel))
            .with_state(web.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        web
    }

    pub fn hits(&self, name: &str) -> u32 {
        self.state.lock().unwrap().hits.get(name).copied().unwrap_or_default()
    }

    fn hit(&self, name: &str) {
        *self.state.lock().unwrap().hits.entry(name.to_owned()).or_default() += 1;
    }
}

async fn echo(State(web): State<Web>, Path(word): Path<String>, request: Request) -> Response {
    web.hit("echo");
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    let mut state = web.state.lock().unwrap();
    state.headers = parts.headers.clone();
    state.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let key = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    Json(json!({"word": word, "method": parts.method.as_str(), "you_sent": key})).into_response()
}

async fn slow(State(web): State<Web>) -> &'static str {
    web.hit("slow");
    tokio::time::sleep(Duration::from_secs(600)).await;
    "at last"
}

async fn slow_once(State(web): State<Web>) -> &'static str {
    web.hit("slow-once");
    if web.hits("slow-once") == 1 {
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    "again"
}

async fn kick(State(web): State<Web>) -> Json<Value> {
    web.hit("kick");
    while web.state.lock().unwrap().kick_waits {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Json(json!({"job": {"id": "a/b 1"}}))
}

async fn poll(State(web): State<Web>, Path(id): Path<String>) -> Response {
    web.hit("poll");
    let mut state = web.state.lock().unwrap();
    if state.failing_polls > 0 {
        state.failing_polls -= 1;
        return StatusCode::BAD_GATEWAY.into_response();
    }
    Json(json!({"id": id, "state": state.job.clone().unwrap_or_else(|| "running".into())})).into_response()
}

async fn cancel(State(web): State<Web>, Path(_): Path<String>) -> StatusCode {
    web.hit("cancel");
    web.state.lock().unwrap().is_cancelled = true;
    StatusCode::ACCEPTED
}
