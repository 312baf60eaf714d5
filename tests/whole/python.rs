//! Workers written in Python with Temporal's own SDK.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::harness::{Registry, Temporal, ask, python, until};

#[tokio::test]
async fn a_python_worker_registers_runs_reregisters_and_drains() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    let mut command = python("examples/python/worker.py");
    command.env("TEMPORAL_REGISTRY_URL", &registry.url).env("TEMPORAL_ADDRESS", temporal.address());
    command.env("WORKER_ID", "py-1").env("TTL_SECONDS", "5");
    let mut child = command.spawn().expect("python runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("worker is up"));
    let known = async || registry.get("/registry/workers/py-1").await.status == 200;
    registry.until("the worker is registered", known).await;

    let started = registry
        .must("/workflows/py.echo.v1/start", &json!({"input": {"text": "hi"}, "name": "Echo!"}))
        .await;
    assert_eq!(started["workflow_id"], "echo-r1");
    assert_eq!(started["task_queue"], "python");
    assert_eq!(result_of(&temporal.address(), "echo-r1").await, json!({"echo": "hi"}));
    let wrong =
        registry.post("/workflows/py.echo.v1/start", &json!({"input": {"text": 1}, "name": "Echo!"})).await;
    assert_eq!((wrong.status.as_u16(), wrong.body["code"].as_str()), (400, Some("invalid_input")));

    // Forgotten by the registry, it is told to register again at its next heartbeat.
    registry.call(reqwest::Method::DELETE, "/registry/workers/py-1", None).await;
    until("the worker registers again", Duration::from_secs(10), known).await;

    let id = i32::try_from(child.id().expect("it runs")).expect("a process id");
    kill(Pid::from_raw(id), Signal::SIGTERM).expect("a signal");
    assert!(child.wait().await.expect("it ends").success());
    assert_eq!(registry.get("/registry/workers/py-1").await.status, 404);
}

/// Awaits a run with Temporal's own client.
async fn result_of(address: &str, workflow_id: &str) -> serde_json::Value {
    let answer = ask(address, "result", workflow_id).await;
    assert_eq!(answer["status"], "COMPLETED", "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn the_surface_of_the_reference_is_served_over_temporal() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    let mut command = python("tests/python/signals.py");
    command.env("TEMPORAL_ADDRESS", temporal.address()).env("TEMPORAL_NAMESPACE", "default");
    let mut child = command.spawn().expect("python runs");
    let mut output = String::new();
    child.stdout.take().expect("its output").read_to_string(&mut output).await.expect("its output");
    assert!(child.wait().await.expect("it ends").success(), "{output}");
    let bad = output.lines().find_map(|line| line.strip_prefix("bad signals: ")).expect("a count");
    let bad: u64 = bad.parse().expect("a number");
    registry
        .until("every bad signal is counted", async || {
            registry.get("/registry/status").await.body["rejected_signals"].as_u64() == Some(bad)
        })
        .await;
}
