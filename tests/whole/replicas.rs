//! Two and three replicas on one Temporal: what one acknowledges the others see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

use crate::clients::Claimers;
use crate::harness::{Registry, Temporal, several, until, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_by_one_is_seen_by_the_others() {
    let temporal = Temporal::start().await;
    let replicas: [Registry; 3] = several(&temporal.address()).await;
    // The others write nothing yet, so that no answer to a write tells them.
    let quiet = json!({"workflow_type": "quiet.v1", "task_queue": "q"});
    replicas[0].must("/registry/workflows", &quiet).await;
    for other in &replicas[1..] {
        let seen = async || other.get("/registry/workflows/quiet.v1").await.status == 200;
        other.until("seen by who writes nothing", seen).await;
    }
    let beating = Arc::new(AtomicBool::new(true));
    let faithful = replicas[0].must("/registry/workers", &worker("faithful", "q", 5, &["faithful.v1"])).await;
    let registered = replicas[0].must("/registry/workers", &worker("spread", "q", 5, &["spread.v1"])).await;
    // The heartbeats of one worker, each to another replica; those of the other all to the same.
    let beats = {
        let (beating, epoch) = (beating.clone(), registered["epoch"].clone());
        let urls: Vec<String> = replicas.iter().map(|replica| replica.url.clone()).collect();
        tokio::spawn(async move {
            let http = reqwest::Client::new();
            let mut every = tokio::time::interval(Duration::from_millis(1_200));
            let mut sent = 0;
            while beating.load(Ordering::Relaxed) {
                every.tick().await;
                let url = format!("{}/registry/workers/spread/heartbeat", urls[sent % urls.len()]);
                let beat = http.post(url).json(&json!({"epoch": epoch})).send().await.expect("an answer");
                let beat: serde_json::Value = beat.json().await.expect("JSON");
                assert_eq!(beat["status"], "ack", "heartbeat {sent}: {beat}");
                let url = format!("{}/registry/workers/faithful/heartbeat", urls[0]);
                http.post(url).json(&json!({})).send().await.expect("an answer");
                sent += 1;
            }
            sent
        })
    };
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut round = 0;
    // Longer than the lease of the worker by half.
    while began.elapsed() < Duration::from_millis(7_500) {
        let writer = &replicas[round % 3];
        let (asked, named, patient) =
            (&replicas[(round + 1) % 3], &replicas[(round + 2) % 3], &replicas[(round + 1) % 3]);
        let path = |kind: &str| format!("/registry/workflows/{kind}-{round}.v1");
        let put = async |kind: &str| {
            let body = json!({"workflow_type": format!("{kind}-{round}.v1"), "task_queue": "q"});
            let put = writer.call(Method::PUT, &path(kind), Some(&body)).await;
            assert!(put.status.is_success(), "{}", put.body);
            put.headers["x-registry-revision"].clone()
        };
        put("asked").await;
        let seen = asked.get(&format!("{}?consistent=true", path("asked"))).await;
        assert_eq!(seen.status, 200, "with ?consistent=true: {}", seen.body);
        let revision = put("named").await;
        let request = named.http.get(format!("{}{}", named.url, path("named")));
        let seen = request.header("x-registry-revision", revision).send().await.expect("an answer");
        assert_eq!(seen.status(), 200, "with the revision of the write");
        put("patient").await;
        let written = Instant::now();
        until("seen without asking", Duration::from_secs(20), async || {
            patient.get(&path("patient")).await.status == 200
        })
        .await;
        slowest = slowest.max(written.elapsed());
        for replica in &replicas {
            let spread = replica.get("/registry/workers/spread").await.body;
            assert_eq!(spread["healthy"], true, "after {:?}: {spread}", began.elapsed());
        }
        round += 1;
    }
    beating.store(false, Ordering::Relaxed);
    println!(
        "{round} rounds, {} heartbeats; seen without asking within {slowest:?}",
        beats.await.expect("heartbeats")
    );
    for replica in &replicas {
        let last_seen =
            async || replica.get("/registry/workers/faithful").await.body["last_seen_epoch"].as_f64();
        let first_seen = faithful["last_seen_epoch"].as_f64();
        replica
            .until("heartbeats at one are told to the others", async || last_seen().await > first_seen)
            .await;
        let workers = replica.get("/registry/workers/spread?consistent=true").await.body;
        assert_eq!(workers["epoch"], registered["epoch"]);
    }
}

/// Temporal keeps one query at a time for a workflow that is at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consistent_reads_wait_their_turn() {
    let temporal = Temporal::start().await;
    let replicas: [Registry; 3] = several(&temporal.address()).await;
    let urls = replicas.iter().map(|replica| replica.url.clone()).collect();
    let claimers = Claimers::start(&Arc::new(watch::channel(urls).0), 12, 2);
    claimers.more(100).await;
    let reading = replicas.iter().map(async |replica| {
        for _ in 0..100 {
            let read = replica.get("/registry/workflows?consistent=true").await;
            assert_eq!(read.status, 200, "{}", read.body);
        }
    });
    futures::future::join_all(reading).await;
    claimers.checked().await;
}

/// Temporal keeps the tasks of a workflow for the replica that runs it, and would for ten seconds after that one died.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_registry_is_taken_over_at_once() {
    let temporal = Temporal::start().await;
    let mut replicas: Vec<Registry> = several::<2>(&temporal.address()).await.into();
    let mut slowest = Duration::ZERO;
    // From the second on it is the one that runs it that dies.
    for number in 1..=3 {
        let claimed = replicas[0].must("/workflow-ids/claim", &json!({"name": "idle"})).await;
        assert_eq!(claimed["counter"], number * 2 - 1);
        replicas.remove(0).kill().await;
        let began = Instant::now();
        let claimed = replicas[0].must("/workflow-ids/claim", &json!({"name": "idle"})).await;
        slowest = slowest.max(began.elapsed());
        assert_eq!(claimed["counter"], number * 2);
        replicas.push(Registry::start(&temporal.address()).await);
    }
    println!("taken over within {slowest:.2?}");
    assert!(slowest < Duration::from_secs(5), "taken over only after {slowest:?}");
}
