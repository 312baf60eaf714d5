//! Any of three replicas may die at any time. In a program of its own, since beside other tests it would be their load that
//! is timed.

#[path = "whole/clients.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod clients;
#[path = "whole/harness.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clients::Claimers;
use harness::{Registry, Temporal, several, until, worker};
use tokio::sync::watch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_may_be_killed() {
    let temporal = Temporal::start().await;
    let replicas: [Registry; 3] = several(&temporal.address()).await;
    replicas[0].must("/registry/workers", &worker("kept", "q", 600, &["kept.v1"])).await;
    let mut replicas: Vec<Registry> = replicas.into();
    let urls = |replicas: &[Registry]| replicas.iter().map(|r| r.url.clone()).collect::<Vec<_>>();
    let places = Arc::new(watch::channel(urls(&replicas)).0);
    let claimers = Claimers::start(&places, 12, 2);
    claimers.more(200).await;
    let reads = Arc::new(AtomicU64::new(0));
    let mut resumed = Vec::new();
    // Each in turn, so that the one whose worker runs the registry workflow is among them more than once.
    for round in 0..4 {
        let victim = replicas.remove(0);
        // Reads of the others go on without a gap.
        let reading = Arc::new(AtomicBool::new(true));
        let readers: Vec<_> = replicas
            .iter()
            .map(|replica| {
                let (reading, reads) = (reading.clone(), reads.clone());
                let (http, url) = (replica.http.clone(), format!("{}/registry/workflows", replica.url));
                tokio::spawn(async move {
                    let mut slowest = Duration::ZERO;
                    while reading.load(Ordering::Relaxed) {
                        let asked = Instant::now();
                        let answer = http.get(&url).send().await.expect("an answer");
                        assert_eq!(answer.status(), 200);
                        let listed: serde_json::Value = answer.json().await.expect("JSON");
                        assert_eq!(listed["workflows"][0]["workflow_type"], "kept.v1");
                        slowest = slowest.max(asked.elapsed());
                        reads.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    slowest
                })
            })
            .collect();
        let before = reads.load(Ordering::Relaxed);
        until("reads run", Duration::from_secs(30), async || reads.load(Ordering::Relaxed) > before + 20)
            .await;
        places.send_replace(urls(&replicas));
        victim.kill().await;
        // More than were in flight: a write that was sent after the kill is among them.
        resumed.push(claimers.more(30).await);
        reading.store(false, Ordering::Relaxed);
        for reader in readers {
            let slowest = reader.await.expect("a reader");
            // Less than the workflow task lasts that the victim left: nothing waits for it.
            assert!(slowest < Duration::from_secs(2), "round {round}: a read took {slowest:?}");
        }
        replicas.push(Registry::start(&temporal.address()).await);
        places.send_replace(urls(&replicas));
        claimers.more(50).await;
    }
    let (numbers, retries) = claimers.checked().await;
    println!("{numbers} claims, {retries} retries, {reads:?} reads; writes resumed after {resumed:.2?}");
    let slowest = resumed.iter().max().expect("kills");
    // With Temporal's own times it would be ten seconds.
    assert!(*slowest < Duration::from_secs(5), "writes resumed only after {slowest:?}");
    for replica in &replicas {
        assert_eq!(replica.get("/registry/workers/kept").await.status, 200);
    }
}
