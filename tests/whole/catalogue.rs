//! Types and workers as clients see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Registry, Temporal, ask, ask_of_run, several, until, worker};

/// A realistic schema of about 20 KB that does not repeat itself from type to type.
fn schema(type_number: usize) -> Value {
    let field = |n: usize| {
        let mix = (type_number * 7919 + n * 104_729) % 1_000_003;
        let described =
            format!("Field {n} of document {type_number}, reference {mix:06}, kept for the audit trail");
        (
            format!("field_{n}_{mix:x}"),
            json!({"type": "string", "maxLength": 100 + mix % 900, "description": described}),
        )
    };
    let properties: serde_json::Map<String, Value> = (0..130).map(field).collect();
    json!({"type": "object", "properties": properties})
}

#[tokio::test]
async fn one_creator_wins_and_the_last_put_stands() {
    let temporal = Temporal::start().await;
    let registry = Arc::new(Registry::start(&temporal.address()).await);
    let spec = |version: String| json!({"workflow_type": "race.v1", "task_queue": "q", "version": version});
    let posts = (0..8).map(|n| {
        let (registry, body) = (registry.clone(), spec(n.to_string()));
        tokio::spawn(async move { registry.post("/registry/workflows", &body).await.status.as_u16() })
    });
    let mut statuses = futures::future::try_join_all(posts).await.expect("all posts");
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);

    for round in 0..20 {
        for version in ["v1", "v2"] {
            let body = spec(format!("{version}-{round}"));
            let put = registry.call(reqwest::Method::PUT, "/registry/workflows/race.v1", Some(&body)).await;
            assert_eq!(put.status, 200, "{}", put.body);
        }
        let now = registry.get("/registry/workflows/race.v1").await.body;
        assert_eq!(now["version"], format!("v2-{round}"));
    }

    for round in 0..20 {
        let id = format!("short-lived-{round}");
        registry.must("/registry/workers", &worker(&id, "q", 60, &["race.v1"])).await;
        let gone = registry.call(reqwest::Method::DELETE, &format!("/registry/workers/{id}"), None).await;
        assert_eq!(gone.status, 204);
        assert_eq!(registry.get(&format!("/registry/workers/{id}")).await.status, 404);
    }
    assert_eq!(registry.get("/registry/workers").await.body["workers"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_revise_a_type_at_once_and_none_is_sent_away() {
    const WORKERS: usize = 12;
    let temporal = Temporal::start().await;
    let replicas: Arc<[Registry; 2]> = Arc::new(several(&temporal.address()).await);
    let body = |n: usize| {
        let mut body = worker(&format!("w{n}"), "q", 600, &["shared.v1"]);
        body["workflows"][0]["input_schema"] =
            json!({"type": "object", "properties": {format!("option_{n}"): {"type": "string"}}});
        body
    };
    let first = replicas[0].must("/registry/workers", &body(WORKERS)).await;
    assert_eq!(first["verdicts"][0]["verdict"], "created");
    let posts = (0..WORKERS).map(|n| {
        let (replicas, body) = (replicas.clone(), body(n));
        tokio::spawn(async move { replicas[n % 2].post("/registry/workers", &body).await })
    });
    let mut revisions = Vec::new();
    for answer in futures::future::try_join_all(posts).await.expect("all posts") {
        assert_eq!(answer.status, 201, "{}", answer.body);
        let verdict = &answer.body["verdicts"][0];
        assert_eq!(verdict["verdict"], "revised", "{verdict}");
        revisions.push(verdict["revision"].as_u64().expect("a revision"));
    }
    // Each of them outran the others once.
    revisions.sort_unstable();
    assert_eq!(revisions, (2..2 + WORKERS as u64).collect::<Vec<_>>());
}

/// Long enough to fill a run one claim after the other, on any machine.
const FILLED_WITHIN: Duration = Duration::from_secs(120);

/// It ended at its bound of events, so that replay stays short; and the next may take longer for each task, for what it holds.
async fn a_run_ended_in_time(address: &str, run_id: &str) {
    let ended = ask_of_run(address, "describe", "workflow-registry", run_id).await;
    let events = ended["workflowExecutionInfo"]["historyLength"].as_str().and_then(|n| n.parse().ok());
    assert!((1_500..1_600).contains(&events.unwrap_or(0)), "it ended at {events:?} events");
    let next = ask(address, "describe", "workflow-registry").await;
    let timeout = next["executionConfig"]["defaultWorkflowTaskTimeout"].as_str();
    let seconds = timeout.and_then(|text| text.strip_suffix('s')?.parse().ok()).unwrap_or(0.0);
    assert!(seconds > 2.0 && seconds < 4.0, "a task of the next may take {timeout:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_large_types_survive_a_hand_over() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    for n in 0..500 {
        let name = format!("large-{n:03}.v1");
        let body = json!({"workflow_type": name, "task_queue": "q", "input_schema": schema(n)});
        registry.must("/registry/workflows", &body).await;
    }
    let before = registry.get("/registry/status").await.body;
    // Claims fill the history until the run hands over.
    until("a hand-over", FILLED_WITHIN, async || {
        for _ in 0..50 {
            registry.must("/workflow-ids/claim", &json!({"name": "filler"})).await;
        }
        registry.get("/registry/status").await.body["run_id"] != before["run_id"]
    })
    .await;
    a_run_ended_in_time(&temporal.address(), before["run_id"].as_str().expect("a run id")).await;
    let mut seen = Vec::new();
    let mut next = "/registry/workflows?limit=100".to_owned();
    loop {
        let page = registry.get(&next).await.body;
        let types = page["workflows"].as_array().expect("a page of types");
        assert!(types.len() <= 100);
        seen.extend(types.iter().map(|t| t["workflow_type"].as_str().expect("a name").to_owned()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        next = format!("/registry/workflows?limit=100&page_token={token}");
    }
    let expected: Vec<String> = (0..500).map(|n| format!("large-{n:03}.v1")).collect();
    assert_eq!(seen, expected);
    let one = registry.get("/registry/workflows/large-250.v1").await.body;
    assert_eq!(one["input_schema"], schema(250));
    println!("status with 500 types of 20 KB: {}", registry.get("/registry/status").await.body);

    // Past the limit the answer is a clear refusal, and everything else goes on.
    let refused = 'full: {
        for n in 500..5_000 {
            let body = json!({"workflow_type": format!("large-{n}.v1"), "task_queue": "q", "input_schema": schema(n)});
            let answer = registry.post("/registry/workflows", &body).await;
            if answer.status != 201 {
                break 'full answer;
            }
        }
        panic!("the registry never filled up");
    };
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert_eq!(refused.body["code"], "registry_full");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(registry.get("/registry/workflows/large-001.v1").await.status, 200);
    registry.must("/workflow-ids/claim", &json!({"name": "still open"})).await;
    let run_id = registry.get("/registry/status").await.body["run_id"].clone();
    until("a hand-over of a full registry", FILLED_WITHIN, async || {
        for _ in 0..50 {
            registry.must("/workflow-ids/claim", &json!({"name": "filler"})).await;
        }
        registry.get("/registry/status").await.body["run_id"] != run_id
    })
    .await;
    assert_eq!(registry.get("/registry/workflows/large-499.v1").await.status, 200);
}

#[tokio::test]
async fn a_worker_that_stops_is_unhealthy_and_unroutable_within_six_seconds() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    let registered = registry.must("/registry/workers", &worker("brief", "q", 5, &["brief.v1"])).await;
    let epoch = registered["epoch"].as_u64().expect("an epoch");
    let started = registry.post("/workflows/brief.v1/start", &json!({"name": "brief"})).await;
    assert_eq!(started.status, 200, "{}", started.body);
    let beat = registry.must("/registry/workers/brief/heartbeat", &json!({"epoch": epoch})).await;
    assert_eq!(beat["status"], "ack");
    let last = Instant::now();
    until("the worker is unhealthy", Duration::from_secs(6), async || {
        registry.get("/registry/workers/brief").await.body["healthy"] == false
    })
    .await;
    assert!(last.elapsed() > Duration::from_millis(4_500), "its lease had not run out yet");
    let listed = registry.get("/registry/workflows").await.body;
    assert_eq!(listed["workflows"][0]["workers"][0]["healthy"], false);
    let refused = registry.post("/workflows/brief.v1/start", &json!({"name": "brief"})).await;
    assert_eq!((refused.status.as_u16(), refused.body["code"].as_str()), (503, Some("no_healthy_worker")));
    let back = registry.must("/registry/workers/brief/heartbeat", &json!({"epoch": epoch})).await;
    assert_eq!(back["status"], "ack");
    assert_eq!(registry.get("/registry/workers/brief").await.body["healthy"], true);
    let other = registry.must("/registry/workers/brief/heartbeat", &json!({"epoch": epoch - 1})).await;
    assert_eq!(other["status"], "reregister");
}

#[tokio::test]
async fn the_registry_workflow_is_called_what_the_operator_says() {
    let temporal = Temporal::start().await;
    let names = [
        ("TEMPORAL_REGISTRY__REGISTRY__WORKFLOW_ID", "our-registry"),
        ("TEMPORAL_REGISTRY__REGISTRY__WORKFLOW_TYPE", "our.registry.v1"),
        ("TEMPORAL_REGISTRY__REGISTRY__TASK_QUEUE", "our-queue"),
    ];
    let registry = Registry::start_with(&temporal.address(), &names).await;
    registry.must("/workflow-ids/claim", &json!({"name": "x"})).await;
    let seen = ask(&temporal.address(), "describe", "our-registry").await;
    assert_eq!(seen["workflowExecutionInfo"]["type"]["name"], "our.registry.v1", "{seen}");
    assert_eq!(seen["executionConfig"]["taskQueue"]["name"], "our-queue", "{seen}");
}
