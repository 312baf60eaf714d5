//! The registry workflow closed from outside, deleted, or started by somebody who has no state to give.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::clients::SHORT_DEADLINE;
use crate::harness::{Registry, Temporal, until, worker};
use crate::link::{Link, Way};

const AGAIN: &str = "started it again with";
const GAVE: &str = "gave it the one of before";

/// The Temporal CLI, which must succeed.
pub async fn cli(address: &str, arguments: &[&str]) {
    assert!(cli_succeeds(address, arguments).await, "temporal {arguments:?}");
}

async fn cli_succeeds(address: &str, arguments: &[&str]) -> bool {
    let program = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    let mut command = Command::new(program);
    command.args(arguments).args(["--address", address]).stdout(std::process::Stdio::null());
    command.status().await.expect("the Temporal CLI runs").success()
}

/// How often this is said in these logs.
fn said(logs: &[&Path], what: &str) -> usize {
    let of = |log: &&Path| std::fs::read_to_string(log).expect("a log").matches(what).count();
    logs.iter().map(of).sum()
}

async fn claim(registry: &Registry, expected: &str) {
    let claimed = registry.must("/workflow-ids/claim", &json!({"name": "kept"})).await;
    assert_eq!(claimed["workflow_id"], expected);
}

async fn run_id(registry: &Registry) -> String {
    registry.get("/registry/status").await.body["run_id"].as_str().expect("a run id").to_owned()
}

async fn ready_in_another_run(registry: &Registry, before: &str) {
    until("ready in another run", Duration::from_secs(60), async || {
        run_id(registry).await != before && registry.get("/ready").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_replicas_restarts_it_with_its_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = Temporal::start().await;
    let address = temporal.address();
    let (log_a, log_b) = (folder.path().join("a.log"), folder.path().join("b.log"));
    let logs = [log_a.as_path(), log_b.as_path()];
    let links = [Link::to(&address).await, Link::to(&address).await];
    let three = [("TEMPORAL_REGISTRY__SLUGS__MAX_ENTRIES", "3")];
    let a = Registry::start_logging(&links[0].address, &three, &log_a).await;
    let b = Registry::start_logging(&links[1].address, &three, &log_b).await;
    a.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    claim(&a, "kept-r1").await;
    let epoch = a.get("/registry/workers/w").await.body["epoch"].clone();

    // Nobody writes: the replicas see it by themselves, and both in the same moment.
    let before = run_id(&a).await;
    links.iter().for_each(|link| link.set(Way::Stalled));
    for replica in [&a, &b] {
        let asks = async || replica.get("/workflow-ids").await.headers.contains_key("x-registry-age-ms");
        replica.until("it waits for an answer", asks).await;
    }
    cli(&address, &["workflow", "terminate", "--workflow-id", "workflow-registry"]).await;
    links.iter().for_each(|link| link.set(Way::Open));
    ready_in_another_run(&a, &before).await;
    ready_in_another_run(&b, &before).await;
    assert_eq!(said(&logs, AGAIN), 1, "exactly one restarts it and says so");
    claim(&b, "kept-r2").await;
    assert_eq!(a.get("/registry/workers/w?consistent=true").await.body["epoch"], epoch);
    // The bounds are those it had.
    for name in ["one", "two", "kept", "three"] {
        b.must("/workflow-ids/claim", &json!({"name": name})).await;
    }
    let slugs = b.get("/workflow-ids").await.body["slug_counters"].clone();
    let slugs: Vec<_> = slugs.as_array().expect("counters").iter().map(|one| one["slug"].clone()).collect();
    assert_eq!(slugs, ["kept", "three", "two"]);

    // With its history gone, what they have seen is all there is: whichever of them starts it again.
    let has_seen = async || a.get("/workflow-ids").await.body["slug_counters"][1]["slug"] == "three";
    a.until("it has seen what was written through the other", has_seen).await;
    let before = run_id(&a).await;
    cli(&address, &["workflow", "delete", "--workflow-id", "workflow-registry", "--yes"]).await;
    ready_in_another_run(&a, &before).await;
    ready_in_another_run(&b, &before).await;
    assert_eq!(said(&logs, AGAIN), 2, "exactly one restarts it and says so");
    claim(&a, "kept-r4").await;
    claim(&b, "kept-r5").await;
    for replica in [&a, &b] {
        let of_w = replica.get("/registry/workers/w?consistent=true").await.body;
        assert_eq!((&of_w["epoch"], &of_w["healthy"]), (&epoch, &json!(true)));
        assert_eq!(replica.get("/registry/workflows/kept.v1").await.status, 200);
    }
    let beat = b.must("/registry/workers/w/heartbeat", &json!({"epoch": epoch})).await;
    assert_eq!(beat["status"], "ack");
}

/// As a client of the reference system does: it starts the registry when it does not run, with no argument.
async fn start_with_no_input(address: &str) {
    let arguments =
        ["workflow", "start", "--workflow-id", "workflow-registry", "--type", "temporal-registry.v1"];
    let arguments = [&arguments[..], &["--task-queue", "registry-service"]].concat();
    // A dev server that answers may not know its services for another moment.
    until("started", Duration::from_secs(30), async || cli_succeeds(address, &arguments).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_started_with_no_state_is_given_the_last_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = Temporal::start().await;
    let address = temporal.address();
    let (log_a, log_b) = (folder.path().join("a.log"), folder.path().join("b.log"));
    // Before there is any replica, or any state.
    start_with_no_input(&address).await;
    let a = Registry::start_logging(&address, &[], &log_a).await;
    let b = Registry::start_logging(&address, &[], &log_b).await;
    a.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    claim(&a, "kept-r1").await;

    // Beside two replicas that know the state.
    let before = run_id(&a).await;
    assert_eq!(a.post("/registry/shutdown", &json!({})).await.status, 202);
    a.until("not ready", async || a.get("/ready").await.status == 503).await;
    let said_before = said(&[&log_a, &log_b], GAVE);
    start_with_no_input(&address).await;
    signal(&address, r#"{"worker_id":"early","task_queue":"q","ttl_seconds":600,"workflows":[]}"#).await;
    ready_in_another_run(&a, &before).await;
    ready_in_another_run(&b, &before).await;
    assert_eq!(said(&[&log_a, &log_b], GAVE), said_before + 1, "exactly one gives the state and says so");
    claim(&b, "kept-r2").await;
    for replica in [&a, &b] {
        assert_eq!(replica.get("/registry/workers/w?consistent=true").await.status, 200);
        // What was signalled before the state was there is not lost.
        assert_eq!(replica.get("/registry/workers/early").await.status, 200);
    }

    // With nobody there who knows it.
    assert_eq!(a.post("/registry/shutdown", &json!({})).await.status, 202);
    a.until("not ready", async || a.get("/ready").await.status == 503).await;
    assert!(a.stop().await.success() && b.stop().await.success());
    start_with_no_input(&address).await;
    let log_c = folder.path().join("c.log");
    let c = Registry::start_logging(&address, &[], &log_c).await;
    assert_eq!(said(&[&log_c], GAVE), 1);
    claim(&c, "kept-r3").await;
    assert_eq!(c.get("/registry/workers/w").await.status, 200);
    assert_eq!(c.get("/registry/workers/early").await.status, 200);
}

async fn signal(address: &str, registration: &str) {
    let arguments = ["workflow", "signal", "--workflow-id", "workflow-registry", "--name", "register_worker"];
    cli(address, &[&arguments[..], &["--input", registration]].concat()).await;
}

/// As after a step back to an earlier release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_of_a_newer_release_is_refused_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = Temporal::start().await;
    let address = temporal.address();
    let log = folder.path().join("log");
    let registry = Registry::start_logging(&address, &[SHORT_DEADLINE], &log).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    assert_eq!(registry.post("/registry/shutdown", &json!({})).await.status, 202);
    registry.until("not ready", async || registry.get("/ready").await.status == 503).await;
    // Because the workflow does not run, and not only once the view is old.
    let read = registry.get("/registry/workers/w").await;
    let age_ms = read.headers.get("x-registry-age-ms").map_or("0", |age| age.to_str().expect("a number"));
    assert!(age_ms.parse::<u64>().expect("a number") < 5_000, "{age_ms}");
    let newer = r#"{"version":99,"state":{"something":"new"}}"#;
    let arguments =
        ["workflow", "start", "--workflow-id", "workflow-registry", "--type", "temporal-registry.v1"];
    cli(&address, &[&arguments[..], &["--task-queue", "registry-service", "--input", newer]].concat()).await;
    registry.until("it says why", async || said(&[&log], "run a newer release") > 0).await;
    let refused = registry.post("/workflow-ids/claim", &json!({"name": "kept"})).await;
    assert!([503, 504].contains(&refused.status.as_u16()), "{} {}", refused.status, refused.body);
    assert_eq!(registry.get("/registry/workers/w").await.status, 200, "reads go on from memory");
    registry.until("not ready", async || registry.get("/ready").await.status == 503).await;

    // Not even ending that run puts an older state in its place.
    cli(&address, &["workflow", "terminate", "--workflow-id", "workflow-registry"]).await;
    registry
        .until("it says that it cannot be read", async || said(&[&log], "cannot look at the registry") > 0)
        .await;
    let refused = registry.post("/workflow-ids/claim", &json!({"name": "kept"})).await;
    assert!([503, 504].contains(&refused.status.as_u16()), "{} {}", refused.status, refused.body);
    assert_eq!(said(&[&log], AGAIN), 0);
    assert!(registry.stop().await.success(), "it lived all the time");
}
