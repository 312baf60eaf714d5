//! What the history of a run tells.

use std::time::Duration;

use serde_json::Value;
use temporalio_common::protos::temporal::api::{
    common::v1::{Payloads, WorkflowExecution},
    enums::v1::{EventType, HistoryEventFilterType},
    history::v1::{HistoryEvent, WorkflowExecutionStartedEventAttributes, history_event::Attributes},
    workflowservice::v1::{GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse},
};

use super::{decode, read_error};
use crate::{
    seams::{Cursor, Ended, Milestone, Milestones, RunError, RunInfo, RunStatus},
    temporal::{
        codec,
        connection::{CallError, Link, within},
    },
};

/// Longer than Temporal holds a long poll open.
const POLL_TIMEOUT: Duration = Duration::from_secs(70);
/// Before Temporal is asked again: it is away, or does not wait for what comes next, as in a run that is paused.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Events fetched at once.
const PAGE_EVENTS: i32 = 200;
/// The signal by which a runner says how far the work of a run is, and how long a word of it may be: anybody can send one.
const PROGRESS_SIGNAL: &str = "runner_progress";
const PROGRESS_BYTES_MAX: usize = 64 * 1024;

/// The end of a run.
pub(super) struct Close {
    pub status: RunStatus,
    pub at_ms: Option<i64>,
    pub ended: Ended,
    /// The run that continues it.
    pub next: Option<String>,
}

async fn page(
    link: &Link,
    workflow_id: &str,
    run_id: &str,
    filter: HistoryEventFilterType,
    wait: bool,
    token: Vec<u8>,
) -> Result<GetWorkflowExecutionHistoryResponse, CallError> {
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: link.namespace(),
        execution: Some(WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: run_id.to_owned() }),
        maximum_page_size: PAGE_EVENTS,
        next_page_token: token,
        wait_new_event: wait,
        history_event_filter_type: filter.into(),
        skip_archival: true,
    };
    let call = link.service();
    Ok({ call }.get_workflow_execution_history(within(request, POLL_TIMEOUT)).await?.into_inner())
}

/// Waits for the end of a run, however long that takes.
pub(super) async fn close_of(link: &Link, workflow_id: &str, run_id: &str) -> Result<Close, CallError> {
    let mut token = Vec::new();
    loop {
        let filter = HistoryEventFilterType::CloseEvent;
        let answer = page(link, workflow_id, run_id, filter, true, std::mem::take(&mut token)).await?;
        let events = answer.history.unwrap_or_default().events;
        if let Some(close) = events.last().and_then(close) {
            return Ok(close);
        }
        token = answer.next_page_token;
        if token.is_empty() {
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// What a run was started with.
pub(super) async fn start_of(
    link: &Link,
    run: &RunInfo,
) -> Result<WorkflowExecutionStartedEventAttributes, RunError> {
    let filter = HistoryEventFilterType::AllEvent;
    let answer = page(link, &run.workflow_id, &run.run_id, filter, false, Vec::new()).await;
    let history = answer.map_err(read_error)?.history.unwrap_or_default();
    match history.events.into_iter().next().and_then(|event| event.attributes) {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) => Ok(start),
        _ => Err(RunError::Internal("a history does not begin with a start".to_owned())),
    }
}

/// What came after a place in a history.
pub(super) async fn milestones(link: &Link, cursor: &Cursor) -> Result<Milestones, RunError> {
    let filter = HistoryEventFilterType::AllEvent;
    let answer = page(link, &cursor.workflow_id, &cursor.run_id, filter, true, cursor.page.clone()).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_passing() => {
            tracing::debug!(%error, "a history is read again");
            tokio::time::sleep(AGAIN_AFTER).await;
            return Ok(Milestones { milestones: Vec::new(), next: Some(cursor.clone()) });
        }
        Err(error) => return Err(read_error(error)),
    };
    let events = answer.history.unwrap_or_default().events;
    let last = events.last().map_or(cursor.after, |event| event.event_id.max(cursor.after));
    let fresh = events.iter().filter(|event| event.event_id > cursor.after);
    let milestones = fresh.filter_map(|event| milestone(event, &cursor.run_id)).collect();
    let here = Cursor { after: last, page: answer.next_page_token, ..cursor.clone() };
    let next = match events.last().and_then(close) {
        Some(Close { next: Some(run_id), .. }) => Some(Cursor { run_id, after: 0, page: Vec::new(), ..here }),
        Some(Close { next: None, .. }) => None,
        None => {
            if here.page.is_empty() {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            Some(here)
        }
    };
    Ok(Milestones { milestones, next })
}

/// How a run ended, from its last event.
fn close(event: &HistoryEvent) -> Option<Close> {
    let payloads = |details: &Option<Payloads>| details.as_ref().map(decode::values).unwrap_or_default();
    let failed =
        |message: &str, kind: &str, details| Ended::Failed(decode::ended_with(message, kind, details));
    let (status, ended, next) = match event.attributes.as_ref()? {
        Attributes::WorkflowExecutionCompletedEventAttributes(end) => (
            RunStatus::Completed,
            Ended::Completed(decode::result(end.result.clone())),
            end.new_execution_run_id.as_str(),
        ),
        Attributes::WorkflowExecutionFailedEventAttributes(end) => (
            RunStatus::Failed,
            Ended::Failed(decode::failure(&end.failure.clone().unwrap_or_default())),
            end.new_execution_run_id.as_str(),
        ),
        Attributes::WorkflowExecutionTimedOutEventAttributes(end) => (
            RunStatus::TimedOut,
            failed("the run timed out", "timed_out", Vec::new()),
            end.new_execution_run_id.as_str(),
        ),
        Attributes::WorkflowExecutionCanceledEventAttributes(end) => {
            (RunStatus::Canceled, failed("the run was canceled", "canceled", payloads(&end.details)), "")
        }
        Attributes::WorkflowExecutionTerminatedEventAttributes(end) => {
            let reason = if end.reason.is_empty() { "the run was terminated" } else { &end.reason };
            (RunStatus::Terminated, failed(reason, "terminated", payloads(&end.details)), "")
        }
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(end) => (
            RunStatus::ContinuedAsNew,
            failed("the run was continued as new", "continued_as_new", Vec::new()),
            end.new_execution_run_id.as_str(),
        ),
        _ => return None,
    };
    let next = (!next.is_empty()).then(|| next.to_owned());
    Some(Close { status, at_ms: event.event_time.as_ref().map(decode::milliseconds), ended, next })
}

/// An event in our words; none for what only Temporal cares about.
fn milestone(event: &HistoryEvent, run_id: &str) -> Option<Milestone> {
    use Attributes as A;
    let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
    let name = match event.attributes.as_ref()? {
        A::WorkflowExecutionStartedEventAttributes(it) => name(&it.workflow_type.as_ref()?.name),
        A::WorkflowExecutionSignaledEventAttributes(it) => name(&it.signal_name),
        A::ActivityTaskScheduledEventAttributes(it) => name(&it.activity_type.as_ref()?.name),
        A::TimerStartedEventAttributes(it) => name(&it.timer_id),
        A::TimerFiredEventAttributes(it) => name(&it.timer_id),
        A::TimerCanceledEventAttributes(it) => name(&it.timer_id),
        A::StartChildWorkflowExecutionInitiatedEventAttributes(it) => name(&it.workflow_id),
        A::StartChildWorkflowExecutionFailedEventAttributes(it) => name(&it.workflow_id),
        A::ChildWorkflowExecutionStartedEventAttributes(it) => {
            name(&it.workflow_execution.as_ref()?.workflow_id)
        }
        A::ChildWorkflowExecutionCompletedEventAttributes(it) => {
            name(&it.workflow_execution.as_ref()?.workflow_id)
        }
        A::ChildWorkflowExecutionFailedEventAttributes(it) => {
            name(&it.workflow_execution.as_ref()?.workflow_id)
        }
        A::ChildWorkflowExecutionCanceledEventAttributes(it) => {
            name(&it.workflow_execution.as_ref()?.workflow_id)
        }
        A::ChildWorkflowExecutionTimedOutEventAttributes(it) => {
            name(&it.workflow_execution.as_ref()?.workflow_id)
        }
        A::ChildWorkflowExecutionTerminatedEventAttributes(it) => {
            name(&it.workflow_execution.as_ref()?.workflow_id)
        }
        A::WorkflowExecutionUpdateAcceptedEventAttributes(it) => {
            name(&it.accepted_request.as_ref()?.input.as_ref()?.name)
        }
        A::WorkflowExecutionUpdateCompletedEventAttributes(it) => name(&it.meta.as_ref()?.update_id),
        A::ActivityTaskStartedEventAttributes(_)
        | A::ActivityTaskCompletedEventAttributes(_)
        | A::ActivityTaskFailedEventAttributes(_)
        | A::ActivityTaskTimedOutEventAttributes(_)
        | A::ActivityTaskCanceledEventAttributes(_)
        | A::WorkflowExecutionCancelRequestedEventAttributes(_)
        | A::WorkflowExecutionPausedEventAttributes(_)
        | A::WorkflowExecutionUnpausedEventAttributes(_) => None,
        _ if close(event).is_some() => None,
        _ => return None,
    };
    let status = match event.event_type() {
        EventType::WorkflowExecutionStarted | EventType::WorkflowExecutionUnpaused => {
            Some(RunStatus::Running)
        }
        EventType::WorkflowExecutionPaused => Some(RunStatus::Paused),
        _ => close(event).map(|close| close.status),
    };
    let kind = event.event_type().as_str_name().trim_start_matches("EVENT_TYPE_").to_ascii_lowercase();
    let at_ms = event.event_time.as_ref().map(decode::milliseconds);
    let run_id = run_id.to_owned();
    Some(Milestone { run_id, event_id: event.event_id, at_ms, kind, status, name, progress: progress(event) })
}

/// What a runner says of its work, for queries that no runner is there to answer and for whoever follows the run.
fn progress(event: &HistoryEvent) -> Option<Value> {
    let Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) = &event.attributes else {
        return None;
    };
    let [told] = signal.input.as_ref()?.payloads.as_slice() else { return None };
    let is_progress = signal.signal_name == PROGRESS_SIGNAL && told.data.len() <= PROGRESS_BYTES_MAX;
    is_progress.then(|| serde_json::from_slice(&codec::json_of(told).ok()?).ok()).flatten()
}
