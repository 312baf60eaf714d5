//! Schedules and several replicas.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Registry, Temporal, until, worker};

/// Moves the type to a queue. Within a minute its schedule is there, and so is its next run.
async fn moves(registry: &Registry, queue: &str) {
    let spec = json!({"workflow_type": "moving.v1", "task_queue": queue});
    let put = registry.call(Method::PUT, "/registry/workflows/moving.v1", Some(&spec)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    registry.must("/registry/workers", &worker("w", queue, 600, &["moving.v1"])).await;
    let query = format!("/runs?workflow_type=moving.v1&query=TaskQueue%20%3D%20'{queue}'");
    let runs_there = async || match registry.get(&query).await.body["runs"].as_array() {
        Some(runs) => !runs.is_empty(),
        None => false,
    };
    until(&format!("a run on {queue}"), Duration::from_secs(60), runs_there).await;
    let seen = registry.get("/schedules/each-second").await.body;
    assert_eq!((&seen["task_queue"], &seen["problems"]), (&json!(queue), &json!([])), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_moves_schedules_and_another_steps_in_for_it() {
    let temporal = Temporal::start().await;
    let address = temporal.address();
    let first = Registry::start(&address).await;
    let second = Registry::start(&address).await;
    first.must("/registry/workers", &worker("w", "one", 600, &["moving.v1"])).await;
    let each_second =
        json!({"workflow_type": "moving.v1", "interval_seconds": 1, "overlap_policy": "terminate_other"});
    first.must("/schedules/each-second", &each_second).await;
    moves(&first, "two").await;
    let id = |status: Value| status["registry_service_process_id"].as_str().map(str::to_owned);
    let acting = id(first.get("/registry/status").await.body);
    // The one that came up last, whose turn it is, goes without a word.
    second.kill().await;
    moves(&first, "three").await;
    assert_eq!(id(first.get("/registry/status").await.body), acting, "nobody was elected");
}
