//! `export` and `import`.

use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Registry, Temporal, program, worker};

async fn command(temporal: &str, namespace: &str, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(program());
    command.args(arguments).env("TEMPORAL_ADDRESS", temporal).env("TEMPORAL_NAMESPACE", namespace);
    command.env("TEMPORAL_REGISTRY_LOG_LEVEL", "warn").kill_on_drop(true);
    let run = tokio::time::timeout(std::time::Duration::from_secs(90), command.output());
    run.await.expect("it ends within 90 s").expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Everything that is listed.
async fn lists(registry: &Registry) -> Vec<Value> {
    let mut all = Vec::new();
    for path in [
        "/registry/workflows?consistent=true",
        "/registry/workflows/moved.v1/revisions",
        "/registry/workers",
        "/registry/search-attributes",
        "/workflow-ids",
    ] {
        let answer = registry.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        all.push(answer.body);
    }
    all
}

async fn claim(registry: &Registry) -> Value {
    registry.must("/workflow-ids/claim", &json!({"name": "moved"})).await["workflow_id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_moves_to_another_namespace_and_back() {
    let temporal = Temporal::start().await;
    let (address, folder) = (temporal.address(), tempfile::tempdir().expect("a folder"));
    let (first_file, second_file) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let path = |file: &Path| file.to_str().expect("a path").to_owned();
    let registry = Registry::start(&address).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["moved.v1", "other.v1"])).await;
    let newer = json!({"workflow_type": "moved.v1", "task_queue": "q", "version": "2", "input_schema": {"type": "object"}});
    let put = registry.call(Method::PUT, "/registry/workflows/moved.v1", Some(&newer)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    for number in 1..=3 {
        assert_eq!(claim(&registry).await, format!("moved-r{number}"));
    }
    let before = lists(&registry).await;
    let exported = command(&address, "default", &["export", "-o", &path(&first_file)]).await;
    assert!(exported.status.success(), "{}", said(&exported));
    let export: Value =
        serde_json::from_slice(&std::fs::read(&first_file).expect("the export")).expect("JSON");
    assert_eq!((&export["format"], &export["version"]), (&json!("temporal-registry export"), &json!(1)));
    assert_eq!(export["state"]["slugs"]["moved"]["counter"], 3);

    // Into a namespace that is not there yet; no replica runs in it.
    let imported = command(&address, "another", &["import", &path(&first_file)]).await;
    assert!(imported.status.success(), "{}", said(&imported));
    assert!(said(&imported).contains("2 types, 1 workers, 1 counters"), "{}", said(&imported));
    let other = Registry::start_with(&address, &[("TEMPORAL_NAMESPACE", "another")]).await;
    assert_eq!(lists(&other).await, before);
    assert_eq!(claim(&other).await, "moved-r4");

    // The first is not empty.
    let exported = command(&address, "another", &["export", "-o", &path(&second_file)]).await;
    assert!(exported.status.success(), "{}", said(&exported));
    registry.must("/registry/workers", &worker("late", "q", 600, &["late.v1"])).await;
    let refused = command(&address, "default", &["import", &path(&second_file)]).await;
    assert!(!refused.status.success() && said(&refused).contains("--replace"), "{}", said(&refused));
    assert_eq!(registry.get("/registry/workers/late?consistent=true").await.status, 200);
    let run_id = registry.get("/registry/status").await.body["run_id"].clone();
    let replaced = command(&address, "default", &["import", &path(&second_file), "--replace"]).await;
    assert!(replaced.status.success(), "{}", said(&replaced));
    let audit = said(&replaced);
    assert!(
        audit.contains("the state of the registry was replaced") && audit.contains("\"audit\""),
        "{audit}"
    );
    assert!(audit.contains("3 types, 2 workers"), "what was dropped is told: {audit}");
    assert_eq!(registry.get("/registry/workers/late?consistent=true").await.status, 404);
    assert_eq!(lists(&registry).await[..4], lists(&other).await[..4]);
    assert_eq!(claim(&registry).await, "moved-r5");
    registry
        .until("a run of its own", async || registry.get("/registry/status").await.body["run_id"] != run_id)
        .await;
    let beat = registry.must("/registry/workers/w/heartbeat", &json!({})).await;
    assert_eq!(beat["status"], "ack");

    // What is no export changes nothing.
    for (text, why) in [
        ("{}", "version"),
        (r#"{"version": 99, "state": {}}"#, "run a newer release"),
        (
            r#"{"version": 1, "state": {"revision": 1, "slugs": {"a": {"slug": "b", "counter": 1, "last_claimed_ms": 1, "changed": 1}}}}"#,
            "holds what is called",
        ),
        (r#"{"version": 1, "state": {}}"#, "holds nothing"),
    ] {
        let file = folder.path().join("bad.json");
        std::fs::write(&file, text).expect("a file");
        let refused = command(&address, "default", &["import", &path(&file)]).await;
        assert!(!refused.status.success() && said(&refused).contains(why), "{text}: {}", said(&refused));
    }
    assert_eq!(claim(&registry).await, "moved-r6");
}
