//! Starts the real things: a Temporal dev server, registry processes, Python workers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use temporal_registry::dev_server::{DevServer, DevServerOptions, ensure_port_is_free};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Ports that this process has taken, by files that are locked until it ends.
static PORTS: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port that is free now and that nobody else takes: not the system, which gives out higher ones, and no other test.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("temporal-registry-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder");
    let first: u16 = rand::random_range(0..12_000);
    for port in (0..12_000).map(|n| 20_000 + (first + n) % 12_000) {
        let taken = File::create(folder.join(port.to_string())).expect("a file");
        if taken.try_lock().is_ok() && ensure_port_is_free(port, "none").is_ok() {
            PORTS.lock().expect("no panic before").push(taken);
            return port;
        }
    }
    panic!("no port is free");
}

/// The program under test: Cargo names it to tests; examples lie beside it.
pub fn program() -> PathBuf {
    let beside =
        || std::env::current_exe().ok()?.parent()?.parent().map(|folder| folder.join("temporal-registry"));
    let named = option_env!("CARGO_BIN_EXE_temporal-registry").map(PathBuf::from);
    named.or_else(beside).expect("the folder of this program")
}

/// A Temporal dev server of this test's own.
pub struct Temporal {
    pub server: DevServer,
    pub port: u16,
    options: DevServerOptions,
}

impl Temporal {
    /// In memory.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a SQLite file, to be stopped and started again.
    pub async fn start_with(db: Option<PathBuf>) -> Self {
        let port = free_port();
        let options = DevServerOptions { program: None, port, ui_port: None, db };
        let server = DevServer::start(options.clone()).await.expect("the Temporal dev server starts");
        Self { server, port, options }
    }

    /// Stops it; `again` brings it back on the same port and file.
    pub async fn stop(self) -> DevServerOptions {
        self.server.stop().await;
        self.options
    }

    /// Brings a stopped server back.
    pub async fn again(options: DevServerOptions) -> Self {
        let server = DevServer::start(options.clone()).await.expect("the Temporal dev server starts again");
        Self { server, port: options.port, options }
    }

    /// `host:port` of the frontend.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// A registry process.
pub struct Registry {
    child: Child,
    pub url: String,
    pub http: Client,
}

/// An answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Registry {
    /// `serve` on any free port, without auth, ready.
    pub async fn start(temporal: &str) -> Self {
        Self::start_with(temporal, &[]).await
    }

    /// The same, with more environment.
    pub async fn start_with(temporal: &str, env: &[(&str, &str)]) -> Self {
        Self::start_as(temporal, &[], env).await
    }

    /// The same, with more arguments too.
    pub async fn start_as(temporal: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        Self::launch(&program(), temporal, arguments, env, Stdio::inherit()).await
    }

    /// Another program than the one under test, with its log at the end of a file.
    pub async fn start_program(program: &Path, temporal: &str, env: &[(&str, &str)], log: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        Self::launch(program, temporal, &[], env, log.into()).await
    }

    /// The same, with its log in a file.
    pub async fn start_logging(temporal: &str, env: &[(&str, &str)], log: &Path) -> Self {
        Self::start_program(&program(), temporal, env, log).await
    }

    async fn launch(
        program: &Path,
        temporal: &str,
        arguments: &[&str],
        env: &[(&str, &str)],
        log: Stdio,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--temporal-address", temporal]).args(arguments);
        // Whatever this user's own profile says is no part of a test.
        command.env("TEMPORAL_CONFIG_FILE", "/dev/null");
        command.env("TEMPORAL_REGISTRY_AUTH_ENABLED", "false").env("TEMPORAL_REGISTRY_LOG_LEVEL", "warn");
        command
            .env("TEMPORAL_REGISTRY_ACCESS_LOG", "false")
            .env("TEMPORAL_REGISTRY__OBSERVABILITY__AUDIT__ENABLED", "false");
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("the registry starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        let line = line
            .expect("the registry is up within 60 s")
            .expect("a line")
            .expect("the registry says where it is");
        let url = line.strip_prefix("listening on ").expect("an address").to_owned();
        let registry = Self { child, url, http: Client::new() };
        registry.until("ready", async || registry.get("/ready").await.status == 200).await;
        registry
    }

    /// One request.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.timeout(Duration::from_secs(200)).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.expect("a body");
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or(Value::Null)
        };
        Answer { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// POST that must succeed.
    pub async fn must(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await;
        assert!(answer.status.is_success(), "POST {path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Waits for a condition, for at most 30 s.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        until(what, Duration::from_secs(30), async || holds().await).await;
    }

    /// kill -9.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the registry can be killed");
    }

    /// SIGTERM, and the exit status.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM)
            .expect("a signal");
        let ended = tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await;
        ended.expect("it stops within 40 s").expect("an exit status")
    }

    /// Its process id.
    pub fn process_id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Resident memory in bytes but for the program itself: an unoptimised build has 60 MB of code, a release half of it.
    pub fn taken_bytes(&self) -> u64 {
        let statm =
            std::fs::read_to_string(format!("/proc/{}/statm", self.process_id())).expect("its memory");
        let pages: Vec<u64> = statm.split(' ').filter_map(|pages| pages.trim().parse().ok()).collect();
        (pages[1] - pages[2]) * 4096
    }
}

/// Waits for a condition with a deadline. The condition itself takes a request's time, so this does not spin.
pub async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + within;
    while !holds().await {
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `temporal workflow <command>` about the last run of a workflow, with Temporal's own client.
pub async fn ask(address: &str, command: &str, workflow_id: &str) -> Value {
    ask_of_run(address, command, workflow_id, "").await
}

/// The same about any run.
pub async fn ask_of_run(address: &str, command: &str, workflow_id: &str, run_id: &str) -> Value {
    let cli = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    let of = ["--workflow-id", workflow_id, "--run-id", run_id];
    let arguments = [&["workflow", command], &of[..], &["--address", address, "--output", "json"]].concat();
    let output = Command::new(cli).args(arguments).output().await.expect("the Temporal CLI runs");
    serde_json::from_slice(&output.stdout).expect("its answer")
}

/// How many workflows a query of Temporal's index finds.
pub async fn count(address: &str, query: &str) -> u64 {
    let cli = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    let arguments = ["workflow", "count", "--query", query, "--address", address, "--output", "json"];
    let output = Command::new(cli).args(arguments).output().await.expect("the Temporal CLI runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("its answer");
    // A count of nothing is left out.
    answer["count"].as_str().map_or(0, |count| count.parse().expect("a count"))
}

/// The Python of the tests, with `temporalio`.
pub fn python(script: &str) -> Command {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(python);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(script));
    command.kill_on_drop(true).stdout(Stdio::piped());
    command
}

/// The registration of a worker that serves some types.
pub fn worker(id: &str, queue: &str, ttl_seconds: u32, types: &[&str]) -> Value {
    let spec = |name: &&str| serde_json::json!({"workflow_type": name, "task_queue": queue});
    serde_json::json!({
        "worker_id": id, "task_queue": queue, "ttl_seconds": ttl_seconds,
        "workflows": types.iter().map(spec).collect::<Vec<_>>(),
    })
}

impl Registry {
    /// kill -9 without giving the handle up: requests in flight fail from here on.
    pub fn kill_now(&self) {
        let id = i32::try_from(self.child.id().expect("it runs")).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL)
            .expect("a signal");
    }
}

/// Replicas on one Temporal.
pub async fn several<const N: usize>(temporal: &str) -> [Registry; N] {
    let all = (0..N).map(|_| Registry::start(temporal));
    let all = futures::future::join_all(all).await;
    all.try_into().ok().expect("as many as were started")
}
