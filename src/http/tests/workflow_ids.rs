//! Numbered workflow ids.

use futures::future::join_all;
use serde_json::json;

use super::*;
use crate::registry::Command;

async fn claim(door: &Door, name: &str) -> Answer {
    door.ask("POST", "/workflow-ids/claim", &[], json!({"name": name})).await
}

#[tokio::test]
async fn numbers_are_given_once() {
    let door = Door::open();
    let first = claim(&door, "Tui_Build").await;
    assert_eq!(first.body, json!({"slug": "tui-build", "counter": 1, "workflow_id": "tui-build-r1"}));
    let many = join_all((0..50).map(|_| claim(&door, "tui build"))).await;
    let mut numbers: Vec<_> = many.iter().map(|answer| answer.body["counter"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=51).collect::<Vec<_>>());
    let reset = door.ask("POST", "/workflow-ids/reset", &[], json!({"name": "TUI build"})).await;
    assert_eq!(reset.body, json!({"slug": "tui-build", "previous_counter": 51, "reset_to": 0}));
    assert_eq!(claim(&door, "tui-build").await.body["counter"], 1);
    let never = door.ask("POST", "/workflow-ids/reset", &[], json!({"name": "never"})).await;
    assert_eq!(never.body, json!({"slug": "never", "previous_counter": 0, "reset_to": 0}));
}

#[tokio::test]
async fn a_key_gets_the_same_number_again() {
    let door = Door::open();
    let keyed = async |key: &'static str, name: &str| {
        let key = [("idempotency-key", key)];
        door.ask("POST", "/workflow-ids/claim", &key, json!({"name": name})).await
    };
    let first = keyed("k1", "Daily-r9!").await;
    assert_eq!(first.body, json!({"slug": "daily-r9", "counter": 1, "workflow_id": "daily-r9-r1"}));
    assert_eq!(keyed("k1", "Daily-r9!").await.body, first.body);
    assert_eq!(keyed("k2", "Daily-r9!").await.body["counter"], 2);
    assert_eq!(claim(&door, "daily-r9").await.body["counter"], 3);
    keyed("k1", "another").await.assert_problem(Code::IdempotencyKeyReused);
    keyed("k3", "@@@").await.assert_problem(Code::InvalidRequest);
}

#[tokio::test]
async fn names_without_a_slug_are_refused_at_once() {
    let door = Door::open();
    let long = "x".repeat(129);
    for uri in ["/workflow-ids/claim", "/workflow-ids/reset"] {
        for body in [
            json!({"name": ""}),
            json!({"name": "___"}),
            json!({"name": "日本"}),
            json!({"name": long}),
            json!({}),
            json!({"name": "a", "b": 1}),
        ] {
            let answer = door.ask("POST", uri, &[], body).await;
            answer.assert_problem(Code::InvalidRequest);
            let loc = answer.body["details"][0]["loc"].to_string();
            assert!(loc.starts_with(r#"["body",""#), "{loc}");
        }
    }
}

#[tokio::test]
async fn counters_are_listed_by_slug() {
    let door = Door::open();
    assert_eq!(door.get("/workflow-ids").await.body, json!({"slug_counters": []}));
    for name in ["b", "a", "c", "b"] {
        claim(&door, name).await;
    }
    let listed = door.get("/workflow-ids").await.body;
    let told = |c: &Value| format!("{}{}", c["slug"].as_str().unwrap(), c["counter"]);
    let all: Vec<_> = listed["slug_counters"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(all, ["a1", "b2", "c1"]);
    assert!(listed["slug_counters"][0]["last_claimed_epoch"].as_f64().unwrap() > 1.7e9);
    assert!(listed.get("next_page_token").is_none());
    let page = door.get("/workflow-ids?limit=2").await.body;
    let token = page["next_page_token"].as_str().unwrap();
    let rest = door.get(&format!("/workflow-ids?limit=2&page_token={token}")).await.body;
    assert_eq!(rest["slug_counters"].as_array().unwrap().iter().map(told).collect::<Vec<_>>(), ["c1"]);
}

#[tokio::test]
async fn a_counter_that_lapsed_is_not_listed() {
    let door = Door::open();
    let claimed = |name: &str| Command::Claim { name: name.to_owned() };
    let ttl_ms = state(&door.fake, &door.desk).slug_ttl_ms;
    door.desk.earlier(&claimed("old"), ttl_ms + 1_000);
    door.desk.earlier(&claimed("young"), ttl_ms - 60_000);
    let listed = door.get("/workflow-ids?limit=1").await.body;
    assert_eq!(listed["slug_counters"][0]["slug"], "young");
    assert_eq!(listed.get("next_page_token"), None);
}
