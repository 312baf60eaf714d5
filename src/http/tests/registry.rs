//! The registry as a whole: status, search attributes, readiness, shutdown, and who may do what.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::desk::{registration, spec, worker};
use super::*;
use crate::clock;
use crate::http::auth::{AuthSettings, Role, TokenSettings};
use crate::http::service::ViewReadiness;
use crate::registry::{AttributeStatus, AttributeType};
use crate::seams::ActualAttribute;

#[tokio::test]
async fn status_counts_what_there_is() {
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["a", "b"]), 0);
    door.desk.earlier(&registration("w2", &["a"]), 11_000);
    let mut held = spec("c");
    held["search_attributes"] = json!([{"name": "X", "type": "Int"}]);
    door.ask("POST", "/registry/workflows", &[], held).await;
    let mut status = door.get("/registry/status").await.body;
    let status = status.as_object_mut().unwrap();
    assert!(status.shift_remove("started_at_epoch").unwrap().as_f64().unwrap() > 1.7e9);
    assert!(status.shift_remove("state_bytes").unwrap().as_u64().unwrap() > 100);
    assert!(status.shift_remove("age_ms").unwrap().as_i64().unwrap() < 5_000);
    assert_eq!(status.shift_remove("warnings").unwrap()[0]["message"], "no live worker serves c");
    let expected = json!({
        "workflow_count": 3, "worker_count": 2, "healthy_worker_count": 1,
        "last_registry_service_started_epoch": 0.0, "registry_service_process_id": "", "revision": 6,
        "run_id": "run-1", "history_events": 12, "rejected_signals": 0, "rejections": [],
        "unhealthy_worker_count": 1, "unknown_worker_count": 0, "pending_workflow_count": 1,
        "unavailable_workflow_count": 0, "schedule_problem_count": 3, "warning_count": 1,
        "registry_runs": 1, "is_running": true
    });
    assert_eq!(Value::Object(status.clone()), expected);
}

#[tokio::test]
async fn search_attributes_declared_and_actual() {
    let door = Door::open();
    let with = |name: &str, attributes: Value| {
        let mut body = spec(name);
        body["search_attributes"] = attributes;
        door.ask("POST", "/registry/workflows", &[], body)
    };
    let (customer, count) = (
        json!({"name": "Customer", "type": "Keyword", "description": "who"}),
        json!({"name": "Count", "type": "Int"}),
    );
    with("b", json!([customer, count])).await;
    with("a", json!([{"name": "Customer", "type": "Keyword"}])).await;
    door.desk.provisioned("Customer", AttributeType::Keyword, AttributeStatus::Ready);
    door.desk.provisioned("Count", AttributeType::Int, AttributeStatus::Conflict("taken".into()));
    door.desk.look();
    assert_eq!(
        door.get("/registry/search-attributes").await.body["search_attributes"],
        json!([
            {"name": "Count", "type": "Int", "description": "", "workflows": ["b"], "status": "conflict", "reason": "taken"},
            {"name": "Customer", "type": "Keyword", "description": "who", "workflows": ["a", "b"], "status": "ready", "reason": null},
        ])
    );
    assert_eq!(door.get("/registry/workflows/b").await.body["status"], "unavailable");
    door.desk.has_attribute("Customer", AttributeType::Keyword);
    door.desk.actual.lock().insert("Odd".into(), ActualAttribute { kind: None, system: true });
    assert_eq!(
        door.get("/registry/temporal/search-attributes").await.body["search_attributes"],
        json!([
            {"name": "Customer", "type": "Keyword", "source": "custom"},
            {"name": "Odd", "type": "Unspecified", "source": "system"},
        ])
    );
    door.desk.is_away.store(true, SeqCst);
    door.get("/registry/temporal/search-attributes").await.assert_problem(Code::TemporalUnavailable);
    assert_eq!(door.get("/registry/search-attributes").await.status, StatusCode::OK);
}

#[tokio::test]
async fn shutting_down_is_for_temporal_to_take() {
    let door = Door::open();
    let readiness = ViewReadiness::new(door.desk.clone());
    assert!(readiness.ready().is_ok());
    door.desk.is_away.store(true, SeqCst);
    door.post("/registry/shutdown", "").await.assert_problem(Code::TemporalUnavailable);
    door.desk.is_away.store(false, SeqCst);
    let answer = door.post("/registry/shutdown", "").await;
    assert_eq!((answer.status, answer.body), (StatusCode::ACCEPTED, json!({"status": "shutdown signaled"})));
    let why = |readiness: &ViewReadiness| readiness.ready().unwrap_err();
    assert_eq!(why(&readiness).code, Code::TemporalUnavailable);
    assert!(why(&readiness).detail.contains("not running"));
    door.desk.is_running.store(true, SeqCst);
    door.desk.confirmed_ms.store(clock::steady_ms() - 6_000, SeqCst);
    assert!(why(&readiness).detail.contains("ms old"));
}

#[tokio::test]
async fn every_route_asks_for_its_role() {
    let token = |name: &str, role, types: &[&str]| TokenSettings {
        name: name.to_owned(),
        sha256: hex::encode(Sha256::digest(name)),
        roles: vec![role],
        workflow_types: types.iter().map(|glob| (*glob).to_owned()).collect(),
    };
    let tokens = vec![
        token("read", Role::Read, &[]),
        token("dispatch", Role::Dispatch, &[]),
        token("register", Role::Register, &[]),
        token("admin", Role::Admin, &[]),
        token("narrow", Role::Admin, &["mine.*"]),
    ];
    let auth = AuthSettings { enabled: true, tokens, ..AuthSettings::default() };
    let door = Door::new(Settings { auth, ..Settings::default() });
    door.desk.earlier(&registration("w1", &["a"]), 0);
    // Which of read, dispatch, register, admin, narrow are let in.
    let table = [
        ("GET", "/registry/workers", Value::Null, "rdgan"),
        ("GET", "/registry/workers/w1", Value::Null, "rdgan"),
        ("GET", "/registry/workflows", Value::Null, "rdgan"),
        ("GET", "/registry/workflows/a/revisions", Value::Null, "rdgan"),
        ("POST", "/registry/workflows/a/validate", Value::Null, "rdgan"),
        ("GET", "/registry/status", Value::Null, "rdgan"),
        ("GET", "/registry/task-queues", Value::Null, "rdgan"),
        ("GET", "/registry/hosts", Value::Null, "rdgan"),
        ("GET", "/registry/search-attributes", Value::Null, "rdgan"),
        ("GET", "/registry/temporal/search-attributes", Value::Null, "rdgan"),
        ("GET", "/workflow-ids", Value::Null, "rdgan"),
        ("POST", "/workflow-ids/claim", json!({"name": "x"}), "dan"),
        ("POST", "/workflow-ids/reset", json!({"name": "x"}), "an"),
        ("POST", "/registry/workers/w1/heartbeat", Value::Null, "ga"),
        ("POST", "/registry/heartbeats", json!({"workers": []}), "gan"),
        ("POST", "/registry/workers", worker("w1", vec![spec("a")]), "ga"),
        ("POST", "/registry/workers", worker("w1", vec![]), "ga"),
        ("POST", "/registry/workers/w1/drain", Value::Null, "ga"),
        ("PUT", "/registry/workflows/a", spec("a"), "a"),
        ("PATCH", "/registry/workflows/a", json!({"enabled": true}), "a"),
        ("PATCH", "/registry/workflows/a", json!({"owner": "x"}), "a"),
        ("POST", "/registry/workflows", spec("a"), "a"),
        ("DELETE", "/registry/workflows/a", Value::Null, "a"),
        ("DELETE", "/registry/workers/w1", Value::Null, "ga"),
        ("POST", "/registry/shutdown", Value::Null, "an"),
    ];
    for (method, uri, body, allowed) in table {
        for (token, letter) in [
            ("read", 'r'),
            ("dispatch", 'd'),
            ("register", 'g'),
            ("admin", 'a'),
            ("narrow", 'n'),
            ("none", '-'),
        ] {
            door.desk.earlier(&registration("w1", &["a"]), 0);
            let answer = door.ask(method, uri, &[("x-api-key", token)], body.clone()).await;
            let refused = matches!(answer.status.as_u16(), 401 | 403);
            assert_eq!(!refused, allowed.contains(letter), "{method} {uri} as {token}: {}", answer.body);
        }
    }
}
