//! Many who wait for the end of a run.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::work::Work;
use super::world::{Door, World, until};

/// A world whose runs stay open, as nobody works on them.
pub async fn idle() -> World {
    let world = World::new(1).await;
    world.register("w1", &[json!({"workflow_type": "idle.v1"})]).await;
    world
}

pub async fn started(door: &Door) -> String {
    door.post("/workflows/idle.v1/start", json!({})).await.text("workflow_id")
}

/// Calls of one kind made to Temporal so far, by the meter.
pub fn calls(door: &Door, name: &str) -> u64 {
    let text = door.replica.metrics.render();
    let begin = format!("temporal_registry_temporal_calls_total{{call=\"{name}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&begin));
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_waiters_cost_one_long_poll() {
    let world = idle().await;
    let door = world.door();
    let id = started(door).await;
    let polls = calls(door, "GetWorkflowExecutionHistory");
    let begun = Instant::now();
    let mut waiters = JoinSet::new();
    for _ in 0..1_000 {
        let (door, uri) = (door.clone(), format!("/runs/{id}/result?wait=60"));
        waiters.spawn(async move { door.get(&uri).await.ok() });
    }
    // One of them has less time.
    let early = door.get(&format!("/runs/{id}/result?wait=1")).await;
    assert_eq!((early.status, &early.body["status"]), (StatusCode::ACCEPTED, &json!("running")));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    // A long poll that brings nothing is asked again after 20 s.
    let most = 1 + begun.elapsed().as_secs() / 15;
    let made = calls(door, "GetWorkflowExecutionHistory") - polls;
    assert!((1..=most).contains(&made), "{made} long polls in {:?}", begun.elapsed());
    assert_eq!(waiters.len(), 1_000);
    assert!(waiters.try_join_next().is_none(), "all of them wait");
    door.post(&format!("/runs/{id}/terminate"), Value::Null).await;
    let ended = Instant::now();
    let now = door.get(&format!("/runs/{id}/result")).await.ok();
    assert_eq!(now["status"], "terminated", "who looks now sees it, whatever the others know");
    while let Some(waiter) = waiters.join_next().await {
        assert_eq!(waiter.expect("a waiter")["status"], "terminated");
    }
    assert!(ended.elapsed() < Duration::from_secs(30), "{:?}", ended.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_that_leave_leave_nothing_behind() {
    let world = idle().await;
    let door = world.door();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(started(door).await);
    }
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let mut waiters = JoinSet::new();
    for at in 0..200 {
        let (door, uri) = (door.clone(), format!("/runs/{}/result?wait=300", ids[at % ids.len()]));
        waiters.spawn(async move { door.get(&uri).await });
    }
    // Each run is followed by a task of its own, beside the waiters.
    until("everybody waits", async || alive() >= before + 210).await;
    waiters.shutdown().await;
    // Others come and go; what the waiters brought has gone.
    until("nobody follows a run any more", async || alive() < before + 10).await;
    // Who comes next is served as if nobody had been there.
    for id in &ids {
        let next = door.get(&format!("/runs/{id}/result?wait=0")).await;
        assert_eq!((next.status, &next.body["status"]), (StatusCode::ACCEPTED, &json!("running")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_run_is_that_of_the_last_that_continues_it() {
    let world = World::new(1).await;
    let _work = Work::start(world.door().replica.link.clone(), &world.queue);
    world.register("w1", &[json!({"workflow_type": "chain.v1"})]).await;
    let door = world.door();
    let started = door.post("/workflows/chain.v1/start", json!({"input": {"left": 3}})).await.ok();
    let (id, first) = (started["workflow_id"].as_str().unwrap(), started["run_id"].as_str().unwrap());
    // Asked for by its first run, which was continued, and by its id.
    for query in [format!("run_id={first}&wait=60"), "wait=60".to_owned()] {
        let ended = door.get(&format!("/runs/{id}/result?{query}")).await.ok();
        assert_eq!((&ended["status"], &ended["result"]), (&json!("completed"), &json!("the end")), "{query}");
        assert_ne!(ended["run_id"], first, "{query}");
    }
    let continued = door.get(&format!("/runs/{id}?run_id={first}")).await.ok();
    assert_eq!(continued["status"], "continued_as_new");
}

/// However long it takes now and then on a busy machine, the best of a few shows what is waited for.
async fn best(door: &Door, uri: &str, body: Option<Value>, expected: (u16, &str)) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = match &body {
            Some(body) => door.post(uri, body.clone()).await,
            None => door.get(uri).await,
        };
        let told = answer.body["code"].as_str().or(answer.body["status"].as_str()).unwrap_or_default();
        assert_eq!((answer.status.as_u16(), told), expected, "{uri}: {answer:?}");
        assert!(begun.elapsed() >= Duration::from_secs(1), "{uri}: {:?}", begun.elapsed());
        best = best.min(begun.elapsed());
        if best < Duration::from_secs(2) {
            break;
        }
    }
    best
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wait_ends_within_a_second_of_its_time() {
    let world = idle().await;
    let door = world.door();
    let id = started(door).await;
    let table = [
        (format!("/runs/{id}/result?wait=1"), None, (202, "running")),
        ("/workflows/idle.v1/execute?wait=1".to_owned(), Some(json!({})), (202, "running")),
        (format!("/runs/{id}/updates/x?wait=1"), Some(json!({})), (504, "outcome_unknown")),
        (
            "/workflows/idle.v1/start".to_owned(),
            Some(json!({"target": {"host": "nowhere"}, "wait_for_worker_seconds": 1})),
            (503, "no_healthy_worker"),
        ),
    ];
    for (uri, body, expected) in table {
        let took = best(door, &uri, body, expected).await;
        println!("{uri}: {took:.2?}");
        assert!(took < Duration::from_secs(2), "{uri}: {took:?}");
    }
}
