//! What earlier runs of the registry workflow left behind.

use std::cmp::Reverse;

use temporalio_common::{
    data_converters::RawValue,
    protos::temporal::api::{
        common::v1::WorkflowExecution,
        enums::v1::HistoryEventFilterType,
        history::v1::history_event::Attributes,
        workflowservice::v1::{GetWorkflowExecutionHistoryRequest, ListWorkflowExecutionsRequest},
    },
};

use super::{
    codec,
    connection::{CALL_TIMEOUT, CallError, Link, within},
    keeper::{measured, state_of},
    mirror::{changes_since, is_stateless},
};
use crate::{
    registry::{Limits, State},
    view::View,
};

/// Earlier runs looked at, newest first.
const RUNS_LISTED: i32 = 100;

/// The state that a closed run, or the last of those that continued it, left behind. A run that was shut down gave it as
/// its result; of one that was cut off its worker still answers queries, about everything but its bounds: those are
/// `limits`. None: it never had one.
pub(super) async fn left_by(link: &Link, run_id: &str, limits: &Limits) -> Result<Option<State>, CallError> {
    let mut run_id = run_id.to_owned();
    loop {
        match close_event(link, &run_id).await? {
            Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(next)) => {
                run_id = next.new_execution_run_id;
            }
            Some(Attributes::WorkflowExecutionCompletedEventAttributes(completed)) => {
                let result = RawValue::new(completed.result.unwrap_or_default().payloads);
                if result.payloads.is_empty() {
                    return Ok(None);
                }
                let state = codec::decode_state(&result);
                return state.map(Some).map_err(|error| CallError::Internal(error.to_string()));
            }
            _ => return asked(link, &run_id, limits).await,
        }
    }
}

/// The state that the last run before this one left behind, as far as Temporal lists runs.
pub(super) async fn left_before(
    link: &Link,
    run_id: &str,
    limits: &Limits,
) -> Result<Option<State>, CallError> {
    let name = link.registry.workflow_id.replace('\\', "\\\\").replace('\'', "\\'");
    let request = ListWorkflowExecutionsRequest {
        namespace: link.namespace(),
        page_size: RUNS_LISTED,
        query: format!("WorkflowId = '{name}'"),
        ..Default::default()
    };
    let answer = link.service().list_workflow_executions(within(request, CALL_TIMEOUT)).await?.into_inner();
    let mut runs = answer.executions;
    runs.sort_by_key(|info| Reverse(info.start_time.as_ref().map_or((0, 0), |at| (at.seconds, at.nanos))));
    for info in runs {
        let earlier = info.execution.unwrap_or_default().run_id;
        if earlier == run_id {
            continue;
        }
        match left_by(link, &earlier, limits).await {
            Ok(None) | Err(CallError::NotFound(_)) => {}
            found => return found,
        }
    }
    Ok(None)
}

/// Whether it was this process that started a run; yes when Temporal does not say, so that it is told twice rather than
/// not at all.
pub(super) async fn is_started_here(link: &Link, run_id: &str) -> bool {
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: link.namespace(),
        execution: Some(run(link, run_id)),
        maximum_page_size: 1,
        ..Default::default()
    };
    let answer = link.service().get_workflow_execution_history(within(request, CALL_TIMEOUT)).await;
    let events = answer.map(|answer| answer.into_inner().history.unwrap_or_default().events);
    match events.ok().and_then(|events| events.into_iter().next()?.attributes) {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
            started.identity == link.identity()
        }
        _ => true,
    }
}

async fn close_event(link: &Link, run_id: &str) -> Result<Option<Attributes>, CallError> {
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: link.namespace(),
        execution: Some(run(link, run_id)),
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..Default::default()
    };
    let answer = link.service().get_workflow_execution_history(within(request, CALL_TIMEOUT)).await?;
    let events = answer.into_inner().history.unwrap_or_default().events;
    Ok(events.into_iter().next_back().and_then(|event| event.attributes))
}

/// Reads everything that a run answers about.
async fn asked(link: &Link, run_id: &str, limits: &Limits) -> Result<Option<State>, CallError> {
    let mut view = View::default();
    loop {
        let (since, born) = view.reached();
        let page = match changes_since(link, run(link, run_id), since, born, CALL_TIMEOUT).await {
            Err(error) if is_stateless(&error) => return Ok(None),
            page => page?,
        };
        let unfit =
            || CallError::Internal("the pages of a closed run do not follow on each other".to_owned());
        view = view.after(&page).ok_or_else(unfit)?;
        if page.to >= page.head {
            let state = measured(State { limits: limits.clone(), ..state_of(&view) });
            return state.map(Some).map_err(|error| CallError::Internal(error.to_string()));
        }
    }
}

fn run(link: &Link, run_id: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: link.registry.workflow_id.clone(), run_id: run_id.to_owned() }
}
