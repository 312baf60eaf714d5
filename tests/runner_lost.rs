//! Runners that are killed with work in their hands: the real binary, `kill -9`, and another one that takes over.

#[allow(dead_code)] // Shared with the other tests of the runner; not all of it is needed here.
mod runner_support;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use runner_support::{Run, Temporal, Web, client, raw, temporal, until};
use serde_json::{Value, json};

/// `temporal-registry runner -f …` as a process.
struct Binary(Child);

impl Binary {
    fn start(temporal: &Temporal, config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_temporal-registry"))
            .arg("runner")
            .arg("-f")
            .arg(config)
            .env("TEMPORAL_ADDRESS", &temporal.address)
            .env("TEMPORAL_NAMESPACE", "default")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Asked to end, so that nothing it has started stays behind when a test fails half-way.
impl Drop for Binary {
    fn drop(&mut self) {
        let id = i32::try_from(self.0.id()).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(20);
        if matches!(self.0.try_wait(), Ok(None)) && kill(Pid::from_raw(id), Signal::SIGTERM).is_ok() {
            while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(25));
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What may be done twice is done again by the next runner; what may not ends with an unknown outcome; a remote job is
/// followed on and not started again; a task stays with whoever claimed it; and no process of the dead runner is left
/// once the next one is there.
#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_killed_runner_is_taken_over() {
    let temporal = temporal();
    let web = Web::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (mark, file) = (folder.path().join("second-time"), folder.path().join("runner.yaml"));
    let yaml = format!(
        r#"
registry: {{url: 'http://127.0.0.1:1'}}
worker: {{id: lost, task_queue: lost, drain_seconds: 1, artifact_dir: '{folder}'}}
entries:
  - {{workflow_type: once.v1, kind: subprocess, argv: [/bin/sh, -c, 'setsid sleep 309 & sleep 310'], env_allow: [PATH]}}
  - {{workflow_type: again.v1, kind: subprocess, idempotent: true, argv: [/bin/sh, -c, 'if [ -e "$1" ]; then echo again; else touch "$1"; sleep 311; fi', sh, '{mark}'], env_allow: [PATH]}}
  - workflow_type: train.v1
    kind: http_async
    url: 'http://{host}/kick'
    run_id_path: job.id
    poll_url_template: 'http://{host}/poll/{{run_id}}'
    poll_status_path: state
    poll_terminal_states: [done]
    poll_success_states: [done]
    poll_interval_seconds: 1
    allowed_hosts: ['{host}']
  - {{workflow_type: call.v1, kind: http, url: 'http://{host}/slow', timeout_seconds: 100, allowed_hosts: ['{host}']}}
  - {{workflow_type: recall.v1, kind: http, idempotent: true, url: 'http://{host}/slow-once', timeout_seconds: 100, allowed_hosts: ['{host}']}}
  - workflow_type: kick.v1
    kind: http_async
    url: 'http://{host}/slow'
    request_timeout_seconds: 100
    run_id_path: job.id
    poll_url_template: 'http://{host}/poll/{{run_id}}'
    poll_status_path: state
    poll_terminal_states: [done]
    poll_success_states: [done]
    allowed_hosts: ['{host}']
  - {{workflow_type: approve.v1, kind: manual}}
"#,
        folder = folder.path().display(),
        mark = mark.display(),
        host = web.address
    );
    std::fs::write(&file, yaml).unwrap();

    let first = Binary::start(&temporal, &file);
    let client = client(&temporal).await;
    let start = async |name: &str| Run::start(&client, "lost", name, raw(&json!({}))).await;
    let (once, again, train) = (start("once.v1").await, start("again.v1").await, start("train.v1").await);
    let (call, recall, kick) = (start("call.v1").await, start("recall.v1").await, start("kick.v1").await);
    let approve = start("approve.v1").await;
    assert_eq!(approve.update("task_claim", json!({"assignee": "ann"})).await["ok"], true);
    until("all are at work", || {
        let called = (web.hits("slow"), web.hits("slow-once"), web.hits("poll") > 0);
        once.processes().len() == 3 && again.processes().len() == 2 && mark.exists() && called == (2, 1, true)
    });
    first.kill();
    let polls = web.hits("poll");
    let second = Binary::start(&temporal, &file);
    until("the processes of the dead runner are ended", || once.processes().is_empty());
    until("the job is asked for again", || web.hits("poll") > polls);
    web.state.lock().unwrap().job = Some("done".into());

    assert_eq!(approve.update("task_claim", json!({"assignee": "bob"})).await["code"], "task_claimed");
    assert_eq!(approve.update("task_complete", json!({"output": 1, "assignee": "ann"})).await["ok"], true);
    assert_eq!(approve.result().await["output"], 1);
    assert_eq!(train.result().await["status"], "succeeded");
    assert_eq!(web.hits("kick"), 1);
    for lost in [&once, &call, &kick] {
        let result: Value = lost.result().await;
        assert_eq!(
            (&result["status"], &result["outcome"]),
            (&json!("failed"), &json!("unknown")),
            "{result}"
        );
    }
    let result = recall.result().await;
    assert_eq!((&result["status"], &result["output"]), (&json!("succeeded"), &json!("again")), "{result}");
    assert_eq!((web.hits("slow"), web.hits("slow-once")), (2, 2));
    let result = again.result().await;
    assert_eq!(
        (&result["status"], &result["output"]["stdout"]),
        (&json!("succeeded"), &json!("again\n")),
        "{result}"
    );
    assert_eq!((once.processes(), again.processes()), (vec![], vec![]));
    second.kill();
}
