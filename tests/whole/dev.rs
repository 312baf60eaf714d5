//! `dev` in an empty folder: what the README shows works, and nothing is left behind.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::harness::{free_port, until};
use super::readme;

struct Dev {
    child: Child,
    url: String,
    temporal_port: u16,
    http: Client,
}

impl Dev {
    async fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-registry"));
        command.args(["dev", "--port", "0", "--log-level", "warn"]);
        let temporal_port = free_port();
        command.args(["--temporal-port", &temporal_port.to_string(), "--ui-port", &free_port().to_string()]);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("dev starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let url = async {
            loop {
                let line = lines.next_line().await.expect("a line").expect("dev says where it is");
                if let Some(rest) = line.trim().strip_prefix("registry ") {
                    break rest.split_whitespace().next().expect("an address").to_owned();
                }
            }
        };
        let url = tokio::time::timeout(Duration::from_secs(60), url).await.expect("dev is up within 60 s");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, url, temporal_port, http: Client::new() }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        let answer = request.timeout(Duration::from_secs(60)).send().await.expect("an answer");
        let (status, body) = (answer.status(), answer.json::<Value>().await.expect("JSON"));
        assert!(status.is_success(), "POST {path}: {status} {body}");
        body
    }
}

/// Processes, not yet ended, whose environment or command line holds this text.
fn processes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("the list of processes").flatten() {
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let said = [read("environ"), read("cmdline")].concat();
        if String::from_utf8_lossy(&said).contains(text) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_works_as_pasted_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = Dev::start(folder.path()).await;
    // As pasted: one line right after the other, from the moment that `dev` says where it is.
    let port = dev.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let lines = readme::curls();
    assert!(lines.len() > 10, "{lines:#?}");
    for line in &lines {
        let answer = line.typed(port).await;
        let types = |word: &str| line.command.contains(word);
        if types("tasks?status=open") {
            assert_eq!(answer["tasks"][0]["workflow_id"], "invoice-r1", "{answer}");
        } else if types("8080/registry/workflows\n") {
            let healthy = |listed: &&Value| listed["workers"][0]["healthy"] == true;
            let listed = answer["workflows"].as_array().expect("types");
            assert_eq!(listed.iter().filter(healthy).count(), 3, "{answer}");
        } else if types("schedules/every-minute\n") && !types("DELETE") {
            assert!(answer["next_fires"].as_array().is_some_and(|fires| !fires.is_empty()), "{answer}");
        }
    }

    // Stopped with a script in its hands that would go on for minutes.
    let long = json!({"workflow_id": "long", "input": {"day": "2026-01-31", "seconds": 600}});
    dev.post("/workflows/report.demo.v1/start", &long).await;
    let mark = folder.path().display().to_string();
    let script = format!("{mark}/.temporal/dev.sample/artifacts");
    until("the script runs", Duration::from_secs(60), async || !processes(&script).is_empty()).await;
    let temporal = format!("start-dev\0--ip\0127.0.0.1\0--log-level\0warn\0--port\0{}\0", dev.temporal_port);
    assert_eq!(processes(&temporal).len(), 1, "the Temporal dev server");
    let id = i32::try_from(dev.child.id().expect("it runs")).expect("a process id");
    kill(Pid::from_raw(id), Signal::SIGTERM).expect("a signal");
    let ended = tokio::time::timeout(Duration::from_secs(60), dev.child.wait()).await;
    assert!(ended.expect("it stops within 60 s").expect("an exit status").success());
    assert_eq!(processes(&mark), Vec::<String>::new());
    assert_eq!(processes(&temporal), Vec::<String>::new());
}
