//! Temporal away, the registry restarted, shut down, terminated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use crate::clients::Claimers;
use crate::closed::cli;
use crate::harness::{Registry, Temporal, until, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_from_memory_while_temporal_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = Temporal::start_with(Some(folder.path().join("temporal.db"))).await;
    let address = temporal.address();
    let registry = Registry::start(&address).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    let calls = async || {
        let text = registry.http.get(format!("{}/metrics", registry.url)).send().await.expect("metrics");
        let text = text.text().await.expect("metrics");
        let counts = text.lines().filter(|line| line.starts_with("temporal_registry_temporal_calls_total"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let (before, began) = (calls().await, Instant::now());
    for _ in 0..500 {
        assert_eq!(registry.get("/registry/workflows").await.status, 200);
        assert_eq!(registry.get("/registry/workflows/kept.v1").await.status, 200);
    }
    // The replica looks at the registry a few times a second, whether anybody reads or not.
    let looks = began.elapsed().as_secs_f64() * 8.0 + 8.0;
    let made = calls().await - before;
    assert!(made <= looks, "{made} calls to Temporal for 1000 reads in {:?}", began.elapsed());

    let options = temporal.stop().await;
    let away = Instant::now();
    registry
        .until("the answers say how old they are", async || {
            let answer = registry.get("/registry/workflows").await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body["workflows"][0]["workflow_type"], "kept.v1");
            answer.headers.contains_key("x-registry-age-ms")
        })
        .await;
    let refused = registry.post("/workflow-ids/claim", &json!({"name": "n"})).await;
    assert!([503, 504].contains(&refused.status.as_u16()), "{} {}", refused.status, refused.body);
    assert!(away.elapsed() < Duration::from_secs(40), "the write was not answered in bounded time");
    registry.until("not ready", async || registry.get("/ready").await.status == 503).await;

    let _temporal = Temporal::again(options).await;
    registry.until("ready again", async || registry.get("/ready").await.status == 200).await;
    registry
        .until("writes are taken again", async || {
            registry.post("/workflow-ids/claim", &json!({"name": "n"})).await.status == 200
        })
        .await;
    assert_eq!(registry.get("/registry/workers/w").await.status, 200);
}

#[tokio::test]
async fn state_survives_a_restart_of_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = Temporal::start_with(Some(folder.path().join("temporal.db"))).await;
    let address = temporal.address();
    let registry = Registry::start(&address).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    registry.must("/workflow-ids/claim", &json!({"name": "kept"})).await;
    let status = registry.stop().await;
    assert!(status.success(), "SIGTERM ends the registry with {status}");
    let options = temporal.stop().await;
    let _temporal = Temporal::again(options).await;
    let registry = Registry::start(&address).await;
    assert_eq!(registry.get("/registry/workflows/kept.v1").await.status, 200);
    assert_eq!(registry.get("/registry/workers/w").await.status, 200);
    assert_eq!(
        registry.must("/workflow-ids/claim", &json!({"name": "kept"})).await["workflow_id"],
        "kept-r2"
    );
}

#[tokio::test]
async fn who_lapsed_while_no_replica_was_there_has_one_more_lease() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    registry.must("/registry/workers", &worker("unheard", "q", 5, &["unheard.v1"])).await;
    let lapsed = Instant::now() + Duration::from_secs(5);
    assert!(registry.stop().await.success());
    until("its lease has run out", Duration::from_secs(6), async || Instant::now() > lapsed).await;
    let registry = Registry::start(&temporal.address()).await;
    let up = Instant::now();
    let health = async || registry.get("/registry/workers/unheard").await.body["health"].clone();
    assert_eq!(health().await, "unknown");
    let started = registry.post("/workflows/unheard.v1/start", &json!({"name": "unheard"})).await;
    assert_eq!(started.status, 200, "{}", started.body);
    until("its time is over", Duration::from_secs(8), async || health().await == "unhealthy").await;
    assert!(up.elapsed() > Duration::from_secs(2), "{:?}", up.elapsed());
}

#[tokio::test]
async fn a_registry_that_was_shut_down_or_terminated_comes_back_with_its_state() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    registry.must("/workflow-ids/claim", &json!({"name": "kept"})).await;
    let before = registry.get("/registry/status").await.body;
    assert_eq!(registry.post("/registry/shutdown", &json!({})).await.status, 202);
    registry.until("not ready", async || registry.get("/ready").await.status == 503).await;
    assert!(registry.stop().await.success());
    let registry = Registry::start(&temporal.address()).await;
    let after = registry.get("/registry/status").await.body;
    assert_ne!(after["run_id"], before["run_id"]);
    assert_eq!(registry.get("/registry/workflows/kept.v1").await.status, 200);
    assert_eq!(
        registry.must("/workflow-ids/claim", &json!({"name": "kept"})).await["workflow_id"],
        "kept-r2"
    );

    let before = registry.get("/registry/status").await.body["run_id"].clone();
    let terminate = ["workflow", "terminate", "--workflow-id", "workflow-registry"];
    cli(&temporal.address(), &terminate).await;
    registry
        .until("ready again", async || {
            let after = registry.get("/registry/status").await.body["run_id"].clone();
            after != before && registry.get("/ready").await.status == 200
        })
        .await;
    assert_eq!(
        registry.must("/workflow-ids/claim", &json!({"name": "kept"})).await["workflow_id"],
        "kept-r3"
    );
    assert_eq!(registry.get("/registry/workers/w").await.status, 200);
    let _ = registry.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn temporal_restarts_under_writing_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = Temporal::start_with(Some(folder.path().join("temporal.db"))).await;
    let registry = Registry::start(&temporal.address()).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    let places = Arc::new(watch::channel(vec![registry.url.clone()]).0);
    let claimers = Claimers::start(&places, 16, 2);
    claimers.more(100).await;
    let mut temporal = temporal;
    for _ in 0..2 {
        let options = temporal.stop().await;
        temporal = Temporal::again(options).await;
        println!("100 claims {:?} after Temporal is back", claimers.more(100).await);
    }
    let (numbers, retries) = claimers.checked().await;
    println!("{numbers} claims, {retries} retries");
    assert_eq!(registry.get("/registry/workers/w?consistent=true").await.status, 200);
}
