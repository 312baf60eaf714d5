//! A schedule of single fires fires each once, and goes when that is certain.

use crate::calls::described_until;
use crate::{dev_server, prepared, request, strings};
use chrono::Utc;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use temporal_registry::temporal::schedules::action::PreparedSchedule;
use temporal_registry::temporal::schedules::calls::Schedules;
use temporal_registry::temporal::schedules::error::ScheduleError;
use temporal_registry::temporal::schedules::finish::Finish;
use temporal_registry::temporal::schedules::request::OverlapPolicy;
use temporal_registry::temporal::schedules::spec::compile;
use temporalio_client::Client;
use temporalio_client::tonic::Request;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    ListWorkflowExecutionsRequest, TerminateWorkflowExecutionRequest,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Workflow id and run id of every run whose workflow id begins so, once there are `expected` of them.
async fn runs(client: &Client, prefix: &str, expected: usize) -> BTreeSet<(String, String)> {
    found(client, "default", &format!("WorkflowId STARTS_WITH '{prefix}'"), expected).await
}

/// Workflow id and run id of every run of a namespace that a query finds, once there are `expected` of them.
pub async fn runs_in(namespace: &str, query: &str, expected: usize) -> BTreeSet<(String, String)> {
    found(&dev_server::client().await, namespace, query, expected).await
}

/// Ends an open run.
pub async fn terminate(namespace: &str, workflow_id: &str) {
    let execution = WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() };
    let request = TerminateWorkflowExecutionRequest {
        namespace: namespace.to_owned(),
        workflow_execution: Some(execution),
        ..TerminateWorkflowExecutionRequest::default()
    };
    let mut service = dev_server::client().await.connection().workflow_service();
    service.terminate_workflow_execution(Request::new(request)).await.expect("terminated");
}

async fn found(client: &Client, namespace: &str, query: &str, expected: usize) -> BTreeSet<(String, String)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = ListWorkflowExecutionsRequest {
            namespace: namespace.to_owned(),
            page_size: 1_000,
            query: query.to_owned(),
            ..ListWorkflowExecutionsRequest::default()
        };
        let mut service = client.connection().workflow_service();
        let response = service.list_workflow_executions(Request::new(request)).await.expect("listed");
        let executions = response.into_inner().executions.into_iter().filter_map(|run| run.execution);
        let found: BTreeSet<_> = executions.map(|run| (run.workflow_id, run.run_id)).collect();
        if found.len() >= expected || Instant::now() > deadline {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn thirty_at_once_fire_once_each_and_are_gone() {
    let client = dev_server::client().await;
    let schedules = Schedules::new(client.clone());
    let now = request(|r| r.fire_offsets_seconds = vec![0]);
    let creations = (0..30).map(|n| {
        let (schedules, id) = (schedules.clone(), format!("burst-{n:02}"));
        let sent = prepared(&id, &now);
        async move {
            schedules.create(&sent).await.unwrap_or_else(|error| panic!("{id}: {error}"));
            (schedules.confirm_and_remove(&id, PATIENCE).await, id)
        }
    });
    for (finish, id) in futures::future::join_all(creations).await {
        assert_eq!(finish, Ok(Finish::Removed), "{id}");
        assert_eq!(schedules.describe(&id).await.map(|_| ()), Err(ScheduleError::NotFound), "{id}");
    }
    let runs = runs(&client, "burst-", 30).await;
    assert_eq!(runs.len(), 30, "{runs:?}");
    let by_schedule: BTreeSet<&str> = runs.iter().map(|(workflow_id, _)| &workflow_id[..8]).collect();
    assert_eq!(by_schedule.len(), 30, "{runs:?}");
}

#[tokio::test]
async fn stays_until_its_last_fire_and_goes_then() {
    let client = dev_server::client().await;
    let schedules = Schedules::new(client.clone());
    let two = request(|r| {
        r.fire_offsets_seconds = vec![0, 3];
        r.overlap_policy = OverlapPolicy::AllowAll;
    });
    schedules.create(&prepared("twice", &two)).await.expect("created");
    assert_eq!(schedules.confirm_and_remove("twice", PATIENCE).await, Ok(Finish::Ongoing));
    described_until(&schedules, "twice", |seen| seen.next_fires.is_empty()).await;
    assert_eq!(schedules.confirm_and_remove("twice", PATIENCE).await, Ok(Finish::Removed));
    assert_eq!(schedules.confirm_and_remove("twice", PATIENCE).await, Ok(Finish::Removed), "nothing to do");
    assert_eq!(runs(&client, "twice-", 2).await.len(), 2);
}

#[tokio::test]
async fn an_unconfirmed_fire_keeps_its_schedule() {
    let schedules = Schedules::new(dev_server::client().await);
    // The second fire waits for the first run, which nobody works on.
    let waiting = request(|r| {
        r.fire_offsets_seconds = vec![0, 1];
        r.overlap_policy = OverlapPolicy::BufferOne;
    });
    schedules.create(&prepared("waiting", &waiting)).await.expect("created");
    described_until(&schedules, "waiting", |seen| seen.counts.waiting == 1).await;
    let finish = schedules.confirm_and_remove("waiting", Duration::from_millis(200)).await;
    assert_eq!(finish, Ok(Finish::Unconfirmed));
    assert_eq!(schedules.describe("waiting").await.map(|seen| seen.counts.waiting), Ok(1));
}

#[tokio::test]
async fn a_schedule_that_goes_on_is_left_alone() {
    let schedules = Schedules::new(dev_server::client().await);
    schedules
        .create(&prepared("steady", &request(|r| r.cron = strings(&["@yearly"]))))
        .await
        .expect("created");
    assert_eq!(schedules.confirm_and_remove("steady", PATIENCE).await, Ok(Finish::Ongoing));
    assert!(schedules.describe("steady").await.is_ok());
}

/// Fires in 0, 1 and 2 seconds, on the way for ten.
fn late(id: &str) -> PreparedSchedule {
    let three = request(|r| {
        r.fire_offsets_seconds = vec![0, 1, 2];
        r.overlap_policy = OverlapPolicy::AllowAll;
        r.workflow_id = Some(format!("{id}-run"));
    });
    let spec = compile(&three, Utc::now() - chrono::Duration::seconds(10)).expect("sound");
    PreparedSchedule::new(id, &three, &spec, "idle-queue")
}

#[tokio::test]
async fn a_fire_whose_time_passed_on_the_way_is_made_up_for_once() {
    let client = dev_server::client().await;
    let schedules = Schedules::new(client.clone());
    schedules.create(&late("late-one")).await.expect("created");
    let finish = tokio::time::timeout(PATIENCE, schedules.confirm_and_remove("late-one", PATIENCE)).await;
    assert_eq!(finish, Ok(Ok(Finish::Removed)));
    let found = runs(&client, "late-one-run-", 3).await;
    assert_eq!(found.len(), 3, "{found:?}");
}

#[tokio::test]
async fn late_fires_are_made_up_for_once_by_any_number_of_callers() {
    let client = dev_server::client().await;
    // Each with turns of its own, like replicas.
    let replicas: Vec<Schedules> = (0..4).map(|_| Schedules::new(client.clone())).collect();
    replicas[0].create(&late("late-many")).await.expect("created");
    let confirm =
        |schedules: Schedules| async move { schedules.confirm_and_remove("late-many", PATIENCE).await };
    let finishes = futures::future::join_all(replicas.iter().cloned().map(confirm)).await;
    assert!(finishes.iter().all(|finish| *finish == Ok(Finish::Removed)), "{finishes:?}");
    let found = runs(&client, "late-many-run-", 3).await;
    assert_eq!(found.len(), 3, "{found:?}");
}

#[tokio::test]
async fn late_fires_that_have_run_are_not_made_up_for_again() {
    let client = dev_server::client().await;
    let schedules = Schedules::new(client.clone());
    let three = request(|r| {
        r.fire_offsets_seconds = vec![0, 1, 2, 3_600];
        r.overlap_policy = OverlapPolicy::AllowAll;
    });
    let spec = compile(&three, Utc::now() - chrono::Duration::seconds(10)).expect("sound");
    schedules.create(&PreparedSchedule::new("late-over", &three, &spec, "one")).await.expect("created");
    assert_eq!(schedules.confirm_and_remove("late-over", PATIENCE).await, Ok(Finish::Ongoing));
    let seen = described_until(&schedules, "late-over", |seen| seen.counts.fired == 3).await;
    for fire in &seen.recent {
        terminate("default", &fire.workflow_id).await;
    }
    // To the server a move to another queue is a change like any other; its times are the same.
    schedules.retarget(&seen, "two").await.expect("moved");
    assert_eq!(Schedules::new(client).confirm_and_remove("late-over", PATIENCE).await, Ok(Finish::Ongoing));
    assert_eq!(schedules.describe("late-over").await.map(|seen| seen.counts.fired), Ok(3));
    schedules.delete("late-over").await.expect("deleted");
}

#[tokio::test]
async fn one_that_was_paused_over_its_last_fire_goes_when_nothing_can_fire_any_more() {
    let client = dev_server::client().await;
    let schedules = Schedules::new(client.clone());
    let soon = request(|r| (r.fire_offsets_seconds, r.catchup_window_seconds) = (vec![3], 10));
    schedules.create(&prepared("slept-over", &soon)).await.expect("created");
    schedules.pause("slept-over", "a while").await.expect("paused");
    let seen = described_until(&schedules, "slept-over", |seen| seen.paused).await;
    let due = seen.spec.one_shots[0] - Utc::now();
    let brief = Duration::from_secs(1);
    tokio::time::sleep(due.to_std().unwrap_or_default() + brief).await;
    assert_ne!(schedules.confirm_and_remove("slept-over", brief).await, Ok(Finish::Removed), "it is paused");
    schedules.unpause("slept-over", "back").await.expect("unpaused");
    described_until(&schedules, "slept-over", |seen| seen.next_fires.is_empty()).await;
    assert_eq!(
        schedules.confirm_and_remove("slept-over", brief).await,
        Ok(Finish::Unconfirmed),
        "it may yet fire"
    );
    assert_eq!(schedules.confirm_and_remove("slept-over", PATIENCE).await, Ok(Finish::Removed));
    assert!(runs(&client, "slept-over-", 0).await.is_empty());
}
