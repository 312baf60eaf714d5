//! Heartbeats.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use super::desk::{registration, worker};
use super::*;
use crate::registry::Command;

const BEAT: &str = "/registry/workers/w1/heartbeat";

#[tokio::test]
async fn a_heartbeat_renews_or_asks_to_register_again() {
    let door = Door::open();
    let unknown = door.post(BEAT, "").await;
    assert_eq!(unknown.status, StatusCode::OK);
    let reregister =
        json!({"status": "reregister", "lease_expires_at": null, "heartbeat_interval_seconds": null});
    assert_eq!(unknown.body, reregister);

    door.desk.earlier(&registration("w1", &["a"]), 11_000);
    let shown = door.get("/registry/workers/w1").await.body;
    assert_eq!((&shown["health"], &shown["healthy"]), (&json!("unhealthy"), &json!(false)));
    let heard = door.post(BEAT, "").await.body;
    assert_eq!((&heard["status"], &heard["heartbeat_interval_seconds"]), (&json!("ack"), &json!(3)));
    let after = door.get("/registry/workers/w1").await.body;
    assert_eq!(after["health"], "healthy");
    assert_eq!(after["lease_expires_at"], heard["lease_expires_at"]);

    let epoch = after["epoch"].as_u64().unwrap();
    assert_eq!(door.post(BEAT, json!({"epoch": epoch}).to_string()).await.body["status"], "ack");
    assert_eq!(door.post(BEAT, json!({"epoch": epoch + 1}).to_string()).await.body, reregister);
    let asked = door.desk.catch_ups.load(SeqCst);
    assert_eq!(door.post(BEAT, json!({"epoch": epoch - 1}).to_string()).await.body, reregister);
    assert_eq!(door.desk.catch_ups.load(SeqCst), asked, "an older epoch is gone for good");
    door.post(BEAT, r#"{"epoch": "x"}"#).await.assert_problem(Code::InvalidRequest);
}

#[tokio::test]
async fn a_worker_of_another_replica_is_found() {
    let door = Door::open();
    door.desk.elsewhere(&registration("w1", &["a"]), 0);
    assert_eq!(door.post(BEAT, "").await.body["status"], "ack");
    let gone = Command::Deregister { worker_id: "w1".into(), epoch: None };
    door.desk.earlier(&gone, 0);
    assert_eq!(door.post(BEAT, "").await.body["status"], "reregister");
}

#[tokio::test]
async fn without_temporal_the_known_go_on_and_the_unknown_wait() {
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["a"]), 0);
    door.desk.is_away.store(true, SeqCst);
    assert_eq!(door.post(BEAT, "").await.body["status"], "ack");
    door.post("/registry/workers/w2/heartbeat", "").await.assert_problem(Code::TemporalUnavailable);
    let many = json!({"workers": [{"worker_id": "w2"}, {"worker_id": "w1"}]});
    let answer = door.ask("POST", "/registry/heartbeats", &[], many).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let words = answer.body["workers"].as_array().unwrap().iter().map(|worker| worker["status"].clone());
    assert_eq!(
        words.collect::<Vec<_>>(),
        ["reregister", "ack"],
        "one that is unknown takes no other with it"
    );
    let unknown = json!({"workers": [{"worker_id": "w2"}]});
    let answer = door.ask("POST", "/registry/heartbeats", &[], unknown).await;
    answer.assert_problem(Code::TemporalUnavailable);
}

#[tokio::test]
async fn many_heartbeats_in_one_call() {
    let door = Door::open();
    for id in ["w1", "w2"] {
        door.ask("POST", "/registry/workers", &[], worker(id, vec![])).await;
    }
    let body = json!({"workers": [
        {"worker_id": "w2"}, {"worker_id": "w9"}, {"worker_id": "w1", "epoch": 99}, {"worker_id": "w1"}, {"worker_id": "w8"}
    ]});
    let answer = door.ask("POST", "/registry/heartbeats", &[], body).await;
    let words = answer.body["workers"].as_array().unwrap().iter();
    let words: Vec<_> =
        words.map(|w| format!("{} {}", w["worker_id"], w["status"]).replace('"', "")).collect();
    assert_eq!(words, ["w2 ack", "w9 reregister", "w1 reregister", "w1 ack", "w8 reregister"]);
    assert_eq!(door.desk.catch_ups.load(SeqCst), 1, "one look settles all the unknown");
    door.post("/registry/heartbeats", "{}").await.assert_problem(Code::InvalidRequest);
    let empty = door.ask("POST", "/registry/heartbeats", &[], json!({"workers": []})).await;
    assert_eq!(empty.body, json!({"workers": []}));
}

#[tokio::test]
async fn what_reads_but_does_not_fit_is_refused_all_the_same() {
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["a"]), 0);
    let ask = async |workers: &str| {
        door.post("/registry/heartbeats", format!(r#"{{"workers": [{{"worker_id": "w1"}}, {workers}]}}"#))
            .await
    };
    let refused = [
        (r#"{"worker_id": ""}"#, "/workers/1/worker_id"),
        (r#"{"worker_id": "w1", "epoch": 9223372036854775808}"#, "/workers/1/epoch"),
        (r#"{"worker_id": "w1", "epoch": -1}"#, "/workers/1/epoch"),
        (r#"{"worker_id": "w1", "epoch": 1.5}"#, "/workers/1/epoch"),
        (r#"{"epoch": 1}"#, "/workers/1/worker_id"),
        (r#"["w1", 1]"#, "/workers/1"),
        ("null", "/workers/1"),
    ];
    for (workers, pointer) in refused {
        let answer = ask(workers).await;
        assert_eq!(answer.body["details"][0]["pointer"], pointer, "{workers}: {}", answer.body);
        answer.assert_problem(Code::InvalidRequest);
    }
    ask("{").await.assert_problem(Code::InvalidJson);
    let known_twice = ask(r#"{"worker_id": "w9", "worker_id": "w1", "epoch": null}"#).await;
    assert_eq!(known_twice.body["workers"][1]["status"], "ack", "the last of a name counts");
}

#[tokio::test]
async fn a_lapse_that_speaks_against_the_registry_is_unknown() {
    // Most of the workers went silent together.
    let door = Door::open();
    for at in 0..8 {
        door.desk.earlier(&registration(&format!("w{at}"), &["a"]), 11_000);
    }
    let health = |body: &Value| (body["health"].clone(), body["healthy"].clone());
    let shown = door.get("/registry/workers/w1").await.body;
    assert_eq!(health(&shown), (json!("unknown"), json!(true)));

    // Nobody was there to hear it: the replica came up after the lease had ended.
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["a"]), 20_000);
    assert_eq!(door.get("/registry/workers/w1").await.body["health"], "unhealthy");
    door.desk.up_since_ms.store(crate::clock::now_ms(), SeqCst);
    assert_eq!(health(&door.get("/registry/workers/w1").await.body), (json!("unknown"), json!(true)));
    door.desk.up_since_ms.store(crate::clock::now_ms() - 10_001, SeqCst);
    assert_eq!(door.get("/registry/workers/w1").await.body["health"], "unhealthy");
    // A replica did see it lapse, before this one came up.
    door.desk.up_since_ms.store(crate::clock::now_ms(), SeqCst);
    door.desk.earlier(&Command::Sweep, 0);
    assert_eq!(door.get("/registry/workers/w1").await.body["health"], "unhealthy");
}
