//! Tasks: what is listed, who may, what is passed on, and what comes back as which problem.

use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::desk::{Desk, spec, worker};
use super::*;
use crate::http::auth::{AuthSettings, Role, TokenSettings};
use crate::seams::{
    RunError, RunInfo, RunStatus, Task, TaskAction, TaskChange, TaskError, TaskFilter, TaskPage, TaskStatus,
    Tasks,
};

#[async_trait]
impl Tasks for Desk {
    async fn list(&self, filter: &TaskFilter) -> Result<TaskPage, RunError> {
        let TaskFilter { workflow_types, status, limit, page } = filter;
        let page = String::from_utf8_lossy(page);
        self.task_calls.lock().push(json!([workflow_types, format!("{status:?}"), limit, page]));
        let tasks = self.tasks.lock().values().filter_map(|(_, answer)| answer.clone().ok()).collect();
        Ok(TaskPage { tasks, next: b"next".to_vec() })
    }

    async fn get(&self, run: RunInfo) -> Result<Task, TaskError> {
        self.tasks.lock()[&run.workflow_id].1.clone()
    }

    async fn change(&self, run: RunInfo, change: TaskChange) -> Result<Task, TaskError> {
        self.asked();
        let action = match change.action {
            TaskAction::Claim { assignee, lease_seconds } => json!(["claim", assignee, lease_seconds]),
            TaskAction::Release { assignee } => json!(["release", assignee]),
            TaskAction::Complete { output, assignee } => json!(["complete", output, assignee]),
            TaskAction::Fail { reason, assignee } => json!(["fail", reason, assignee]),
        };
        self.task_calls.lock().push(json!([run.workflow_id, action, change.id, change.caller]));
        self.tasks.lock()[&run.workflow_id].1.clone()
    }
}

fn form() -> Value {
    json!({"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]})
}

fn held() -> Task {
    Task {
        workflow_id: "a-r1".to_owned(),
        run_id: "run-a".to_owned(),
        workflow_type: "approve.v1".to_owned(),
        status: TaskStatus::Claimed,
        title: Some("Approve 3".to_owned()),
        description: None,
        input: Some(json!({"day": "mon"})),
        output_schema: Some(form()),
        created_at_ms: Some(0),
        due_at_ms: None,
        closed_at_ms: None,
        assignee: Some("ann".to_owned()),
        claimed_at_ms: Some(1_000),
        lease_expires_at_ms: Some(2_000),
    }
}

fn run(workflow_type: &str, status: RunStatus) -> RunInfo {
    RunInfo {
        workflow_id: "a-r1".to_owned(),
        run_id: "run-a".to_owned(),
        first_run_id: "run-a".to_owned(),
        workflow_type: workflow_type.to_owned(),
        status,
        task_queue: "reports".to_owned(),
        started_at_ms: Some(0),
        closed_at_ms: None,
        history_events: 3,
        parent: None,
        memo: serde_json::Map::new(),
        search_attributes: std::collections::BTreeMap::new(),
    }
}

impl Desk {
    pub fn has_task(&self, workflow_type: &str, answer: Result<Task, TaskError>) {
        let run = run(workflow_type, RunStatus::Running);
        self.tasks.lock().insert("a-r1".to_owned(), (run, answer));
    }
}

async fn with_runner(door: Door, headers: &[(&str, &str)]) -> Door {
    let manual = |name| {
        let mut spec = spec(name);
        spec["metadata"] = json!({"runner": {"kind": "manual"}});
        spec
    };
    let mut script = spec("report.v1");
    script["metadata"] = json!({"runner": {"kind": "subprocess"}});
    let body = worker("w1", vec![manual("approve.v1"), manual("sign.v1"), script]);
    let answer = door.ask("POST", "/registry/workers", headers, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    door
}

#[tokio::test]
async fn a_task_shows_what_a_person_needs() {
    let door = with_runner(Door::open(), &[]).await;
    door.desk.has_task("approve.v1", Ok(held()));
    let expected = json!({
        "workflow_id": "a-r1", "run_id": "run-a", "workflow_type": "approve.v1", "status": "claimed",
        "title": "Approve 3", "description": null, "input": {"day": "mon"},
        "input_schema": spec("approve.v1")["input_schema"], "output_schema": form(),
        "created_at": "1970-01-01T00:00:00.000Z", "due_at": null, "closed_at": null,
        "assignee": "ann", "claimed_at": "1970-01-01T00:00:01.000Z",
        "lease_expires_at": "1970-01-01T00:00:02.000Z"
    });
    assert_eq!(door.get("/tasks/a-r1").await.body, expected);
    let list = door.get("/tasks").await.body;
    assert_eq!(list, json!({"tasks": [expected], "next_page_token": "bmV4dA"}));
    for (query, call) in [
        ("", json!([["approve.v1", "sign.v1"], "None", 20, ""])),
        ("?workflow_type=sign.v1&status=timed_out", json!([["sign.v1"], "Some(TimedOut)", 20, ""])),
        ("?limit=7&page_token=bmV4dA", json!([["approve.v1", "sign.v1"], "None", 7, "next"])),
    ] {
        door.get(&format!("/tasks{query}")).await;
        assert_eq!(door.desk.task_calls.lock().pop(), Some(call), "{query}");
    }
    door.desk.task_calls.lock().clear();
    for nothing in ["report.v1", "never.v1"] {
        let list = door.get(&format!("/tasks?workflow_type={nothing}")).await.body;
        assert_eq!(list, json!({"tasks": []}));
    }
    for wrong in ["status=done", "limit=0", "limit=101", "page_token=!"] {
        door.get(&format!("/tasks?{wrong}")).await.assert_problem(Code::InvalidRequest);
    }
    assert!(door.desk.task_calls.lock().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn actions_are_passed_on_as_they_are_meant() {
    let door = with_runner(Door::open(), &[]).await;
    door.desk.has_task("approve.v1", Ok(held()));
    let table = [
        ("claim", json!({"assignee": "bob", "lease_seconds": 9}), json!(["claim", "bob", 9])),
        ("claim", Value::Null, json!(["claim", "anonymous", null])),
        ("release", json!({}), json!(["release", null])),
        ("release", json!({"assignee": "bob"}), json!(["release", "bob"])),
        ("complete", json!({"output": {"approved": true}}), json!(["complete", {"approved": true}, null])),
        ("complete", json!({"assignee": "bob"}), json!(["complete", null, "bob"])),
        ("fail", json!({"reason": "no"}), json!(["fail", "no", null])),
    ];
    for (action, body, expected) in table {
        let answer = door.ask("POST", &format!("/tasks/a-r1/{action}"), &[], body).await;
        assert_eq!((answer.status, &answer.body["assignee"]), (StatusCode::OK, &json!("ann")), "{action}");
        let call = door.desk.task_calls.lock().pop();
        assert_eq!(call, Some(json!(["a-r1", expected, null, "anonymous"])));
    }
    let keyed = [("idempotency-key", "k1")];
    door.ask("POST", "/tasks/a-r1/claim", &keyed, Value::Null).await;
    assert_eq!(door.desk.task_calls.lock().pop().unwrap()[2], "k1");
    for (action, wrong) in [
        ("claim", json!({"lease_seconds": 0})),
        ("claim", json!({"assignee": ""})),
        ("claim", json!({"who": "bob"})),
        ("complete", json!({"outputs": {}})),
        ("fail", json!({"reason": 3})),
    ] {
        let answer = door.ask("POST", &format!("/tasks/a-r1/{action}"), &[], wrong).await;
        answer.assert_problem(Code::InvalidRequest);
    }
    assert!(door.desk.task_calls.lock().is_empty());
}

#[tokio::test]
async fn every_failure_has_its_code() {
    let door = with_runner(Door::open(), &[]).await;
    let misfit = || TaskError::Misfit {
        output_schema: form(),
        broken: vec![("/approved".to_owned(), "is no boolean".to_owned())],
    };
    let table = [
        (TaskError::NotATask, Code::TaskNotFound),
        (TaskError::Closed, Code::TaskClosed),
        (TaskError::Claimed(Box::new(held())), Code::TaskClaimed),
        (misfit(), Code::InvalidInput),
        (TaskError::Refused("why".to_owned()), Code::InvalidRequest),
        (RunError::NotFound.into(), Code::TaskNotFound),
        (RunError::Closed.into(), Code::TaskClosed),
        (RunError::NoWorker("why".to_owned()).into(), Code::NoHealthyWorker),
        (RunError::OutcomeUnknown("why".to_owned()).into(), Code::OutcomeUnknown),
    ];
    for (error, code) in table {
        door.desk.has_task("approve.v1", Err(error));
        for action in ["claim", "release", "complete", "fail"] {
            door.post(&format!("/tasks/a-r1/{action}"), "").await.assert_problem(code);
        }
        door.get("/tasks/a-r1").await.assert_problem(code);
    }
    door.desk.has_task("approve.v1", Err(TaskError::Claimed(Box::new(held()))));
    let answer = door.post("/tasks/a-r1/claim", "").await.body;
    assert_eq!(
        (&answer["assignee"], &answer["lease_expires_at"]),
        (&json!("ann"), &json!("1970-01-01T00:00:02.000Z"))
    );
    door.desk.has_task("approve.v1", Err(misfit()));
    for (output, loc, kind) in [
        (json!({}), json!(["approved"]), "missing"),
        (json!({"approved": "yes"}), json!(["approved"]), "bool_parsing"),
        (json!(3), json!([]), "dict_type"),
    ] {
        let body = json!({"output": output});
        let answer = door.ask("POST", "/tasks/a-r1/complete", &[], body).await.body;
        assert_eq!((&answer["details"][0]["loc"], &answer["details"][0]["type"]), (&loc, &json!(kind)));
    }
    // Other runs are no tasks, and neither is what does not exist.
    door.desk.has_task("report.v1", Ok(held()));
    door.get("/tasks/a-r1").await.assert_problem(Code::TaskNotFound);
    door.post("/tasks/a-r1/claim", "").await.assert_problem(Code::TaskNotFound);
    door.get("/tasks/b").await.assert_problem(Code::TaskNotFound);
}

#[tokio::test]
async fn nothing_is_sent_when_no_runner_is_there() {
    let door = with_runner(Door::open(), &[]).await;
    door.desk.has_task("approve.v1", Ok(held()));
    assert_eq!(door.ask("DELETE", "/registry/workers/w1", &[], Value::Null).await.status, 204);
    door.post("/tasks/a-r1/claim", "").await.assert_problem(Code::NoHealthyWorker);
    assert!(door.desk.task_calls.lock().is_empty());
    // What has ended needs no runner to say so.
    let ended = (run("approve.v1", RunStatus::Completed), Err(TaskError::Closed));
    door.desk.tasks.lock().insert("a-r1".to_owned(), ended);
    door.post("/tasks/a-r1/claim", "").await.assert_problem(Code::TaskClosed);
}

#[tokio::test]
async fn roles_and_types_bound_a_token() {
    let token = |name: &str, roles: &[Role], types: &[&str]| TokenSettings {
        name: name.to_owned(),
        sha256: hex::encode(Sha256::digest(name)),
        roles: roles.to_vec(),
        workflow_types: types.iter().map(|glob| (*glob).to_owned()).collect(),
    };
    let auth = AuthSettings {
        enabled: true,
        token: Some("root".to_owned()),
        tokens: vec![
            token("reader", &[Role::Read], &[]),
            token("approver", &[Role::Dispatch], &["approve.*"]),
            token("signer", &[Role::Dispatch], &["sign.*"]),
        ],
        ..AuthSettings::default()
    };
    let door = Door::new(Settings { auth, ..Settings::default() });
    let door = with_runner(door, &[("x-api-key", "root")]).await;
    door.desk.has_task("approve.v1", Ok(held()));
    for (token, list, get, claim) in [
        ("reader", json!(["approve.v1", "sign.v1"]), 200, 403),
        ("approver", json!(["approve.v1"]), 200, 200),
        ("signer", json!(["sign.v1"]), 403, 403),
    ] {
        let headers = [("x-api-key", token)];
        door.ask("GET", "/tasks", &headers, Value::Null).await;
        assert_eq!(door.desk.task_calls.lock().pop().unwrap()[0], list, "{token}");
        let answer = door.ask("GET", "/tasks/a-r1", &headers, Value::Null).await;
        assert_eq!(answer.status, get, "{token}");
        let answer = door.ask("POST", "/tasks/a-r1/claim", &headers, Value::Null).await;
        assert_eq!(answer.status, claim, "{token}");
    }
    // The token's own name stands for the assignee who is not named.
    assert_eq!(door.desk.task_calls.lock().pop().unwrap()[1], json!(["claim", "approver", null]));
}
