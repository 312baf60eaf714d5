//! The front door of the real program: what it refuses has not begun, and nobody gets past their token.

use std::time::Duration;

use futures::stream;
use reqwest::{Body, Client, Method};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Registry, Temporal, count, until, worker};

/// A client with this token.
fn client(token: &str) -> Client {
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    Client::builder().default_headers(headers).build().expect("a client")
}

#[tokio::test]
async fn a_body_that_is_too_large_starts_nothing() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["big.v1"])).await;
    let url = format!("{}/workflows/big.v1/start", registry.url);
    let text = json!({"workflow_id": "big", "input": {"text": "x".repeat(2 * 1024 * 1024)}}).to_string();
    let pieces: Vec<_> =
        text.as_bytes().chunks(64 * 1024).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    for body in [Body::wrap_stream(stream::iter(pieces)), Body::from(text)] {
        let answer = registry.http.post(&url).body(body).send().await.expect("an answer and no reset");
        assert_eq!(answer.status(), 413);
        let problem: Value = answer.json().await.expect("a problem");
        assert_eq!(
            (&problem["code"], &problem["limit_bytes"]),
            (&json!("body_too_large"), &json!(1024 * 1024))
        );
    }
    // Temporal's index is complete up to this one when it has it.
    registry.must("/workflows/big.v1/start", &json!({"workflow_id": "small"})).await;
    let address = temporal.address();
    until("the small one is counted", Duration::from_secs(30), async || {
        count(&address, "WorkflowType = 'big.v1' AND WorkflowId = 'small'").await == 1
    })
    .await;
    assert_eq!(count(&address, "WorkflowType = 'big.v1'").await, 1);
    assert_eq!(registry.get("/runs/big").await.status, 404);
}

#[tokio::test]
async fn tokens_reach_what_they_are_for_and_nobody_reaches_the_registry_itself() {
    let entry = |name: &str, role: &str, types: Value| json!({"name": name, "sha256": hex::encode(Sha256::digest(name)), "roles": [role], "workflow_types": types});
    let tokens = json!([entry("all", "admin", json!(["*"])), entry("build", "dispatch", json!(["build.*"]))])
        .to_string();
    let temporal = Temporal::start().await;
    let env =
        [("TEMPORAL_REGISTRY_AUTH_ENABLED", "true"), ("TEMPORAL_REGISTRY__AUTH__TOKENS", tokens.as_str())];
    let mut registry = Registry::start_with(&temporal.address(), &env).await;
    assert_eq!(registry.get("/registry/status").await.status, 401);

    registry.http = client("all");
    registry.must("/registry/workers", &worker("w", "q", 600, &["build.v1", "other.v1"])).await;
    registry.must("/workflows/other.v1/start", &json!({"workflow_id": "other"})).await;
    for name in ["build", "other"] {
        let body = json!({"workflow_type": format!("{name}.v1"), "cron": ["@daily"]});
        registry.must(&format!("/schedules/{name}"), &body).await;
    }
    let listed = async |registry: &Registry| {
        registry.get("/schedules").await.body["schedules"].as_array().map(Vec::len)
    };
    registry.until("both are listed", async || listed(&registry).await == Some(2)).await;
    let status = registry.get("/registry/status").await.body;

    registry.http = client("build");
    assert_eq!(listed(&registry).await, Some(1));
    for (method, path, body, expected) in [
        (Method::GET, "/schedules/build", Value::Null, 200),
        (Method::GET, "/schedules/other", Value::Null, 403),
        (Method::DELETE, "/schedules/other", Value::Null, 403),
        (Method::GET, "/runs/other", Value::Null, 403),
        (Method::POST, "/runs/other/terminate", json!({}), 403),
        (Method::POST, "/workflows/other.v1/start", json!({}), 403),
        (
            Method::POST,
            "/workflows/build.v1/start",
            json!({"workflow_id": "other", "id_conflict_policy": "terminate_existing"}),
            403,
        ),
        (
            Method::POST,
            "/workflows/build.v1/signal-with-start",
            json!({"workflow_id": "other", "signal": {"name": "s"}}),
            403,
        ),
        (Method::POST, "/registry/shutdown", Value::Null, 403),
    ] {
        let answer = registry.call(method.clone(), path, Some(&body).filter(|body| !body.is_null())).await;
        assert_eq!(answer.status, expected, "{method} {path} {body}: {}", answer.body);
    }

    registry.http = client("all");
    let put = json!({"name": "put_workflow", "input": {"workflow": {"workflow_type": "x", "task_queue": "q"}, "overwrite": true}});
    for (path, body, expected) in [
        ("/workflows/build.v1/start", json!({"id_conflict_policy": "terminate_existing"}), 400),
        ("/workflows/build.v1/start", json!({"id_conflict_policy": "use_existing"}), 400),
        ("/workflows/build.v1/signal-with-start", json!({"signal": put}), 400),
        ("/runs/workflow-registry/terminate", Value::Null, 404),
        ("/runs/workflow-registry/signals/shutdown_registry", Value::Null, 404),
    ] {
        let mut body = body;
        if let Some(object) = body.as_object_mut() {
            object.insert("workflow_id".to_owned(), json!("workflow-registry"));
        }
        let answer = registry.call(Method::POST, path, Some(&body).filter(|body| !body.is_null())).await;
        assert_eq!(answer.status, expected, "{path} {body}: {}", answer.body);
        let pointer = &answer.body["details"][0]["pointer"];
        assert!(expected == 404 || pointer == "/workflow_id", "{}", answer.body);
    }
    let after = registry.get("/registry/status").await.body;
    for member in ["run_id", "rejected_signals", "workflow_count"] {
        assert_eq!(after[member], status[member], "{member}");
    }
    assert_eq!(registry.get("/runs/other").await.body["status"], "running");
}
