//! Lists of runs, by Temporal's visibility.

use temporalio_common::protos::temporal::api::workflowservice::v1::ListWorkflowExecutionsRequest;

use super::{decode, read_error};
use crate::{
    seams::{RunError, RunFilter, RunPage, RunStatus},
    temporal::connection::{CALL_TIMEOUT, Link, within},
};

pub(super) async fn list(link: &Link, filter: &RunFilter) -> Result<RunPage, RunError> {
    let request = ListWorkflowExecutionsRequest {
        namespace: link.namespace(),
        page_size: i32::try_from(filter.limit).unwrap_or(i32::MAX),
        next_page_token: filter.page.clone(),
        query: query(filter, &link.registry.workflow_id),
    };
    let call = link.service();
    let answer = { call }.list_workflow_executions(within(request, CALL_TIMEOUT)).await;
    let answer = answer.map_err(|status| read_error(status.into()))?.into_inner();
    let runs =
        answer.executions.into_iter().map(decode::info).collect::<Result<_, _>>().map_err(read_error)?;
    Ok(RunPage { runs, next: answer.next_page_token })
}

/// The visibility query of a filter, without the registry itself.
fn query(filter: &RunFilter, registry: &str) -> String {
    let mut parts = vec![format!("WorkflowId != {}", quoted(registry))];
    if let Some(workflow_type) = &filter.workflow_type {
        parts.push(format!("WorkflowType = {}", quoted(workflow_type)));
    }
    if let Some(status) = filter.status {
        parts.push(format!("ExecutionStatus = '{}'", word(status)));
    }
    if let Some(query) = &filter.query {
        parts.push(format!("({query})"));
    }
    parts.join(" AND ")
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "Running",
        RunStatus::Completed => "Completed",
        RunStatus::Failed => "Failed",
        RunStatus::Canceled => "Canceled",
        RunStatus::Terminated => "Terminated",
        RunStatus::TimedOut => "TimedOut",
        RunStatus::ContinuedAsNew => "ContinuedAsNew",
        RunStatus::Paused => "Paused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_one_query() {
        let filter = RunFilter {
            workflow_type: Some("it's".to_owned()),
            status: Some(RunStatus::TimedOut),
            query: Some("Customer = 'a' OR Customer = 'b'".to_owned()),
            ..RunFilter::default()
        };
        assert_eq!(
            query(&filter, "r"),
            "WorkflowId != 'r' AND WorkflowType = 'it\\'s' AND ExecutionStatus = 'TimedOut' \
             AND (Customer = 'a' OR Customer = 'b')"
        );
        assert_eq!(query(&RunFilter::default(), "r"), "WorkflowId != 'r'");
    }
}
