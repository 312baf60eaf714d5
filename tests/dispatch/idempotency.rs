//! `Idempotency-Key`: one key, one run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use temporal_registry::registry::{Command, Outcome};
use temporal_registry::seams::{Reads, WriteError, Writes};
use temporalio_client::tonic;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    workflowservice::v1::{ListWorkflowExecutionsRequest, TerminateWorkflowExecutionRequest},
};

use super::world::World;

const START: &str = "/workflows/open.v1/start";

async fn open() -> World {
    let world = World::new(2).await;
    world.register("w1", &[json!({"workflow_type": "open.v1"})]).await;
    world
}

/// Runs on the queue of this world, once visibility has caught up with at least `least` of them.
async fn runs(world: &World, least: usize) -> usize {
    let link = &world.door().replica.link;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let request = ListWorkflowExecutionsRequest {
            namespace: link.namespace(),
            query: format!("TaskQueue = '{}'", world.queue),
            page_size: 1000,
            ..Default::default()
        };
        let mut service = link.service();
        let answer = service.list_workflow_executions(tonic::Request::new(request)).await;
        let found = answer.map(|answer| answer.into_inner().executions.len()).unwrap_or(0);
        if found >= least || Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn terminate(world: &World, workflow_id: &str) {
    let link = &world.door().replica.link;
    let request = TerminateWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: workflow_id.to_owned(),
            run_id: String::new(),
        }),
        ..Default::default()
    };
    let mut service = link.service();
    service.terminate_workflow_execution(tonic::Request::new(request)).await.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_two_replicas_start_one_run() {
    let world = open().await;
    let bodies = [
        json!({"input": {"n": 1}}),
        json!({"name": format!("{}-n", world.queue)}),
        json!({"workflow_id": format!("{}-id", world.queue)}),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let key = format!("key-{number}");
        let mut tasks = Vec::new();
        for n in 0..100 {
            let (door, key, body) = (world.doors[n % 2].clone(), key.clone(), body.clone());
            tasks.push(tokio::spawn(async move { door.post_keyed(START, &key, body).await.ok() }));
        }
        let mut found = BTreeSet::new();
        let mut created = 0;
        for task in tasks {
            let run = task.await.unwrap();
            found.insert((
                run["workflow_id"].to_string(),
                run["run_id"].to_string(),
                run["task_queue"].to_string(),
            ));
            created += usize::from(run["created"] == true);
        }
        assert_eq!((found.len(), created), (1, 1), "{found:?}");
        if number == 1 {
            assert!(found.first().unwrap().0.ends_with("-n-r1\""), "{found:?}");
        }
    }
    assert_eq!(runs(&world, 3).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_key_asks_temporal_nothing_and_outlives_its_run() {
    let world = open().await;
    let body = json!({"input": {"a": 1, "b": 2}});
    let first = world.door().post_keyed(START, "k", body).await.ok();
    assert_eq!(first["created"], true);
    terminate(&world, first["workflow_id"].as_str().unwrap()).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.doors[1].replica.mirror.view().reservations.values().all(|r| r.run.is_none()) {
        assert!(Instant::now() < deadline, "never settled");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nobody serves the type any more, and the run has ended: the answer is the same.
    world.submit(Command::Deregister { worker_id: "w1".into(), epoch: None }).await;
    for door in &world.doors {
        let again = door.post_keyed(START, "k", json!({"input": {"b": 2, "a": 1}})).await.ok();
        assert_eq!((&again["run_id"], &again["created"]), (&first["run_id"], &json!(false)));
        assert_eq!(again["task_queue"], first["task_queue"]);
    }
    world
        .door()
        .post_keyed(START, "k", json!({"input": {"a": 2}}))
        .await
        .assert_problem("idempotency_key_reused");
    world.door().post_keyed(START, "", json!({})).await.assert_problem("invalid_request");
}

/// Loses the note of every run, as a replica does that dies right after the start.
struct Forgetful(Arc<dyn Writes>);

#[async_trait::async_trait]
impl Writes for Forgetful {
    async fn submit(&self, command: &Command) -> Result<Outcome, WriteError> {
        match command {
            Command::Settle { .. } => Ok(Outcome::Done),
            other => self.0.submit(other).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_not_noted_is_looked_up() {
    let world = World::with_writes(2, |writes| Arc::new(Forgetful(writes))).await;
    world.register("w1", &[json!({"workflow_type": "open.v1"})]).await;
    let name = world.queue.clone();
    let bodies = [json!({}), json!({"name": name}), json!({"workflow_id": format!("{name}-id")})];
    for (number, body) in bodies.into_iter().enumerate() {
        let post = async |door: usize| {
            world.doors[door].post_keyed(START, &format!("k{number}"), body.clone()).await
        };
        let first = post(0).await.ok();
        let same = |again: Value| {
            assert_eq!((&again["run_id"], &again["created"]), (&first["run_id"], &json!(false)), "{again}");
            assert_eq!(again["workflow_id"], first["workflow_id"]);
        };
        same(post(1).await.ok());
        terminate(&world, first["workflow_id"].as_str().unwrap()).await;
        same(post(0).await.ok());
        // Somebody started another run of that id since: ours is not made a second time.
        let other = json!({"workflow_id": first["workflow_id"]});
        let other = world.door().post(START, other).await.ok();
        let last = post(1).await;
        last.assert_problem("already_started");
        assert_eq!(last.body["run_id"], other["run_id"]);
    }
}
