//! Workflow ids: exact under concurrency, kills and hand-overs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Registry, Temporal};

/// Claims from many clients until told to stop; gives every number that was acknowledged.
async fn claim_from(
    registry: &Arc<Registry>,
    clients: usize,
    name: &str,
    stop: &Arc<AtomicBool>,
) -> Vec<u64> {
    let one = |_| {
        let (registry, name, stop) = (registry.clone(), name.to_owned(), stop.clone());
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let request = registry.http.post(format!("{}/workflow-ids/claim", registry.url));
                let answer = request.json(&json!({"name": name})).send().await;
                // A registry that was killed answers no more: what it acknowledged before is what counts.
                let Ok(answer) = answer else { break };
                let status = answer.status();
                let Ok(body) = answer.json::<serde_json::Value>().await else { break };
                assert!(status.is_success(), "{status} {body}");
                numbers.push(body["counter"].as_u64().expect("a number"));
            }
            numbers
        })
    };
    let tasks: Vec<_> = (0..clients).map(one).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("a client"));
    }
    all.sort_unstable();
    all
}

async fn for_a_while(registry: &Arc<Registry>, clients: usize, name: &str, seconds: u64) -> Vec<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let ender = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        ender.store(true, Ordering::Relaxed);
    });
    claim_from(registry, clients, name, &stop).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_are_exactly_one_to_n() {
    let temporal = Temporal::start().await;
    let registry = Arc::new(Registry::start(&temporal.address()).await);
    let mut rates = Vec::new();
    for clients in [1, 32, 512] {
        let began = Instant::now();
        let numbers = for_a_while(&registry, clients, &format!("n {clients}"), 3).await;
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{clients} clients");
        rates.push(numbers.len() as f64 / began.elapsed().as_secs_f64());
    }
    println!("claims/s at 1, 32, 512 clients: {rates:.0?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_number_is_given_again_after_a_kill() {
    let temporal = Temporal::start().await;
    let registry = Arc::new(Registry::start(&temporal.address()).await);
    registry.must("/registry/workers", &crate::harness::worker("w", "q", 60, &["kept.v1"])).await;
    let stop = Arc::new(AtomicBool::new(false));
    let claiming = tokio::spawn({
        let (registry, stop) = (registry.clone(), stop.clone());
        async move { claim_from(&registry, 64, "under fire", &stop).await }
    });
    let read = registry.clone();
    registry
        .until("some claims are through", async || {
            let counters = read.get("/workflow-ids").await.body;
            counters["slug_counters"][0]["counter"].as_u64().is_some_and(|counter| counter > 2_000)
        })
        .await;
    drop(read);
    // The clients hold the other handles: kill by process id, as an operator would.
    registry.kill_now();
    let before = claiming.await.expect("the claiming clients");
    let highest = *before.last().expect("claims before the kill");
    let mut unique = before.clone();
    unique.dedup();
    assert_eq!(unique.len(), before.len(), "a number was given twice before the kill");

    let again = Arc::new(Registry::start(&temporal.address()).await);
    let after = for_a_while(&again, 64, "under fire", 2).await;
    assert!(after[0] > highest, "{} was given again, {highest} was acknowledged before the kill", after[0]);
    let spread: Vec<u64> = (after[0]..after[0] + after.len() as u64).collect();
    assert_eq!(after, spread, "numbers after the restart have gaps or repeats");
    assert_eq!(again.get("/registry/workflows/kept.v1").await.status, 200);
    assert_eq!(again.get("/registry/workers/w").await.status, 200);
}

#[tokio::test]
async fn bad_names_are_answered_at_once() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    let long = "x".repeat(200);
    for name in ["@@@", "", "   ", "---", long.as_str()] {
        let began = Instant::now();
        let answer = registry.post("/workflow-ids/claim", &json!({"name": name})).await;
        assert_eq!(answer.status, 400, "{name:?}: {}", answer.body);
        assert!(began.elapsed() < Duration::from_secs(1), "{name:?} took {:?}", began.elapsed());
    }
    for (name, expected) in
        [("Tui Build!", "tui-build-r1"), ("tui_build", "tui-build-r2"), ("TUI-Build", "tui-build-r3")]
    {
        assert_eq!(
            registry.must("/workflow-ids/claim", &json!({"name": name})).await["workflow_id"],
            expected
        );
    }
    let reset = registry.must("/workflow-ids/reset", &json!({"name": "tui build"})).await;
    assert_eq!(reset, json!({"slug": "tui-build", "previous_counter": 3, "reset_to": 0}));
    assert_eq!(registry.must("/workflow-ids/claim", &json!({"name": "tui build"})).await["counter"], 1);
}
