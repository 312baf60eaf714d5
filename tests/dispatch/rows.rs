//! Rows of the API that need a worker at work: ids used again, ends of every kind, arguments of queries.

use serde_json::{Value, json};

use super::work::Work;
use super::world::{Door, World};

async fn at_work() -> (World, Work) {
    let world = World::new(1).await;
    let work = Work::start(world.door().replica.link.clone(), &world.queue);
    let idle = json!({"workflow_type": "idle.v1", "task_queue": format!("{}-nobody", world.queue)});
    let number = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let specs = [
        json!({"workflow_type": "echo.v1"}),
        json!({"workflow_type": "fail.v1"}),
        json!({"workflow_type": "talk.v1", "queries": {"sum": number}}),
        idle,
    ];
    world.register("w1", &specs).await;
    (world, work)
}

async fn start(door: &Door, workflow_type: &str, id: &str, policy: &str) -> (u16, String) {
    let body = json!({"workflow_id": id, "id_reuse_policy": policy, "input": {}});
    let answer = door.post(&format!("/workflows/{workflow_type}/start"), body).await;
    let code = answer.body["code"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_used_again_as_its_policy_says() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let taken = || (409, "already_started".to_owned());
    let fine = || (200, String::new());
    // How the run before ended, and what comes of starting the same id once more under each policy.
    let table =
        [("echo.v1", "completed", taken(), taken(), fine()), ("fail.v1", "failed", taken(), fine(), fine())];
    for (workflow_type, ended, reject, failed_only, allow) in table {
        let id = format!("{}-{ended}", world.queue);
        assert_eq!(start(door, workflow_type, &id, "reject_duplicate").await, fine());
        for (policy, expected) in [
            ("reject_duplicate", reject),
            ("allow_duplicate_failed_only", failed_only),
            ("allow_duplicate", allow),
        ] {
            let last = door.get(&format!("/runs/{id}/result?wait=60")).await.ok();
            assert_eq!(last["status"], ended, "{last}");
            assert_eq!(start(door, workflow_type, &id, policy).await, expected, "{ended}, {policy}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_too_long_is_a_result() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let body = json!({"run_timeout_seconds": 1});
    let ended = door.post("/workflows/idle.v1/execute?wait=60", body).await.ok();
    assert_eq!(
        (&ended["status"], &ended["failure"]["type"]),
        (&json!("timed_out"), &json!("timed_out")),
        "{ended}"
    );
    assert_eq!(ended["failure"]["details"], json!([]));
    let id = ended["workflow_id"].as_str().expect("an id");
    assert_eq!(door.get(&format!("/runs/{id}")).await.ok()["status"], "timed_out");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_queries_are_checked() {
    let (world, _work) = at_work().await;
    let door = world.door();
    let id = format!("{}-talk", world.queue);
    assert_eq!(start(door, "talk.v1", &id, "allow_duplicate").await.0, 200);
    let ask = async |body: Value| door.post(&format!("/runs/{id}/queries/sum"), body).await;
    for body in [json!({"input": {"n": "x"}}), json!({"args": []}), Value::Null] {
        let wrong = ask(body).await;
        wrong.assert_problem("invalid_input");
        assert_eq!(wrong.body["details"][0]["loc"], json!(["n"]), "{}", wrong.body);
    }
    // One that fits is passed on: this workflow takes none.
    let passed = ask(json!({"input": {"n": 1}})).await;
    passed.assert_problem("message_failed");
    assert_eq!(passed.body["failure"]["type"], "query_failed");
}
