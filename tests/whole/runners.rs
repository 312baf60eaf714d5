//! Runners behind the registry: told apart by host, followed and cancelled over HTTP, and whose tasks others may not touch.

use std::path::Path;
use std::process::Stdio;

use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use super::harness::{Answer, Registry, Temporal};

const ADMIN: &str = "the-admins";
const CLERK: &str = "the-clerks";

fn bearing(token: &str) -> Client {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
    headers.insert(AUTHORIZATION, value);
    Client::builder().default_headers(headers).build().expect("a client")
}

/// A registry that wants tokens: the administrator's, and one of somebody who may touch approvals only.
async fn guarded(temporal: &Temporal, folder: &Path) -> Registry {
    let file = folder.join("config.yaml");
    let clerk = hex::encode(Sha256::digest(CLERK));
    let yaml = format!(
        "auth:\n  token: {ADMIN}\n  tokens: [{{name: clerk, sha256: {clerk}, roles: [dispatch], workflow_types: ['approve.*']}}]\n"
    );
    std::fs::write(&file, yaml).expect("a file");
    let file = file.display().to_string();
    let enabled = [("TEMPORAL_REGISTRY_AUTH_ENABLED", "true")];
    let mut registry = Registry::start_as(&temporal.address(), &["-f", &file], &enabled).await;
    registry.http = bearing(ADMIN);
    registry
}

/// A runner on this host, one of several with the same entries on one queue.
async fn runner(temporal: &Temporal, registry: &Registry, folder: &Path, host: &str) -> Child {
    let yaml = format!(
        r#"
registry: {{url: '{url}', token: {ADMIN}}}
worker: {{id: on-{host}, task_queue: runners, host: {host}, ttl_seconds: 30, drain_seconds: 1, artifact_dir: '{folder}'}}
entries:
  - {{workflow_type: where.v1, kind: subprocess, argv: [/bin/sh, -c, 'echo $PLACE'], env_allow: [PLACE]}}
  - {{workflow_type: slow.v1, kind: subprocess, argv: [/bin/sh, -c, 'echo begun; until [ -e "$1" ]; do sleep 0.1; done; echo done', sh, '{{{{input.until}}}}'], env_allow: [PATH]}}
  - {{workflow_type: approve.v1, kind: manual}}
  - {{workflow_type: secret.v1, kind: manual}}
"#,
        url = registry.url,
        folder = folder.display(),
    );
    let file = folder.join(format!("{host}.yaml"));
    std::fs::write(&file, yaml).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-registry"));
    command.arg("runner").arg("-f").arg(file).env("TEMPORAL_ADDRESS", temporal.address()).env("PLACE", host);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().expect("the runner starts");
    let path = format!("/registry/workers/on-{host}");
    registry.until("it is registered", async || registry.get(&path).await.body["health"] == "healthy").await;
    child
}

/// Reads server-sent events until one has this in its data, and gives that one.
async fn event_with(registry: &Registry, path: &str, wanted: &str) -> Value {
    let answer = registry.http.get(format!("{}{path}", registry.url)).send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut stream, mut text) = (answer.bytes_stream(), String::new());
    let read = async {
        while !(text.contains(wanted) && text.ends_with("\n\n")) {
            let part = stream.next().await.unwrap_or_else(|| panic!("it ended with {text}"));
            text.push_str(std::str::from_utf8(&part.expect("an event")).expect("text"));
        }
    };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(60), read).await;
    assert!(in_time.is_ok(), "no {wanted} in {text}");
    let data = text.lines().rfind(|line| line.contains(wanted)).and_then(|line| line.strip_prefix("data:"));
    serde_json::from_str(data.unwrap_or_else(|| panic!("no data in {text}"))).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_picks_the_host_and_progress_and_cancellation_are_seen() {
    let temporal = Temporal::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let registry = guarded(&temporal, folder.path()).await;
    let _there = runner(&temporal, &registry, folder.path(), "there").await;
    let _here = runner(&temporal, &registry, folder.path(), "here").await;

    for host in ["here", "there", "there", "here", "here", "there", "here", "there"] {
        let ran = registry.must("/workflows/where.v1/execute", &json!({"target": {"host": host}})).await;
        assert_eq!(ran["result"]["output"]["stdout"], format!("{host}\n"), "{ran}");
        let worker = json!({"target": {"worker_id": format!("on-{host}")}});
        let ran = registry.must("/workflows/where.v1/execute", &worker).await;
        assert_eq!(ran["result"]["output"]["stdout"], format!("{host}\n"), "{ran}");
    }
    let ran = registry.must("/workflows/where.v1/execute", &json!({})).await;
    assert_eq!((&ran["task_queue"], &ran["result"]["status"]), (&json!("runners"), &json!("succeeded")));
    let nowhere = registry.post("/workflows/where.v1/start", &json!({"target": {"host": "nowhere"}})).await;
    assert_eq!((nowhere.status.as_u16(), &nowhere.body["code"]), (503, &json!("no_healthy_worker")));

    let file = folder.path().join("word");
    let input = json!({"until": file});
    let slow = async |id: &str| {
        registry.must("/workflows/slow.v1/start", &json!({"workflow_id": id, "input": input})).await;
        registry
            .until("its progress shows what it wrote", async || {
                let told = registry.post(&format!("/runs/{id}/queries/progress"), &json!({})).await.body;
                told["result"]["last_lines"] == json!(["begun"]) && told["result"]["phase"] == "running"
            })
            .await;
    };
    slow("followed").await;
    let told = event_with(&registry, "/runs/followed/events", "\"runner_progress\"").await;
    assert_eq!(
        (&told["progress"]["last_lines"], &told["progress"]["bytes"]["stdout"]),
        (&json!(["begun"]), &json!(6)),
        "{told}"
    );
    slow("cancelled").await;
    assert_eq!(registry.post("/runs/cancelled/cancel", &json!({})).await.status, 202);
    let ended = registry.get("/runs/cancelled/result?wait=60").await.body;
    assert_eq!(ended["status"], "canceled", "{ended}");
    let told = registry.must("/runs/cancelled/queries/result", &json!({})).await;
    assert_eq!(
        (&told["result"]["status"], &told["result"]["output"]["stdout"]),
        (&json!("cancelled"), &json!("begun\n"))
    );
    std::fs::write(&file, "").expect("a file");
    let ended = registry.get("/runs/followed/result?wait=60").await.body;
    assert_eq!(ended["result"]["output"]["stdout"], "begun\ndone\n", "{ended}");
    event_with(&registry, "/runs/followed/events", "\"completed\"").await;
}

/// What Temporal knows of a task queue, with all who polled it in the last minutes.
async fn pollers(temporal: &Temporal, task_queue: &str) -> Value {
    let cli = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    let mut command = Command::new(cli);
    command.args(["task-queue", "describe", "--task-queue", task_queue, "--address", &temporal.address()]);
    let output = command.args(["--output", "json"]).output().await.expect("the Temporal CLI runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_registry_never_takes_ends_the_runner_before_it_polls() {
    let temporal = Temporal::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::start(&temporal.address()).await;
    let yaml = format!(
        "registry: {{url: '{url}'}}\n\
         worker: {{id: greedy, task_queue: registry-service, drain_seconds: 1, artifact_dir: '{folder}'}}\n\
         entries:\n  - {{workflow_type: approve.v1, kind: manual}}\n",
        url = registry.url,
        folder = folder.path().display(),
    );
    let file = folder.path().join("greedy.yaml");
    std::fs::write(&file, yaml).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-registry"));
    command.arg("runner").arg("-f").arg(file).env("TEMPORAL_ADDRESS", temporal.address());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), command.output()).await;
    let ended = ended.expect("it ends within 60 s").expect("its output");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    let why = ["the registry refuses what this runner offers", "registry_queue_refused", "registry-service"];
    assert!(why.iter().all(|part| last.contains(part)), "{said}");
    // The registry's own worker is there, and the runner never was.
    for (queue, polled) in [("registry-service", true), ("registry-service/greedy", false)] {
        let pollers = pollers(&temporal, queue).await;
        let pollers = pollers["pollers"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(pollers.is_empty(), !polled, "{queue}: {pollers:?}");
        assert!(pollers.iter().all(|poller| poller["identity"] != "greedy"), "{queue}: {pollers:?}");
    }
    assert_eq!(registry.get("/registry/workers").await.body["workers"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_one_type_reaches_its_tasks_only() {
    let temporal = Temporal::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut registry = guarded(&temporal, folder.path()).await;
    let _runner = runner(&temporal, &registry, folder.path(), "here").await;
    for (name, id) in [("approve.v1", "a"), ("secret.v1", "s")] {
        registry.must(&format!("/workflows/{name}/start"), &json!({"workflow_id": id})).await;
    }
    let listed = async |registry: &Registry| -> Vec<Value> {
        let list = registry.get("/tasks?status=open").await.body;
        let tasks = list["tasks"].as_array().unwrap_or_else(|| panic!("{list}"));
        let mut ids: Vec<Value> = tasks.iter().map(|task| task["workflow_id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        ids
    };
    assert_eq!(listed(&registry).await, ["a", "s"], "at once, although Temporal lists them a little later");

    registry.http = bearing(CLERK);
    assert_eq!(listed(&registry).await, ["a"]);
    let forbidden = |answer: &Answer| {
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (403, &json!("forbidden")),
            "{}",
            answer.body
        );
    };
    forbidden(&registry.get("/tasks/s").await);
    for action in ["claim", "release", "complete", "fail"] {
        forbidden(&registry.post(&format!("/tasks/s/{action}"), &json!({})).await);
    }
    for (path, body) in [
        ("/workflows/secret.v1/start", json!({})),
        ("/runs/s/updates/task_complete", json!({"input": {"output": 1}})),
        ("/runs/s/signals/x", json!({})),
        ("/runs/s/cancel", json!({})),
        ("/runs/s/terminate", json!({})),
        ("/schedules/x", json!({"workflow_type": "secret.v1", "cron": ["@daily"]})),
        ("/registry/workers", json!({"worker_id": "w", "task_queue": "q", "workflows": []})),
    ] {
        forbidden(&registry.post(path, &body).await);
    }
    forbidden(&registry.call(Method::DELETE, "/registry/workflows/approve.v1", None).await);
    let claimed = registry.must("/tasks/a/claim", &json!({})).await;
    assert_eq!(claimed["assignee"], "clerk", "the name of the token");
    registry.must("/tasks/a/complete", &json!({"output": "yes"})).await;
    let ended = registry.get("/runs/a/result?wait=60").await.body;
    assert_eq!(ended["result"]["output"], "yes", "{ended}");
}
