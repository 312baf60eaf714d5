//! Workers of the configuration, which never heartbeat.

use serde_json::json;

use super::desk::{registration, spec, worker};
use super::*;
use crate::http::static_workers::{Misdeclared, StaticWorkers};
use crate::registry::Command;

const DAY_MS: i64 = 86_400_000;

impl Door {
    async fn declare(&self, bodies: &[Value]) -> Result<(), Vec<Misdeclared>> {
        let state = state(&self.fake, &self.desk);
        StaticWorkers::check((&state).into(), bodies).await?.register(state).await;
        Ok(())
    }

    async fn health(&self, worker_id: &str) -> Value {
        self.get(&format!("/registry/workers/{worker_id}")).await.body["health"].take()
    }
}

#[tokio::test]
async fn their_lease_never_ends_and_declaring_them_again_changes_nothing() {
    let door = Door::open();
    let body = worker("s1", vec![spec("report.v1")]);
    door.declare(std::slice::from_ref(&body)).await.unwrap();
    door.desk.earlier(&registration("w1", &["mail.v1"]), 0);
    let shown = door.get("/registry/workers/s1").await.body;
    assert_eq!((&shown["workflows"], &shown["epoch"]), (&json!(["report.v1"]), &json!(2)));
    assert_eq!(shown["lease_expires_at"], "9999-12-31T23:59:59.000Z");

    let revision = door.desk.reads_revision();
    door.declare(std::slice::from_ref(&body)).await.unwrap();
    assert_eq!(door.desk.reads_revision(), revision);
    door.ask("POST", "/registry/workers/s1/drain", &[], Value::Null).await;
    door.declare(&[body]).await.unwrap();
    assert_eq!(door.get("/registry/workers/s1").await.body["state"], "draining");

    door.desk.earlier(&Command::Sweep, -DAY_MS);
    let rest = door.get("/registry/workers").await.body;
    let ids = rest["workers"].as_array().unwrap().iter().map(|worker| &worker["worker_id"]);
    assert_eq!(ids.collect::<Vec<_>>(), ["s1"]);
    door.declare(&[]).await.unwrap();
    assert_eq!(door.get("/registry/workers/s1").await.status, StatusCode::OK);
    let gone = door.ask("DELETE", "/registry/workers/s1", &[], Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn their_health_is_who_polls_their_queues() {
    let door = Door::open();
    let mut body = worker("s1", vec![spec("report.v1"), spec("mail.v1")]);
    body["task_queue"] = json!("unused");
    body["workflows"][1]["task_queue"] = json!("mail");
    door.declare(&[body]).await.unwrap();
    assert_eq!(door.health("s1").await, "unknown", "nothing was reported yet");
    let table = [
        ("reports", None, "unknown"),
        ("mail", None, "unhealthy"),
        ("unused", Some(0), "unhealthy"),
        ("mail", Some(299_000), "healthy"),
        ("mail", Some(301_000), "unhealthy"),
        ("reports", Some(1_000), "healthy"),
    ];
    for (task_queue, ago_ms, expected) in table {
        door.desk.polled(task_queue, ago_ms);
        assert_eq!(door.health("s1").await, expected, "{task_queue} {ago_ms:?}");
    }
    // What was reported too long ago says nothing.
    for seen in door.desk.seen.lock().values_mut() {
        let seen = Arc::make_mut(seen);
        seen.at_ms -= 301_000;
        seen.pollers.clear();
    }
    assert_eq!(door.health("s1").await, "unknown");
    door.desk.earlier(&registration("w1", &["mail.v1"]), 0);
    assert_eq!(door.health("w1").await, "healthy", "a heartbeat is proof enough");
}

#[tokio::test]
async fn whatever_is_wrong_is_named_by_its_place_in_the_configuration() {
    let door = Door::open();
    let mut bad_spec = worker("s2", vec![spec("a"), spec("b")]);
    bad_spec["workflows"][1]["input_schema"] = json!({"type": "nope"});
    let table = [
        (json!([{"worker_id": "s1"}]), "registry.static_workers[0].task_queue"),
        (
            json!([worker("s1", vec![]), {"worker_id": 1, "task_queue": "q"}]),
            "registry.static_workers[1].worker_id",
        ),
        (
            json!([worker("s1", vec![json!({"workflow_type": " "})])]),
            "registry.static_workers[0].workflows[0].workflow_type",
        ),
        (json!([bad_spec]), "registry.static_workers[0].workflows[1].input_schema.type"),
        (json!([worker("s1", vec![]), worker(" s1 ", vec![])]), "registry.static_workers[1].worker_id"),
        (json!([{"worker_id": "s1", "task_queue": "registry-service"}]), "registry.static_workers[0]"),
    ];
    for (bodies, expected) in table {
        let wrong = door.declare(bodies.as_array().unwrap()).await.unwrap_err();
        assert_eq!(wrong[0].path, expected, "{wrong:?}");
    }
    let both = json!([{"worker_id": "s1", "more": 1}, {"task_queue": "q"}]);
    let wrong = door.declare(both.as_array().unwrap()).await.unwrap_err();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert_eq!(door.get("/registry/workers").await.body, json!({"workers": []}));
}
