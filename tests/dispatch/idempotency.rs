//! `Idempotency-Key`: one key, one run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use temporal_registry::registry::{Command, Outcome};
use temporal_registry::seams::{Reads, WriteError, Writes};
use temporalio_client::tonic;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    workflowservice::v1::{
        DescribeWorkflowExecutionRequest, ListWorkflowExecutionsRequest, TerminateWorkflowExecutionRequest,
    },
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
            assert_eq!(again["workflow_type"], "open.v1");
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

/// Goes silent for good once the first id is reserved, as a replica does that is killed between the claim and the start.
struct Killed(Arc<dyn Writes>);

static WAS_KILLED: AtomicBool = AtomicBool::new(false);

#[async_trait::async_trait]
impl Writes for Killed {
    async fn submit(&self, command: &Command) -> Result<Outcome, WriteError> {
        let outcome = self.0.submit(command).await;
        if matches!(command, Command::Reserve(_)) && !WAS_KILLED.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        outcome
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_claim_and_start_costs_no_number_and_no_second_run() {
    for (number, by_name) in [true, false].into_iter().enumerate() {
        WAS_KILLED.store(false, Ordering::SeqCst);
        let world = World::with_writes(2, |writes| Arc::new(Killed(writes))).await;
        world.register("w1", &[json!({"workflow_type": "open.v1"})]).await;
        let body = if by_name { json!({"name": world.queue}) } else { json!({}) };
        let key = format!("killed-{number}");
        let reserved =
            |door: &super::world::Door| door.replica.mirror.view().reservations.values().next().cloned();
        let dying = world.doors[0].clone();
        let (its_key, its_body) = (key.clone(), body.clone());
        let killed = tokio::spawn(async move { dying.post_keyed(START, &its_key, its_body).await });
        let deadline = Instant::now() + Duration::from_secs(30);
        let claimed = loop {
            if let Some(reserved) = reserved(&world.doors[1]) {
                break reserved;
            }
            assert!(Instant::now() < deadline, "never reserved");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        killed.abort();
        assert_eq!(claimed.run, None);
        assert_eq!(runs(&world, 0).await, 0, "nothing was started");
        let again = world.doors[1].post_keyed(START, &key, body.clone()).await.ok();
        assert_eq!(again["workflow_id"], claimed.workflow_id);
        if by_name {
            assert_eq!(again["workflow_id"], format!("{}-r1", world.queue));
        }
        for door in &world.doors {
            let same = door.post_keyed(START, &key, body.clone()).await.ok();
            assert_eq!((&same["run_id"], &same["created"]), (&again["run_id"], &json!(false)));
        }
        assert_eq!(runs(&world, 1).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_outlives_the_registrys_runs() {
    let world = open().await;
    let body = json!({"name": world.queue});
    let first = world.door().post_keyed(START, "k", body.clone()).await.ok();
    let id = async || {
        let registry = &world.door().replica.link.registry;
        let request = DescribeWorkflowExecutionRequest {
            namespace: world.door().replica.link.namespace(),
            execution: Some(WorkflowExecution {
                workflow_id: registry.workflow_id.clone(),
                run_id: String::new(),
            }),
        };
        let mut service = world.door().replica.link.service();
        let found =
            service.describe_workflow_execution(tonic::Request::new(request)).await.expect("a registry");
        found.into_inner().workflow_execution_info.unwrap_or_default().execution.unwrap_or_default().run_id
    };
    let before = id().await;
    // More commands than one run takes.
    let deadline = Instant::now() + Duration::from_secs(90);
    while id().await == before {
        assert!(Instant::now() < deadline, "it was never handed over");
        let claims = (0..2_000).map(|n| {
            let ledger = world.door().replica.ledger.clone();
            async move { ledger.submit(&Command::Claim { name: format!("n{}", n % 50) }).await }
        });
        for outcome in futures::future::join_all(claims).await {
            assert!(matches!(outcome, Ok(Outcome::Claimed { .. })), "{outcome:?}");
        }
    }
    for door in &world.doors {
        let again = door.post_keyed(START, "k", body.clone()).await.ok();
        assert_eq!((&again["run_id"], &again["created"]), (&first["run_id"], &json!(false)));
        let other = door.post_keyed(START, "k", json!({"name": "other"})).await;
        other.assert_problem("idempotency_key_reused");
    }
    assert_eq!(runs(&world, 1).await, 1);
}
