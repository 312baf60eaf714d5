//! The runner against a real Temporal: each kind when it works, fails, times out and is cancelled.

mod runner_support;

use runner_support::{Run, Runner, Web, client, raw, temporal, until};
use serde_json::{Value, json};

/// The members of a result that do not depend on the clock.
fn shape(result: &Value) -> (&str, Option<i64>) {
    for member in ["status", "exit_code", "started_at", "finished_at", "error_summary", "output", "artifacts"]
    {
        assert!(result.get(member).is_some(), "{member} is missing in {result}");
    }
    assert!(result["started_at"].is_string() && result["finished_at"].is_string(), "{result}");
    (result["status"].as_str().unwrap(), result["exit_code"].as_i64())
}

/// How long a run took, by its result.
fn seconds(result: &Value) -> f64 {
    let at = |member: &str| {
        let text = result[member].as_str().unwrap_or_else(|| panic!("no {member} in {result}"));
        chrono::DateTime::parse_from_rfc3339(text).unwrap()
    };
    (at("finished_at") - at("started_at")).as_seconds_f64()
}

fn head(queue: &str, artifacts: &std::path::Path) -> String {
    let artifacts = artifacts.display();
    // Nobody listens on this registry's port: work goes on all the same.
    format!(
        "registry: {{url: 'http://127.0.0.1:1'}}\n\
         worker: {{id: {queue}, task_queue: {queue}, drain_seconds: 1, artifact_dir: '{artifacts}'}}\nentries:\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn subprocess_ends_in_every_way() {
    let temporal = temporal();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2hunter2\n").unwrap();
    let yaml = head("sub", folder.path())
        + &format!(
            r#"
  - workflow_type: greet.v1
    kind: subprocess
    input_schema: {{type: object, properties: {{name: {{type: string}}}}, required: [name]}}
    argv: [/bin/sh, -c, 'printf "%s" "$1"; cat; echo "key=$KEY" >&2; echo made > "$TEMPORAL_REGISTRY_ARTIFACT_DIR/extra.txt"', sh, "{{{{input.name}}}}"]
    stdin: "|{{{{input}}}}"
    secrets: {{K: {{file: '{secret}'}}}}
    env: {{KEY: "{{{{secret.K}}}}"}}
    env_allow: [PATH]
  - {{workflow_type: exit3.v1, kind: subprocess, argv: [/bin/sh, -c, 'echo why >&2; exit 3']}}
  - {{workflow_type: killed.v1, kind: subprocess, argv: [/bin/sh, -c, 'kill -9 $$']}}
  - {{workflow_type: long.v1, kind: subprocess, max_output_bytes: 100, argv: [/bin/sh, -c, 'yes 0123456789 | head -n 1000']}}
  - {{workflow_type: json.v1, kind: subprocess, output_format: json, output_schema: {{type: object, required: [n]}}, argv: [/bin/sh, -c, 'echo "$1"', sh, "{{{{input.text}}}}"]}}
  - {{workflow_type: absent.v1, kind: subprocess, argv: [/no/such/program]}}
  - {{workflow_type: slow.v1, kind: subprocess, timeout_seconds: 1, grace_seconds: 1, argv: [/bin/sh, -c, 'trap "" TERM; sleep 300 & sleep 300; sleep 300']}}
  - {{workflow_type: limited.v1, kind: subprocess, limits: {{file_bytes: 1000, open_files: 64}}, argv: [/bin/sh, -c, 'ulimit -n; ulimit -f']}}
"#,
            secret = secret.display()
        );
    let runner = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;
    let start = async |name: &str, input: Value| Run::start(&client, "sub", name, raw(&input)).await;

    let run = start("greet.v1", json!({"name": "a; $(id) {{input.x}}"})).await;
    let result = run.result().await;
    assert_eq!(shape(&result), ("succeeded", Some(0)), "{result}");
    assert_eq!(result["output"]["stdout"], r#"a; $(id) {{input.x}}|{"name":"a; $(id) {{input.x}}"}"#);
    assert_eq!(result["output"]["stderr"], "key=[redacted]\n");
    assert_eq!(result["artifacts"][0]["name"], "extra.txt");
    assert!(!run.history().await.contains("hunter2"), "the secret is in the history");
    assert_eq!(run.query("result").await, result);
    assert_eq!(run.query("progress").await["phase"], "finished");
    assert_eq!(run.query("task").await, Value::Null);

    for (input, why) in [(json!({}), "name"), (json!({"name": 3}), "/name"), (json!([]), "object")] {
        let result = start("greet.v1", input).await.result().await;
        assert_eq!(shape(&result), ("rejected", None));
        assert!(result["error_summary"].as_str().unwrap().contains(why), "{result}");
    }
    let result = Run::start(&client, "sub", "greet.v1", binary()).await.result().await;
    assert_eq!(shape(&result), ("rejected", None), "{result}");

    let result = start("exit3.v1", json!({})).await.result().await;
    assert_eq!(shape(&result), ("failed", Some(3)));
    assert!(result["error_summary"].as_str().unwrap().contains("why"), "{result}");
    assert_eq!(shape(&start("killed.v1", json!({})).await.result().await), ("failed", Some(137)));
    let result = start("absent.v1", json!({})).await.result().await;
    assert_eq!(shape(&result), ("rejected", None));
    assert!(result["error_summary"].as_str().unwrap().contains("/no/such/program"), "{result}");

    let result = start("long.v1", json!({})).await.result().await;
    assert_eq!(shape(&result), ("succeeded", Some(0)));
    assert_eq!(result["output"]["stdout"].as_str().unwrap().len(), 100);
    assert_eq!(
        (&result["output"]["stdout_bytes"], &result["output"]["truncated"]),
        (&json!(11_000), &json!(true))
    );
    let file = result["artifacts"][0]["path"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "0123456789\n".repeat(1_000));

    for (text, expected) in [(r#"{"n": 1}"#, "succeeded"), (r#"{"m": 1}"#, "failed"), ("n=1", "failed")] {
        let result = start("json.v1", json!({"text": text})).await.result().await;
        assert_eq!(shape(&result).0, expected, "{result}");
    }
    let missing = start("json.v1", json!({"text": null})).await.result().await;
    assert_eq!(shape(&missing), ("rejected", None), "{missing}");

    let run = start("slow.v1", json!({})).await;
    let result = run.result().await;
    assert_eq!(shape(&result), ("timed_out", None), "{result}");
    assert_eq!(run.processes(), Vec::<i32>::new());

    let result = start("limited.v1", json!({})).await.result().await;
    assert_eq!(result["output"]["stdout"].as_str().unwrap().lines().next(), Some("64"), "{result}");
    runner.stop().unwrap();
}

fn binary() -> temporalio_common::data_converters::RawValue {
    let mut raw = raw(&json!({}));
    raw.payloads[0].metadata.insert("encoding".into(), b"binary/plain".to_vec());
    raw
}

/// Cancellation reaches a process that ignores SIGTERM, its children, one that left the group, and one that left the
/// session; and what was known until then is kept.
#[tokio::test(flavor = "multi_thread")]
async fn cancel_leaves_no_process_behind() {
    let temporal = temporal();
    let folder = tempfile::tempdir().unwrap();
    let yaml = head("cancel", folder.path())
        + r#"
  - workflow_type: stubborn.v1
    kind: subprocess
    grace_seconds: 1
    argv: [/bin/sh, -c, 'trap "" TERM; setsid sleep 301 & (setsid sh -c "sleep 302 & sleep 303" &) ; echo ready; sleep 304; sleep 305']
    env_allow: [PATH]
  - workflow_type: daemon.v1
    kind: subprocess
    argv: [/bin/sh, -c, '(setsid sleep 306 >&2 &) ; sleep 0.2; echo started']
    env_allow: [PATH]
"#;
    let runner = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;

    let run = Run::start(&client, "cancel", "stubborn.v1", raw(&json!({}))).await;
    let progress = run.query_until("progress", |word| word["last_lines"][0] == "ready").await;
    assert_eq!(
        (&progress["phase"], &progress["bytes"]["stdout"]),
        (&json!("running"), &json!(6)),
        "{progress}"
    );
    until("all five processes run", || run.processes().len() >= 5);
    run.cancel().await;
    let result = run.canceled_result().await;
    assert_eq!(shape(&result), ("cancelled", None), "{result}");
    assert_eq!(result["output"]["stdout"], "ready\n");
    assert_eq!(run.processes(), Vec::<i32>::new());

    let run = Run::start(&client, "cancel", "daemon.v1", raw(&json!({}))).await;
    let result = run.result().await;
    assert_eq!(shape(&result), ("succeeded", Some(0)), "{result}");
    assert_eq!(run.processes(), Vec::<i32>::new());
    runner.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_ends_in_every_way() {
    let temporal = temporal();
    let web = Web::start().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2hunter2").unwrap();
    let base = format!("http://{}", web.address);
    let yaml = head("http", folder.path())
        + &format!(
            r#"
  - workflow_type: echo.v1
    kind: http
    url: '{base}/echo/{{{{input.word}}}}'
    secrets: {{K: {{file: '{secret}'}}}}
    headers: {{authorization: 'Bearer {{{{secret.K}}}}'}}
    body: {{all: '{{{{input}}}}', n: '{{{{input.n}}}}'}}
    allowed_hosts: ['{host}']
    output_schema: {{properties: {{word: {{maxLength: 8}}}}}}
  - {{workflow_type: get.v1, kind: http, method: GET, url: '{base}/echo/x', allowed_hosts: ['{host}']}}
  - {{workflow_type: fail.v1, kind: http, url: '{base}/fail', allowed_hosts: ['{host}']}}
  - {{workflow_type: slow.v1, kind: http, url: '{base}/slow', timeout_seconds: 1, allowed_hosts: ['{host}']}}
  - {{workflow_type: hang.v1, kind: http, url: '{base}/slow', timeout_seconds: 100, allowed_hosts: ['{host}']}}
  - {{workflow_type: stay.v1, kind: http, url: '{base}/away', allowed_hosts: ['{host}']}}
  - {{workflow_type: follow.v1, kind: http, url: '{base}/away', max_redirects: 1, allowed_hosts: ['{host}']}}
  - {{workflow_type: lured.v1, kind: http, url: '{base}/outside', max_redirects: 1, allowed_hosts: ['{host}']}}
  - {{workflow_type: big.v1, kind: http, url: '{base}/big', max_output_bytes: 100, allowed_hosts: ['{host}']}}
  - {{workflow_type: any.v1, kind: http, url: 'http://{{{{input.host}}}}/', allowed_hosts: ['*.localhost', 'localhost.test']}}
  - {{workflow_type: refused.v1, kind: http, url: 'http://127.0.0.1:1/', allowed_hosts: [127.0.0.1]}}
"#,
            host = web.address,
            secret = secret.display()
        );
    let runner = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;
    let start = async |name: &str, input: Value| Run::start(&client, "http", name, raw(&input)).await;

    let run = start("echo.v1", json!({"word": "a/b", "n": 7})).await;
    let result = run.result().await;
    assert_eq!(shape(&result), ("succeeded", Some(200)), "{result}");
    assert_eq!(result["output"], json!({"word": "a/b", "method": "POST", "you_sent": "Bearer [redacted]"}));
    assert_eq!(result["artifacts"][0]["http_status"], 200);
    assert_eq!(result["artifacts"][0]["headers"]["content-type"], "application/json");
    assert_eq!(web.state.lock().unwrap().body, json!({"all": {"word": "a/b", "n": 7}, "n": 7}));
    assert_eq!(web.state.lock().unwrap().headers["authorization"], "Bearer hunter2hunter2");
    assert!(!run.history().await.contains("hunter2"), "the secret is in the history");

    let table = [
        ("echo.v1", json!({"word": "too long a word", "n": 1}), "failed", Some(200), "output_schema"),
        ("echo.v1", json!({"word": "x"}), "rejected", None, "input.n is missing"),
        ("echo.v1", json!({"word": "..", "n": 1}), "rejected", None, "`..`"),
        ("get.v1", json!({}), "succeeded", Some(200), ""),
        ("fail.v1", json!({}), "failed", Some(500), "HTTP 500"),
        ("slow.v1", json!({}), "timed_out", None, "within 1 s"),
        ("stay.v1", json!({}), "failed", Some(302), "redirect"),
        ("follow.v1", json!({}), "succeeded", Some(200), ""),
        ("lured.v1", json!({}), "rejected", None, "`localhost` is not among allowed_hosts"),
        ("big.v1", json!({}), "succeeded", Some(200), ""),
        ("any.v1", json!({"host": "evil.test"}), "rejected", None, "not among allowed_hosts"),
        ("any.v1", json!({"host": "a@localhost.test"}), "rejected", None, "not a URL"),
        ("refused.v1", json!({}), "failed", None, "connection"),
    ];
    for (name, input, status, code, why) in table {
        let result = start(name, input.clone()).await.result().await;
        assert_eq!(shape(&result), (status, code), "{name} {input}: {result}");
        assert!(result["error_summary"].as_str().unwrap_or_default().contains(why), "{name}: {result}");
        if name == "big.v1" {
            let file = result["artifacts"][1]["path"].as_str().unwrap();
            assert_eq!(
                (std::fs::read_to_string(file).unwrap().len(), &result["output"]),
                (5_000, &json!("x".repeat(100)))
            );
        }
    }

    let run = start("hang.v1", json!({})).await;
    until("the request has arrived", || web.hits("slow") >= 2);
    run.cancel().await;
    assert_eq!(shape(&run.canceled_result().await), ("cancelled", None));
    runner.stop().unwrap();
}

fn remote(queue: &str, folder: &std::path::Path, web: &Web) -> String {
    let base = format!("http://{}", web.address);
    head(queue, folder)
        + &format!(
            r#"
  - workflow_type: train.v1
    kind: http_async
    url: '{base}/kick'
    run_id_path: job.id
    poll_url_template: '{base}/poll/{{run_id}}'
    poll_status_path: state
    poll_terminal_states: [done, broken]
    poll_success_states: [done]
    poll_interval_seconds: 1
    poll_max_failures: 4
    timeout_seconds: 40
    cancel_url_template: '{base}/cancel/{{run_id}}'
    allowed_hosts: ['{host}']
  - workflow_type: short.v1
    kind: http_async
    url: '{base}/kick'
    run_id_path: job.id
    poll_url_template: '{base}/poll/{{run_id}}'
    poll_status_path: state
    poll_terminal_states: [done]
    poll_success_states: [done]
    poll_interval_seconds: 1
    timeout_seconds: 2
    cancel_url_template: '{base}/cancel/{{run_id}}'
    allowed_hosts: ['{host}']
  - workflow_type: lost.v1
    kind: http_async
    url: '{base}/kick'
    run_id_path: job.none
    poll_url_template: '{base}/poll/{{run_id}}'
    poll_status_path: state
    poll_terminal_states: [done]
    poll_success_states: [done]
    allowed_hosts: ['{host}']
"#,
            host = web.address
        )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_job_is_started_once_and_followed_to_its_end() {
    let temporal = temporal();
    let web = Web::start().await;
    let folder = tempfile::tempdir().unwrap();
    let runner = Runner::start(&temporal, &remote("job", folder.path(), &web));
    let client = client(&temporal).await;
    let start = async |name: &str| Run::start(&client, "job", name, raw(&json!({}))).await;

    web.state.lock().unwrap().failing_polls = 3;
    let run = start("train.v1").await;
    run.query_until("progress", |word| word["remote_state"] == "running").await;
    web.state.lock().unwrap().job = Some("done".into());
    let result = run.result().await;
    assert_eq!(shape(&result), ("succeeded", Some(200)), "{result}");
    assert_eq!(result["output"], json!({"id": "a/b 1", "state": "done"}));
    assert_eq!(web.hits("kick"), 1);
    // It began with its run, a second before each of the polls that failed and not with the last of them.
    assert!(seconds(&result) >= 3.0, "{result}");

    web.state.lock().unwrap().job = Some("broken".into());
    let result = start("train.v1").await.result().await;
    assert_eq!(shape(&result), ("failed", Some(200)), "{result}");
    assert!(result["error_summary"].as_str().unwrap().contains("`broken`"), "{result}");

    web.state.lock().unwrap().failing_polls = 100;
    let result = start("train.v1").await.result().await;
    assert_eq!((shape(&result), &result["outcome"]), (("failed", None), &json!("unknown")), "{result}");
    assert!(result["error_summary"].as_str().unwrap().contains("4 polls in a row"), "{result}");
    assert!(seconds(&result) >= 3.0, "{result}");

    let result = start("lost.v1").await.result().await;
    assert_eq!((shape(&result).0, &result["outcome"]), ("failed", &json!("unknown")), "{result}");
    assert_eq!(web.hits("cancel"), 0);

    {
        let mut state = web.state.lock().unwrap();
        (state.failing_polls, state.job) = (0, None);
    }
    let result = start("short.v1").await.result().await;
    assert_eq!(shape(&result), ("timed_out", None), "{result}");
    assert_eq!(web.hits("cancel"), 1);

    let run = start("train.v1").await;
    run.query_until("progress", |word| word["remote_state"] == "running").await;
    run.cancel().await;
    let result = run.canceled_result().await;
    assert_eq!(shape(&result), ("cancelled", None));
    assert_eq!(web.hits("cancel"), 2);

    // Cancelled while the kick-off is on its way: what it starts is stopped.
    let kicks = web.hits("kick");
    web.state.lock().unwrap().kick_waits = true;
    let early = start("train.v1").await;
    until("the kick-off has arrived", || web.hits("kick") > kicks);
    early.cancel().await;
    early.history_until("ctivityTaskCancelRequested").await;
    web.state.lock().unwrap().kick_waits = false;
    assert_eq!(shape(&early.canceled_result().await), ("cancelled", None));
    assert_eq!(web.hits("cancel"), 3);
    runner.stop().unwrap();

    // A runner that has never seen the run gives the same answer from its history.
    let replaying = Runner::start(&temporal, &remote("job", folder.path(), &web));
    assert_eq!(run.query("result").await, result);
    replaying.stop().unwrap();
}

/// The second runner takes over what the first was waiting for: it asks, and does not start the job again.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_job_survives_its_runner() {
    let temporal = temporal();
    let web = Web::start().await;
    let folder = tempfile::tempdir().unwrap();
    let yaml = remote("heir", folder.path(), &web);
    let first = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;
    let run = Run::start(&client, "heir", "train.v1", raw(&json!({}))).await;
    until("the job has been asked for", || web.hits("poll") > 0);
    first.stop().unwrap();
    let second = Runner::start(&temporal, &yaml);
    let before = web.hits("poll");
    until("the heir asks for the job", || web.hits("poll") > before);
    web.state.lock().unwrap().job = Some("done".into());
    assert_eq!(shape(&run.result().await).0, "succeeded");
    assert_eq!(web.hits("kick"), 1);
    second.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_waits_for_a_person() {
    let temporal = temporal();
    let folder = tempfile::tempdir().unwrap();
    let yaml = head("task", folder.path())
        + r#"
  - workflow_type: approve.v1
    kind: manual
    title: "Approve {{input.amount}}"
    output_schema: {type: object, required: [approved]}
  - {workflow_type: soon.v1, kind: manual, timeout_seconds: 1}
"#;
    let runner = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;
    let start = async |name: &str, input: Value| Run::start(&client, "task", name, raw(&input)).await;

    let run = start("approve.v1", json!({"amount": 30})).await;
    let task = run.query_until("task", |task| task["state"] == "open").await;
    assert_eq!(task["title"], "Approve 30");
    assert_eq!(task["form_schema"]["required"], json!(["approved"]));
    let memo = run.0.describe(Default::default()).await.unwrap().memo();
    assert_eq!(memo.get::<bool>("temporal_registry_task").unwrap(), Some(true));
    let claimed = run.update("task_claim", json!({"assignee": "ann", "lease_seconds": 60})).await;
    assert_eq!((&claimed["ok"], &claimed["task"]["assignee"]), (&json!(true), &json!("ann")));
    assert_eq!(run.update("task_claim", json!({"assignee": "bob"})).await["code"], "task_claimed");
    assert_eq!(run.update("task_complete", json!({"output": {}})).await["code"], "invalid_output");
    let done = run.update("task_complete", json!({"output": {"approved": true}, "assignee": "ann"})).await;
    assert_eq!(done["task"]["state"], "completed", "{done}");
    let result = run.result().await;
    assert_eq!(shape(&result), ("succeeded", None));
    assert_eq!(result["output"], json!({"approved": true}));
    assert_eq!(run.query("task").await["state"], "completed");

    // The first update may arrive before the run has had its first task.
    let run = start("approve.v1", json!({"amount": 1})).await;
    assert_eq!(run.update("task_fail", json!({"reason": "too little"})).await["ok"], true);
    let result = run.result().await;
    assert_eq!((shape(&result).0, &result["error_summary"]), ("failed", &json!("too little")));

    assert_eq!(shape(&start("soon.v1", json!({})).await.result().await), ("timed_out", None));
    assert_eq!(shape(&start("approve.v1", json!({})).await.result().await), ("rejected", None));

    let run = start("approve.v1", json!({"amount": 2})).await;
    run.query_until("task", |task| task["state"] == "open").await;
    run.cancel().await;
    assert_eq!(shape(&run.canceled_result().await), ("cancelled", None));
    assert_eq!(run.query("task").await["state"], "cancelled");
    runner.stop().unwrap();
    let replaying = Runner::start(&temporal, &yaml);
    assert_eq!(run.query("task").await["state"], "cancelled");
    replaying.stop().unwrap();
}

/// A runner that is told to stop gives running work its time; what it then has to break off is done again elsewhere
/// when that does no harm, and otherwise ends as something nobody knows the fate of.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_runner_breaks_off_what_does_not_end() {
    let temporal = temporal();
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("second-time");
    let yaml = head("stop", folder.path())
        + &format!(
            r#"
  - {{workflow_type: once.v1, kind: subprocess, argv: [/bin/sleep, '307'], grace_seconds: 1}}
  - {{workflow_type: again.v1, kind: subprocess, idempotent: true, argv: [/bin/sh, -c, 'if [ -e "$1" ]; then echo again; else touch "$1"; sleep 308; fi', sh, '{mark}'], env_allow: [PATH], grace_seconds: 1}}
"#,
            mark = mark.display()
        );
    let first = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;
    let once = Run::start(&client, "stop", "once.v1", raw(&json!({}))).await;
    let again = Run::start(&client, "stop", "again.v1", raw(&json!({}))).await;
    until("both run", || mark.exists() && once.processes().len() == 1 && again.processes().len() == 2);
    first.stop().unwrap();
    assert_eq!((once.processes(), again.processes()), (vec![], vec![]));
    let second = Runner::start(&temporal, &yaml);
    let result = once.result().await;
    assert_eq!((shape(&result).0, &result["outcome"]), ("failed", &json!("unknown")), "{result}");
    let result = again.result().await;
    assert_eq!((shape(&result).0, &result["output"]["stdout"]), ("succeeded", &json!("again\n")), "{result}");
    second.stop().unwrap();
}

/// The example that comes with the program does what it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_works() {
    let temporal = temporal();
    let folder = tempfile::tempdir().unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/runner.yaml");
    let yaml = std::fs::read_to_string(file)
        .unwrap()
        .replace("http://127.0.0.1:8080", "http://127.0.0.1:1")
        .replace("/tmp/temporal-registry-artifacts", &folder.path().display().to_string())
        .replace("task_queue: runner", "task_queue: example");
    let runner = Runner::start(&temporal, &yaml);
    let client = client(&temporal).await;
    let input = json!({"day": "2026-01-31", "seconds": 1});
    let result = Run::start(&client, "example", "report.demo.v1", raw(&input)).await.result().await;
    assert_eq!(shape(&result), ("succeeded", Some(0)), "{result}");
    assert_eq!(result["output"], json!({"day": "2026-01-31", "lines": 1, "mode": "nightly"}));
    assert_eq!(result["artifacts"][0]["name"], "report.txt");
    runner.stop().unwrap();
}
