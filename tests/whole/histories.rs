//! What clients did and were told while replicas were killed and links cut, checked afterwards: it must look as if there had
//! been one registry, doing one thing after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clients::{ANSWERED_WITHIN, Claimers, Places, SHORT_DEADLINE};
use crate::harness::{Registry, Temporal, until};
use crate::link::{Link, Way};

const TYPES: usize = 3;

/// What happened to one type: a version was put or read.
#[derive(Clone, Copy, Debug)]
struct Happened {
    version: u64,
    began: Instant,
    ended: Instant,
}

#[derive(Default)]
struct History {
    puts: BTreeMap<usize, Vec<Happened>>,
    reads: BTreeMap<usize, Vec<Happened>>,
}

fn path(of: usize) -> String {
    format!("/registry/workflows/version-{of}.v1")
}

/// Puts one version after the other of a type of its own, each until it is acknowledged, always at the same replica: one
/// that told nothing may still apply it.
async fn writer(
    of: usize,
    places: Arc<Places>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> Vec<Happened> {
    let (http, mut puts) = (reqwest::Client::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let (version, began) = (puts.len() as u64 + 1, Instant::now());
        let body = json!({
            "workflow_type": format!("version-{of}.v1"), "task_queue": "q", "version": version.to_string(),
        });
        loop {
            let home = places.borrow()[of % 2].clone();
            let put = http.put(format!("{home}{}", path(of))).json(&body).timeout(ANSWERED_WITHIN);
            match put.send().await {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => assert!([503, 504].contains(&answer.status().as_u16()), "{answer:?}"),
                Err(error) => assert!(!error.is_timeout(), "a put was not answered: {error:?}"),
            }
            assert!(began.elapsed() < Duration::from_secs(120), "a put does not settle");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        puts.push(Happened { version, began, ended: Instant::now() });
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    puts
}

/// Reads every type in turn, at every replica in turn, and keeps what was answered.
async fn reader(places: Arc<Places>, stop: Arc<AtomicBool>) -> Vec<(usize, Happened)> {
    let (http, mut reads, mut turn) = (reqwest::Client::new(), Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let (of, place) = (turn % TYPES, places.borrow()[turn / TYPES % 2].clone());
        let began = Instant::now();
        let get = http.get(format!("{place}{}?consistent=true", path(of))).timeout(ANSWERED_WITHIN);
        match get.send().await {
            Ok(answer) if answer.status() == 200 => {
                let Ok(body) = answer.json::<Value>().await else { continue };
                let version = body["version"].as_str().and_then(|v| v.parse().ok()).expect("a version");
                reads.push((of, Happened { version, began, ended: Instant::now() }));
            }
            Ok(answer) => assert!([404, 503].contains(&answer.status().as_u16()), "{answer:?}"),
            Err(error) => {
                assert!(!error.is_timeout(), "a read was not answered: {error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    reads
}

/// One writer puts versions in order, so that every read has a lowest and a highest version it may tell.
fn check(history: &History) {
    for (of, reads) in &history.reads {
        let puts = &history.puts[of];
        for read in reads {
            let lowest = puts.iter().filter(|put| put.ended < read.began).map(|put| put.version).max();
            let highest = puts.iter().filter(|put| put.began < read.ended).map(|put| put.version).max();
            let (lowest, highest) = (lowest.unwrap_or(0), highest.unwrap_or(0));
            assert!(read.version >= lowest, "type {of}: {read:?}, but {lowest} was acknowledged before");
            assert!(read.version <= highest, "type {of}: {read:?}, but {highest} was the last asked for");
        }
        let mut by_end: Vec<&Happened> = reads.iter().collect();
        by_end.sort_by_key(|read| read.ended);
        for (at, later) in reads.iter().enumerate() {
            let seen = by_end.partition_point(|read| read.ended < later.began);
            let earlier = by_end[..seen].iter().map(|read| read.version).max().unwrap_or(0);
            assert!(later.version >= earlier, "type {of}, read {at}: {later:?} after {earlier} was read");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_looks_like_one_registry_under_kills_and_cuts() {
    let temporal = Temporal::start().await;
    let links = [Link::to(&temporal.address()).await, Link::to(&temporal.address()).await];
    let start = async |at: usize| Registry::start_with(&links[at].address, &[SHORT_DEADLINE]).await;
    let mut replicas = vec![start(0).await, start(1).await];
    let urls = |replicas: &[Registry]| replicas.iter().map(|r| r.url.clone()).collect::<Vec<_>>();
    let places = Arc::new(watch::channel(urls(&replicas)).0);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..TYPES)
        .map(|of| tokio::spawn(writer(of, places.clone(), stop.clone(), acknowledged.clone())))
        .collect();
    let readers: Vec<_> = (0..3).map(|_| tokio::spawn(reader(places.clone(), stop.clone()))).collect();
    let claimers = Claimers::start(&places, 6, 2);
    let go_on = async || {
        let before = acknowledged.load(Ordering::Relaxed);
        let more = async || acknowledged.load(Ordering::Relaxed) >= before + 30;
        until("more puts are acknowledged", Duration::from_secs(60), more).await;
        claimers.more(30).await;
    };
    go_on().await;
    for round in 0..2 {
        links[round].cut();
        go_on().await;
        replicas[round].kill_now();
        replicas[round] = start(round).await;
        places.send_replace(urls(&replicas));
        go_on().await;
        links[1 - round].set(Way::Stalled);
        // Longer than the deadline of a write, so that some outcomes are unknown.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        links[1 - round].set(Way::Open);
        go_on().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut history = History::default();
    for (of, writer) in writers.into_iter().enumerate() {
        history.puts.insert(of, writer.await.expect("a writer"));
    }
    for reader in readers {
        for (of, read) in reader.await.expect("a reader") {
            history.reads.entry(of).or_default().push(read);
        }
    }
    let (numbers, retries) = claimers.checked().await;
    check(&history);
    let (puts, reads): (usize, usize) =
        (history.puts.values().map(Vec::len).sum(), history.reads.values().map(Vec::len).sum());
    println!("{puts} puts, {reads} reads, {numbers} claims with {retries} retries, in order");
    assert!(reads > 50, "too few reads to prove anything");
    for (of, puts) in &history.puts {
        let now = replicas[0].get(&format!("{}?consistent=true", path(*of))).await.body;
        assert_eq!(now["version"], puts.len().to_string(), "the last acknowledged is what is read");
    }
}
