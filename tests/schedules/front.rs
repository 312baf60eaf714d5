//! Schedules as clients of the HTTP API see them.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use temporalio_client::tonic::Request;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowType,
    schedule::v1::{Schedule, ScheduleAction, ScheduleSpec, schedule_action::Action},
    taskqueue::v1::TaskQueue,
    workflow::v1::NewWorkflowExecutionInfo,
    workflowservice::v1::CreateScheduleRequest,
};

use crate::dev_server;
use crate::one_shots::{runs_in, terminate};
use crate::registry::Registry;

fn report() -> Value {
    json!({
        "workflow_type": "report.v1", "task_queue": "reports",
        "input_schema": {
            "type": "object", "properties": {"day": {"type": "string"}, "depth": {"type": "integer"}},
            "required": ["day"]
        },
        "schedule_input_warnings": [{"field": "depth", "message": "say how deep"}]
    })
}

fn daily(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = json!({
        "workflow_type": "report.v1", "input": {"day": "monday", "depth": 1}, "cron": ["0 9 * * *"],
        "time_zone": "Europe/Berlin"
    });
    change(&mut body);
    body
}

#[tokio::test]
async fn what_is_wrong_is_said_at_once_and_nothing_is_made() {
    let registry = Registry::start("front-refusals").await;
    registry.worker("w", "reports", report()).await;
    registry.register(json!({"workflow_type": "off.v1", "task_queue": "q", "enabled": false})).await;
    type Row = (&'static str, Value, (u16, &'static str), Vec<&'static str>);
    let table: Vec<Row> = vec![
        ("no type", json!({"cron": ["@daily"]}), (400, "invalid_request"), vec!["/workflow_type"]),
        ("unknown field", daily(|b| b["crom"] = json!([])), (400, "invalid_request"), vec!["/crom"]),
        ("unknown type", daily(|b| b["workflow_type"] = json!("x")), (404, "workflow_unavailable"), vec![]),
        (
            "disabled type",
            daily(|b| b["workflow_type"] = json!("off.v1")),
            (404, "workflow_unavailable"),
            vec![],
        ),
        (
            "no times",
            json!({"workflow_type": "report.v1", "input": {"day": "x"}}),
            (400, "invalid_request"),
            vec![""],
        ),
        (
            "two at once",
            daily(|b| {
                b["interval_seconds"] = json!(0);
                b["catchup_window_seconds"] = json!(1);
            }),
            (400, "invalid_request"),
            vec!["/catchup_window_seconds", "/interval_seconds"],
        ),
        (
            "bad cron",
            daily(|b| b["cron"] = json!(["0 9 * * *", "x"])),
            (400, "invalid_request"),
            vec!["/cron/1"],
        ),
        ("bad zone", daily(|b| b["time_zone"] = json!("Mars")), (400, "invalid_request"), vec!["/time_zone"]),
        (
            "naive datetimes",
            daily(|b| (b["start_at"], b["end_at"]) = (json!("2027-01-01T00:00:00"), json!("later"))),
            (400, "invalid_request"),
            vec!["/end_at", "/start_at"],
        ),
        (
            "huge offset",
            json!({"workflow_type": "report.v1", "input": {"day": "x"}, "fire_offsets_seconds": [0, 99_999_999_999_i64]}),
            (400, "invalid_request"),
            vec!["/fire_offsets_seconds/1"],
        ),
        (
            "empty offsets",
            daily(|b| b["fire_offsets_seconds"] = json!([])),
            (400, "invalid_request"),
            vec!["/fire_offsets_seconds"],
        ),
        (
            "undeclared attribute",
            daily(|b| b["search_attributes"] = json!({"Nobody": "knows"})),
            (400, "invalid_request"),
            vec!["/search_attributes/Nobody"],
        ),
        (
            "input",
            daily(|b| b["input"] = json!({"depth": "deep"})),
            (400, "invalid_input"),
            vec!["/input/day", "/input/depth"],
        ),
        (
            "registry queue",
            daily(|b| b["task_queue"] = json!("registry-service")),
            (400, "registry_queue_refused"),
            vec![],
        ),
    ];
    for (name, body, code, pointers) in table {
        for path in ["/schedules/refused", "/schedules/preview"] {
            let answer = registry.post(path, body.clone()).await;
            assert_eq!(answer.code(), code, "{name} {path}: {}", answer.body);
            let details = answer.body["details"].as_array().cloned().unwrap_or_default();
            let mut found: Vec<&str> =
                details.iter().filter_map(|detail| detail["pointer"].as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, pointers, "{name} {path}: {}", answer.body);
        }
    }
    assert_eq!(registry.get("/schedules/refused").await.code(), (404, "schedule_not_found"));
    for (method, action) in [
        (Method::DELETE, ""),
        (Method::POST, "/pause"),
        (Method::POST, "/unpause"),
        (Method::POST, "/trigger"),
    ] {
        let answer = registry.call(method, &format!("/schedules/absent{action}"), None, None).await;
        assert_eq!(answer.code(), (404, "schedule_not_found"), "{action}");
    }
    let stretch = json!({"start_at": "2027-01-02T00:00:00Z", "end_at": "2027-01-01T00:00:00Z"});
    assert_eq!(registry.post("/schedules/absent/backfill", stretch).await.code(), (400, "invalid_request"));
    let page = registry.get("/schedules?page_token=x").await;
    assert_eq!(page.code(), (400, "invalid_request"));
}

#[tokio::test]
async fn a_schedule_lives_its_life() {
    let registry = Registry::start("front-life").await;
    registry.worker("w", "reports", report()).await;
    let made = registry.post("/schedules/nightly", daily(|b| b["note"] = json!("mine"))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let expected = json!({
        "id": "nightly", "status": "created", "warnings": [], "task_queue": "reports", "catchup_window_seconds": 60
    });
    assert_eq!(made.body, expected);
    let again = registry.post("/schedules/nightly", daily(|b| b["note"] = json!("mine"))).await;
    assert_eq!((again.status.as_u16(), &again.body["status"]), (200, &json!("already_exists")));
    let other = registry.post("/schedules/nightly", daily(|_| ())).await;
    assert_eq!(other.code(), (409, "schedule_exists"));

    let seen = registry.get("/schedules/nightly").await;
    assert!(!seen.etag.is_empty());
    assert_eq!(seen.body["spec"]["cron"], json!(["0 9 * * *"]));
    assert_eq!(seen.body["spec"]["time_zone"], "Europe/Berlin");
    assert_eq!(
        (&seen.body["catchup_window_seconds"], &seen.body["follows_type"]),
        (&json!(60), &json!(true))
    );
    assert_eq!(seen.body["input"], json!({"day": "monday", "depth": 1}));
    assert_eq!((seen.body["note"].as_str(), &seen.body["problems"]), (Some("mine"), &json!([])));
    assert_eq!(seen.body["next_fires"].as_array().map(Vec::len), Some(10));

    let hourly = || daily(|b| (b["cron"], b["interval_seconds"]) = (json!([]), json!(3600)));
    let stale = registry.call(Method::PUT, "/schedules/nightly", Some(hourly()), Some("\"00\"")).await;
    assert_eq!(stale.code(), (412, "revision_mismatch"));
    let put = registry.call(Method::PUT, "/schedules/nightly", Some(hourly()), Some(&seen.etag)).await;
    assert_eq!((put.status.as_u16(), &put.body["status"]), (200, &json!("replaced")), "{}", put.body);
    let put = registry.call(Method::PUT, "/schedules/nightly", Some(hourly()), Some(&seen.etag)).await;
    assert_eq!(put.code(), (412, "revision_mismatch"));
    let put = registry.put("/schedules/nightly", hourly()).await;
    assert_eq!((put.status.as_u16(), &put.body["status"]), (200, &json!("already_exists")));

    let paused = registry.post("/schedules/nightly/pause", json!({"note": "holiday"})).await;
    assert_eq!(paused.body, json!({"id": "nightly", "status": "paused"}));
    let put = registry.put("/schedules/nightly", daily(|b| b["note"] = json!("back"))).await;
    assert_eq!(put.body["status"], "replaced");
    let seen = registry.get("/schedules/nightly").await.body;
    assert_eq!(seen["paused"], true, "a replacement does not wake a paused schedule");
    registry.post("/schedules/nightly/unpause", json!({})).await;
    let triggered = registry.post("/schedules/nightly/trigger", json!({})).await;
    assert_eq!(triggered.status, 202);
    let running = |seen: &Value| seen["running"][0]["first_execution_run_id"].is_string();
    registry.until("/schedules/nightly", "its run is open", running).await;
    let stretch = json!({"start_at": "2027-03-01T12:00:00Z", "end_at": "2027-03-03T12:00:00Z", "overlap_policy": "allow_all"});
    assert_eq!(registry.post("/schedules/nightly/backfill", stretch).await.status, 202);
    let seen = registry.until("/schedules/nightly", "three fires", |seen| seen["counts"]["fired"] == 3).await;
    let ids: Vec<&str> = seen["recent"].as_array().expect("fires")[1..]
        .iter()
        .filter_map(|fire| fire["workflow_id"].as_str())
        .collect();
    assert_eq!(ids, ["nightly-2027-03-02T08:00:00Z", "nightly-2027-03-03T08:00:00Z"]);

    assert_eq!(registry.delete("/schedules/nightly").await.status, 204);
    assert_eq!(registry.delete("/schedules/nightly").await.code(), (404, "schedule_not_found"));
    let gone = registry.call(Method::PUT, "/schedules/nightly", Some(hourly()), Some("*")).await;
    assert_eq!(gone.code(), (412, "revision_mismatch"));
    assert_eq!(registry.put("/schedules/nightly", hourly()).await.status, 201);
}

#[tokio::test]
async fn previews_foretell_a_change_of_clocks_and_make_nothing() {
    let registry = Registry::start("front-preview").await;
    registry.register(report()).await;
    let body = json!({
        "workflow_type": "report.v1", "input": {"day": "x"}, "cron": ["30 2 * * *"], "time_zone": "Europe/Berlin",
        "workflow_id": "night"
    });
    let path = "/schedules/preview?limit=4&from=2027-03-26T12:00:00Z";
    let answer = registry.post(path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let fires: Vec<(String, String)> = answer.body["fires"]
        .as_array()
        .expect("fires")
        .iter()
        .map(|fire| {
            (fire["at"].as_str().unwrap().to_owned(), fire["workflow_id"].as_str().unwrap().to_owned())
        })
        .collect();
    // 02:30 does not exist on the 28th, when the clocks go from 02:00 to 03:00.
    let expected =
        ["2027-03-27T01:30:00Z", "2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z", "2027-03-31T00:30:00Z"];
    assert_eq!(fires, expected.map(|at| (at.to_owned(), format!("night-{at}"))));
    let fields: Vec<&Value> = answer.body["warnings"]
        .as_array()
        .expect("warnings")
        .iter()
        .map(|warning| &warning["field"])
        .collect();
    assert_eq!(fields, ["depth", "workflow_type"], "the empty field, and that nobody serves it");
    assert_eq!(registry.get("/schedules/schedule").await.code(), (404, "schedule_not_found"));
}

#[tokio::test]
async fn lists_by_type_state_and_prefix_in_pages() {
    let registry = Registry::start("front-list").await;
    registry.register(report()).await;
    registry.register(json!({"workflow_type": "other.v1", "task_queue": "q"})).await;
    for n in 0..5 {
        let body =
            if n == 4 { json!({"workflow_type": "other.v1", "cron": ["@daily"]}) } else { daily(|_| ()) };
        let made = registry.post(&format!("/schedules/listed-{n}"), body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let warnings = made.body["warnings"].as_array().expect("warnings");
        assert_eq!(warnings.len(), 1, "nobody serves it: {}", made.body);
    }
    registry.post("/schedules/listed-0/pause", json!({"note": "a while"})).await;
    let ids = |body: &Value| -> BTreeSet<String> {
        let listed = body["schedules"].as_array().expect("schedules").iter();
        listed.map(|schedule| schedule["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for (query, expected) in [
        ("", vec![0, 1, 2, 3, 4]),
        ("?workflow_type=other.v1", vec![4]),
        ("?workflow_type=report.v1&limit=2", vec![]),
        ("?paused=true", vec![0]),
        ("?paused=false&workflow_type=report.v1", vec![1, 2, 3]),
        ("?id_prefix=listed-3", vec![3]),
        ("?id_prefix=nothing", vec![]),
        ("?workflow_type=nothing", vec![]),
    ] {
        let expected: BTreeSet<String> = expected.iter().map(|n| format!("listed-{n}")).collect();
        let all = |body: &Value| body["next_page_token"].is_null() && ids(body) == expected;
        let page = |body: &Value| ids(body).len() == 2 && body["next_page_token"].is_string();
        let is_page = query.contains("limit");
        registry
            .until(&format!("/schedules{query}"), query, |body| if is_page { page(body) } else { all(body) })
            .await;
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = registry.get(&format!("/schedules?workflow_type=report.v1&limit=3{token}")).await.body;
        seen.extend(ids(&page));
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["listed-0", "listed-1", "listed-2", "listed-3"]);
}

#[tokio::test]
async fn thirty_at_once_are_thirty_runs() {
    let registry = Registry::start("front-burst").await;
    registry.worker("w", "reports", report()).await;
    let body = json!({"workflow_type": "report.v1", "input": {"day": "x"}, "fire_offsets_seconds": [0]});
    let posts = (0..30).map(|n| {
        let (registry, body) = (&registry, body.clone());
        async move { registry.post(&format!("/schedules/now-{n:02}"), body).await.status.as_u16() }
    });
    let statuses = futures::future::join_all(posts).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    for n in 0..30 {
        let gone = |body: &Value| body["code"] == "schedule_not_found";
        registry.until(&format!("/schedules/now-{n:02}"), "gone after its fire", gone).await;
    }
    let runs = runs_in("front-burst", "WorkflowId STARTS_WITH 'now-'", 30).await;
    assert_eq!(runs.len(), 30, "{runs:?}");
    let by_schedule: BTreeSet<&str> = runs.iter().map(|(workflow_id, _)| &workflow_id[..6]).collect();
    assert_eq!(by_schedule.len(), 30, "{runs:?}");
}

#[tokio::test]
async fn thirty_triggers_at_once_are_thirty_runs() {
    let registry = Registry::start("front-triggers").await;
    registry.worker("w", "reports", report()).await;
    let hourly = daily(|b| {
        (b["cron"], b["interval_seconds"], b["overlap_policy"]) =
            (json!([]), json!(3600), json!("allow_all"));
    });
    assert_eq!(registry.post("/schedules/fired", hourly).await.status, 201);
    let triggers =
        (0..30).map(|_| async { registry.post("/schedules/fired/trigger", json!({})).await.status.as_u16() });
    let statuses = futures::future::join_all(triggers).await;
    assert!(statuses.iter().all(|status| *status == 202), "{statuses:?}");
    let seen = registry.get("/schedules/fired").await.body;
    assert_eq!(seen["counts"]["fired"], 30, "an answer is a run: {seen}");
    let runs = runs_in("front-triggers", "WorkflowId STARTS_WITH 'fired-'", 30).await;
    assert_eq!(runs.len(), 30, "{runs:?}");
}

#[tokio::test]
async fn follows_its_type_and_says_what_no_longer_fits() {
    let registry = Registry::start("front-drift").await;
    registry.worker("w1", "reports", report()).await;
    for id in ["follows", "sleeps"] {
        assert_eq!(registry.post(&format!("/schedules/{id}"), daily(|_| ())).await.status, 201);
    }
    let pinned = daily(|b| b["task_queue"] = json!("my-own"));
    assert_eq!(registry.post("/schedules/pinned", pinned).await.body["task_queue"], "my-own");
    registry.post("/schedules/sleeps/pause", json!({"note": "asleep"})).await;

    let mut moved = report();
    moved["task_queue"] = json!("elsewhere");
    registry.register(moved.clone()).await;
    registry.worker("w2", "elsewhere", moved.clone()).await;
    for id in ["follows", "sleeps"] {
        let on_new = |seen: &Value| seen["task_queue"] == "elsewhere";
        let seen = registry.until(&format!("/schedules/{id}"), "on the new queue", on_new).await;
        assert_eq!((seen["paused"] == true, seen["problems"] == json!([])), (id == "sleeps", true), "{seen}");
    }
    assert_eq!(registry.get("/schedules/pinned").await.body["task_queue"], "my-own");
    assert_eq!(registry.get("/schedules/sleeps").await.body["note"], "asleep");

    moved["input_schema"]["required"] = json!(["day", "year"]);
    registry.register(moved).await;
    let seen = registry.get("/schedules/follows").await.body;
    let problem = &seen["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["details"][0]["type"]),
        (&json!("input_invalid"), &json!("missing"))
    );
    assert_eq!(problem["details"][0]["pointer"], "/year");
    let told = |body: &Value| {
        let listed = body["schedules"].as_array().expect("schedules");
        listed.len() == 3 && listed.iter().all(|schedule| schedule["problems"][0]["code"] == "input_invalid")
    };
    registry.until("/schedules", "each says that its input is invalid", told).await;
    registry.until("/registry/status", "three counted", |status| status["schedule_problem_count"] == 3).await;
    assert_eq!(registry.delete("/registry/workflows/report.v1").await.status, 204);
    let missing = |seen: &Value| seen["problems"][0]["code"] == "type_missing";
    registry.until("/schedules/follows", "its type is missing", missing).await;
    registry.until("/registry/status", "still three", |status| status["schedule_problem_count"] == 3).await;
    registry.register(json!({"workflow_type": "report.v1", "task_queue": "elsewhere"})).await;
    registry.until("/registry/status", "none", |status| status["schedule_problem_count"] == 0).await;
}

#[tokio::test]
async fn a_fire_that_resolves_its_target_follows_at_once_and_overlaps_as_asked() {
    let namespace = "front-at-fire";
    let registry = Registry::start(namespace).await;
    let on = |queue: &str| {
        json!({
            "workflow_type": "moving.v1", "task_queue": queue,
            "search_attributes": [{"name": "Color", "type": "Keyword"}]
        })
    };
    registry.worker("w1", "one", on("one")).await;
    let body = json!({
        "workflow_type": "moving.v1", "workflow_id": "Moving Day", "interval_seconds": 1, "input": {"a": 1},
        "search_attributes": {"Color": "red"}, "dispatch": "resolve_at_fire"
    });
    let preview = registry.post("/schedules/preview?limit=2", body.clone()).await.body;
    assert_eq!(preview["fires"][1]["workflow_id"], "moving-day-r2", "{preview}");
    for (field, value) in
        [("task_queue", json!("mine")), ("memo", json!({"a": 1})), ("workflow_id", json!("@@@"))]
    {
        let mut refused = body.clone();
        refused[field] = value;
        let refused = registry.post("/schedules/preview", refused).await;
        assert_eq!(refused.body["details"][0]["pointer"], format!("/{field}"), "{}", refused.body);
    }
    let made = registry.post("/schedules/moving", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let first = "WorkflowId = 'moving-day-r1' AND TaskQueue = 'one' AND Color = 'red'";
    assert_eq!(runs_in(namespace, first, 1).await.len(), 1);
    let skipped = |seen: &Value| seen["counts"]["skipped"].as_i64() > Some(0);
    let seen = registry.until("/schedules/moving", "fires are skipped while the run is open", skipped).await;
    assert_eq!((&seen["workflow_type"], &seen["dispatch"]), (&json!("moving.v1"), &json!("resolve_at_fire")));
    assert_eq!((&seen["input"], &seen["search_attributes"]), (&json!({"a": 1}), &json!({"Color": "red"})));
    assert_eq!(seen["problems"], json!([]));
    let listed = |body: &Value| body["schedules"][0]["id"] == "moving";
    registry.until("/schedules?workflow_type=moving.v1", "listed by its type", listed).await;

    registry.register(on("two")).await;
    registry.worker("w2", "two", on("two")).await;
    terminate(namespace, "moving-day-r1").await;
    assert_eq!(runs_in(namespace, "WorkflowId = 'moving-day-r2' AND TaskQueue = 'two'", 1).await.len(), 1);
    assert_eq!(registry.delete("/schedules/moving").await.status, 204);
    assert_eq!(
        runs_in(namespace, "Color = 'red'", 2).await.len(),
        2,
        "the fires themselves have no attributes"
    );
}

/// Makes a schedule that the registry knows nothing of.
async fn foreign(namespace: &str, id: &str) {
    let start = NewWorkflowExecutionInfo {
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType { name: "report.v1".to_owned() }),
        task_queue: Some(TaskQueue { name: "reports".to_owned(), ..TaskQueue::default() }),
        ..NewWorkflowExecutionInfo::default()
    };
    let schedule = Schedule {
        spec: Some(ScheduleSpec { cron_string: vec!["@daily".to_owned()], ..ScheduleSpec::default() }),
        action: Some(ScheduleAction { action: Some(Action::StartWorkflow(start)) }),
        ..Schedule::default()
    };
    let request = CreateScheduleRequest {
        namespace: namespace.to_owned(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        request_id: id.to_owned(),
        ..CreateScheduleRequest::default()
    };
    let mut service = dev_server::client().await.connection().workflow_service();
    service.create_schedule(Request::new(request)).await.expect("created");
}

#[tokio::test]
async fn a_schedule_of_somebody_else_is_left_alone_and_said_to_be_one() {
    let registry = Registry::start("front-foreign").await;
    registry.worker("w", "reports", report()).await;
    foreign("front-foreign", "theirs").await;
    for method in [Method::POST, Method::PUT] {
        let answer = registry.call(method.clone(), "/schedules/theirs", Some(daily(|_| ())), None).await;
        assert_eq!(answer.code(), (409, "schedule_exists"), "{method}");
        let detail = answer.body["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("the registry did not make"), "{method}: {detail}");
    }
}
