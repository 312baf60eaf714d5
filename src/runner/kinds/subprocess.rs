//! `kind: subprocess`: a process without a shell, in a group of its own, ended with everything it started.

use std::{
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Execution,
    capture::{Capture, Captured, Seen, drain},
    executable,
    processes::{Look, ProcessTree, runner_mark},
};
use crate::runner::{
    config::{OutputFormat, Subprocess},
    outcome::{RunResult, Status},
    progress,
};

/// How the wait for a process ended.
enum Ending {
    Exited(ExitStatus),
    TimedOut,
    Cancelled,
    Lost(std::io::Error),
}

/// Runs the process to its end. Whatever happens, nothing it started is left behind.
pub async fn run(own: &Subprocess, exec: &Execution<'_>) -> RunResult {
    let started = crate::clock::now();
    let mark = format!("{}/{}", runner_mark(), uuid::Uuid::new_v4());
    let (mut child, mut tree, stdin) = match start(own, exec, mark) {
        Ok(started) => started,
        Err(reason) => {
            exec.folder.remove_if_empty();
            return RunResult::rejected(exec.secrets.redact(&reason));
        }
    };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let stop = CancellationToken::new();
    let capture = |name| {
        Capture::new(name, exec.folder, exec.secrets.redactor(), own.max_output_bytes, own.max_artifact_bytes)
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return RunResult::rejected("the process has no output streams");
    };
    let feed = feed(child.stdin.take(), stdin, &stop);
    let drains = async {
        tokio::join!(
            drain(stdout, capture("stdout"), 0, seen.clone(), stop.clone()),
            drain(stderr, capture("stderr"), 1, seen.clone(), stop.clone()),
            feed,
        )
    };
    let watched = async {
        let ending = watch(own, exec, &mut child, &mut tree, &seen).await;
        tree.reap(Duration::from_secs(5)).await;
        // All writers are gone, so both streams end by themselves; the limit is for a kernel that is slow to say so.
        let hold = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            hold.cancel();
        });
        ending
    };
    let (ending, (stdout, stderr, ())) = tokio::join!(watched, drains);
    exec.checked(result(own, exec, ending, started, stdout, stderr))
}

fn start(
    own: &Subprocess,
    exec: &Execution<'_>,
    mark: String,
) -> Result<(Child, ProcessTree, String), String> {
    let (program, first) = executable::command(own)?;
    let values = exec.values();
    let mut command = Command::new(program);
    command.args(first);
    for argument in own.argv.iter().skip(1) {
        command.arg(argument.render(values)?);
    }
    command.env_clear();
    for name in &own.env_allow {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    for (name, value) in &own.env {
        command.env(name, value.render(values)?);
    }
    let stdin = own.stdin.as_ref().map(|stdin| stdin.render(values)).transpose()?;
    exec.folder.make()?;
    command
        .env("TEMPORAL_REGISTRY_WORKFLOW_ID", exec.workflow_id)
        .env("TEMPORAL_REGISTRY_RUN_ID", exec.run_id)
        .env("TEMPORAL_REGISTRY_ARTIFACT_DIR", exec.folder.path())
        .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(cwd) = &own.cwd {
        command.current_dir(cwd);
    }
    let (child, tree) = ProcessTree::start(&mut command, mark)
        .map_err(|error| format!("the process could not be started: {error}"))?;
    Ok((child, tree, stdin.unwrap_or_default()))
}

async fn feed(pipe: Option<tokio::process::ChildStdin>, text: String, stop: &CancellationToken) {
    let Some(mut pipe) = pipe else { return };
    tokio::select! {
        // A process may end without having read all of it; that is its own affair.
        _ = pipe.write_all(text.as_bytes()) => {}
        () = stop.cancelled() => {}
    }
}

async fn watch(
    own: &Subprocess,
    exec: &Execution<'_>,
    child: &mut Child,
    tree: &mut ProcessTree,
    seen: &Mutex<Seen>,
) -> Ending {
    let deadline = Instant::now() + Duration::from_secs(own.timeout_seconds);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let ending = loop {
        tokio::select! {
            status = child.wait() => break status.map_or_else(Ending::Lost, Ending::Exited),
            () = exec.cancelled.cancelled() => break Ending::Cancelled,
            () = tokio::time::sleep_until(deadline) => break Ending::TimedOut,
            _ = tick.tick() => {
                // Whoever has been seen as a descendant is known even after it has left the group.
                tree.scan(Look::Family);
                let seen = seen.lock();
                let [stdout, stderr] = seen.bytes;
                exec.progress.send_replace(progress::of_process(exec.attempt, stdout, stderr, &seen.lines));
            }
        }
    };
    if matches!(ending, Ending::TimedOut | Ending::Cancelled) {
        tree.scan(Look::Family);
        tree.terminate();
        let grace = Duration::from_secs(own.grace_seconds);
        if tokio::time::timeout(grace, child.wait()).await.is_err() {
            tree.kill();
            let _ = child.wait().await;
        }
    }
    // From here on the group's number may belong to somebody else; descendants are told apart by their start time.
    tree.root_ended();
    ending
}

fn result(
    own: &Subprocess,
    exec: &Execution<'_>,
    ending: Ending,
    started: SystemTime,
    stdout: Captured,
    stderr: Captured,
) -> RunResult {
    let done = |status| RunResult::new(status, Some(started)).finished(Some(crate::clock::now()));
    let mut result = match &ending {
        Ending::Exited(status) if status.success() => done(Status::Succeeded),
        Ending::Exited(status) => done(Status::Failed).because(failure(*status, &stderr.text)),
        Ending::TimedOut => done(Status::TimedOut)
            .because(format!("the process did not end within {} s and was stopped", own.timeout_seconds)),
        Ending::Cancelled => done(Status::Cancelled).because("cancelled: the process was stopped"),
        Ending::Lost(error) => done(Status::Failed).because(error.to_string()).unknown(),
    };
    result.exit_code = match &ending {
        Ending::Exited(status) => exit_code(*status),
        _ => None,
    };
    let trouble = [&stdout.trouble, &stderr.trouble].into_iter().flatten().cloned().collect::<Vec<_>>();
    result.artifacts = [stdout.artifact.clone(), stderr.artifact.clone()].into_iter().flatten().collect();
    let left = exec.folder.files(&result.artifacts);
    result.artifacts.extend(left);
    exec.folder.remove_if_empty();
    match own.output_format {
        OutputFormat::Json if result.status == Status::Succeeded => {
            match serde_json::from_str::<Value>(stdout.text.trim()) {
                Ok(value) if !stdout.is_truncated => result.output = value,
                Ok(_) | Err(_) if stdout.is_truncated => {
                    result.status = Status::Failed;
                    result = result.because("standard output is longer than max_output_bytes");
                }
                Ok(_) => {}
                Err(error) => {
                    result.status = Status::Failed;
                    result.output = text_output(&stdout, &stderr);
                    result = result.because(format!("standard output is not JSON: {error}"));
                }
            }
        }
        _ => result.output = text_output(&stdout, &stderr),
    }
    match (&result.error_summary, trouble.is_empty()) {
        (_, true) => result,
        (None, false) => result.because(trouble.join("; ")),
        (Some(known), false) => {
            let text = format!("{known}; {}", trouble.join("; "));
            result.because(text)
        }
    }
}

fn text_output(stdout: &Captured, stderr: &Captured) -> Value {
    json!({
        "stdout": stdout.text,
        "stderr": stderr.text,
        "stdout_bytes": stdout.bytes,
        "stderr_bytes": stderr.bytes,
        "truncated": stdout.is_truncated || stderr.is_truncated,
    })
}

fn failure(status: ExitStatus, stderr: &str) -> String {
    let lines: Vec<&str> = stderr.trim_end().lines().rev().take(3).collect();
    let last = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
    if last.is_empty() { status.to_string() } else { format!("{status}: {last}") }
}

#[cfg(unix)]
fn exit_code(status: ExitStatus) -> Option<i64> {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).map(i64::from)
}

#[cfg(not(unix))]
fn exit_code(status: ExitStatus) -> Option<i64> {
    status.code().map(i64::from)
}
