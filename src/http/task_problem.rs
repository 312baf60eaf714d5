//! What went wrong with a task, as a problem.

use serde_json::Value;

use super::code::Code;
use super::problem::Problem;
use super::shapes::rfc3339;
use super::starts::in_input;
use super::state::AppState;
use crate::schema::{Violation, content_hash};
use crate::seams::TaskError;

/// The problem behind what was not done to a task; `output` is what was to be its result.
pub(super) fn problem(state: &AppState, error: TaskError, output: &Value) -> Problem {
    match error {
        TaskError::NotATask => no_task(),
        TaskError::Closed => Problem::new(Code::TaskClosed, "the task has ended"),
        TaskError::Claimed(task) => {
            let holder = task.assignee.unwrap_or_else(|| "somebody else".to_owned());
            let until = task.lease_expires_at_ms.map(rfc3339);
            let text = until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
            Problem::new(Code::TaskClaimed, format!("the task is held by {holder}{text}"))
                .with("assignee", holder)
                .with("lease_expires_at", until)
        }
        TaskError::Misfit { output_schema, broken } => {
            let details = in_input(misfits(state, &output_schema, output, broken), &["output"]);
            let detail = match details.len() {
                1 => "the output does not fit the form in one place".to_owned(),
                count => format!("the output does not fit the form in {count} places"),
            };
            Problem::new(Code::InvalidInput, detail).with_details(details)
        }
        TaskError::Refused(why) => {
            Problem::new(Code::InvalidRequest, format!("the runner refuses it: {why}"))
        }
        TaskError::Run(error) => error.into(),
    }
}

/// 404: nothing of this name is a task.
pub(super) fn no_task() -> Problem {
    Problem::new(Code::TaskNotFound, "there is no such task")
}

/// 503: nobody is there who could carry it out; nothing was sent.
pub(super) fn no_runner(workflow_type: &str) -> Problem {
    Problem::new(Code::NoHealthyWorker, format!("no runner of {workflow_type} is healthy; nothing was done"))
}

/// Where an output breaks the form, in the vocabulary of all violations; the runner's own words when the form is one
/// that only it can check.
fn misfits(state: &AppState, form: &Value, output: &Value, broken: Vec<(String, String)>) -> Vec<Violation> {
    let validator = state.validators.get(&content_hash(form), form);
    let found = validator.map(|validator| validator.check(output)).unwrap_or_default();
    if !found.is_empty() {
        return found;
    }
    let told = |(pointer, msg): (String, String)| {
        let parts = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~").into());
        Violation { loc: parts.collect(), pointer, msg, kind: "value_error".to_owned() }
    };
    broken.into_iter().map(told).collect()
}
