//! `kind: http_async`: start a remote job once, ask for its state, stop it when it is no longer wanted.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Execution,
    capture::Capture,
    exchange::{Answer, Failure, Request, exchange},
    http,
};
use crate::runner::{
    config::HttpAsync,
    outcome::{RunResult, Status},
    plan::Kickoff,
};

/// What a poll hands to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Polls in a row that failed.
    #[serde(default)]
    pub failures: u32,
    /// The state the job was last seen in.
    #[serde(default)]
    pub state: Option<String>,
}

/// What a poll found.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    /// The job has ended, or asking for it has.
    Ended(Box<RunResult>),
    /// Ask again; why, for a human.
    Again(Memory, String),
}

/// Starts the job.
pub async fn kickoff(own: &HttpAsync, exec: &Execution<'_>) -> Kickoff {
    let started = crate::clock::now();
    let ended = |result| Kickoff { run_id: None, ended: Some(result) };
    let answer = match own.kickoff(exec) {
        Ok(request) => send(own, exec, request).await,
        Err(reason) => Err(Failure::Rejected(reason)),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => {
            let result = http::failed(exec, &failure, started);
            // Once something may have been sent, a job may have been started.
            let sent = !matches!(failure, Failure::Rejected(_));
            return ended(if sent { result.unknown() } else { result });
        }
    };
    let result = http::result(exec, &answer, started);
    if result.status != Status::Succeeded {
        return ended(result);
    }
    match scalar_at(&answer.value(), &own.run_id_path) {
        Some(run_id) => Kickoff { run_id: Some(run_id), ended: None },
        None => {
            let reason = format!("the answer to the kick-off has no job id at `{}`", own.run_id_path);
            ended(RunResult { status: Status::Failed, ..result.because(reason).unknown() })
        }
    }
}

/// Asks once for the state of the job.
pub async fn poll(own: &HttpAsync, exec: &Execution<'_>, run_id: &str, memory: Memory) -> Polled {
    let started = crate::clock::now();
    let request = match own.about(exec, &own.poll_url_template, "GET", run_id) {
        Ok(request) => request,
        Err(reason) => return end(http::failed(exec, &Failure::Rejected(reason), started)),
    };
    let found = match send(own, exec, request).await {
        Err(failure @ Failure::Rejected(_)) => return end(http::failed(exec, &failure, started)),
        Err(failure) => Err(exec.secrets.redact(failure.reason())),
        Ok(answer) if !answer.status.is_success() => Err(format!("HTTP {}", answer.status)),
        Ok(answer) => match scalar_at(&answer.value(), &own.poll_status_path) {
            Some(state) => Ok((answer, state)),
            None if answer.body.is_truncated => Err("the answer is longer than max_output_bytes".to_owned()),
            None => Err(format!("the answer has no state at `{}`", own.poll_status_path)),
        },
    };
    match found {
        Ok((answer, state)) if own.poll_terminal_states.contains(&state) => {
            end(exec.checked(ended(own, exec, &answer, &state, started)))
        }
        Ok((_, state)) => {
            let why = format!("the remote job is in state `{state}`");
            Polled::Again(Memory { failures: 0, state: Some(state) }, why)
        }
        Err(why) => {
            let failures = memory.failures + 1;
            if failures >= own.poll_max_failures {
                let reason = format!("{failures} polls in a row failed; the last: {why}");
                let lost = RunResult::new(Status::Failed, None).because(reason).unknown();
                return end(lost.finished(Some(crate::clock::now())));
            }
            Polled::Again(Memory { failures, ..memory }, format!("the poll failed ({why}) and is repeated"))
        }
    }
}

/// Tells the service to stop the job. A job that is gone already counts as stopped.
///
/// # Errors
/// Why it may still run.
pub async fn cancel(own: &HttpAsync, exec: &Execution<'_>, run_id: &str) -> Result<(), String> {
    let Some(template) = &own.cancel_url_template else { return Ok(()) };
    let request = own.about(exec, template, &own.cancel_method, run_id)?;
    let answer = send(own, exec, request).await.map_err(|failure| exec.secrets.redact(failure.reason()))?;
    match answer.status.as_u16() {
        200..=299 | 404 | 409 | 410 => Ok(()),
        _ => Err(format!("HTTP {}", answer.status)),
    }
}

async fn send(own: &HttpAsync, exec: &Execution<'_>, request: Request) -> Result<Answer, Failure> {
    let rules = own.rules().map_err(Failure::Rejected)?;
    // No file: there may be a great many of these answers, and one that is cut has no use.
    let capture = Capture::new("body", exec.folder, exec.secrets.redactor(), own.max_output_bytes, 0);
    exchange(request, &rules, capture).await
}

fn ended(
    own: &HttpAsync,
    exec: &Execution<'_>,
    answer: &Answer,
    state: &str,
    started: SystemTime,
) -> RunResult {
    // It began long before this poll: the workflow knows when.
    let result = RunResult { started_at: None, ..http::result(exec, answer, started) };
    if own.poll_success_states.iter().any(|success| success == state) {
        return result;
    }
    RunResult { status: Status::Failed, ..result.because(format!("the remote job ended in state `{state}`")) }
}

fn end(result: RunResult) -> Polled {
    Polled::Ended(Box::new(result))
}

/// The text, number or boolean at a path such as `data.items.0.id`.
fn scalar_at(value: &Value, path: &str) -> Option<String> {
    let mut found = value;
    for part in path.split('.') {
        found = match found {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            other => other.get(part)?,
        };
    }
    match found {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(found.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_and_states_are_found_at_their_path() {
        let answer = json!({"id": "a", "n": 7, "data": {"items": [{"id": "x"}]}, "empty": "", "obj": {}});
        let table = [
            ("id", Some("a")),
            ("n", Some("7")),
            ("data.items.0.id", Some("x")),
            ("data.items.1.id", None),
            ("none", None),
            ("empty", None),
            ("obj", None),
            ("id.more", None),
        ];
        for (path, expected) in table {
            assert_eq!(scalar_at(&answer, path).as_deref(), expected, "{path}");
        }
    }
}
