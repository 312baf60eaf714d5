//! A runner's answers about a task, in the words of the front door.

use chrono::DateTime;
use serde_json::Value;

use crate::{
    clock,
    seams::{RunInfo, RunStatus, Task, TaskError, TaskStatus},
};

/// What a runner's answer to an update means.
pub(super) fn answered(run: RunInfo, answer: &Value) -> Result<Task, TaskError> {
    let told = &answer["task"];
    if answer["ok"] == true {
        return task(run, told).ok_or(TaskError::NotATask);
    }
    Err(match answer["code"].as_str() {
        Some("task_claimed") => {
            task(run, told).map_or(TaskError::NotATask, |held| TaskError::Claimed(held.into()))
        }
        Some("task_closed") => TaskError::Closed,
        Some("task_not_found") => TaskError::NotATask,
        Some("invalid_output") => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let broken = answer["details"].as_array().into_iter().flatten();
            let broken = broken.map(|place| (text(&place["pointer"]), text(&place["msg"]))).collect();
            TaskError::Misfit { output_schema: told["form_schema"].clone(), broken }
        }
        _ => {
            TaskError::Refused(answer["message"].as_str().unwrap_or("its runner does not say why").to_owned())
        }
    })
}

/// The task behind a run as its runner tells it; none when it is no task.
pub(super) fn task(run: RunInfo, told: &Value) -> Option<Task> {
    let text = |name: &str| told[name].as_str().map(str::to_owned);
    let moment = |name: &str| {
        told[name]
            .as_str()
            .and_then(|at| DateTime::parse_from_rfc3339(at).ok())
            .map(|at| at.timestamp_millis())
    };
    let known = |name: &str| told.get(name).filter(|_| told.is_object()).cloned();
    // Asked in its first moment a run has no task yet; one that ended without never had one.
    if told.is_null() && !run.status.is_open() {
        return None;
    }
    let lease_expires_at_ms = moment("lease_expires_at");
    // A query has no clock: only here is it known that a lease has run out.
    let has_lapsed = run.status.is_open() && lease_expires_at_ms.is_some_and(|at| at <= clock::now_ms());
    let status = match (told["state"].as_str(), run.status) {
        (Some("completed"), _) => TaskStatus::Completed,
        (Some("failed"), _) | (_, RunStatus::Failed) => TaskStatus::Failed,
        (Some("timed_out"), _) | (_, RunStatus::TimedOut) => TaskStatus::TimedOut,
        (Some("cancelled"), _) | (_, RunStatus::Canceled | RunStatus::Terminated) => TaskStatus::Cancelled,
        (Some("claimed"), _) if !has_lapsed => TaskStatus::Claimed,
        _ => TaskStatus::Open,
    };
    let holds = !has_lapsed;
    Some(Task {
        status,
        title: text("title"),
        description: text("description"),
        input: known("input"),
        output_schema: known("form_schema"),
        created_at_ms: moment("created_at").or(run.started_at_ms),
        due_at_ms: moment("due_at"),
        closed_at_ms: run.closed_at_ms,
        assignee: text("assignee").filter(|_| holds),
        claimed_at_ms: moment("claimed_at").filter(|_| holds),
        lease_expires_at_ms: lease_expires_at_ms.filter(|_| holds),
        workflow_id: run.workflow_id,
        run_id: run.run_id,
        workflow_type: run.workflow_type,
    })
}

/// The task behind a run whose runner is silent, as far as Temporal knows it.
pub(super) fn untold(run: RunInfo) -> Task {
    let title = run.memo.get("temporal_registry_task_title").and_then(Value::as_str).map(str::to_owned);
    let status = match run.status {
        RunStatus::Canceled | RunStatus::Terminated => TaskStatus::Cancelled,
        RunStatus::TimedOut => TaskStatus::TimedOut,
        RunStatus::Failed => TaskStatus::Failed,
        RunStatus::Running | RunStatus::Paused | RunStatus::Completed | RunStatus::ContinuedAsNew => {
            TaskStatus::Unknown
        }
    };
    Task {
        status,
        title,
        description: None,
        input: None,
        output_schema: None,
        created_at_ms: run.started_at_ms,
        due_at_ms: None,
        closed_at_ms: run.closed_at_ms,
        assignee: None,
        claimed_at_ms: None,
        lease_expires_at_ms: None,
        workflow_id: run.workflow_id,
        run_id: run.run_id,
        workflow_type: run.workflow_type,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(status: RunStatus) -> RunInfo {
        RunInfo {
            workflow_id: "a-r1".to_owned(),
            run_id: "r".to_owned(),
            first_run_id: "r".to_owned(),
            workflow_type: "a.v1".to_owned(),
            status,
            task_queue: "q".to_owned(),
            started_at_ms: Some(1),
            closed_at_ms: None,
            history_events: 3,
            parent: None,
            memo: serde_json::Map::new(),
            search_attributes: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_status_follows_the_run_the_runner_and_the_clock() {
        use RunStatus::{Completed, Failed, Paused, Running, Terminated, TimedOut};
        let (past, future) = ("2000-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z");
        let table = [
            (Running, json!({"state": "open"}), Some(TaskStatus::Open)),
            (Running, Value::Null, Some(TaskStatus::Open)),
            (Running, json!({"state": "claimed", "lease_expires_at": future}), Some(TaskStatus::Claimed)),
            (Paused, json!({"state": "claimed", "lease_expires_at": future}), Some(TaskStatus::Claimed)),
            (Running, json!({"state": "claimed", "lease_expires_at": past}), Some(TaskStatus::Open)),
            (Completed, json!({"state": "completed", "lease_expires_at": past}), Some(TaskStatus::Completed)),
            (Completed, json!({"state": "failed"}), Some(TaskStatus::Failed)),
            (Completed, json!({"state": "timed_out"}), Some(TaskStatus::TimedOut)),
            (Terminated, json!({"state": "open"}), Some(TaskStatus::Cancelled)),
            (TimedOut, json!({"state": "claimed", "lease_expires_at": past}), Some(TaskStatus::TimedOut)),
            (Failed, json!({"state": "open"}), Some(TaskStatus::Failed)),
            (Completed, Value::Null, None),
        ];
        for (status, mut told, expected) in table {
            if let Some(members) = told.as_object_mut() {
                members.insert("assignee".to_owned(), json!("ann"));
            }
            let found = task(run(status), &told);
            assert_eq!(found.as_ref().map(|task| task.status), expected, "{status:?} {told}");
            if told["lease_expires_at"] == past && status == Running {
                assert_eq!(
                    found.and_then(|task| task.assignee),
                    None,
                    "who let the lease lapse holds nothing"
                );
            }
        }
    }

    #[test]
    fn a_silent_runner_leaves_open_what_only_it_knows() {
        for (status, expected) in [
            (RunStatus::Running, TaskStatus::Unknown),
            (RunStatus::Completed, TaskStatus::Unknown),
            (RunStatus::Terminated, TaskStatus::Cancelled),
        ] {
            assert_eq!(untold(run(status)).status, expected);
        }
    }
}
