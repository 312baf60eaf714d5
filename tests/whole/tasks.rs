//! Tasks over HTTP, with a real runner: claimed by one at a time, completed once, and not lost with their runner.

use std::path::Path;
use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::harness::{Answer, Registry, Temporal};

/// `temporal-registry runner` as a process.
struct Runner(Child);

impl Runner {
    async fn start(temporal: &str, registry: &Registry, folder: &Path) -> Self {
        let yaml = format!(
            r#"
registry: {{url: '{url}'}}
worker: {{id: desk, task_queue: desk, ttl_seconds: 5, artifact_dir: '{folder}'}}
entries:
  - workflow_type: approve.v1
    kind: manual
    title: "Approve {{{{input.amount}}}}"
    input_schema: {{type: object, properties: {{amount: {{type: number}}}}, required: [amount]}}
    output_schema: {{type: object, properties: {{approved: {{type: boolean}}}}, required: [approved]}}
    lease_seconds: 600
  - {{workflow_type: echo.v1, kind: subprocess, argv: [/bin/echo, hello]}}
"#,
            url = registry.url,
            folder = folder.display()
        );
        let file = folder.join("runner.yaml");
        std::fs::write(&file, yaml).expect("the runner's file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-registry"));
        command.arg("runner").arg("-f").arg(file).env("TEMPORAL_ADDRESS", temporal);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let runner = Self(command.spawn().expect("the runner starts"));
        let registered = async || registry.get("/registry/workers/desk").await.body["health"] == "healthy";
        registry.until("the runner is registered", registered).await;
        runner
    }
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (status, &json!(code)), "{}", answer.body);
}

async fn start(registry: &Registry, amount: u32) -> String {
    let body = json!({"name": "Invoice", "input": {"amount": amount}});
    let started = registry.must("/workflows/approve.v1/start", &body).await;
    started["workflow_id"].as_str().expect("an id").to_owned()
}

async fn result(registry: &Registry, workflow_id: &str) -> Value {
    let answer = registry.get(&format!("/runs/{workflow_id}/result?wait=30")).await;
    assert_eq!((answer.status, &answer.body["status"]), (StatusCode::OK, &json!("completed")));
    assert!(answer.body["result_errors"].is_null(), "{}", answer.body);
    answer.body["result"].clone()
}

/// Ids of the listed tasks, latest first.
async fn listed(registry: &Registry, query: &str) -> Vec<String> {
    let list = registry.get(&format!("/tasks{query}")).await.body;
    let tasks = list["tasks"].as_array().unwrap_or_else(|| panic!("{list}"));
    tasks.iter().map(|task| task["workflow_id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_from_hand_to_hand_to_its_end() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let _runner = Runner::start(&temporal.address(), &registry, folder.path()).await;

    let first = start(&registry, 30).await;
    registry.until("the task is listed", async || listed(&registry, "?status=open").await == [&*first]).await;
    let task = registry.get(&format!("/tasks/{first}")).await.body;
    assert_eq!(
        (&task["title"], &task["status"], &task["input"], &task["assignee"]),
        (&json!("Approve 30"), &json!("open"), &json!({"amount": 30}), &Value::Null)
    );
    assert_eq!(
        (&task["input_schema"]["required"], &task["output_schema"]["required"]),
        (&json!(["amount"]), &json!(["approved"]))
    );
    assert!(task["created_at"].is_string() && task["closed_at"].is_null(), "{task}");

    let act =
        async |action: &str, body: Value| registry.post(&format!("/tasks/{first}/{action}"), &body).await;
    let claimed = act("claim", json!({"assignee": "ann", "lease_seconds": 3})).await;
    assert_eq!((&claimed.body["status"], &claimed.body["assignee"]), (&json!("claimed"), &json!("ann")));
    let refusal = act("claim", json!({"assignee": "bob"})).await;
    refused(&refusal, 409, "task_claimed");
    assert_eq!(refusal.body["assignee"], "ann", "{}", refusal.body);
    assert!(refusal.body["lease_expires_at"].is_string(), "{}", refusal.body);
    refused(
        &act("complete", json!({"output": {"approved": true}, "assignee": "bob"})).await,
        409,
        "task_claimed",
    );
    registry
        .until("the lease has lapsed", async || {
            registry.get(&format!("/tasks/{first}")).await.body["status"] == "open"
        })
        .await;
    assert_eq!(act("claim", json!({"assignee": "bob"})).await.body["assignee"], "bob");
    assert_eq!(listed(&registry, "?status=claimed").await, [&*first]);
    refused(&act("release", json!({"assignee": "ann"})).await, 409, "task_claimed");
    let released = act("release", json!({})).await.body;
    assert_eq!((&released["status"], &released["assignee"]), (&json!("open"), &Value::Null));

    let misfit = act("complete", json!({"output": {"approved": "yes"}})).await;
    refused(&misfit, 400, "invalid_input");
    assert_eq!(misfit.body["details"][0]["loc"], json!(["approved"]), "{}", misfit.body);
    let done = act("complete", json!({"output": {"approved": true}})).await;
    assert_eq!((done.status, &done.body["status"]), (StatusCode::OK, &json!("completed")), "{}", done.body);
    let outcome = result(&registry, &first).await;
    assert_eq!((&outcome["status"], &outcome["output"]), (&json!("succeeded"), &json!({"approved": true})));
    for action in ["claim", "release", "complete", "fail"] {
        refused(&act(action, json!({})).await, 409, "task_closed");
    }

    let second = start(&registry, 31).await;
    let failed = registry.must(&format!("/tasks/{second}/fail"), &json!({"reason": "too much"})).await;
    assert_eq!(failed["status"], "failed");
    let outcome = result(&registry, &second).await;
    assert_eq!((&outcome["status"], &outcome["error_summary"]), (&json!("failed"), &json!("too much")));

    let third = start(&registry, 32).await;
    registry.must(&format!("/runs/{third}/cancel"), &json!({})).await;
    registry
        .until("both ends are listed", async || {
            listed(&registry, "?status=failed").await == [&*second]
                && listed(&registry, "?status=cancelled").await == [&*third]
        })
        .await;
    assert_eq!(listed(&registry, "?status=completed&workflow_type=approve.v1").await, [&*first]);
    assert_eq!(listed(&registry, "?workflow_type=echo.v1").await, Vec::<String>::new());

    let page = registry.get("/tasks?limit=2").await.body;
    let token = page["next_page_token"].as_str().expect("a further page");
    assert_eq!(page["tasks"].as_array().expect("tasks").len(), 2);
    assert_eq!(listed(&registry, &format!("?limit=2&page_token={token}")).await, [&*first]);

    let other = registry.must("/workflows/echo.v1/execute", &json!({})).await;
    let other = other["workflow_id"].as_str().expect("an id");
    for id in [other, "nobody-r1", "workflow-registry"] {
        refused(&registry.get(&format!("/tasks/{id}")).await, 404, "task_not_found");
        refused(&registry.post(&format!("/tasks/{id}/claim"), &json!({})).await, 404, "task_not_found");
    }
    assert!(registry.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_outlives_its_runner() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut runner = Runner::start(&temporal.address(), &registry, folder.path()).await;
    let id = start(&registry, 30).await;
    registry.must(&format!("/tasks/{id}/claim"), &json!({"assignee": "ann"})).await;
    let keyed = [("idempotency-key", "k1")];
    runner.0.kill().await.expect("kill -9");

    registry
        .until("the task is listed as one nobody can tell of", async || {
            let list = registry.get("/tasks?status=open").await.body;
            list["tasks"][0]["status"] == "unknown" && list["tasks"][0]["title"] == "Approve 30"
        })
        .await;
    let unhealthy = async || registry.get("/registry/workers/desk").await.body["health"] == "unhealthy";
    registry.until("the runner's lease has run out", unhealthy).await;
    refused(&registry.post(&format!("/tasks/{id}/claim"), &json!({})).await, 503, "no_healthy_worker");

    let _second = Runner::start(&temporal.address(), &registry, folder.path()).await;
    let refusal = registry.post(&format!("/tasks/{id}/claim"), &json!({"assignee": "bob"})).await;
    refused(&refusal, 409, "task_claimed");
    let complete = async || {
        let request = registry.http.post(format!("{}/tasks/{id}/complete", registry.url));
        let request = keyed.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.json(&json!({"output": {"approved": true}})).send().await.expect("an answer");
        (answer.status(), answer.json::<Value>().await.expect("JSON")["status"].clone())
    };
    assert_eq!(complete().await, (StatusCode::OK, json!("completed")));
    assert_eq!(result(&registry, &id).await["output"], json!({"approved": true}));
    // The same key again is the same completion, not a second one.
    assert_eq!(complete().await, (StatusCode::OK, json!("completed")));
    assert!(registry.stop().await.success());
}
