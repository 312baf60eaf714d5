//! Runs that somebody has paused.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use temporalio_client::tonic::Request;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    PauseWorkflowExecutionRequest, UnpauseWorkflowExecutionRequest,
};

use super::runs::events;
use super::waiting::{calls, idle, started};
use super::world::{Door, until};

/// The call that waits for what comes next in a run.
const POLL: &str = "GetWorkflowExecutionHistory";

async fn pause(door: &Door, workflow_id: &str) {
    let link = &door.replica.link;
    let request = PauseWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_id: workflow_id.to_owned(),
        ..Default::default()
    };
    let mut service = link.service();
    service.pause_workflow_execution(Request::new(request)).await.expect("paused");
    let run = door.get(&format!("/runs/{workflow_id}")).await.ok();
    assert_eq!(run["status"], "paused");
}

async fn go_on(door: &Door, workflow_id: &str) {
    let link = &door.replica.link;
    let request = UnpauseWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_id: workflow_id.to_owned(),
        ..Default::default()
    };
    let mut service = link.service();
    service.unpause_workflow_execution(Request::new(request)).await.expect("no longer paused");
}

/// Since Temporal does not wait it is asked, but no more than once a second: of this many so far.
#[track_caller]
fn assert_at_leisure(door: &Door, before: u64, begun: Instant) {
    let made = calls(door, POLL) - before;
    assert!((1..=begun.elapsed().as_secs() + 2).contains(&made), "{made} in {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_is_waited_for_at_leisure() {
    let world = idle().await;
    let door = world.door();
    let id = started(door).await;
    pause(door, &id).await;
    let existing = json!({"workflow_id": id, "id_conflict_policy": "use_existing"});
    for body in [None, Some(existing)] {
        let (before, begun) = (calls(door, POLL), Instant::now());
        let answer = match body {
            None => door.get(&format!("/runs/{id}/result?wait=2")).await,
            Some(body) => door.post("/workflows/idle.v1/execute?wait=2", body).await,
        };
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (StatusCode::ACCEPTED, &json!("paused")),
            "{answer:?}"
        );
        assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_at_leisure(door, before, begun);
    }
    // Who began to wait then hears of the end.
    let uri = format!("/runs/{id}/result?wait=60");
    let before = calls(door, POLL);
    let (ended, ()) = tokio::join!(door.get(&uri), async {
        until("it is waited for", async || calls(door, POLL) > before).await;
        go_on(door, &id).await;
        door.post(&format!("/runs/{id}/terminate"), Value::Null).await;
    });
    assert_eq!(ended.ok()["status"], "terminated");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_paused_run_go_on() {
    let world = idle().await;
    let door = world.door();
    let id = started(door).await;
    pause(door, &id).await;
    let uri = format!("/runs/{id}/events");
    let told = |events: &[(String, String, Value)]| -> Vec<Value> {
        events.iter().map(|(_, _, data)| data["status"].clone()).filter(|status| !status.is_null()).collect()
    };
    let first = events(door, &uri, None, 2).await;
    assert_eq!(told(&first), ["running", "paused"]);
    let (before, begun) = (calls(door, POLL), Instant::now());
    let rest = events(door, &uri, Some(&first[1].1), 100);
    let act = async {
        until("it is asked for more", async || calls(door, POLL) >= before + 3).await;
        assert_at_leisure(door, before, begun);
        go_on(door, &id).await;
        door.post(&format!("/runs/{id}/terminate"), Value::Null).await;
    };
    let (rest, ()) = tokio::join!(rest, act);
    assert_eq!(told(&rest), ["running", "terminated"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_steps_over_a_paused_run() {
    let world = idle().await;
    let door = world.door();
    let name = &world.queue;
    for (number, route) in [(1, "start"), (3, "signal-with-start")] {
        let id = format!("{name}-r{number}");
        door.post("/workflows/idle.v1/start", json!({"workflow_id": id})).await.ok();
        pause(door, &id).await;
        let events = door.get(&format!("/runs/{id}")).await.ok()["history_events"].clone();
        let body = match route {
            "start" => json!({"name": name}),
            _ => json!({"name": name, "signal": {"name": "s"}}),
        };
        let run = door.post(&format!("/workflows/idle.v1/{route}"), body).await.ok();
        let expected = format!("{name}-r{}", number + 1);
        assert_eq!((&run["workflow_id"], &run["created"]), (&json!(expected), &json!(true)), "{route}");
        assert_eq!(door.get(&format!("/runs/{id}")).await.ok()["history_events"], events, "it was signalled");
    }
}
