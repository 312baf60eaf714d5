//! Finding types in the catalogue.

use serde_json::json;

use super::desk::{registration, spec, worker};
use super::*;

async fn filled() -> Door {
    let door = Door::open();
    let specs = [
        ("build.v1", json!({"tags": ["report"], "owner": "ci", "labels": {"team": "ci", "tier": "1"}})),
        ("mail.v1", json!({"description": "Sends the Report", "enabled": false, "task_queue": "mail"})),
        ("report", json!({"labels": {"team": "data"}, "owner": "data"})),
        ("report.v1", json!({"labels": {"team": "data", "tier": "1"}})),
        ("weekly-report.v1", json!({"tags": ["weekly"]})),
    ];
    for (name, more) in specs {
        let mut body = spec(name);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(door.ask("POST", "/registry/workflows", &[], body).await.status, StatusCode::CREATED);
    }
    door.desk.earlier(&registration("late", &["report"]), 11_000);
    let mut body = worker("w1", vec![spec("report.v1")]);
    // The worker's own spec becomes the next revision.
    body["workflows"][0]["task_queue"] = json!("elsewhere");
    body["workflows"][0]["labels"] = json!({"team": "data", "tier": "1"});
    door.ask("POST", "/registry/workers", &[], body).await;
    door
}

fn names(answer: &Answer) -> String {
    let found = answer.body["workflows"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).iter();
    found.map(|w| w["workflow_type"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn types_are_found_by_what_they_are() {
    let door = filled().await;
    let table = [
        ("", "build.v1 mail.v1 report report.v1 weekly-report.v1"),
        ("?q=REPORT", "report report.v1 weekly-report.v1 build.v1 mail.v1"),
        ("?q=weekly", "weekly-report.v1"),
        ("?q=nothing", ""),
        ("?label=team%3Ddata", "report report.v1"),
        ("?label=team%3Ddata&label=tier%3D1", "report.v1"),
        ("?label=team%3Dnobody", ""),
        ("?tag=weekly", "weekly-report.v1"),
        ("?tag=week", ""),
        ("?owner=ci", "build.v1"),
        ("?task_queue=mail", "mail.v1"),
        ("?task_queue=elsewhere", "report.v1"),
        ("?enabled=false", "mail.v1"),
        ("?healthy=true", "report.v1"),
        ("?healthy=false&q=report&limit=2", "report weekly-report.v1"),
    ];
    for (query, expected) in table {
        let answer = door.get(&format!("/registry/workflows{query}")).await;
        assert_eq!(names(&answer), expected, "{query}");
    }
    for query in ["?label=x", "?healthy=maybe", "?limit=1001", "?page_token=_w"] {
        door.get(&format!("/registry/workflows{query}")).await.assert_problem(Code::InvalidRequest);
    }
}

#[tokio::test]
async fn pages_cover_the_list_in_its_order() {
    let door = filled().await;
    for query in ["", "&q=report"] {
        let whole = names(&door.get(&format!("/registry/workflows?{query}")).await);
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let answer = door.get(&format!("/registry/workflows?limit=2{query}{token}")).await;
            seen.push(names(&answer));
            let Some(next) = answer.body["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
        }
        assert_eq!((seen.len(), seen.join(" ")), (3, whole));
    }
}

#[tokio::test]
async fn each_type_comes_with_its_workers() {
    let door = filled().await;
    let body = door.get("/registry/workflows?q=report&limit=2").await.body;
    let workers = |at: usize| body["workflows"][at]["workers"].clone();
    assert_eq!((&workers(0)[0]["worker_id"], &workers(0)[0]["healthy"]), (&json!("late"), &json!(false)));
    assert_eq!((&workers(1)[0]["worker_id"], &workers(1)[0]["healthy"]), (&json!("w1"), &json!(true)));
    assert_eq!(workers(1)[0], door.get("/registry/workers/w1").await.body);
}

#[tokio::test]
async fn what_is_asked_again_shows_whatever_has_changed() {
    const PATHS: [&str; 2] = ["/registry/workflows?q=report&limit=1", "/registry/workflows/report"];
    let door = filled().await;
    let health = |answer: &Answer| {
        let entry = answer.body.pointer("/workflows/0").unwrap_or(&answer.body);
        entry["workers"][0]["health"].clone()
    };
    for path in PATHS {
        let (first, again) = (door.get(path).await, door.get(path).await);
        assert_eq!((health(&first), &first.body), (json!("unhealthy"), &again.body));
        assert_eq!((first.header("etag"), first.header("x-registry-revision")), {
            (again.header("etag"), again.header("x-registry-revision"))
        });
        let known = [("if-none-match", first.header("etag"))];
        assert_eq!(door.ask("GET", path, &known, Value::Null).await.status, StatusCode::NOT_MODIFIED);
        let malformed = [("if-none-match", "what")];
        door.ask("GET", path, &malformed, Value::Null).await.assert_problem(Code::InvalidRequest);
        let head = door.ask("HEAD", path, &[], Value::Null).await;
        assert_eq!((head.body.clone(), head.header("etag")), (json!(""), first.header("etag")));
    }
    door.post("/registry/workers/late/heartbeat", "").await;
    for path in PATHS {
        assert_eq!(health(&door.get(path).await), "healthy", "{path}");
    }
    door.ask("PATCH", "/registry/workflows/report", &[], json!({"enabled": false})).await;
    assert_eq!(door.get(PATHS[1]).await.body["enabled"], false);
    door.ask("DELETE", "/registry/workflows/report", &[], Value::Null).await;
    door.get(PATHS[1]).await.assert_problem(Code::WorkflowNotFound);
}
