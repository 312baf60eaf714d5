//! `execute`, `signal-with-start` and `/runs`.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::work::Work;
use super::world::{Door, World};

/// A world with a worker that works.
async fn at_work() -> (World, Work) {
    let world = World::new(1).await;
    let work = Work::start(world.door().replica.link.clone(), &world.queue);
    let number = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    world
        .register(
            "w1",
            &[
                json!({"workflow_type": "echo.v1", "output_schema": {"type": "object", "required": ["ok"]}}),
                json!({"workflow_type": "fail.v1"}),
                json!({"workflow_type": "chain.v1"}),
                json!({"workflow_type": "talk.v1", "signals": {"add": number}, "updates": {"plus": number}}),
                json!({"workflow_type": "idle.v1", "task_queue": format!("{}-nobody", world.queue)}),
            ],
        )
        .await;
    (world, work)
}

async fn start(door: &Door, workflow_type: &str, body: Value) -> String {
    let run = door.post(&format!("/workflows/{workflow_type}/start"), body).await.ok();
    run["workflow_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn execute_gives_the_result() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let echo = door.post("/workflows/echo.v1/execute", json!({"input": {"ok": [1, "ü"]}})).await;
    assert!(echo.headers["location"].to_str().unwrap().starts_with("/runs/echo-v1-"));
    let echo = echo.ok();
    assert_eq!((&echo["status"], &echo["result"]), (&json!("completed"), &json!({"ok": [1, "ü"]})));
    assert_eq!(
        (&echo["created"], echo.get("result_errors"), echo.get("failure")),
        (&json!(true), None, None)
    );

    let broken = door.post("/workflows/echo.v1/execute", json!({"input": {"no": 1}})).await.ok();
    assert_eq!(broken["result"], json!({"no": 1}));
    let error = &broken["result_errors"][0];
    assert_eq!((&error["pointer"], &error["type"]), (&json!("/ok"), &json!("missing")), "{broken}");

    let failed = door.post("/workflows/fail.v1/execute", json!({})).await.ok();
    assert_eq!((&failed["status"], failed.get("result")), (&json!("failed"), None));
    assert_eq!(failed["failure"]["message"], "it broke", "{failed}");
    assert!(failed["failure"]["type"].is_string() && failed["failure"]["details"].is_array(), "{failed}");

    let chained = door.post("/workflows/chain.v1/execute", json!({"input": {"left": 3}})).await.ok();
    assert_eq!((&chained["status"], &chained["result"]), (&json!("completed"), &json!("the end")));

    // Too long: 202, on time, and the same key waits on.
    let begun = Instant::now();
    let waiting = door.post_keyed("/workflows/talk.v1/execute?wait=0.5", "k", json!({})).await;
    assert!((500..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!(
        (waiting.status, &waiting.body["status"]),
        (StatusCode::ACCEPTED, &json!("running")),
        "{waiting:?}"
    );
    let id = waiting.text("workflow_id");
    assert_eq!(waiting.headers["location"], format!("/runs/{id}"));
    let again = async { door.post_keyed("/workflows/talk.v1/execute", "k", json!({})).await.ok() };
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(
            door.post(&format!("/runs/{id}/signals/stop"), Value::Null).await.status,
            StatusCode::ACCEPTED
        );
    };
    let (again, ()) = tokio::join!(again, stop);
    assert_eq!(
        (&again["run_id"], &again["created"], &again["result"]),
        (&waiting.body["run_id"], &json!(false), &json!(0))
    );

    let preferring =
        Request::post("/workflows/idle.v1/execute").header("prefer", "wait=0").body(Body::empty());
    assert_eq!(door.send(preferring.unwrap()).await.status, StatusCode::ACCEPTED);
    door.post("/workflows/echo.v1/execute", json!({"signal": {"name": "x"}}))
        .await
        .assert_problem("invalid_request");
    door.post("/workflows/none.v1/execute", json!({})).await.assert_problem("workflow_unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_the_run() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let id = start(door, "talk.v1", json!({})).await;
    let post = async |path: &str, body: Value| door.post(&format!("/runs/{id}/{path}"), body).await;

    let taken = post("signals/add", json!({"input": {"n": 2}})).await;
    assert_eq!((taken.status, taken.text("workflow_id")), (StatusCode::ACCEPTED, id.clone()));
    for _ in 0..2 {
        let keyed =
            door.post_keyed(&format!("/runs/{id}/signals/add"), "once", json!({"args": [{"n": 3}]})).await;
        assert_eq!(keyed.status, StatusCode::ACCEPTED);
    }
    assert_eq!(post("queries/sum", Value::Null).await.ok(), json!({"result": 5}));
    for _ in 0..2 {
        let plus =
            door.post_keyed(&format!("/runs/{id}/updates/plus"), "u1", json!({"input": {"n": 10}})).await;
        assert_eq!(plus.ok(), json!({"result": 15}));
    }

    let wrong = post("signals/add", json!({"input": {"n": "x"}})).await;
    wrong.assert_problem("invalid_input");
    assert_eq!(wrong.body["details"][0]["loc"], json!(["n"]));
    let wrong = post("updates/plus", json!({"args": []})).await;
    wrong.assert_problem("invalid_input");
    assert_eq!(wrong.body["details"][0]["loc"], json!(["n"]));
    post("signals/add", json!({"input": 1, "args": []})).await.assert_problem("invalid_request");
    let unknown = post("queries/nothing", Value::Null).await;
    unknown.assert_problem("message_failed");
    assert_eq!(unknown.body["failure"]["type"], "query_failed");
    post("updates/nothing", Value::Null).await.assert_problem("message_failed");

    // The key of another signal is another key.
    let stop = door.post_keyed(&format!("/runs/{id}/signals/stop"), "once", Value::Null).await;
    assert_eq!(stop.status, StatusCode::ACCEPTED);
    let result = door.get(&format!("/runs/{id}/result?wait=60")).await.ok();
    assert_eq!((&result["status"], &result["result"]), (&json!("completed"), &json!(15)));
    assert_eq!(post("queries/sum", Value::Null).await.ok(), json!({"result": 15}));
    for path in ["signals/stop", "updates/plus", "cancel", "terminate"] {
        let body = if path == "updates/plus" { json!({"input": {"n": 1}}) } else { Value::Null };
        post(path, body).await.assert_problem("run_closed");
    }
    for path in ["signals/stop", "queries/sum", "updates/plus", "cancel", "terminate", "restart"] {
        door.post(&format!("/runs/nobody-{id}/{path}"), Value::Null).await.assert_problem("run_not_found");
        let own = &door.replica.link.registry.workflow_id;
        door.post(&format!("/runs/{own}/{path}"), Value::Null).await.assert_problem("run_not_found");
    }
    // Nobody works on its queue, so nobody answers.
    let idle = start(door, "idle.v1", json!({})).await;
    let begun = Instant::now();
    door.post(&format!("/runs/{idle}/updates/x?wait=0.5"), Value::Null)
        .await
        .assert_problem("outcome_unknown");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_starts_a_run_or_reaches_the_open_one() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let id = format!("{}-talk", world.queue);
    let body = json!({"workflow_id": id, "signal": {"name": "add", "input": {"n": 4}}});
    let send = async |body: Value| door.post("/workflows/talk.v1/signal-with-start", body).await;
    let first = send(body.clone()).await.ok();
    let second = send(body).await.ok();
    assert_eq!((&first["created"], &second["created"]), (&json!(true), &json!(false)));
    assert_eq!((&first["run_id"], &second["task_queue"]), (&second["run_id"], &json!(world.queue)));
    assert_eq!(door.post(&format!("/runs/{id}/queries/sum"), Value::Null).await.ok(), json!({"result": 8}));
    let table = [
        (json!({}), "invalid_request", json!(["body", "signal"])),
        (
            json!({"signal": {"name": "add", "input": {"n": "x"}}}),
            "invalid_request",
            json!(["body", "signal", "input", "n"]),
        ),
        (
            json!({"signal": {"name": "stop"}, "id_conflict_policy": "fail"}),
            "invalid_request",
            json!(["body", "id_conflict_policy"]),
        ),
    ];
    for (body, code, place) in table {
        let answer = send(body.clone()).await;
        answer.assert_problem(code);
        assert_eq!(answer.body["details"][0]["loc"], place, "{body}");
    }
    // A name takes an id that is not in use, so the signal reaches nobody else's run.
    start(door, "idle.v1", json!({"workflow_id": format!("{id}-r1")})).await;
    let named = send(json!({"name": id, "signal": {"name": "stop"}})).await.ok();
    assert_eq!((&named["workflow_id"], &named["created"]), (&json!(format!("{id}-r2")), &json!(true)));
    let ended = door.get(&format!("/runs/{id}-r2/result?wait=60")).await.ok();
    assert_eq!(ended["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_end_and_are_started_again() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let canceled = start(door, "talk.v1", json!({})).await;
    assert_eq!(
        door.post(&format!("/runs/{canceled}/cancel"), json!({"reason": "enough"})).await.status,
        StatusCode::ACCEPTED
    );
    let ended = door.get(&format!("/runs/{canceled}/result?wait=60")).await.ok();
    assert_eq!((&ended["status"], &ended["failure"]["type"]), (&json!("canceled"), &json!("canceled")));

    let id = start(door, "idle.v1", json!({"input": {"day": "mon"}, "memo": {"a": 1}})).await;
    let before = door.get(&format!("/runs/{id}")).await.ok();
    assert_eq!((&before["status"], &before["workflow_type"]), (&json!("running"), &json!("idle.v1")));
    assert_eq!((&before["memo"], &before["closed_at"]), (&json!({"a": 1}), &Value::Null));
    assert_eq!(before["task_queue"], format!("{}-nobody", world.queue));
    // The type has moved to another queue meanwhile.
    let moved = json!({"workflow_type": "idle.v1", "task_queue": format!("{}-moved", world.queue)});
    world.register("w1", &[moved]).await;
    let again = door.post(&format!("/runs/{id}/restart"), Value::Null).await.ok();
    assert_eq!(again["workflow_id"], id);
    assert_ne!(again["run_id"], before["run_id"]);
    let now = door.get(&format!("/runs/{id}")).await.ok();
    assert_eq!((&now["run_id"], &now["memo"]), (&again["run_id"], &json!({"a": 1})));
    assert_eq!(now["task_queue"], format!("{}-moved", world.queue));
    let run_id = before["run_id"].as_str().unwrap();
    let old = door.get(&format!("/runs/{id}?run_id={run_id}")).await.ok();
    assert_eq!((&old["status"], &old["run_id"]), (&json!("terminated"), &before["run_id"]));
    door.post(&format!("/runs/{id}/signals/x?run_id={run_id}"), Value::Null)
        .await
        .assert_problem("run_closed");

    assert_eq!(
        door.post(&format!("/runs/{id}/terminate"), json!({"reason": "over"})).await.status,
        StatusCode::ACCEPTED
    );
    let ended = door.get(&format!("/runs/{id}/result")).await.ok();
    assert_eq!(
        (&ended["status"], &ended["failure"]),
        (&json!("terminated"), &json!({"message": "over", "type": "terminated", "details": []}))
    );
    for path in ["", "/result", "/events"] {
        door.get(&format!("/runs/nobody-{id}{path}")).await.assert_problem("run_not_found");
    }
    world
        .submit(temporal_registry::registry::Command::Deregister { worker_id: "w1".into(), epoch: None })
        .await;
    door.post(&format!("/runs/{id}/restart"), Value::Null).await.assert_problem("no_healthy_worker");
}

/// Reads events until this many have come or the stream ends: (event, id, data).
pub async fn events(
    door: &Door,
    uri: &str,
    last: Option<&str>,
    count: usize,
) -> Vec<(String, String, Value)> {
    let mut request = Request::get(uri);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = door.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut body, mut text, mut found) = (response.into_body(), String::new(), Vec::new());
    while found.len() < count {
        let frame =
            tokio::time::timeout(Duration::from_secs(30), body.frame()).await.expect("an event in time");
        let Some(frame) = frame else { break };
        text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                let line = event.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim_start_matches([':', ' ']).to_owned()
            };
            if !field("event").is_empty() {
                let data = serde_json::from_str(&field("data")).unwrap();
                found.push((field("event"), field("id"), data));
            }
            text = rest.to_owned();
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_happen_and_are_resumed() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let id = start(door, "talk.v1", json!({})).await;
    let uri = format!("/runs/{id}/events");
    let first = events(door, &uri, None, 1).await;
    assert_eq!((first[0].0.as_str(), &first[0].2["status"]), ("status", &json!("running")));
    assert_eq!(first[0].2["type"], "workflow_execution_started");
    let rest = events(door, &uri, Some(&first[0].1), 10);
    let talk = async {
        for body in [json!({"n": 1}), json!({"n": 2})] {
            door.post(&format!("/runs/{id}/signals/add"), json!({"input": body})).await;
        }
        door.post(&format!("/runs/{id}/updates/plus"), json!({"input": {"n": 1}})).await.ok();
        door.post(&format!("/runs/{id}/signals/stop"), Value::Null).await;
    };
    let (rest, ()) = tokio::join!(rest, talk);
    let kinds: Vec<_> = rest.iter().map(|(_, _, data)| data["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "workflow_execution_signaled").count(), 3, "{kinds:?}");
    assert!(kinds.contains(&"workflow_execution_update_completed"), "{kinds:?}");
    let (name, last, data) = rest.last().unwrap();
    assert_eq!((name.as_str(), &data["status"]), ("status", &json!("completed")));
    // In the middle, and at the end.
    let middle = events(door, &uri, Some(&rest[1].1), 100).await;
    assert_eq!(middle, rest[2..]);
    let over = Request::get(&uri).header("last-event-id", last).body(Body::empty()).unwrap();
    assert_eq!(door.send(over).await.status, StatusCode::NO_CONTENT);
    let bad = Request::get(&uri).header("last-event-id", "x").body(Body::empty()).unwrap();
    door.send(bad).await.assert_problem("invalid_request");

    // Through continuations to the last run.
    let chain = start(door, "chain.v1", json!({"input": {"left": 2}})).await;
    door.get(&format!("/runs/{chain}/result?wait=60")).await.ok();
    let run = door.get(&format!("/runs/{chain}")).await.ok();
    let all = events(
        door,
        &format!("/runs/{chain}/events?run_id={}", run["first_run_id"].as_str().unwrap()),
        None,
        100,
    )
    .await;
    let statuses: Vec<_> = all.iter().filter_map(|(_, _, data)| data["status"].as_str()).collect();
    assert_eq!(
        statuses,
        ["running", "continued_as_new", "running", "continued_as_new", "running", "completed"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed() {
    let (world, _work) = at_work().await;
    let door = world.door();
    for _ in 0..3 {
        start(door, "idle.v1", json!({})).await;
    }
    door.post("/workflows/echo.v1/execute", json!({"input": {"ok": 1}})).await.ok();
    let ours = format!("query=TaskQueue%20STARTS_WITH%20'{}'", world.queue);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let all = door.get(&format!("/runs?{ours}")).await.ok();
        let runs = all["runs"].as_array().unwrap();
        let done = runs.iter().filter(|run| run["status"] == "completed").count();
        if (runs.len(), done) == (4, 1) {
            break;
        }
        assert!(Instant::now() < deadline, "{all}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let count = async |filter: &str| {
        let answer = door.get(&format!("/runs?{ours}&{filter}")).await.ok();
        answer["runs"].as_array().unwrap().len()
    };
    assert_eq!(count("workflow_type=idle.v1").await, 3);
    assert_eq!(count("workflow_type=idle.v1&status=completed").await, 0);
    assert_eq!(count("status=completed").await, 1);
    let (mut seen, mut token) = (0, String::new());
    loop {
        let page = door.get(&format!("/runs?{ours}&limit=2{token}")).await.ok();
        seen += page["runs"].as_array().unwrap().len();
        let Some(next) = page["next_page_token"].as_str() else { break };
        token = format!("&page_token={next}");
    }
    assert_eq!(seen, 4);
    for bad in ["status=odd", "limit=0", "page_token=!", "query=nonsense%20%3D%3D"] {
        door.get(&format!("/runs?{bad}")).await.assert_problem("invalid_request");
    }
}
