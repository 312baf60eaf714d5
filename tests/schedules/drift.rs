//! Types change under their schedules.

use serde_json::{Value, json};

use crate::one_shots::runs_in;
use crate::registry::Registry;

const RECONCILE: &str = "/registry/temporal/search-attributes";

fn sale(price: &str, color: &str) -> Value {
    json!({
        "workflow_type": "sale.v1", "task_queue": "work",
        "search_attributes": [{"name": "Price", "type": price}, {"name": "Color", "type": color}]
    })
}

#[tokio::test]
async fn schedules_that_set_an_attribute_of_another_type_are_told_and_flagged() {
    let namespace = "drift-attributes";
    let registry = Registry::start(namespace).await;
    registry.worker("w", "work", sale("Int", "Keyword")).await;
    for (id, attributes) in [("priced", json!({"Price": 7})), ("colored", json!({"Color": "red"}))] {
        let body = json!({"workflow_type": "sale.v1", "cron": ["@yearly"], "search_attributes": attributes});
        assert_eq!(registry.post(&format!("/schedules/{id}"), body).await.status, 201);
    }
    // Another declaration needs the old one gone.
    assert_eq!(registry.delete("/registry/workflows/sale.v1").await.status, 204);
    registry.worker("w", "work", sale("Double", "Int")).await;
    let unavailable = |body: &Value| body["status"] == "unavailable";
    registry.until("/registry/workflows/sale.v1", "the attributes clash", unavailable).await;

    let names = ["Color", "Price"];
    let report = registry.post(RECONCILE, json!({"mode": "replace", "attributes": names})).await;
    assert_eq!(report.code(), (400, "invalid_request"), "not confirmed");
    let touched = json!({"workflow_types": ["sale.v1"], "schedules": ["colored", "priced"]});
    assert_eq!(report.body["plan"]["affected"], touched, "{}", report.body);
    let confirmed = json!({"mode": "replace", "attributes": names, "confirm": true});
    let replaced = registry.post(RECONCILE, confirmed).await;
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_eq!(replaced.body["affected"], touched);
    registry.until("/registry/workflows/sale.v1", "ready", |body| body["status"] == "ready").await;

    // Seven is a number as before; red is none.
    let seen = registry.get("/schedules/priced").await.body;
    assert_eq!(seen["problems"], json!([]), "{seen}");
    assert_eq!(registry.post("/schedules/priced/trigger", json!({})).await.status, 202);
    assert_eq!(runs_in(namespace, "Price > 6.5", 1).await.len(), 1);
    let seen = registry.get("/schedules/colored").await.body;
    assert_eq!(seen["problems"][0]["code"], "search_attributes_invalid", "{seen}");
    registry.until("/registry/status", "one counted", |status| status["schedule_problem_count"] == 1).await;
    let mended = json!({"workflow_type": "sale.v1", "cron": ["@yearly"], "search_attributes": {"Color": 5}});
    assert_eq!(registry.put("/schedules/colored", mended).await.status, 200);
    registry.until("/registry/status", "none", |status| status["schedule_problem_count"] == 0).await;
}
