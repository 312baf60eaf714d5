//! Every field of a schedule reaches Temporal, and is told again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use temporalio_client::tonic::Request;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::{
    WorkflowExecutionStartedEventAttributes, history_event::Attributes,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;

use crate::dev_server;
use crate::one_shots::{runs_in, terminate};
use crate::registry::Registry;

/// What a run was started with.
async fn started_with(namespace: &str, workflow_id: &str) -> WorkflowExecutionStartedEventAttributes {
    let execution = WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() };
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: namespace.to_owned(),
        execution: Some(execution),
        maximum_page_size: 1,
        ..GetWorkflowExecutionHistoryRequest::default()
    };
    let mut service = dev_server::client().await.connection().workflow_service();
    let history = service.get_workflow_execution_history(Request::new(request)).await.expect("a history");
    let first = history.into_inner().history.expect("events").events.remove(0);
    match first.attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => started,
        other => panic!("{other:?}"),
    }
}

/// The same with every number a fraction.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), numbers(value))).collect()
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn every_field_reaches_temporal_and_is_told() {
    let namespace = "fields-all";
    let registry = Registry::start(namespace).await;
    let spec = json!({
        "workflow_type": "all.v1", "task_queue": "work",
        "search_attributes": [{"name": "Color", "type": "Keyword"}]
    });
    registry.worker("w", "work", spec).await;
    let body = json!({
        "workflow_type": "all.v1", "workflow_id": "run-of", "task_queue": "mine", "input": {"day": "monday"},
        "interval_seconds": 86_400, "offset_seconds": 3_600, "cron": ["0 9 * * mon-fri"],
        "calendars": [{
            "second": "30", "minute": "0-30/10", "hour": "8", "day_of_month": "1-7", "month": "2", "day_of_week": "1",
            "year": "2030-2040"
        }],
        "time_zone": "Europe/Berlin", "start_at": "2027-01-01T00:00:00+01:00", "end_at": "2040-01-01T00:00:00Z",
        "jitter_seconds": 5, "overlap_policy": "buffer_all", "catchup_window_seconds": 90, "pause_on_failure": true,
        "limited_actions": 7, "note": "mine", "search_attributes": {"Color": "red"}, "memo": {"why": {"a": 1}},
        "execution_timeout_seconds": 300, "run_timeout_seconds": 200.5, "task_timeout_seconds": 7,
        "retry_policy": {
            "initial_interval_seconds": 2, "backoff_coefficient": 3, "maximum_interval_seconds": 9,
            "maximum_attempts": 4, "non_retryable_error_types": ["Bad"]
        }
    });
    let made = registry.post("/schedules/all", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let seen = registry.get("/schedules/all").await.body;
    // Told under the name it was given by, or within `spec` when it is about times.
    let about_times = [
        "cron",
        "calendars",
        "time_zone",
        "jitter_seconds",
        "start_at",
        "end_at",
        "interval_seconds",
        "offset_seconds",
    ];
    for (field, value) in body.as_object().expect("fields") {
        let told = match field.as_str() {
            "interval_seconds" | "offset_seconds" => &seen["spec"]["intervals"][0][field],
            "limited_actions" => &seen["remaining_actions"],
            name if about_times.contains(&name) => &seen["spec"][name],
            name => &seen[name],
        };
        match field.as_str() {
            "start_at" => assert_eq!(told, "2026-12-31T23:00:00Z", "{seen}"),
            "calendars" => assert_eq!(told[0]["minute"], "0-30/10", "{seen}"),
            "retry_policy" | "execution_timeout_seconds" | "task_timeout_seconds" => {
                assert_eq!(numbers(told), numbers(value), "{field}: {seen}");
            }
            _ => assert_eq!(told, value, "{field}: {seen}"),
        }
    }

    assert_eq!(registry.post("/schedules/all/trigger", json!({})).await.status, 202);
    let runs = runs_in(namespace, "Color = 'red' AND TaskQueue = 'mine'", 1).await;
    let (workflow_id, _) = runs.first().expect("a run");
    assert!(workflow_id.starts_with("run-of-2"), "{workflow_id}");
    let event = started_with(namespace, workflow_id).await;
    let seconds = |duration: Option<prost_wkt_types::Duration>| duration.map(|d| (d.seconds, d.nanos));
    assert_eq!(event.workflow_type.expect("a type").name, "all.v1");
    assert_eq!(event.input.expect("an input").payloads[0].data, br#"{"day":"monday"}"#);
    assert_eq!(seconds(event.workflow_execution_timeout), Some((300, 0)));
    assert_eq!(seconds(event.workflow_run_timeout), Some((200, 500_000_000)));
    assert_eq!(seconds(event.workflow_task_timeout), Some((7, 0)));
    assert_eq!(event.memo.expect("a memo").fields["why"].data, br#"{"a":1}"#);
    let policy = event.retry_policy.expect("retries");
    assert_eq!((seconds(policy.initial_interval), policy.backoff_coefficient), (Some((2, 0)), 3.0));
    assert_eq!((seconds(policy.maximum_interval), policy.maximum_attempts), (Some((9, 0)), 4));
    assert_eq!(policy.non_retryable_error_types, ["Bad"]);
}

#[tokio::test]
async fn each_overlap_policy_does_what_it_says() {
    let namespace = "fields-overlap";
    let registry = Registry::start(namespace).await;
    registry.worker("w", "work", json!({"workflow_type": "open.v1", "task_queue": "work"})).await;
    // Three fires whose runs stay open: how many runs there are then, how many fires wait, and which runs are open.
    let table = [
        ("skip", 1, 0, vec![0]),
        ("buffer_one", 1, 1, vec![0]),
        ("buffer_all", 1, 2, vec![0]),
        ("cancel_other", 1, 2, vec![0]),
        ("terminate_other", 3, 0, vec![2]),
        ("allow_all", 3, 0, vec![0, 1, 2]),
    ];
    let mut wrong = Vec::new();
    for (policy, fired, waiting, open) in table {
        let id = policy.replace('_', "-");
        let body = json!({"workflow_type": "open.v1", "cron": ["@yearly"], "overlap_policy": policy});
        assert_eq!(registry.post(&format!("/schedules/{id}"), body).await.status, 201);
        for _ in 0..3 {
            let fired = registry.post(&format!("/schedules/{id}/trigger"), json!({})).await;
            assert_eq!(fired.status, 202, "{policy}: {}", fired.body);
        }
        let seen = registry.get(&format!("/schedules/{id}")).await.body;
        let of_it = format!("WorkflowId STARTS_WITH '{id}-20'");
        let running = format!("{of_it} AND ExecutionStatus = 'Running'");
        let runs = runs_in(namespace, &of_it, fired).await;
        // Visibility learns of an end a little later.
        let deadline = Instant::now() + Duration::from_secs(30);
        let found = loop {
            let found = runs_in(namespace, &running, open.len()).await;
            if found.len() == open.len() || Instant::now() > deadline {
                break found;
            }
        };
        // In the order of their fires, which the ids need not have.
        let recent = seen["recent"].as_array().expect("fires").iter();
        let is_open = |fire: &Value| found.iter().any(|(id, _)| fire["workflow_id"] == **id);
        let found: Vec<_> = recent.enumerate().filter(|(_, fire)| is_open(fire)).map(|(at, _)| at).collect();
        let counts = &seen["counts"];
        if (runs.len(), &counts["waiting"], &found) != (fired, &json!(waiting), &open) {
            wrong.push(format!("{policy}: {} runs, open {found:?}, {counts}", runs.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Who waits comes next.
    for (policy, runs) in [("buffer-one", 2), ("buffer-all", 3), ("cancel-other", 2)] {
        let of_it = format!("WorkflowId STARTS_WITH '{policy}-20'");
        let mut last = String::new();
        for _ in 1..runs {
            let open = |seen: &Value| seen["running"][0]["workflow_id"].as_str().map(str::to_owned);
            let is_next = |seen: &Value| open(seen).is_some_and(|open| open != last);
            let seen = registry.until(&format!("/schedules/{policy}"), "the next is open", is_next).await;
            last = open(&seen).expect("a run");
            terminate(namespace, &last).await;
        }
        assert_eq!(runs_in(namespace, &of_it, runs).await.len(), runs, "{policy}");
    }
    let seen = registry.get("/schedules/cancel-other").await.body;
    let first = seen["recent"][0]["workflow_id"].as_str().expect("a run");
    let cancelled = registry.get(&format!("/runs/{first}")).await.body;
    assert_eq!(cancelled["history_events"], 4, "started, a task, asked to end, ended: {cancelled}");
}
