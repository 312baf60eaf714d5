//! Tasks: what the runs of a runner's `manual` entries say when they are asked, and what they are told.

mod answer;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::list::quoted;
use crate::seams::{
    Message, RunError, RunFilter, RunInfo, RunRef, Runs, Task, TaskAction, TaskChange, TaskError, TaskFilter,
    TaskPage, TaskStatus, Tasks,
};
use crate::temporal::dispatch::RecentTasks;
use answer::{answered, task, untold};

/// The query that tells a task.
const QUERY: &str = "task";
/// Tasks of a list that are asked at the same time.
const ASKED_AT_ONCE: usize = 8;
/// How long the tasks of a list get to answer, all together.
const LIST_WITHIN: Duration = Duration::from_secs(5);
/// How long a change is waited for.
const CHANGE_WITHIN: Duration = Duration::from_secs(20);

/// How long a list waits for what was started here just before, and the pause between two looks.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);

/// Tasks, by way of their runs.
pub struct LiveTasks {
    runs: Arc<dyn Runs>,
    recent: Arc<RecentTasks>,
    /// Of many who list at once, one looks for the latest.
    looking: tokio::sync::Mutex<()>,
}

impl LiveTasks {
    /// The tasks among these runs; `recent`: those a list may still lack.
    pub fn new(runs: Arc<dyn Runs>, recent: Arc<RecentTasks>) -> Self {
        Self { runs, recent, looking: tokio::sync::Mutex::default() }
    }

    /// Waits a little until Temporal lists what was started here.
    async fn catch_up(&self, workflow_types: &[String]) {
        let until = Instant::now() + CAUGHT_UP_WITHIN;
        let Ok(_looking) = timeout_at(until, self.looking.lock()).await else { return };
        loop {
            let awaited = self.recent.of(workflow_types);
            if awaited.is_empty() {
                return;
            }
            let ids: Vec<_> = awaited.iter().map(|run_id| quoted(run_id)).collect();
            let filter = RunFilter {
                query: Some(format!("RunId IN ({})", ids.join(", "))),
                limit: u32::try_from(awaited.len()).unwrap_or(u32::MAX),
                ..RunFilter::default()
            };
            // The list itself tells what is wrong.
            let Ok(page) = self.runs.list(&filter).await else { return };
            let listed: HashSet<_> = page.runs.into_iter().map(|run| run.run_id).collect();
            let is_all = awaited.iter().all(|run_id| listed.contains(run_id));
            self.recent.listed(&listed);
            if is_all || Instant::now() + PAUSE >= until {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, run: &RunInfo) -> Result<Value, RunError> {
        let message = Message { name: QUERY.to_owned(), arguments: vec![], id: None, caller: String::new() };
        self.runs.query(&this_run(run), message).await
    }

    /// A task of a list: none for a run that never became one, and what Temporal knows when its runner is silent.
    async fn listed(&self, run: RunInfo, until: Instant) -> Option<Task> {
        match timeout_at(until, self.ask(&run)).await {
            Ok(Ok(told)) => task(run, &told),
            Ok(Err(_)) | Err(_) => Some(untold(run)),
        }
    }
}

#[async_trait::async_trait]
impl Tasks for LiveTasks {
    async fn list(&self, filter: &TaskFilter) -> Result<TaskPage, RunError> {
        let filter_of_runs = RunFilter {
            query: Some(query(filter)),
            limit: filter.limit,
            page: filter.page.clone(),
            ..RunFilter::default()
        };
        if filter.page.is_empty() {
            self.catch_up(&filter.workflow_types).await;
        }
        let page = self.runs.list(&filter_of_runs).await?;
        let until = Instant::now() + LIST_WITHIN;
        let asked = stream::iter(page.runs).map(|run| self.listed(run, until)).buffered(ASKED_AT_ONCE);
        let tasks: Vec<Task> = asked.filter_map(std::future::ready).collect().await;
        let wanted = |task: &Task| {
            filter.status.is_none_or(|status| [status, TaskStatus::Unknown].contains(&task.status))
        };
        Ok(TaskPage { tasks: tasks.into_iter().filter(wanted).collect(), next: page.next })
    }

    async fn get(&self, run: RunInfo) -> Result<Task, TaskError> {
        let told = self.ask(&run).await?;
        task(run, &told).ok_or(TaskError::NotATask)
    }

    async fn change(&self, run: RunInfo, change: TaskChange) -> Result<Task, TaskError> {
        let (name, argument) = argument(change.action);
        // One key may come with several actions; they are different updates all the same.
        let id = change.id.map(|id| format!("{name}:{id}"));
        let message = Message { name: name.to_owned(), arguments: vec![argument], id, caller: change.caller };
        let answer = self.runs.update(&this_run(&run), message, CHANGE_WITHIN).await?;
        answered(run, &answer)
    }
}

fn this_run(run: &RunInfo) -> RunRef {
    RunRef { workflow_id: run.workflow_id.clone(), run_id: Some(run.run_id.clone()) }
}

/// The visibility query of a filter. It narrows down as far as the status of the run tells that of the task.
fn query(filter: &TaskFilter) -> String {
    let types: Vec<_> = filter.workflow_types.iter().map(|name| quoted(name)).collect();
    let types = format!("WorkflowType IN ({})", types.join(", "));
    let statuses = match filter.status {
        None | Some(TaskStatus::Unknown) => return types,
        Some(TaskStatus::Open | TaskStatus::Claimed) => "'Running', 'Paused'",
        Some(TaskStatus::Completed) => "'Completed'",
        Some(TaskStatus::Failed) => "'Completed', 'Failed'",
        Some(TaskStatus::TimedOut) => "'Completed', 'TimedOut'",
        Some(TaskStatus::Cancelled) => "'Canceled', 'Terminated'",
    };
    format!("{types} AND ExecutionStatus IN ({statuses})")
}

/// The name and the argument of the update behind an action.
fn argument(action: TaskAction) -> (&'static str, Value) {
    let (name, members) = match action {
        TaskAction::Claim { assignee, lease_seconds } => {
            ("task_claim", json!({"assignee": assignee, "lease_seconds": lease_seconds}))
        }
        TaskAction::Release { assignee } => ("task_release", json!({"assignee": assignee})),
        TaskAction::Complete { output, assignee } => {
            ("task_complete", json!({"output": output, "assignee": assignee}))
        }
        TaskAction::Fail { reason, assignee } => {
            ("task_fail", json!({"reason": reason, "assignee": assignee}))
        }
    };
    let given = |members: Map<String, Value>| members.into_iter().filter(|(_, value)| !value.is_null());
    match members {
        Value::Object(members) => (name, Value::Object(given(members).collect())),
        other => (name, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_become_one_query() {
        let filter = |status| TaskFilter {
            workflow_types: vec!["a.v1".to_owned(), "it's".to_owned()],
            status,
            ..TaskFilter::default()
        };
        let types = "WorkflowType IN ('a.v1', 'it\\'s')";
        assert_eq!(query(&filter(None)), types);
        assert_eq!(
            query(&filter(Some(TaskStatus::Open))),
            format!("{types} AND ExecutionStatus IN ('Running', 'Paused')")
        );
    }

    #[test]
    fn absent_members_are_not_sent() {
        let claim = TaskAction::Claim { assignee: "ann".to_owned(), lease_seconds: None };
        assert_eq!(argument(claim), ("task_claim", json!({"assignee": "ann"})));
        let done = TaskAction::Complete { output: json!({"a": null}), assignee: None };
        assert_eq!(argument(done), ("task_complete", json!({"output": {"a": null}})));
    }
}
