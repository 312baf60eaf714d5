//! Search attributes: planned, provisioned, verified, reconciled.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use temporalio_client::tonic::Request;
use temporalio_common::protos::temporal::api::enums::v1::IndexedValueType;
use temporalio_common::protos::temporal::api::operatorservice::v1::{
    AddSearchAttributesRequest, RemoveSearchAttributesRequest,
};

use crate::dev_server;
use crate::one_shots::runs_in;
use crate::registry::Registry;

const PATH: &str = "/registry/temporal/search-attributes";

fn declaring(name: &str, attributes: &[(&str, &str)]) -> Value {
    let declared = |(name, kind): &(&str, &str)| json!({"name": name, "type": kind});
    json!({
        "workflow_type": name, "task_queue": "work",
        "search_attributes": attributes.iter().map(declared).collect::<Vec<_>>()
    })
}

/// Removes an attribute behind the registry's back.
async fn remove(namespace: &str, name: &str) {
    let request = RemoveSearchAttributesRequest {
        namespace: namespace.to_owned(),
        search_attributes: vec![name.to_owned()],
    };
    let mut service = dev_server::client().await.connection().operator_service();
    service.remove_search_attributes(Request::new(request)).await.expect("removed");
}

/// Makes attributes that the registry knows nothing of.
async fn add(namespace: &str, attributes: &[(&str, IndexedValueType)]) {
    let search_attributes =
        attributes.iter().map(|(name, kind)| ((*name).to_owned(), *kind as i32)).collect();
    let request = AddSearchAttributesRequest { namespace: namespace.to_owned(), search_attributes };
    let mut service = dev_server::client().await.connection().operator_service();
    service.add_search_attributes(Request::new(request)).await.expect("added");
}

async fn ready(registry: &Registry, workflow_type: &str) {
    let is_ready = |body: &Value| body["status"] == "ready";
    registry.until(&format!("/registry/workflows/{workflow_type}"), "ready", is_ready).await;
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(|item| item["name"].as_str()).collect()
}

#[tokio::test]
async fn every_type_is_set_by_starts_and_schedules_and_found() {
    let namespace = "attributes-all";
    let registry = Registry::start(namespace).await;
    let table = [
        ("AKeyword", "Keyword", json!("red"), "AKeyword = 'red'"),
        ("AList", "KeywordList", json!(["red", "blue"]), "AList IN ('blue')"),
        ("AText", "Text", json!("hello world"), "AText = 'world'"),
        ("AnInt", "Int", json!(7), "AnInt > 6"),
        ("ADouble", "Double", json!(1.5), "ADouble < 1.6"),
        ("ABool", "Bool", json!(true), "ABool = true"),
        ("ADate", "Datetime", json!("2027-01-02T03:04:05Z"), "ADate > '2027-01-01T00:00:00Z'"),
    ];
    let declared: Vec<(&str, &str)> = table.iter().map(|(name, kind, ..)| (*name, *kind)).collect();
    registry.worker("w", "work", declaring("all.v1", &declared)).await;
    let attributes: Value = table
        .iter()
        .map(|(name, _, value, _)| ((*name).to_owned(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let schedule = json!({
        "workflow_type": "all.v1", "fire_offsets_seconds": [0], "search_attributes": attributes
    });
    let made = registry.post("/schedules/all-scheduled", schedule.clone()).await;
    assert_eq!(made.status, 201, "waits until they are usable: {}", made.body);
    ready(&registry, "all.v1").await;
    let start = json!({"workflow_id": "all-started", "search_attributes": attributes});
    let started = registry.post("/workflows/all.v1/start", start).await;
    assert_eq!(started.status, 200, "{}", started.body);
    for (name, _, _, query) in &table {
        let runs = runs_in(namespace, query, 2).await;
        assert_eq!(runs.len(), 2, "{name}: {runs:?}");
    }
    let mut wrong = schedule;
    wrong["search_attributes"]["AnInt"] = json!("seven");
    let refused = registry.post("/schedules/wrong", wrong).await;
    assert_eq!(refused.code(), (400, "invalid_request"));
    assert_eq!(refused.body["details"][0]["pointer"], "/search_attributes/AnInt");
}

#[tokio::test]
async fn a_clash_is_found_refused_and_replaced_on_demand() {
    let namespace = "attributes-clash";
    let registry = Registry::start(namespace).await;
    add(namespace, &[("Color", IndexedValueType::Int)]).await;
    registry.worker("w", "work", declaring("paint.v1", &[("Color", "Keyword"), ("Shade", "Keyword")])).await;
    let unavailable = |body: &Value| body["status"] == "unavailable";
    registry.until("/registry/workflows/paint.v1", "unavailable", unavailable).await;
    assert_eq!(
        registry.post("/workflows/paint.v1/start", json!({})).await.code(),
        (503, "search_attributes_unavailable")
    );
    let made =
        registry.post("/schedules/paints", json!({"workflow_type": "paint.v1", "cron": ["@daily"]})).await;
    assert_eq!(made.status, 201, "sets none of them: {}", made.body);
    let why = "paint.v1 is unavailable: search attribute Color: exists in the namespace as Int, declared as Keyword";
    assert_eq!(made.body["warnings"], json!([{"field": "workflow_type", "message": why}]));

    let report = registry.post(PATH, json!({})).await.body;
    assert_eq!(report["mode"], "validate");
    let conflict =
        json!({"name": "Color", "existing_type": "Int", "desired_type": "Keyword", "source": "custom"});
    assert_eq!(report["conflicts"], json!([conflict]));
    assert_eq!(names(&report["unchanged"]), ["Shade"]);
    assert_eq!(report["affected"]["workflow_types"], json!(["paint.v1"]));
    assert_eq!(report["slots"]["Keyword"], json!({"used": 1, "limit": 10, "source": "columns"}));
    assert_eq!(report["slots"]["Int"], json!({"used": 1, "limit": 3, "source": "columns"}));
    assert_eq!(registry.post(PATH, json!({})).await.body, report, "the same again is the same");

    registry.register(declaring("more.v1", &[("More", "Bool")])).await;
    ready(&registry, "more.v1").await;
    remove(namespace, "More").await;
    let report = registry.post(PATH, json!({})).await.body;
    assert_eq!(
        (names(&report["missing"]), names(&report["conflicts"])),
        (vec!["More"], vec!["Color"]),
        "{report}"
    );
    let ensured = registry.post(PATH, json!({"mode": "ensure"})).await.body;
    assert_eq!((&ensured["added"], &ensured["replaced"]), (&json!([]), &json!([])));
    assert_eq!(names(&ensured["conflicts"]), ["Color"]);
    let still = registry.post(PATH, json!({})).await.body;
    assert_eq!(names(&still["missing"]), ["More"], "with a conflict nothing is added");

    let replace = |body: Value| registry.post(PATH, body);
    let unknown = replace(json!({"mode": "replace", "attributes": ["Nobody"], "confirm": true})).await;
    assert_eq!(unknown.code(), (400, "invalid_request"));
    for body in
        [json!({"mode": "replace", "attributes": ["Color"]}), json!({"mode": "replace", "confirm": true})]
    {
        let refused = replace(body).await;
        assert_eq!(refused.code(), (400, "invalid_request"));
        assert_eq!(
            refused.body["plan"]["affected"]["workflow_types"],
            json!(["paint.v1"]),
            "{}",
            refused.body
        );
    }
    let still = registry.post(PATH, json!({})).await.body;
    assert_eq!(names(&still["conflicts"]), ["Color"], "nothing was done yet");

    let both = json!({"mode": "replace", "attributes": ["More", "Color"], "confirm": true});
    let replaced = replace(both).await;
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_eq!(names(&replaced.body["replaced"]), ["Color"]);
    assert_eq!(names(&replaced.body["added"]), ["More"], "and what is missing is added: {}", replaced.body);
    ready(&registry, "paint.v1").await;
    let set = json!({
        "workflow_type": "paint.v1", "fire_offsets_seconds": [0], "search_attributes": {"Color": "red"}
    });
    let made = registry.post("/schedules/paints-red", set).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(runs_in(namespace, "Color = 'red'", 1).await.len(), 1);
}

#[tokio::test]
async fn reports_come_in_one_order_whatever_was_declared_first() {
    let namespace = "attributes-order";
    let registry = Registry::start(namespace).await;
    add(namespace, &[("Zinc", IndexedValueType::Int), ("Amber", IndexedValueType::Int)]).await;
    let zinc_first = [("Zinc", "Keyword"), ("Mauve", "Bool"), ("Blue", "Bool"), ("Amber", "Keyword")];
    registry.worker("w1", "work", declaring("z.v1", &zinc_first)).await;
    registry.worker("w2", "work", declaring("a.v1", &[("Coral", "Keyword"), ("Blue", "Bool")])).await;
    ready(&registry, "a.v1").await;
    let unavailable = |body: &Value| body["status"] == "unavailable";
    registry.until("/registry/workflows/z.v1", "unavailable", unavailable).await;
    for name in ["Mauve", "Blue"] {
        remove(namespace, name).await;
    }
    let report = registry.post(PATH, json!({})).await.body;
    let expected = [
        ("desired", vec!["Amber", "Blue", "Coral", "Mauve", "Zinc"]),
        ("missing", vec!["Blue", "Mauve"]),
        ("conflicts", vec!["Amber", "Zinc"]),
        ("unchanged", vec!["Coral"]),
    ];
    for (list, expected) in expected {
        assert_eq!(names(&report[list]), expected, "{list}: {report}");
    }
    let existing = report["existing"].as_array().expect("a list");
    let keys: Vec<_> = existing.iter().map(|one| (one["source"].as_str(), one["name"].as_str())).collect();
    assert!(keys.is_sorted(), "the namespace's own before Temporal's, each by name: {keys:?}");
    // The same text from another process that has read the state afresh: fit for `diff`.
    let other = Registry::start(namespace).await;
    let text = |report: &Value| serde_json::to_string_pretty(report).expect("JSON");
    assert_eq!(text(&other.post(PATH, json!({"mode": "validate"})).await.body), text(&report));
}

#[tokio::test]
async fn temporals_own_are_never_replaced() {
    let registry = Registry::start("attributes-system").await;
    registry.worker("w", "work", declaring("odd.v1", &[("WorkflowType", "Int")])).await;
    let body = json!({"mode": "replace", "attributes": ["WorkflowType"], "confirm": true});
    let refused = registry.call(Method::POST, PATH, Some(body), None).await;
    assert_eq!(refused.code(), (400, "invalid_request"));
    assert_eq!(refused.body["system"], json!(["WorkflowType"]), "{}", refused.body);
}

#[tokio::test]
async fn a_full_type_keeps_out_no_other() {
    let namespace = "attributes-full";
    let registry = Registry::start(namespace).await;
    let kind = IndexedValueType::Datetime;
    add(namespace, &[("D1", kind), ("D2", kind), ("D3", kind)]).await;
    registry.worker("w1", "work", declaring("full.v1", &[("D4", "Datetime"), ("Fits", "Bool")])).await;
    registry.worker("w2", "work", declaring("fits.v1", &[("Fits", "Bool")])).await;
    ready(&registry, "fits.v1").await;
    let unavailable = |body: &Value| body["status"] == "unavailable";
    registry.until("/registry/workflows/full.v1", "unavailable", unavailable).await;
    let report = registry.post(PATH, json!({})).await.body;
    assert_eq!(report["slots"]["Datetime"], json!({"used": 3, "limit": 3, "source": "told"}));
    assert_eq!(names(&report["missing"]), ["D4"]);
    let ensured = registry.post(PATH, json!({"mode": "ensure"})).await.body;
    assert_eq!(ensured["added"], json!([]));
    let warned = ensured["warnings"]
        .as_array()
        .expect("warnings")
        .iter()
        .any(|w| w.as_str().unwrap_or("").contains("D4"));
    assert!(warned, "{ensured}");
}

#[tokio::test]
async fn one_that_was_removed_comes_back_with_a_start_that_sets_it() {
    let namespace = "attributes-removed";
    let registry = Registry::start(namespace).await;
    registry.worker("w", "work", declaring("lost.v1", &[("Lost", "Keyword")])).await;
    ready(&registry, "lost.v1").await;
    remove(namespace, "Lost").await;
    let start = || registry.post("/workflows/lost.v1/start", json!({"search_attributes": {"Lost": "x"}}));
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut refused, mut back) = (None, false);
    // Temporal goes on taking it for a while, and then refuses it.
    while !back && Instant::now() < deadline {
        let answer = start().await;
        match answer.status.as_u16() {
            200 => back = refused.is_some(),
            _ => refused = Some(answer.code().1.to_owned()),
        }
        assert!(
            answer.status == 200 || answer.code() == (503, "search_attributes_unavailable"),
            "{}",
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(back, "refused: {refused:?}");
}
