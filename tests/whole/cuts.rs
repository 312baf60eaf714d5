//! The way to Temporal is cut, slow, stalled, gone for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use crate::clients::{ANSWERED_WITHIN, Claimers, SHORT_DEADLINE, settle};
use crate::harness::{Registry, Temporal, until, worker};
use crate::link::{Link, Way};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_are_exact_whatever_becomes_of_the_link() {
    let temporal = Temporal::start().await;
    let link = Link::to(&temporal.address()).await;
    let registry = Registry::start_with(&link.address, &[SHORT_DEADLINE]).await;
    let places = Arc::new(watch::channel(vec![registry.url.clone()]).0);
    let claimers = Claimers::start(&places, 16, 2);
    for _ in 0..4 {
        claimers.more(40).await;
        link.cut();
    }
    link.set(Way::Slow(Duration::from_millis(30)));
    claimers.more(40).await;
    for away in [Way::Stalled, Way::Gone] {
        link.set(away);
        until("answers say how old they are", Duration::from_secs(30), async || {
            let began = Instant::now();
            let answer = registry.get("/workflow-ids").await;
            assert_eq!(answer.status, 200, "{away:?}: reads go on");
            assert!(began.elapsed() < Duration::from_secs(5), "{away:?}: a read took {:?}", began.elapsed());
            let age = answer.headers.get("x-registry-age-ms").and_then(|age| age.to_str().ok()?.parse().ok());
            age.is_some_and(|age: u64| age > 3_000)
        })
        .await;
        let began = Instant::now();
        let refused = registry.post("/workflow-ids/claim", &json!({"name": "other"})).await;
        assert!([503, 504].contains(&refused.status.as_u16()), "{} {}", refused.status, refused.body);
        assert!(began.elapsed() < ANSWERED_WITHIN, "a write was answered after {:?}", began.elapsed());
        link.set(Way::Open);
        println!("{away:?} and back: 40 claims after {:?}", claimers.more(40).await);
    }
    let (numbers, retries) = claimers.checked().await;
    println!("{numbers} claims, {retries} retries");
    assert!(retries > 0, "nothing was ever unanswered: the link was not bad enough");
    registry.until("ready again", async || registry.get("/ready").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_and_starts_settle_once() {
    let temporal = Temporal::start().await;
    let link = Arc::new(Link::to(&temporal.address()).await);
    let registry = Registry::start_with(&link.address, &[SHORT_DEADLINE]).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["job.v1"])).await;
    let places = Arc::new(watch::channel(vec![registry.url.clone()]).0);
    let client = |client: usize| {
        let places = places.clone();
        tokio::spawn(async move {
            let http = reqwest::Client::new();
            let mut started = Vec::new();
            for n in 0..8 {
                let (key, id) = (format!("start-{client}-{n}"), format!("w-{client}-{n}"));
                let body = worker(&id, "q", 600, &["job.v1"]);
                let registered = settle(&http, &places, "/registry/workers", &body, &key).await.body;
                assert_eq!(registered["worker_id"], json!(id));
                let body = json!({"name": "job", "input": {}});
                let run = settle(&http, &places, "/workflows/job.v1/start", &body, &key).await.body;
                let again = settle(&http, &places, "/workflows/job.v1/start", &body, &key).await.body;
                assert_eq!((&again["run_id"], &again["created"]), (&run["run_id"], &json!(false)));
                started.push(run["workflow_id"].as_str().expect("an id").to_owned());
            }
            started
        })
    };
    let clients: Vec<_> = (0..6).map(client).collect();
    let disturbed = tokio::spawn({
        let link = link.clone();
        async move {
            // As it goes for real: at no particular moment.
            for (way, for_ms) in
                [(Way::Open, 300), (Way::Gone, 400), (Way::Open, 300), (Way::Stalled, 2_500), (Way::Open, 0)]
            {
                link.set(way);
                link.cut();
                tokio::time::sleep(Duration::from_millis(for_ms)).await;
            }
        }
    });
    let mut started = Vec::new();
    for client in clients {
        started.extend(client.await.expect("a client"));
    }
    disturbed.await.expect("the disturbance");
    let told = started.len();
    started.sort();
    started.dedup();
    assert_eq!(started.len(), told, "two starts were given one run");
    registry
        .until("Temporal lists one run for each start", async || {
            let listed = registry.get("/runs?workflow_type=job.v1&limit=200").await.body;
            let runs = listed["runs"].as_array().map_or(0, Vec::len);
            assert!(runs <= told, "{runs} runs for {told} starts");
            runs == told
        })
        .await;
    let workers = registry.get("/registry/workers?consistent=true").await.body;
    assert_eq!(workers["workers"].as_array().map(Vec::len), Some(6 * 8 + 1));
}

async fn counter(registry: &Registry, slug: &str) -> u64 {
    let counters = registry.get("/workflow-ids?consistent=true").await.body;
    let all = counters["slug_counters"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|counter| counter["slug"] == slug);
    found.and_then(|found| found["counter"].as_u64()).unwrap_or(0)
}

/// No key is sent along: that a batch is sent again until it is answered, and counts once, is the registry's own doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_answer_is_lost_counts_once() {
    let temporal = Temporal::start().await;
    // As long as it takes to fill a run, on any machine.
    let patient = [
        ("TEMPORAL_REGISTRY__LIMITS__WRITE_DEADLINE_SECONDS", "180"),
        ("TEMPORAL_REGISTRY__SERVER__REQUEST_TIMEOUT_SECONDS", "180"),
    ];
    // The first to come runs the registry workflow, and nothing is wrong with its link.
    let near = Arc::new(Registry::start_with(&temporal.address(), &patient).await);
    let link = Link::to(&temporal.address()).await;
    let far = Arc::new(Registry::start_with(&link.address, &patient).await);
    let claim = |of: &Arc<Registry>, slug: &'static str| {
        let registry = of.clone();
        tokio::spawn(async move {
            let claimed = registry.must("/workflow-ids/claim", &json!({"name": slug})).await;
            claimed["counter"].as_u64().expect("a number")
        })
    };
    let places = watch::channel(vec![near.url.clone()]).0;
    let keyed = async || {
        settle(&near.http, &places, "/workflow-ids/claim", &json!({"name": "kept"}), "kept").await.body
    };
    let kept = keyed().await;
    let mut told = Vec::new();
    for is_handed_over in [false, true] {
        link.set(Way::Mute);
        let waiting: Vec<_> = (0..8).map(|_| claim(&far, "lost")).collect();
        let before = told.len() as u64;
        until("a batch is applied and not answered", Duration::from_secs(30), async || {
            counter(&near, "lost").await > before
        })
        .await;
        if is_handed_over {
            let run_id = async || near.get("/registry/status").await.body["run_id"].clone();
            let first = run_id().await;
            until("a hand-over", Duration::from_secs(120), async || {
                let many: Vec<_> = (0..256).map(|_| claim(&near, "filler")).collect();
                futures::future::try_join_all(many).await.expect("claims");
                run_id().await != first
            })
            .await;
            assert_eq!(keyed().await, kept, "a key is good beyond a hand-over");
        }
        link.cut();
        link.set(Way::Open);
        told.extend(futures::future::try_join_all(waiting).await.expect("every claim is answered"));
    }
    told.sort_unstable();
    assert_eq!(told, (1..=16).collect::<Vec<u64>>(), "numbers were skipped or given twice");
    assert_eq!(counter(&far, "lost").await, 16);
}

/// Left to itself the SDK polls ever less often while Temporal is away, and so for some time after.
#[tokio::test]
async fn writes_go_on_soon_after_temporal_was_away() {
    let temporal = Temporal::start().await;
    let link = Link::to(&temporal.address()).await;
    let registry = Registry::start_with(&link.address, &[SHORT_DEADLINE]).await;
    let claim = async || registry.post("/workflow-ids/claim", &json!({"name": "n"})).await.status == 200;
    assert!(claim().await);
    link.set(Way::Gone);
    // The fault itself: long enough for pauses that double to reach six seconds.
    tokio::time::sleep(Duration::from_secs(14)).await;
    link.set(Way::Open);
    let back = Instant::now();
    registry.until("a write is taken", claim).await;
    assert!(back.elapsed() < Duration::from_secs(4), "writes went on only after {:?}", back.elapsed());
}
