//! Clients that wait, over real connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Registry, Temporal, worker};
use crate::link::{Link, Way};

const WAITERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_hear_of_the_end_and_nobody_waits_longer_than_asked_to() {
    let temporal = Temporal::start().await;
    let link = Link::to(&temporal.address()).await;
    let registry = Arc::new(Registry::start(&link.address).await);
    registry.must("/registry/workers", &worker("w", "nobody", 600, &["idle.v1"])).await;
    registry.must("/workflows/idle.v1/start", &json!({"workflow_id": "idle"})).await;

    let mut waiters = JoinSet::new();
    for _ in 0..WAITERS {
        let registry = registry.clone();
        waiters.spawn(async move {
            let ended = registry.get("/runs/idle/result?wait=50").await;
            (ended.status.as_u16(), ended.body["status"].clone(), Instant::now())
        });
    }
    // All the others were sent before this one.
    let early = registry.get("/runs/idle/result?wait=2").await;
    assert_eq!((early.status.as_u16(), &early.body["status"]), (202, &json!("running")));
    assert!(waiters.try_join_next().is_none(), "all of them wait");
    registry.must("/runs/idle/terminate", &Value::Null).await;
    let ended = Instant::now();
    let mut latest = Duration::ZERO;
    while let Some(waiter) = waiters.join_next().await {
        let (status, told, at) = waiter.expect("a waiter");
        assert_eq!((status, told), (200, json!("terminated")));
        latest = latest.max(at.saturating_duration_since(ended));
    }
    println!("{WAITERS} waiters were answered within {latest:.2?} of the end");
    assert!(latest < Duration::from_secs(15), "the last was answered after {latest:?}");

    // A Temporal that does not answer keeps nobody longer than they asked to wait: the best of a few shows it.
    registry.must("/workflows/idle.v1/start", &json!({"workflow_id": "more"})).await;
    link.set(Way::Stalled);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let answer = registry.get("/runs/more/result?wait=2").await;
        let told = (answer.status.as_u16(), answer.body["code"].as_str().unwrap_or_default());
        assert_eq!(told, (503, "temporal_unavailable"), "{}", answer.body);
        best = best.min(began.elapsed());
        if best < Duration::from_secs(3) {
            break;
        }
    }
    println!("a wait of 2 s without Temporal: {best:.2?}");
    assert!((Duration::from_secs(2)..Duration::from_secs(3)).contains(&best), "{best:?}");
    link.set(Way::Open);
}
