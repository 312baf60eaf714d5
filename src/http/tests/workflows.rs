//! Changing the catalogue.

use std::sync::atomic::Ordering::SeqCst;

use futures::future::join_all;
use serde_json::json;

use super::desk::{registration, spec};
use super::*;
use crate::registry::{AttributeStatus, AttributeType, Command};

const TYPES: &str = "/registry/workflows";
const ONE: &str = "/registry/workflows/report.v1";

impl Door {
    async fn put(&self, version: &str, headers: &[(&str, &str)]) -> Answer {
        let mut body = spec("report.v1");
        body["version"] = json!(version);
        self.ask("PUT", ONE, headers, body).await
    }

    async fn delete(&self, headers: &[(&str, &str)]) -> Answer {
        self.ask("DELETE", ONE, headers, Value::Null).await
    }
}

#[tokio::test]
async fn one_of_eight_creators_wins() {
    let door = Door::open();
    let create = || door.ask("POST", TYPES, &[], spec("report.v1"));
    let answers = join_all((0..8).map(|_| create())).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status == StatusCode::CREATED);
    assert_eq!((won.len(), lost.len()), (1, 7));
    lost.iter().for_each(|answer| answer.assert_problem(Code::AlreadyRegistered));
    assert_eq!(won[0].header("location"), "/registry/workflows/report%2Ev1");
    assert_eq!(door.get(won[0].header("location")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_spec_is_echoed_with_every_field() {
    let door = Door::open();
    let minimal = json!({"workflow_type": " report.v1 ", "task_queue": "reports"});
    let answer = door.ask("POST", TYPES, &[], minimal).await;
    let expected = json!({
        "workflow_type": "report.v1", "task_queue": "reports", "version": "", "description": "", "input_schema": {},
        "output_schema": {}, "signals": {}, "queries": {}, "updates": {}, "schedule_input_warnings": [],
        "search_attributes": [], "enabled": true, "labels": {}, "tags": [], "owner": "", "examples": [],
        "deprecated": null, "metadata": {}
    });
    assert_eq!(answer.body, expected);
    let full = json!({
        "workflow_type": "report.v1", "task_queue": "r2", "version": "2", "description": "d", "input_schema": true,
        "output_schema": {"type": "object"}, "signals": {"s": {}}, "queries": {"q": {}}, "updates": {"u": {}},
        "schedule_input_warnings": [{"field": "day", "message": "m"}],
        "search_attributes": [{"name": "X", "type": "Datetime", "description": "x"}], "enabled": false,
        "labels": {"a": "b"}, "tags": ["t"], "owner": "o", "examples": [{"day": 1}], "deprecated": "old",
        "metadata": {"a": [1]}
    });
    assert_eq!(door.ask("PUT", ONE, &[], full.clone()).await.body, full);
    let mut shown = door.get(ONE).await.body;
    let shown = shown.as_object_mut().unwrap();
    let more: Vec<Value> = ["workers", "revision", "status", "reason"]
        .iter()
        .map(|name| shown.shift_remove(*name).unwrap())
        .collect();
    let reason = "search attribute X: being provisioned";
    assert_eq!(more, [json!([]), json!(2), json!("pending"), json!(reason)]);
    assert!(shown.shift_remove("updated_at").unwrap().as_str().unwrap().ends_with('Z'));
    assert_eq!(Value::Object(shown.clone()), full);
}

#[tokio::test]
async fn what_a_spec_must_not_be() {
    let door = Door::open();
    let with = |field: &str, value: Value| {
        let mut body = spec("report.v1");
        body[field] = value;
        body
    };
    let table = [
        (with("task_queue", json!("registry-service")), Code::RegistryQueueRefused),
        (with("task_queue", json!(" ")), Code::InvalidRequest),
        (with("labels", json!({"a": 1})), Code::InvalidRequest),
        (with("input_schema", json!({"type": 5})), Code::InvalidSchema),
        (with("input_schema", json!("x")), Code::InvalidSchema),
        (with("output_schema", json!({"$ref": "#/nope"})), Code::InvalidSchema),
        (json!({"workflow_type": "report.v1"}), Code::InvalidRequest),
    ];
    for (body, code) in table {
        door.ask("POST", TYPES, &[], body.clone()).await.assert_problem(code);
        door.ask("PUT", ONE, &[], body).await.assert_problem(code);
    }
    door.ask("PUT", ONE, &[], spec("other.v1")).await.assert_problem(Code::InvalidRequest);
    door.get(ONE).await.assert_problem(Code::WorkflowNotFound);
    assert_eq!(door.desk.reads_revision(), 0);
}

#[tokio::test]
async fn revisions_are_kept_newest_first() {
    let door = Door::open();
    for version in ["1", "2", "2", "1"] {
        assert_eq!(door.put(version, &[]).await.status, StatusCode::OK);
    }
    door.desk.earlier(&registration("w1", &["worker.v1"]), 0);
    let revisions = door.get(&format!("{ONE}/revisions")).await.body;
    let told =
        |r: &Value| format!("{} {} {}", r["revision"], r["spec"]["version"], r["current"]).replace('"', "");
    let told: Vec<_> = revisions["revisions"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(told, ["3 1 true", "2 2 false", "1 1 false"]);
    assert_eq!(revisions["revisions"][0]["hash"], revisions["revisions"][2]["hash"]);
    let page = door.get(&format!("{ONE}/revisions?limit=2")).await.body;
    let token = page["next_page_token"].as_str().unwrap();
    let last = door.get(&format!("{ONE}/revisions?page_token={token}")).await.body;
    assert_eq!(
        (last["revisions"][0]["revision"].clone(), last["revisions"].as_array().unwrap().len()),
        (json!(1), 1)
    );
    let one = door.get(&format!("{ONE}/revisions/2")).await.body;
    assert_eq!((&one["spec"]["version"], &one["source"]), (&json!("2"), &json!("admin")));
    let by_worker = door.get("/registry/workflows/worker.v1/revisions/1").await.body;
    assert_eq!((&by_worker["source"], &by_worker["worker_id"]), (&json!("worker"), &json!("w1")));
    door.get(&format!("{ONE}/revisions/9")).await.assert_problem(Code::RevisionNotFound);
    door.get(&format!("{ONE}/revisions/x")).await.assert_problem(Code::InvalidRequest);
    for path in ["revisions", "revisions/1"] {
        door.get(&format!("{TYPES}/nope/{path}")).await.assert_problem(Code::WorkflowNotFound);
    }
}

#[tokio::test]
async fn conditions_hold_back_changes() {
    let door = Door::open();
    door.put("1", &[("if-match", "*")]).await.assert_problem(Code::RevisionMismatch);
    assert_eq!(door.put("1", &[("if-none-match", "*")]).await.status, StatusCode::OK);
    door.put("2", &[("if-none-match", "*")]).await.assert_problem(Code::RevisionMismatch);
    let first = door.get(ONE).await.header("etag").to_owned();
    assert!(first.starts_with("\"1."), "{first}");

    let second = door.put("2", &[("if-match", &first)]).await;
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(second.header("etag"), door.get(ONE).await.header("etag"));
    let stale: [(&str, Value); 3] =
        [("PUT", spec("report.v1")), ("PATCH", json!({"owner": "me"})), ("DELETE", Value::Null)];
    for (method, body) in stale.clone() {
        let answer = door.ask(method, ONE, &[("if-match", &first)], body.clone()).await;
        answer.assert_problem(Code::RevisionMismatch);
        assert_eq!(answer.body["revision"], 2);
        door.ask(method, ONE, &[("if-match", "nonsense")], body).await.assert_problem(Code::InvalidRequest);
    }
    // Switching off makes no revision, but whoever saw it on had better look again.
    door.ask("PATCH", ONE, &[], json!({"enabled": false})).await;
    let off = door.get(ONE).await.header("etag").to_owned();
    assert!(off.starts_with("\"2."), "{off}");
    let seen = second.header("etag");
    for (method, body) in stale {
        door.ask(method, ONE, &[("if-match", seen)], body).await.assert_problem(Code::RevisionMismatch);
    }
    // Who serves it is no change of it.
    door.ask("POST", "/registry/workers", &[], json!({"worker_id": "w", "task_queue": "q"})).await;
    let patched = door.ask("PATCH", ONE, &[("if-match", &off)], json!({"owner": "me"})).await;
    assert_eq!((&patched.body["owner"], &patched.body["enabled"]), (&json!("me"), &json!(false)));
    assert_eq!(door.put("3", &[("if-match", "*")]).await.status, StatusCode::OK);
    let third = door.get(ONE).await.header("etag").to_owned();
    assert_eq!(door.delete(&[("if-match", "*")]).await.status, StatusCode::NO_CONTENT);
    // Another one of the same name is not what was seen, whatever its number.
    for version in ["4", "5", "6"] {
        door.put(version, &[]).await;
        door.delete(&[("if-match", &third)]).await.assert_problem(Code::RevisionMismatch);
    }
    assert_eq!(door.delete(&[]).await.status, StatusCode::NO_CONTENT);
    door.delete(&[("if-match", "*")]).await.assert_problem(Code::RevisionMismatch);
    door.delete(&[]).await.assert_problem(Code::WorkflowNotFound);
}

#[tokio::test]
async fn a_type_that_is_known_is_not_sent_again() {
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["report.v1"]), 0);
    for uri in [ONE, TYPES] {
        let tag = door.get(uri).await.header("etag").to_owned();
        let again = door.ask("GET", uri, &[("if-none-match", &tag)], Value::Null).await;
        assert_eq!((again.status, &again.body), (StatusCode::NOT_MODIFIED, &json!("")), "{uri}");
        assert_eq!(again.header("etag"), tag);
        door.post("/registry/workers/w1/heartbeat", "").await;
        assert_eq!(door.get(uri).await.header("etag"), tag, "a heartbeat changes no tag");
        door.post("/registry/workers/w1/drain", "").await;
        assert_ne!(door.get(uri).await.header("etag"), tag);
        door.desk.earlier(&registration("w1", &["report.v1"]), 0);
    }
}

#[tokio::test]
async fn patches_change_single_fields() {
    let door = Door::open();
    door.ask("PATCH", ONE, &[], json!({"enabled": false})).await.assert_problem(Code::WorkflowNotFound);
    door.ask("PATCH", ONE, &[], json!({"owner": "me"})).await.assert_problem(Code::WorkflowNotFound);
    door.put("1", &[]).await;
    let table = [
        (json!({"enabled": false}), 1),
        (json!({"owner": "me", "deprecated": "use report.v2"}), 2),
        (json!({"enabled": true, "tags": ["a"]}), 3),
        (json!({"tags": ["a"]}), 3),
        (json!({"deprecated": null}), 4),
        (json!({"input_schema": {"type": "object"}}), 5),
    ];
    for (patch, revision) in table {
        let answer = door.ask("PATCH", ONE, &[], patch.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        for (field, value) in patch.as_object().unwrap() {
            assert_eq!(&answer.body[field], value);
        }
        assert_eq!(door.get(ONE).await.body["revision"], revision, "{patch}");
    }
    let shown = door.get(ONE).await.body;
    assert_eq!(
        (&shown["owner"], &shown["tags"], &shown["version"]),
        (&json!("me"), &json!(["a"]), &json!("1"))
    );
    for (patch, code) in [
        (json!({}), Code::InvalidRequest),
        (json!({"workflow_type": "x"}), Code::InvalidRequest),
        (json!({"enabled": "no"}), Code::InvalidRequest),
        (json!({"owner": null}), Code::InvalidRequest),
        (json!({"task_queue": " "}), Code::InvalidRequest),
        (json!({"task_queue": "registry-service"}), Code::RegistryQueueRefused),
        (json!({"signals": {"s": {"type": 1}}}), Code::InvalidSchema),
    ] {
        door.ask("PATCH", ONE, &[], patch).await.assert_problem(code);
    }
}

#[tokio::test]
async fn a_patch_leaves_the_switch_as_another_replica_has_set_it() {
    for (patch, ends) in [
        (json!({"owner": "me"}), false),
        (json!({"enabled": true, "owner": "you"}), true),
        (json!({"enabled": true}), true),
    ] {
        let door = Door::open();
        door.put("1", &[]).await;
        let mut switch = Some(Command::SetEnabled { workflow_type: "report.v1".to_owned(), enabled: false });
        let once = move || switch.take().unwrap_or(Command::Sweep);
        *door.desk.meanwhile.lock() = Some(Box::new(once));
        let answer = door.ask("PATCH", ONE, &[], patch.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body["enabled"], ends, "{patch}");
        assert_eq!(door.get(ONE).await.body["enabled"], ends, "{patch}");
    }
}

#[tokio::test]
async fn deleting_strips_the_type_from_its_workers() {
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["other.v1", "report.v1"]), 0);
    assert_eq!(door.delete(&[]).await.status, StatusCode::NO_CONTENT);
    door.get(ONE).await.assert_problem(Code::WorkflowNotFound);
    assert_eq!(door.get("/registry/workers/w1").await.body["workflows"], json!(["other.v1"]));
}

#[tokio::test]
async fn search_attributes_that_clash_change_nothing() {
    let door = Door::open();
    door.desk.has_attribute("Taken", AttributeType::Int);
    door.desk.has_attribute("Fits", AttributeType::Keyword);
    let with = |name: &str, kind: &str| {
        let mut body = spec("report.v1");
        body["search_attributes"] = json!([{"name": name, "type": kind}]);
        body
    };
    for (method, uri) in [("POST", TYPES), ("PUT", ONE)] {
        let answer = door.ask(method, uri, &[], with("Taken", "Keyword")).await;
        answer.assert_problem(Code::SearchAttributeConflict);
        assert_eq!(answer.body["search_attribute"], "Taken");
    }
    door.get(ONE).await.assert_problem(Code::WorkflowNotFound);
    assert_eq!(door.ask("POST", TYPES, &[], with("Fits", "Keyword")).await.status, StatusCode::CREATED);
    let patch = json!({"search_attributes": [{"name": "Taken", "type": "Bool"}]});
    door.ask("PATCH", ONE, &[], patch).await.assert_problem(Code::SearchAttributeConflict);
    // Another type declares it already, as something else.
    let mut other = with("Fits", "Text");
    other["workflow_type"] = json!("other.v1");
    door.desk.actual.lock().clear();
    door.ask("POST", TYPES, &[], other).await.assert_problem(Code::SearchAttributeConflict);

    // What is known to be ready is not asked about.
    door.desk.provisioned("Fits", AttributeType::Keyword, AttributeStatus::Ready);
    door.desk.look();
    door.desk.has_attribute("Fits", AttributeType::Bool);
    assert_eq!(door.ask("PUT", ONE, &[], with("Fits", "Keyword")).await.status, StatusCode::OK);
    door.desk.is_away.store(true, SeqCst);
    door.ask("PUT", ONE, &[], with("Unheard", "Keyword")).await.assert_problem(Code::TemporalUnavailable);
}

#[tokio::test]
async fn inputs_are_checked_without_starting_anything() {
    let door = Door::open();
    door.put("1", &[]).await;
    let check = |body: Value| {
        let door = door.clone();
        async move { door.ask("POST", &format!("{ONE}/validate"), &[], body).await }
    };
    assert_eq!(check(json!({"input": {"day": "x"}})).await.body, json!({"valid": true, "details": []}));
    for body in [Value::Null, json!({}), json!({"input": {}})] {
        let answer = check(body).await;
        assert_eq!((answer.status, &answer.body["valid"]), (StatusCode::OK, &json!(false)));
        assert_eq!(answer.body["details"][0]["loc"], json!(["day"]));
        assert_eq!(answer.body["details"][0]["type"], "missing");
    }
    check(json!({"inputs": {}})).await.assert_problem(Code::InvalidRequest);
    door.post("/registry/workflows/nope/validate", "").await.assert_problem(Code::WorkflowNotFound);
}
