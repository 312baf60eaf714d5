//! A worker written with Temporal's Rust SDK that registers itself: one call on start-up, a heartbeat, one call on
//! exit. `temporal-registry dev` runs it; start it by hand with `cargo run --example demo_worker`.
#![allow(missing_docs, reason = "the workflow macro generates constants without documentation")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, Url};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{Runtime, Worker, WorkerOptions, WorkflowContext, WorkflowResult};
use tokio_util::sync::CancellationToken;

/// Where the worker finds Temporal and the registry.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Temporal frontend, `host:port`.
    pub temporal_address: String,
    /// Namespace.
    pub namespace: String,
    /// Base URL of the registry.
    pub registry_url: String,
}

/// Names the worker in the registry and in Temporal.
pub const WORKER_ID: &str = "demo-worker";
const TASK_QUEUE: &str = "demo";

#[derive(Debug, Serialize, Deserialize)]
pub struct Greeting {
    name: String,
    #[serde(default)]
    polite: bool,
}

/// Greets: the workflow behind the README's examples.
#[workflow]
#[derive(Default)]
pub struct Greet;

#[workflow_methods]
impl Greet {
    #[run(name = "demo.greet.v1")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Greeting) -> WorkflowResult<Value> {
        ctx.timer(Duration::from_millis(200)).await;
        let word = if input.polite { "Good day" } else { "Hello" };
        Ok(json!({ "greeting": format!("{word}, {}!", input.name) }))
    }
}

/// What the worker tells the registry about itself.
fn registration() -> Value {
    json!({
        "worker_id": WORKER_ID,
        "task_queue": TASK_QUEUE,
        "ttl_seconds": 15,
        "environment": "demo",
        "version": env!("CARGO_PKG_VERSION"),
        "workflows": [{
            "workflow_type": "demo.greet.v1",
            "task_queue": TASK_QUEUE,
            "description": "Greets somebody",
            "tags": ["demo"],
            "input_schema": {
                "type": "object",
                "properties": {"name": {"type": "string", "minLength": 1}, "polite": {"type": "boolean"}},
                "required": ["name"],
                "additionalProperties": false
            },
            "output_schema": {
                "type": "object",
                "properties": {"greeting": {"type": "string"}},
                "required": ["greeting"]
            },
            "examples": [{"name": "Ada"}]
        }]
    })
}

/// Registers, runs what is started until `stop` is cancelled, and signs off.
pub async fn run(options: DemoOptions, stop: CancellationToken) -> anyhow::Result<()> {
    let registry = Registry { url: options.registry_url.clone(), http: reqwest::Client::new() };
    let url = Url::parse(&format!("http://{}", options.temporal_address))?;
    let connection = Connection::connect(ConnectionOptions::new(url).identity(WORKER_ID).build()).await?;
    let client = Client::new(connection, ClientOptions::new(options.namespace.clone()).build())?;
    let runtime = Runtime::from_current_tokio(Default::default())?;
    let worker_options = WorkerOptions::new(TASK_QUEUE).register_workflow::<Greet>()?.build();
    let mut worker = Worker::new(&runtime, client, worker_options)?;
    let shut_down = worker.shutdown_handle();
    let beating = tokio::spawn({
        let (registry, stop) = (registry.clone(), stop.clone());
        async move {
            registry.keep_registered(&stop).await;
            shut_down();
        }
    });
    let worked = worker.run().await;
    stop.cancel();
    beating.await?;
    Ok(worked?)
}

#[derive(Clone)]
struct Registry {
    url: String,
    http: reqwest::Client,
}

impl Registry {
    /// Registers, then heartbeats as often as the registry asks; registers again when the registry says so.
    async fn keep_registered(&self, stop: &CancellationToken) {
        let mut registered = false;
        loop {
            let answer = if registered {
                self.post(&format!("/registry/workers/{WORKER_ID}/heartbeat"), &json!({})).await
            } else {
                self.post("/registry/workers", &registration()).await
            };
            let wait = match answer {
                Ok(answer) => {
                    registered = answer["status"] != "reregister";
                    answer["heartbeat_interval_seconds"].as_u64().filter(|_| registered).unwrap_or(1)
                }
                Err(error) => {
                    tracing::warn!(%error, "the registry did not answer the demo worker");
                    1
                }
            };
            let pause = tokio::time::sleep(Duration::from_secs(wait));
            tokio::select! {
                () = stop.cancelled() => break,
                () = pause => {}
            }
        }
        let url = format!("{}/registry/workers/{WORKER_ID}", self.url);
        if let Err(error) = self.http.delete(url).timeout(Duration::from_secs(2)).send().await {
            tracing::debug!(%error, "the demo worker could not sign off; its lease will run out");
        }
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        request.timeout(Duration::from_secs(10)).send().await?.error_for_status()?.json().await
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let from = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let options = DemoOptions {
        temporal_address: from("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace: from("TEMPORAL_NAMESPACE", "default"),
        registry_url: from("TEMPORAL_REGISTRY_URL", "http://127.0.0.1:8080"),
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    run(options, stop).await
}
