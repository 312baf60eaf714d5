//! What Temporal tells of task queues, and what follows from it.

use std::time::Duration;

use serde_json::{Value, json};
use temporalio_client::tonic::Request;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::PollWorkflowTaskQueueRequest;
use tokio_util::sync::CancellationToken;

use crate::harness::{Registry, Temporal, until, worker};

/// Polls a queue as a worker does, until it is told to stop.
async fn poll(address: String, queue: &str, stop: CancellationToken) {
    let url: url::Url = format!("http://{address}").parse().expect("a URL");
    let options = ConnectionOptions::new(url);
    let connection = Connection::connect(options.identity("poller".to_owned()).build()).await;
    let options = ClientOptions::new("default").build();
    let client = Client::new(connection.expect("a connection"), options).expect("a client");
    let request = PollWorkflowTaskQueueRequest {
        namespace: "default".to_owned(),
        task_queue: Some(TaskQueue { name: queue.to_owned(), ..TaskQueue::default() }),
        identity: "poller".to_owned(),
        ..PollWorkflowTaskQueueRequest::default()
    };
    let polling = async {
        loop {
            let mut service = client.connection().workflow_service();
            let mut request = Request::new(request.clone());
            request.set_timeout(Duration::from_secs(70));
            service.poll_workflow_task_queue(request).await.expect("an empty answer after a minute");
        }
    };
    stop.run_until_cancelled(polling).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_worker_is_as_healthy_as_its_queue_is_polled_and_silence_is_warned_of() {
    let temporal = Temporal::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.yaml");
    let declared = "registry:\n  static_workers:\n    - {worker_id: fixed, task_queue: fixed-queue, workflows: \
                    [{workflow_type: fixed.v1, task_queue: fixed-queue}]}\n";
    std::fs::write(&config, declared).expect("a file");
    let path = config.to_str().expect("a path");
    let registry = Registry::start_as(&temporal.address(), &["-f", path], &[]).await;
    // Heartbeats once for all, and nobody polls its queue.
    registry.must("/registry/workers", &worker("silent", "silent-queue", 600, &["silent.v1"])).await;
    let health = async || registry.get("/registry/workers/fixed").await.body["health"].clone();
    registry.until("nobody polls its queue", async || health().await == "unhealthy").await;
    let start = registry.post("/workflows/fixed.v1/start", &json!({})).await;
    assert_eq!((start.status.as_u16(), &start.body["code"]), (503, &json!("no_healthy_worker")));

    let stop = CancellationToken::new();
    let polling = tokio::spawn(poll(temporal.address(), "fixed-queue", stop.clone()));
    until("its queue is polled", Duration::from_secs(60), async || health().await == "healthy").await;
    let started = registry.must("/workflows/fixed.v1/start", &json!({})).await;
    assert_eq!(started["task_queue"], "fixed-queue");
    let queues = registry.get("/registry/task-queues").await.body;
    let queue = |name: &str| -> Value {
        let all = queues["task_queues"].as_array().expect("queues");
        all.iter().find(|queue| queue["task_queue"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(queue("fixed-queue")["pollers"][0]["identity"], "poller", "{queues}");
    assert_eq!(
        (&queue("silent-queue")["pollers"], &queue("silent-queue")["warnings"]),
        (&json!([]), &json!([]))
    );

    // A worker has a minute to be seen polling, and Temporal is asked every 15 s.
    let warned = async || {
        let status = registry.get("/registry/status").await.body;
        let warnings = status["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().any(|warning| {
            (&warning["code"], &warning["worker_id"]) == (&json!("never_polled"), &json!("silent"))
        })
    };
    until("the silent worker is warned of", Duration::from_secs(120), warned).await;
    let warnings = async |name: &str| {
        let queues = registry.get("/registry/task-queues").await.body;
        let all = queues["task_queues"].as_array().expect("queues").clone();
        let queue = all.iter().find(|queue| queue["task_queue"] == name).expect("a queue");
        queue["warnings"].as_array().expect("warnings").len()
    };
    assert_eq!((warnings("silent-queue").await, warnings("fixed-queue").await), (1, 0));
    stop.cancel();
    polling.await.expect("it polled to the end");
}
