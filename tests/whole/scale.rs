//! It never fills up, and idles cheaply.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Registry, Temporal, worker};

/// Memory that a replica may take, in bytes, beside that of the program itself: a release stays below 100 MiB in all.
const TAKEN_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Sends many requests, some at once; every answer must be a success.
async fn all(
    registry: &Arc<Registry>,
    count: usize,
    at_once: usize,
    request: impl Fn(usize) -> (String, Value),
) {
    let sent = futures::stream::iter((0..count).map(request)).for_each_concurrent(at_once, |(path, body)| {
        let registry = registry.clone();
        async move {
            let answer = registry.post(&path, &body).await;
            assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        }
    });
    sent.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_never_fills_up() {
    let temporal = Temporal::start().await;
    let registry = Arc::new(Registry::start(&temporal.address()).await);
    let longest = Arc::new(AtomicU64::new(0));
    let watched = {
        let (registry, longest) = (registry.clone(), longest.clone());
        tokio::spawn(async move {
            let mut runs = std::collections::BTreeSet::new();
            loop {
                let status = registry.get("/registry/status").await.body;
                longest.fetch_max(status["history_events"].as_u64().unwrap_or(0), Ordering::Relaxed);
                runs.insert(status["run_id"].as_str().unwrap_or("").to_owned());
                if longest.load(Ordering::Relaxed) == u64::MAX {
                    return runs;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    };
    let began = Instant::now();
    all(&registry, 50_000, 256, |n| {
        ("/workflow-ids/claim".into(), json!({"name": format!("job {}", n % 500)}))
    })
    .await;
    let claims = began.elapsed();
    // All were answered, so that each counted once, whatever run it met as that handed over.
    let counters = registry.get("/workflow-ids").await.body;
    let counters = counters["slug_counters"].as_array().expect("counters");
    assert_eq!(counters.len(), 500);
    let odd = counters.iter().find(|counter| counter["counter"] != 100);
    assert!(odd.is_none(), "{odd:?} instead of 100");
    let began = Instant::now();
    all(&registry, 20_000, 256, |n| {
        let (id, build) = (format!("w-{}", n % 1_000), n / 1_000);
        let mut body = worker(&id, &format!("q-{}", n % 10), 60, &[&format!("type-{}.v1", n % 100)]);
        body["version"] = json!(build.to_string());
        ("/registry/workers".into(), body)
    })
    .await;
    let registrations = began.elapsed();
    let began = Instant::now();
    all(&registry, 100_000, 256, |n| (format!("/registry/workers/w-{}/heartbeat", n % 1_000), json!({})))
        .await;
    let heartbeats = began.elapsed();

    registry.must("/workflow-ids/claim", &json!({"name": "job 0"})).await;
    registry.must("/registry/workers", &worker("one-more", "q", 60, &["one-more.v1"])).await;
    let beat = registry.must("/registry/workers/w-1/heartbeat", &json!({})).await;
    assert_eq!(beat["status"], "ack");
    let events = longest.swap(u64::MAX, Ordering::Relaxed);
    let runs = watched.await.expect("the watcher");
    println!(
        "50,000 claims in {claims:.1?}, 20,000 registrations in {registrations:.1?}, 100,000 heartbeats in \
         {heartbeats:.1?}; {} runs seen, longest {events} events, {} MiB taken",
        runs.len(),
        registry.taken_bytes() >> 20
    );
    assert!(runs.len() >= 3, "fewer than two hand-overs: {runs:?}");
    assert!(events < 10_000, "a run reached {events} events");
    assert!(registry.taken_bytes() < TAKEN_BYTES_MAX, "{} bytes taken", registry.taken_bytes());
}

/// A workflow task that takes longer than its timeout is tried again for ever, so that replaying must stay well below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_nearly_full_is_taken_over_in_time() {
    let temporal = Temporal::start().await;
    let registry = Arc::new(Registry::start(&temporal.address()).await);
    let run_id = registry.get("/registry/status").await.body["run_id"].clone();
    all(&registry, 19_000, 256, |n| {
        ("/workflow-ids/claim".into(), json!({"name": format!("job {}", n % 500)}))
    })
    .await;
    let full = registry.get("/registry/status").await.body;
    assert_eq!(full["run_id"], run_id, "handed over too early to prove anything");
    registry.kill_now();
    let began = Instant::now();
    let again = Registry::start(&temporal.address()).await;
    let taken = began.elapsed();
    println!("{} events with 19,000 commands taken over in {taken:.1?}", full["history_events"]);
    assert_eq!(again.get("/registry/status").await.body["run_id"], run_id);
    assert!(taken < Duration::from_secs(15), "taken over only after {taken:?}");
    assert_eq!(again.must("/workflow-ids/claim", &json!({"name": "job 0"})).await["counter"], 39);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_heartbeating_workers_cost_four_updates_a_minute() {
    let temporal = Temporal::start().await;
    let registry = Arc::new(Registry::start(&temporal.address()).await);
    all(&registry, 1_000, 64, |n| {
        ("/registry/workers".into(), worker(&format!("w-{n}"), "q", 60, &["t.v1"]))
    })
    .await;
    let batches = async || {
        let text = registry.http.get(format!("{}/metrics", registry.url)).send().await.expect("metrics");
        let text = text.text().await.expect("metrics");
        let line = text.lines().find(|line| line.starts_with("temporal_registry_ledger_batch_seconds_count"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).expect("the count of batches")
    };
    let before = batches().await;
    // One heartbeat each in every 20 s, spread evenly, for 60 s.
    let mut every = tokio::time::interval(Duration::from_millis(20));
    for n in 0..3_000 {
        every.tick().await;
        let beat = registry.must(&format!("/registry/workers/w-{}/heartbeat", n % 1_000), &json!({})).await;
        assert_eq!(beat["status"], "ack");
    }
    let made = batches().await - before;
    println!("{made} updates in a minute for 1,000 workers");
    assert!(made <= 4.0, "{made} updates in a minute");
    let healthy = registry.get("/registry/status").await.body["healthy_worker_count"].clone();
    assert_eq!(healthy, 1_000);
}
