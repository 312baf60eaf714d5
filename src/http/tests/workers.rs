//! Workers: registering, listing, draining, leaving.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use super::desk::{registration, spec, worker};
use super::*;
use crate::registry::{AttributeStatus, AttributeType, Command, SpecClaim, Standing};
use crate::seams::{Reads, WriteError};

const WORKERS: &str = "/registry/workers";

impl Door {
    async fn register(&self, body: &Value) -> Answer {
        self.ask("POST", WORKERS, &[], body.clone()).await
    }
}

fn verdicts(answer: &Answer) -> Vec<String> {
    let verdicts = answer.body["verdicts"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let word = |v: &Value| {
        format!(
            "{} {} {}",
            v["workflow_type"].as_str().unwrap(),
            v["verdict"].as_str().unwrap(),
            v["revision"]
        )
    };
    verdicts.iter().map(word).collect()
}

#[tokio::test]
async fn a_worker_registers_and_registers_again() {
    let door = Door::open();
    let mut body = worker(" w1 ", vec![spec("report.v1")]);
    body["workflows"][0].as_object_mut().unwrap().remove("task_queue");
    let first = door.register(&body).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(verdicts(&first), ["report.v1 created 1"]);
    let shown = door.get("/registry/workers/w1").await.body;
    let names: Vec<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names.join(" "),
        "worker_id task_queue ttl_seconds last_seen_epoch environment labels workflows healthy health state epoch \
         incarnation lease_expires_at registered_at heartbeat_interval_seconds host version metadata"
    );
    assert_eq!((&shown["workflows"], &shown["health"]), (&json!(["report.v1"]), &json!("healthy")));
    assert_eq!((&shown["environment"], &shown["state"]), (&json!("local"), &json!("active")));
    assert!(shown["lease_expires_at"].as_str().unwrap().ends_with('Z'));
    assert!(shown["last_seen_epoch"].as_f64().unwrap() > 1.7e9);
    let spec = door.get("/registry/workflows/report.v1").await.body;
    assert_eq!(spec["task_queue"], "reports", "the worker's queue where the spec has none");

    let again = door.register(&body).await;
    assert_eq!((again.status, verdicts(&again)), (StatusCode::OK, vec!["report.v1 unchanged 1".to_owned()]));
    assert_eq!(again.body["epoch"], first.body["epoch"]);
    body["incarnation"] = json!("life 2");
    let reborn = door.register(&body).await;
    assert_eq!(reborn.status, StatusCode::CREATED);
    assert!(reborn.body["epoch"].as_u64() > first.body["epoch"].as_u64());
}

#[tokio::test]
async fn a_changed_spec_becomes_a_revision_when_it_breaks_nothing() {
    let door = Door::open();
    door.register(&worker("w1", vec![spec("a"), spec("b")])).await;
    let (mut wider, mut narrower) = (spec("a"), spec("b"));
    wider["input_schema"]["properties"]["draft"] = json!({"type": "boolean"});
    narrower["input_schema"]["required"] = json!(["day", "month"]);
    let body = worker("w2", vec![wider.clone(), narrower.clone()]);
    let answer = door.register(&body).await;
    assert_eq!(verdicts(&answer), ["a revised 2", "b incompatible 1"]);
    assert!(answer.body["verdicts"][1]["broken"][0]["pointer"].as_str().unwrap().starts_with("/required"));
    let stands = door.get("/registry/workflows/b").await.body;
    assert_eq!(stands["input_schema"]["required"], json!(["day"]));
    // The first worker still has the older spec of `a`: it is known, and changes nothing.
    let older = door.register(&worker("w1", vec![spec("a"), spec("b")])).await;
    assert_eq!(verdicts(&older), ["a unchanged 1", "b unchanged 1"]);
    let forced = door.ask("POST", "/registry/workers?force=true", &[], body).await;
    assert_eq!(verdicts(&forced), ["a unchanged 2", "b revised 2"]);
}

#[tokio::test]
async fn a_comparison_that_was_outrun_is_made_again() {
    let door = Door::open();
    let replace = |version: usize| {
        let mut changed = spec("a");
        changed["version"] = json!(version.to_string());
        let spec: crate::registry::Spec = serde_json::from_value(changed).unwrap();
        let hash = crate::schema::content_hash(&spec.content());
        let claim = SpecClaim { spec: Arc::new(spec), hash, standing: Standing::Uncompared };
        Command::ReplaceType { claim, base: None, base_changed: None, keeps_enabled: false }
    };
    door.desk.earlier(&replace(0), 0);
    door.desk.elsewhere(&replace(1), 0);
    let mut newer = spec("a");
    newer["owner"] = json!("me");
    let answer = door.register(&worker("w1", vec![newer.clone()])).await;
    assert_eq!(verdicts(&answer), ["a revised 3"]);
    assert_eq!(door.desk.catch_ups.load(SeqCst), 0, "what outran it came with the answer");

    // Against somebody who always comes first it gives up in the end, and has changed nothing.
    let mut version = 1;
    *door.desk.meanwhile.lock() = Some(Box::new(move || {
        version += 1;
        replace(version)
    }));
    newer["owner"] = json!("you");
    let refused = door.register(&worker("w2", vec![newer])).await;
    refused.assert_problem(Code::TemporalUnavailable);
    door.get("/registry/workers/w2").await.assert_problem(Code::WorkerNotFound);
}

#[tokio::test]
async fn registrations_that_are_refused_change_nothing() {
    let door = Door::open();
    let with = |pointer: &str, value: Value| {
        let mut body = worker("w1", vec![spec("a"), spec("b")]);
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[field] = value;
        body
    };
    let loops = json!({"$ref": "https://example.com/schema.json"});
    let clash = json!([{"name": "X", "type": "Int"}, {"name": "X", "type": "Text"}]);
    let table = [
        (with("/worker_id", json!("")), Code::InvalidRequest, "/worker_id"),
        (with("/worker_id", json!("  ")), Code::InvalidRequest, "/worker_id"),
        (with("/task_queue", json!(" ")), Code::InvalidRequest, "/task_queue"),
        (with("/ttl_seconds", json!(4)), Code::InvalidRequest, "/ttl_seconds"),
        (with("/ttl_seconds", json!(3601)), Code::InvalidRequest, "/ttl_seconds"),
        (with("/unknown", json!(1)), Code::InvalidRequest, "/unknown"),
        (with("/workflows/1/unknown", json!(1)), Code::InvalidRequest, "/workflows/1/unknown"),
        (with("/workflows/1/workflow_type", json!(" ")), Code::InvalidRequest, "/workflows/1/workflow_type"),
        (with("/workflows/1/workflow_type", json!("a")), Code::InvalidRequest, "/workflows/1/workflow_type"),
        (
            with("/workflows/1/search_attributes", json!([{"name": " ", "type": "Int"}])),
            Code::InvalidRequest,
            "/workflows/1/search_attributes/0/name",
        ),
        (
            with("/workflows/1/search_attributes", clash),
            Code::InvalidRequest,
            "/workflows/1/search_attributes/1/type",
        ),
        (
            with("/workflows/1/search_attributes", json!([{"name": "X", "type": "Date"}])),
            Code::InvalidRequest,
            "/workflows/1/search_attributes/0/type",
        ),
        (with("/workflows/1/input_schema", loops), Code::InvalidSchema, "/workflows/1/input_schema/$ref"),
        (
            with("/workflows/1/signals", json!({"a/b": {"type": "nope"}})),
            Code::InvalidSchema,
            "/workflows/1/signals/a~1b/type",
        ),
        (with("/task_queue", json!("registry-service")), Code::RegistryQueueRefused, ""),
        (with("/workflows/1/task_queue", json!("registry-service")), Code::RegistryQueueRefused, ""),
    ];
    let before = door.desk.reads_revision();
    for (body, code, pointer) in table {
        let answer = door.register(&body).await;
        answer.assert_problem(code);
        if !pointer.is_empty() {
            let detail = &answer.body["details"][0];
            assert_eq!(detail["pointer"], pointer, "{}", answer.body);
            assert_eq!(detail["loc"][0], "body");
            assert_eq!(detail["loc"].as_array().unwrap().len(), pointer.matches('/').count() + 1);
        }
    }
    assert_eq!(door.desk.reads_revision(), before);
    assert_eq!(door.get("/registry/workflows").await.body, json!({"workflows": []}));
}

#[tokio::test]
async fn what_keeps_a_write_from_an_outcome() {
    let door = Door::open();
    let table = [
        (WriteError::QueueFull, Code::QueueFull),
        (WriteError::TooLarge(1), Code::BodyTooLarge),
        (WriteError::Unavailable("away".into()), Code::TemporalUnavailable),
        (WriteError::OutcomeUnknown, Code::OutcomeUnknown),
    ];
    for (error, code) in table {
        *door.desk.fails_with.lock() = Some(error);
        door.register(&worker("w1", vec![])).await.assert_problem(code);
        door.ask("DELETE", "/registry/workers/w1", &[], Value::Null).await.assert_problem(code);
    }
}

#[tokio::test]
async fn an_answer_waits_for_search_attributes() {
    let door = Door::open();
    let mut body = worker("w1", vec![spec("a")]);
    body["workflows"][0]["search_attributes"] = json!([{"name": "Customer", "type": "Keyword"}]);
    let table = [
        (AttributeStatus::Ready, "a created 1", Value::Null),
        (
            AttributeStatus::Conflict("taken".into()),
            "a unavailable 1",
            json!("search attribute Customer: taken"),
        ),
    ];
    for (status, verdict, reason) in table {
        let door = Door::open();
        let waiting = tokio::spawn({
            let (door, body) = (door.clone(), body.clone());
            async move { door.register(&body).await }
        });
        door.desk.reached(2, std::time::Duration::from_secs(10)).await.unwrap();
        assert_eq!(door.get("/registry/workflows/a").await.body["status"], "pending");
        assert!(!waiting.is_finished());
        door.desk.provisioned("Customer", AttributeType::Keyword, status);
        door.desk.look();
        let answer = waiting.await.unwrap();
        assert_eq!(verdicts(&answer), [verdict]);
        assert_eq!(answer.body["verdicts"][0].get("reason").cloned().unwrap_or_default(), reason);
    }
    // Nobody provisions.
    door.desk.is_hurried.store(true, SeqCst);
    assert_eq!(verdicts(&door.register(&body).await), ["a pending 1"]);
}

#[tokio::test]
async fn workers_are_listed_by_what_they_are() {
    let door = Door::open();
    for (id, host, stage, queue) in
        [("w1", "h1", "live", "reports"), ("w2", "h2", "live", "mail"), ("w3", "h1", "test", "mail")]
    {
        let mut body = worker(id, vec![spec(&format!("type.{queue}"))]);
        body["host"] = json!(host);
        body["environment"] = json!(stage);
        body["task_queue"] = json!(queue);
        body["labels"] = json!({"id": id, "stage": stage});
        body["workflows"][0]["task_queue"] = json!(queue);
        door.register(&body).await;
    }
    door.desk.earlier(&registration("w4", &[]), 11_000);
    let table = [
        ("", "w1 w2 w3 w4"),
        ("?host=h1", "w1 w3"),
        ("?environment=live&task_queue=mail", "w2"),
        ("?label=stage%3Dlive", "w1 w2"),
        ("?label=stage%3Dlive&label=id%3Dw2", "w2"),
        ("?health=healthy", "w1 w2 w3"),
        ("?health=unhealthy", "w4"),
        ("?health=unknown", ""),
        ("?workflow_type=type.mail", "w2 w3"),
        ("?workflow_type=nope", ""),
        ("?limit=2", "w1 w2"),
    ];
    for (query, expected) in table {
        let answer = door.get(&format!("{WORKERS}{query}")).await;
        let ids = answer.body["workers"].as_array().unwrap().iter().map(|w| w["worker_id"].as_str().unwrap());
        assert_eq!(ids.collect::<Vec<_>>().join(" "), expected, "{query}");
        assert_eq!(answer.body.get("next_page_token").is_some(), query == "?limit=2");
    }
    let strange = door.get(&format!("{WORKERS}?health=strange")).await;
    strange.assert_problem(Code::InvalidRequest);
    assert_eq!(strange.body["details"][0]["type"], "enum");
    let token =
        door.get("/registry/workers?limit=3").await.body["next_page_token"].as_str().unwrap().to_owned();
    let rest = door.get(&format!("{WORKERS}?page_token={token}")).await.body;
    assert_eq!(rest["workers"].as_array().unwrap().len(), 1);
    for query in ["?label=x", "?label=%3Dx", "?limit=0", "?page_token=!"] {
        door.get(&format!("{WORKERS}{query}")).await.assert_problem(Code::InvalidRequest);
    }
}

#[tokio::test]
async fn draining_and_leaving_are_fenced() {
    let door = Door::open();
    let epoch = door.register(&worker("w 1", vec![spec("a")])).await.body["epoch"].as_u64().unwrap();
    let (path, stale) = ("/registry/workers/w%201", epoch - 1);
    let drain = format!("{path}/drain");
    let refused = door.ask("POST", &drain, &[], json!({"epoch": stale})).await;
    refused.assert_problem(Code::StaleEpoch);
    assert_eq!(refused.body["epoch"], epoch);
    for body in [json!({"epoch": epoch}), Value::Null] {
        let drained = door.ask("POST", &drain, &[], body).await;
        assert_eq!((drained.status, &drained.body["state"]), (StatusCode::OK, &json!("draining")));
    }
    let remove = |query: &str| format!("{path}{query}");
    let stale = door.ask("DELETE", &remove(&format!("?epoch={stale}")), &[], Value::Null).await;
    stale.assert_problem(Code::StaleEpoch);
    let gone = door.ask("DELETE", &remove(&format!("?epoch={epoch}")), &[], Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    door.ask("DELETE", path, &[], Value::Null).await.assert_problem(Code::WorkerNotFound);
    door.ask("POST", &drain, &[], Value::Null).await.assert_problem(Code::WorkerNotFound);
    door.get(path).await.assert_problem(Code::WorkerNotFound);
    let again = door.register(&worker("w 1", vec![spec("a")])).await;
    assert!(again.body["epoch"].as_u64().unwrap() > epoch);
}
