//! `kind: http`: one exchange.

use std::time::SystemTime;

use serde_json::Value;

use super::{
    Execution,
    capture::Capture,
    exchange::{Answer, Failure, exchange},
    request::BODY_FILE_MAX,
};
use crate::runner::{
    config::Http,
    outcome::{Artifact, RunResult, Status},
};

/// Makes the exchange.
pub async fn run(own: &Http, exec: &Execution<'_>) -> RunResult {
    let started = crate::clock::now();
    let (request, rules) = match own.request(exec).and_then(|request| Ok((request, own.rules()?))) {
        Ok(both) => both,
        Err(reason) => return RunResult::rejected(exec.secrets.redact(&reason)),
    };
    let capture =
        Capture::new("body", exec.folder, exec.secrets.redactor(), own.max_output_bytes, BODY_FILE_MAX);
    exec.progress
        .send_replace(serde_json::json!({"phase": "waiting for the answer", "attempt": exec.attempt}));
    let answer = tokio::select! {
        answer = exchange(request, &rules, capture) => answer,
        () = exec.cancelled.cancelled() => {
            return RunResult::new(Status::Cancelled, Some(started))
                .finished(Some(crate::clock::now()))
                .because("cancelled: the exchange was broken off");
        }
    };
    match answer {
        Ok(answer) => exec.checked(result(exec, &answer, started)),
        Err(failure) => failed(exec, &failure, started),
    }
}

/// The result for an exchange without an answer.
pub fn failed(exec: &Execution<'_>, failure: &Failure, started: SystemTime) -> RunResult {
    let status = match failure {
        Failure::Rejected(_) => Status::Rejected,
        Failure::TimedOut(_) => Status::TimedOut,
        Failure::Broken(_) => Status::Failed,
    };
    RunResult::new(status, Some(started))
        .finished(Some(crate::clock::now()))
        .because(exec.secrets.redact(failure.reason()))
}

/// The result for an answer: 2xx succeeded, anything else failed.
pub fn result(exec: &Execution<'_>, answer: &Answer, started: SystemTime) -> RunResult {
    let ok = answer.status.is_success();
    let status = if ok { Status::Succeeded } else { Status::Failed };
    let mut result = RunResult::new(status, Some(started)).finished(Some(crate::clock::now()));
    result.exit_code = Some(i64::from(answer.status.as_u16()));
    result.output = answer.value();
    result.artifacts = vec![head(exec, answer)];
    result.artifacts.extend(answer.body.artifact.clone());
    let redirected = answer.status.is_redirection();
    match (ok, redirected, &answer.body.trouble) {
        (true, _, None) => result,
        (true, _, Some(trouble)) => result.because(trouble.clone()),
        (false, true, _) => result.because(format!("HTTP {}: the redirect was not followed", answer.status)),
        (false, false, _) => result.because(format!("HTTP {}", answer.status)),
    }
}

fn head(exec: &Execution<'_>, answer: &Answer) -> Artifact {
    let headers = answer.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.clone(), Value::from(exec.secrets.redact(value)))).collect();
    Artifact {
        name: "response".to_owned(),
        http_status: Some(answer.status.as_u16()),
        headers: Some(Value::Object(headers)),
        ..Artifact::default()
    }
}
