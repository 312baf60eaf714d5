//! Task queues and hosts: who is where, and what looks wrong.

use serde_json::json;

use super::desk::{registration, spec, worker};
use super::*;

const MINUTE_MS: i64 = 60_000;

fn codes(warnings: &Value) -> Vec<String> {
    let each = warnings.as_array().unwrap().iter();
    each.map(|warning| {
        let text = |name: &str| warning[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("code"), text("task_queue"), text("worker_id"))
    })
    .collect()
}

#[tokio::test]
async fn queues_show_their_types_workers_and_pollers() {
    let door = Door::open();
    let mut body = worker("w1", vec![spec("report.v1"), spec("mail.v1")]);
    body["workflows"][1]["task_queue"] = json!("mail");
    body["host"] = json!("h1");
    door.ask("POST", "/registry/workers", &[], body).await;
    door.desk.earlier(&registration("w2", &["report.v1"]), 11_000);
    door.desk.polled("reports", Some(1_000));
    let mut answer = door.get("/registry/task-queues").await;
    let queues = answer.body["task_queues"].as_array_mut().unwrap();
    assert_eq!(queues.len(), 2);
    assert_eq!(
        queues[0],
        json!({
            "task_queue": "mail", "health": "healthy", "workflows": ["mail.v1"],
            "workers": [{"worker_id": "w1", "health": "healthy", "host": "h1"}],
            "pollers": null, "backlog": null, "reported_at": null, "warnings": []
        })
    );
    let reports = &mut queues[1];
    assert!(reports["reported_at"].take().as_str().unwrap().ends_with('Z'));
    assert!(reports["pollers"][0]["last_access_at"].take().as_str().unwrap().ends_with('Z'));
    assert_eq!(
        *reports,
        json!({
            "task_queue": "reports", "health": "healthy", "workflows": ["report.v1"],
            "workers": [
                {"worker_id": "w1", "health": "healthy", "host": "h1"},
                {"worker_id": "w2", "health": "unhealthy", "host": ""}
            ],
            "pollers": [{"identity": "1@host", "last_access_at": null}], "backlog": 3, "reported_at": null,
            "warnings": []
        })
    );
    let first = door.get("/registry/task-queues?limit=1").await.body;
    let token = first["next_page_token"].as_str().unwrap();
    let rest = door.get(&format!("/registry/task-queues?page_token={token}")).await.body;
    assert_eq!(
        (&rest["task_queues"][0]["task_queue"], rest.get("next_page_token")),
        (&json!("reports"), None)
    );
}

#[tokio::test]
async fn a_heartbeat_that_nobody_polls_behind_is_a_warning_and_no_more() {
    let door = Door::open();
    door.desk.earlier(&registration("w1", &["a"]), 3 * MINUTE_MS);
    door.ask("POST", "/registry/workers/w1/heartbeat", &[], Value::Null).await;
    let never = ["never_polled reports w1".to_owned()];
    // How long ago somebody polled, and how long ago Temporal was asked.
    let table = [
        (None, 0, &never[..]),
        (None, 2 * MINUTE_MS + 1_000, &[]),
        (Some(0), 0, &[]),
        (Some(3 * MINUTE_MS + 30_000), 0, &[]),
        (Some(5 * MINUTE_MS), 0, &never[..]),
    ];
    for (polled_ago_ms, asked_ago_ms, expected) in table {
        door.desk.polled("reports", polled_ago_ms);
        Arc::make_mut(door.desk.seen.lock().get_mut("reports").unwrap()).at_ms -= asked_ago_ms;
        let queue = door.get("/registry/task-queues").await.body["task_queues"][0].take();
        assert_eq!(codes(&queue["warnings"]), expected, "{polled_ago_ms:?} {asked_ago_ms}");
        assert_eq!(queue["health"], "healthy");
        let status = door.get("/registry/status").await.body;
        assert_eq!(codes(&status["warnings"]), expected);
        assert_eq!(status["warning_count"], expected.len());
    }
}

#[tokio::test]
async fn a_queue_whose_types_nobody_serves_is_a_warning() {
    let door = Door::open();
    for at in 0..25 {
        let mut body = spec(&format!("type.{at}"));
        body["task_queue"] = json!(format!("queue.{at:02}"));
        door.ask("POST", "/registry/workflows", &[], body).await;
    }
    // Served on another queue, and switched off: both are in order.
    door.ask("POST", "/registry/workers", &[], worker("w1", vec![spec("type.0")])).await;
    door.ask("PATCH", "/registry/workflows/type.1", &[], json!({"enabled": false})).await;
    let status = door.get("/registry/status").await.body;
    assert_eq!(status["warning_count"], 23);
    let warnings = codes(&status["warnings"]);
    assert_eq!((warnings.len(), warnings[0].as_str()), (20, "no_live_worker queue.02 -"));
    let listed = door.get("/registry/task-queues").await.body;
    let queues = listed["task_queues"].as_array().unwrap();
    let queue = queues.iter().find(|queue| queue["task_queue"] == "queue.02").unwrap();
    assert_eq!((&queue["health"], &queue["workers"]), (&json!("unhealthy"), &json!([])));
    assert_eq!(queue["warnings"][0]["message"], "no live worker serves type.2");
}

async fn at_home(door: &Door) {
    let mut body = worker("w1", vec![spec("report.v1")]);
    body["host"] = json!("h1");
    body["labels"] = json!({"stage": "live"});
    body["metadata"] = json!({
        "ssh": {"host_name": "10.0.0.1", "user": "deploy", "port": 2222},
        "note": "{{ lookup('pipe', 'id') }}\n\u{7f}é", "odd\"key": [1, null]
    });
    door.ask("POST", "/registry/workers", &[], body).await;
    let mut hostile = worker("=cmd|' /C calc'!A0", vec![spec("mail.v1")]);
    hostile["host"] = json!("h2\nProxyCommand evil");
    hostile["labels"] = json!({"quote": "a\"b"});
    door.ask("POST", "/registry/workers", &[], hostile).await;
    let mut careless = worker("w3", vec![]);
    careless["host"] = json!("h3");
    careless["metadata"] = json!({"ssh": {"host_name": "a\nb", "user": "-oProxyCommand=x", "port": 70_000}});
    door.ask("POST", "/registry/workers", &[], careless).await;
    door.ask("POST", "/registry/workers", &[], worker("nowhere", vec![])).await;
}

#[tokio::test]
async fn hosts_show_what_their_workers_say() {
    let door = Door::open();
    at_home(&door).await;
    let mut second = worker("w0", vec![spec("mail.v1")]);
    second["host"] = json!("h1");
    second["labels"] = json!({"stage": "test", "more": "x"});
    door.ask("POST", "/registry/workers", &[], second).await;
    let body = door.get("/registry/hosts").await.body;
    let names: Vec<_> = body["hosts"].as_array().unwrap().iter().map(|host| &host["host"]).collect();
    assert_eq!(names, ["h1", "h2\nProxyCommand evil", "h3"]);
    let host = &body["hosts"][0];
    assert_eq!(host["workers"][1], json!({"worker_id": "w1", "health": "healthy", "host": "h1"}));
    assert_eq!(
        (&host["workflows"], &host["task_queues"]),
        (&json!(["mail.v1", "report.v1"]), &json!(["reports"]))
    );
    assert_eq!(host["labels"], json!({"more": "x", "stage": "test"}));
    assert_eq!((&host["metadata"]["ssh"]["port"], &host["health"]), (&json!(2222), &json!("healthy")));
    let page = door.get("/registry/hosts?limit=1&format=json").await.body;
    assert!(page["next_page_token"].is_string());
    door.get("/registry/hosts?format=xml").await.assert_problem(Code::InvalidRequest);
}

#[tokio::test]
async fn a_spreadsheet_finds_no_formula() {
    let door = Door::open();
    at_home(&door).await;
    let answer = door.get("/registry/hosts?format=csv").await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=present");
    let text = answer.body.as_str().unwrap();
    assert!(text.starts_with(
        "\"host\",\"health\",\"workers\",\"workflows\",\"task_queues\",\"labels\",\"metadata\"\r\n"
    ));
    let hostile = "\"h2\nProxyCommand evil\",\"healthy\",\"'=cmd|' /C calc'!A0\",\"mail.v1\",\"reports\",\
                   \"{\"\"quote\"\":\"\"a\\\"\"b\"\"}\",\"{}\"\r\n";
    assert!(text.contains(hostile), "{text}");
}

#[tokio::test]
async fn an_ansible_inventory_holds_no_template() {
    let door = Door::open();
    at_home(&door).await;
    let answer = door.get("/registry/hosts?format=ansible").await;
    assert_eq!(answer.header("content-type"), "application/yaml");
    let text = answer.body.as_str().unwrap();
    assert!(text.starts_with("# left out, for being neither a host name nor an address: 1\n{"), "{text}");
    let note = "? \"note\" : !unsafe \"{{ lookup('pipe', 'id') }}\\U0000000A\\U0000007F\\U000000E9\"";
    assert!(text.contains(note), "{text}");
    assert_eq!(text.lines().count(), 2);
    let read: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    let host = &read["all"]["hosts"]["h1"];
    assert_eq!(
        (host["ansible_host"].as_str(), host["ansible_user"].as_str()),
        (Some("10.0.0.1"), Some("deploy"))
    );
    assert_eq!(host["ansible_port"].as_u64(), Some(2222));
    assert_eq!(host["registry_metadata"]["odd\"key"][0].as_u64(), Some(1));
    let careless = read["all"]["hosts"]["h3"].as_mapping().unwrap();
    assert!(careless.keys().all(|key| key.as_str().unwrap().starts_with("registry_")));
    let healthy = read["all"]["children"]["registry_healthy"]["hosts"].as_mapping().unwrap();
    assert_eq!(healthy.len(), 2);
}

#[tokio::test]
async fn an_ssh_configuration_holds_no_option_of_a_worker() {
    let door = Door::open();
    at_home(&door).await;
    for host in ["*", "!x", "-oProxyCommand=x", "a b", "h[1:9]", "h\" x", "::1"] {
        let mut body = worker(&format!("on {host}"), vec![]);
        body["host"] = json!(host);
        door.ask("POST", "/registry/workers", &[], body).await;
    }
    let answer = door.get("/registry/hosts?format=ssh_config").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        answer.body,
        "# left out, for being neither a host name nor an address: 7\n\
         Host \"::1\"\nHost \"h1\"\n    HostName \"10.0.0.1\"\n    User \"deploy\"\n    Port 2222\nHost \"h3\"\n"
    );
}
