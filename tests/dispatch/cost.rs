//! What a start costs in calls to Temporal, counted by the client itself.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Value, json};
use temporal_registry::seams::Reads;

use super::world::{Door, World, until};

const STARTS: u64 = 60;

/// Calls made so far, by name.
fn calls(door: &Door) -> BTreeMap<String, u64> {
    let text = door.replica.metrics.render();
    let count = |line: &str| {
        let (name, count) =
            line.strip_prefix("temporal_registry_temporal_calls_total{call=\"")?.split_once("\"} ")?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(count).collect()
}

/// Calls made with each of what is done, by name; those that every replica makes now and then are not.
async fn made(door: &Door, what: impl AsyncFnOnce()) -> BTreeMap<String, u64> {
    let before = calls(door);
    what().await;
    let mut after = calls(door);
    after.retain(|name, count| {
        *count -= before.get(name).copied().unwrap_or(0);
        // The registry's own worker.
        let is_worker = name.starts_with("Poll") || name.starts_with("Respond");
        let is_shared = name == "UpdateWorkflowExecution" && *count > 0;
        !is_worker && (is_shared || *count >= STARTS / 2)
    });
    after
}

fn only(name: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(name.to_owned(), count)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_is_one_call_and_a_name_a_share_of_one() {
    let world = World::new(1).await;
    let spec = json!({"workflow_type": "open.v1", "input_schema": {"type": "object", "required": ["day"]}});
    world.register("w1", &[spec]).await;
    let door = world.door();
    let start = async |body: Value| door.post("/workflows/open.v1/start", body).await.ok();
    let numbered = |prefix: &str, n: u64| json!({"workflow_id": format!("{prefix}-{}-{n}", world.queue), "input": {"day": n}});
    // Looks at the registry workflow go on meanwhile; each is a description, so that those are counted with the time.
    let looks = |seconds: f64| (seconds / 0.3) as u64 + 2;

    let began = std::time::Instant::now();
    let mut found = made(door, async || {
        for n in 0..STARTS {
            start(json!({"input": {"day": n}})).await;
            start(numbered("one", n)).await;
        }
    })
    .await;
    let described = found.remove("DescribeWorkflowExecution").unwrap_or(0);
    assert!(
        described <= looks(began.elapsed().as_secs_f64()),
        "{described} descriptions in {:?}",
        began.elapsed()
    );
    let updates = found.remove("UpdateWorkflowExecution").unwrap_or(0);
    assert!(updates < STARTS / 4, "{updates} updates for what claims nothing");
    assert_eq!(found, only("StartWorkflowExecution", 2 * STARTS));

    let began = std::time::Instant::now();
    let mut found = made(door, async || {
        let named = |_| start(json!({"name": world.queue, "input": {"day": 1}}));
        join_all((0..STARTS).map(named)).await;
    })
    .await;
    let described = found.remove("DescribeWorkflowExecution").unwrap_or(0);
    assert!(
        described <= looks(began.elapsed().as_secs_f64()),
        "{described} descriptions in {:?}",
        began.elapsed()
    );
    let claims = found.remove("UpdateWorkflowExecution").unwrap_or(0);
    println!("{STARTS} names at once: {claims} updates");
    assert!((1..=STARTS / 2).contains(&claims), "{claims} updates for {STARTS} names");
    assert_eq!(found, only("StartWorkflowExecution", STARTS));

    // What is refused costs nothing.
    let starts = || calls(door)["StartWorkflowExecution"];
    let before = starts();
    for body in [json!({"input": {}}), json!({"input": {"day": 1}, "target": {"host": "nowhere"}})] {
        assert!(!door.post("/workflows/open.v1/start", body).await.status.is_success());
    }
    assert_eq!(starts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_all_the_time_does_not_ask_what_changed_and_who_reads_does() {
    const LOOKS: u64 = 12;
    let world = World::new(2).await;
    let (writer, reader) = (&world.doors[0], &world.doors[1]);
    let count = |door: &Door, name: &str| calls(door).get(name).copied().unwrap_or(0);
    let (looks, questions) = ("DescribeWorkflowExecution", "QueryWorkflow");
    let before = [writer, reader].map(|door| [looks, questions].map(|name| count(door, name)));
    while [writer, reader].iter().zip(before).any(|(door, before)| count(door, looks) < before[0] + LOOKS) {
        writer.post("/workflow-ids/claim", json!({"name": world.queue})).await.ok();
    }
    // One look of which a claim was in flight for too long may ask.
    let asked = count(writer, questions) - before[0][1];
    assert!(asked <= LOOKS / 4, "{asked} questions of one who writes");
    // It wrote when it came up: two looks need not ask after that. The last may still be asking.
    let asked = count(reader, questions) - before[1][1];
    assert!(asked >= LOOKS - 3, "{asked} questions of one who reads");
}

/// Runs of the registry workflow that a replica keeps in memory.
fn kept(door: &Door) -> i64 {
    door.replica.metrics.cached_workflows.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_another_replica_ended_is_not_kept() {
    let world = World::new(2).await;
    let [first, second] = [&world.doors[0], &world.doors[1]];
    let claim = async || {
        first.post("/workflow-ids/claim", json!({"name": world.queue})).await.ok();
    };
    // Temporal gives the run to either when it is told to forget who had it.
    until("both have the run", async || {
        first.replica.keeper.ask_anybody().await.unwrap();
        claim().await;
        kept(first) == 1 && kept(second) == 1
    })
    .await;
    // The run is over as soon as it is given another state; whoever ends it forgets it by itself, and one of them has the next.
    let run_id = || first.replica.mirror.run().run_id.clone();
    let before = run_id();
    let state = first.replica.keeper.seen(&first.replica.mirror.view()).unwrap();
    assert!(first.replica.keeper.hand(&state, true).await.unwrap());
    until("the run is over", async || {
        claim().await;
        run_id() != before
    })
    .await;
    until("nobody keeps it", async || kept(first) + kept(second) == 1).await;
}
