//! `POST /workflows/{type}/start` and `POST /run`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use temporal_registry::registry::{AttributeStatus, Command};
use temporal_registry::seams::Reads;
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    history::v1::{WorkflowExecutionStartedEventAttributes, history_event::Attributes},
    workflowservice::v1::GetWorkflowExecutionHistoryRequest,
};

use super::world::World;

fn strict() -> Value {
    json!({"workflow_type": "strict.v1", "input_schema": {
        "type": "object",
        "properties": {"day": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["day"]
    }})
}

/// What a run was started with.
async fn started_with(world: &World, workflow_id: &str) -> WorkflowExecutionStartedEventAttributes {
    let link = &world.door().replica.link;
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: link.namespace(),
        execution: Some(WorkflowExecution { workflow_id: workflow_id.to_owned(), run_id: String::new() }),
        maximum_page_size: 1,
        ..Default::default()
    };
    let mut service = link.service();
    let answer = service.get_workflow_execution_history(temporalio_client::tonic::Request::new(request));
    let mut history = answer.await.expect("a history").into_inner().history.expect("events");
    match history.events.remove(0).attributes {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(attributes)) => attributes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_reaches_temporal() {
    let world = World::new(1).await;
    world.register("w1", &[json!({"workflow_type": "open.v1"})]).await;
    let body = json!({
        "args": [{"a": 1}, "two", null],
        "workflow_id": format!("{}/with a slash", world.queue),
        "search_attributes": {},
        "memo": {"why": "test"},
        "start_delay_seconds": 100,
        "execution_timeout_seconds": 300,
        "run_timeout_seconds": 200.5,
        "task_timeout_seconds": 7,
        "retry_policy": {"initial_interval_seconds": 2, "backoff_coefficient": 3, "maximum_interval_seconds": 9,
            "maximum_attempts": 4, "non_retryable_error_types": ["Bad"]},
        "id_reuse_policy": "reject_duplicate",
        "id_conflict_policy": "fail",
    });
    let answer = world.door().post("/workflows/open.v1/start", body).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let run = answer.ok();
    assert_eq!(location, format!("/runs/{}%2Fwith%20a%20slash", world.queue));
    assert_eq!(
        run,
        json!({"workflow_id": format!("{}/with a slash", world.queue), "run_id": run["run_id"], "task_queue": world.queue,
            "workflow_type": "open.v1", "created": true})
    );
    let event = started_with(&world, run["workflow_id"].as_str().unwrap()).await;
    let seconds = |duration: Option<prost_wkt_types::Duration>| duration.map(|d| (d.seconds, d.nanos));
    assert_eq!(event.workflow_type.unwrap().name, "open.v1");
    assert_eq!(event.task_queue.unwrap().name, world.queue);
    assert_eq!(seconds(event.workflow_execution_timeout), Some((300, 0)));
    assert_eq!(seconds(event.workflow_run_timeout), Some((200, 500_000_000)));
    assert_eq!(seconds(event.workflow_task_timeout), Some((7, 0)));
    assert_eq!(seconds(event.first_workflow_task_backoff), Some((100, 0)));
    assert!(event.identity.ends_with("/anonymous"), "{}", event.identity);
    let policy = event.retry_policy.unwrap();
    assert_eq!(seconds(policy.initial_interval), Some((2, 0)));
    assert_eq!((policy.backoff_coefficient, seconds(policy.maximum_interval)), (3.0, Some((9, 0))));
    assert_eq!((policy.maximum_attempts, policy.non_retryable_error_types), (4, vec!["Bad".to_owned()]));
    assert_eq!(event.memo.unwrap().fields["why"].data, b"\"test\"");
    let payloads = event.input.unwrap().payloads;
    let texts: Vec<_> = payloads.iter().map(|payload| String::from_utf8_lossy(&payload.data)).collect();
    assert_eq!(texts, ["{\"a\":1}", "\"two\"", "null"]);
    assert!(payloads.iter().all(|payload| payload.metadata["encoding"] == b"json/plain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_given_claimed_or_made_up() {
    let world = World::new(1).await;
    world.register("w1", &[json!({"workflow_type": "open.v1"})]).await;
    let start = async |body: Value| world.door().post("/workflows/open.v1/start", body).await;
    let name = world.queue.clone();
    assert_eq!(start(json!({"name": format!("{name}!")})).await.ok()["workflow_id"], format!("{name}-r1"));
    assert_eq!(
        start(json!({"name": name, "workflow_id": ""})).await.ok()["workflow_id"],
        format!("{name}-r2")
    );
    // A number whose id is in use is stepped over.
    for used in [3, 4] {
        start(json!({"workflow_id": format!("{name}-r{used}")})).await.ok();
    }
    assert_eq!(start(json!({"name": name})).await.ok()["workflow_id"], format!("{name}-r5"));
    let made_up = start(json!({})).await.ok()["workflow_id"].as_str().unwrap().to_owned();
    let hex = made_up.strip_prefix("open-v1-").unwrap();
    assert!(hex.len() == 8 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{made_up}");
    let empty = world.door().post("/workflows/open.v1/start", Value::Null).await;
    assert_eq!(empty.status, StatusCode::OK);

    let taken = start(json!({"workflow_id": format!("{name}-r1")})).await;
    taken.assert_problem("already_started");
    assert_eq!(taken.body["workflow_id"], format!("{name}-r1"));
    assert_eq!(taken.text("run_id").len(), 36);
    let existing =
        start(json!({"workflow_id": format!("{name}-r1"), "id_conflict_policy": "use_existing"})).await.ok();
    assert_eq!((&existing["created"], &existing["run_id"]), (&json!(false), &taken.body["run_id"]));
    let instead =
        start(json!({"workflow_id": format!("{name}-r1"), "id_conflict_policy": "terminate_existing"}))
            .await
            .ok();
    assert_eq!(instead["created"], true);
    assert_ne!(instead["run_id"], taken.body["run_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_found_run_tells_its_own_type_and_queue() {
    let world = World::new(2).await;
    let elsewhere = format!("{}-elsewhere", world.queue);
    let found = json!({"workflow_type": "found.v1", "task_queue": elsewhere});
    world.register("w1", &[json!({"workflow_type": "asked.v1"}), found]).await;
    let id = format!("{}-id", world.queue);
    let run = world.door().post("/workflows/found.v1/start", json!({"workflow_id": id})).await.ok();
    let existing = json!({"workflow_id": id, "id_conflict_policy": "use_existing"});
    let signal = json!({"workflow_id": id, "signal": {"name": "s"}});
    for (number, (route, body)) in
        [("start", &existing), ("execute?wait=0", &existing), ("signal-with-start", &signal)]
            .into_iter()
            .enumerate()
    {
        let uri = format!("/workflows/asked.v1/{route}");
        let key = format!("found-{number}");
        let [first, second] = &world.doors[..] else { panic!("two replicas") };
        // The second time the key is known, and the third time at the other replica.
        for answer in [
            first.post(&uri, body.clone()).await,
            first.post_keyed(&uri, &key, body.clone()).await,
            first.post_keyed(&uri, &key, body.clone()).await,
            second.post_keyed(&uri, &key, body.clone()).await,
        ] {
            assert!(answer.status.is_success(), "{route}: {answer:?}");
            let told =
                ["run_id", "workflow_type", "task_queue", "created"].map(|member| &answer.body[member]);
            assert_eq!(
                told,
                [&run["run_id"], &json!("found.v1"), &json!(elsewhere), &json!(false)],
                "{route}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_before_anything_is_claimed() {
    let world = World::new(1).await;
    world.register("w1", &[strict(), json!({"workflow_type": "off.v1", "enabled": false})]).await;
    let name = world.queue.clone();
    let own_queue = world.door().replica.link.registry.task_queue.clone();
    let table = [
        ("none.v1", json!({}), "workflow_unavailable", vec![]),
        ("off.v1", json!({}), "workflow_unavailable", vec![]),
        ("strict.v1", json!({"name": name}), "invalid_input", vec![json!(["day"])]),
        (
            "strict.v1",
            json!({"input": {"day": 1, "count": "x"}, "name": name}),
            "invalid_input",
            vec![json!(["count"]), json!(["day"])],
        ),
        ("strict.v1", json!({"args": [{"day": 1}]}), "invalid_input", vec![json!(["day"])]),
        ("strict.v1", json!({"args": []}), "invalid_input", vec![json!(["day"])]),
        ("strict.v1", json!({"inptu": {}}), "invalid_request", vec![json!(["body", "inptu"])]),
        (
            "strict.v1",
            json!({"workflow_id": "a", "name": "b", "input": {}, "args": [], "target": {"host": "a", "worker_id": "b"}}),
            "invalid_request",
            vec![json!(["body", "name"]), json!(["body", "args"]), json!(["body", "target"])],
        ),
        (
            "strict.v1",
            json!({"input": {"day": "x"}, "search_attributes": {"Nobody": "x"}}),
            "invalid_request",
            vec![json!(["body", "search_attributes", "Nobody"])],
        ),
        (
            "strict.v1",
            json!({"name": "!!", "input": {"day": "x"}}),
            "invalid_request",
            vec![json!(["body", "name"])],
        ),
        (
            "strict.v1",
            json!({"run_timeout_seconds": 0}),
            "invalid_request",
            vec![json!(["body", "run_timeout_seconds"])],
        ),
        (
            "strict.v1",
            json!({"id_reuse_policy": "sometimes", "wait_for_worker_seconds": 301}),
            "invalid_request",
            vec![json!(["body", "id_reuse_policy"]), json!(["body", "wait_for_worker_seconds"])],
        ),
        (
            "strict.v1",
            json!({"input": {"day": "x"}, "task_queue": own_queue}),
            "registry_queue_refused",
            vec![],
        ),
        (
            "strict.v1",
            json!({"input": {"day": "x"}, "target": {"host": "elsewhere"}}),
            "no_healthy_worker",
            vec![],
        ),
    ];
    for (workflow_type, body, code, places) in table {
        let answer = world.door().post(&format!("/workflows/{workflow_type}/start"), body.clone()).await;
        answer.assert_problem(code);
        let found: Vec<_> =
            answer.body["details"].as_array().into_iter().flatten().map(|d| &d["loc"]).collect();
        assert_eq!(found, places.iter().collect::<Vec<_>>(), "{workflow_type} {body}: {}", answer.body);
    }
    assert!(world.door().replica.mirror.view().slugs.is_empty(), "an id was claimed");
    let fits = json!({"input": {"day": "x"}, "name": name});
    assert_eq!(
        world.door().post("/workflows/strict.v1/start", fits).await.ok()["workflow_id"],
        format!("{name}-r1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_where_healthy_workers_are() {
    let world = World::new(1).await;
    let spec =
        |queue: &str| json!({"workflow_type": "open.v1", "task_queue": format!("{}-{queue}", world.queue)});
    let labels = |text: &str| BTreeMap::from([("gpu".to_owned(), text.to_owned())]);
    world
        .register_with("a", &[spec("a")], |worker| {
            worker.host = "ha".into();
            worker.labels = labels("no");
        })
        .await;
    world
        .register_with("b", &[spec("b")], |worker| {
            worker.host = "hb".into();
            worker.labels = labels("yes");
        })
        .await;
    let start = async |body: Value| world.door().post("/workflows/open.v1/start", body).await;
    // The current spec is that of the last to register here, so its queue is the type's own.
    let table = [
        (json!({}), "b"),
        (json!({"target": {"worker_id": "a"}}), "a"),
        (json!({"target": {"host": "ha"}}), "a"),
        (json!({"target": {"labels": {"gpu": "yes"}}}), "b"),
        (json!({"task_queue": format!("{}-z", world.queue)}), "z"),
    ];
    for (body, queue) in table {
        assert_eq!(start(body).await.ok()["task_queue"], format!("{}-{queue}", world.queue));
    }
    world.submit(Command::Drain { worker_id: "b".into(), epoch: None }).await;
    assert_eq!(start(json!({})).await.ok()["task_queue"], format!("{}-a", world.queue));
    start(json!({"target": {"worker_id": "b"}})).await.assert_problem("no_healthy_worker");
    world.submit(Command::Deregister { worker_id: "a".into(), epoch: None }).await;
    let answer = start(json!({})).await;
    answer.assert_problem("no_healthy_worker");
    assert!(answer.body["stale_for_seconds"].is_u64(), "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_worker() {
    let world = World::new(1).await;
    world.register_with("w1", &[json!({"workflow_type": "open.v1"})], |worker| worker.ttl_seconds = 1).await;
    let lapse = Instant::now() + Duration::from_secs(30);
    let start = async |body: Value| world.door().post("/workflows/open.v1/start", body).await;
    let stale = loop {
        let answer = start(json!({})).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        assert!(Instant::now() < lapse, "the lease never ran out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    stale.assert_problem("no_healthy_worker");
    assert!(stale.body["stale_for_seconds"].as_u64() >= Some(1), "{}", stale.body);

    let begun = Instant::now();
    start(json!({"wait_for_worker_seconds": 0.6})).await.assert_problem("no_healthy_worker");
    assert!((600..20_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());

    // One that leaves starts nothing; one that stays is served when a heartbeat comes.
    let name = world.queue.clone();
    let body = json!({"wait_for_worker_seconds": 60, "name": name});
    let leaving = tokio::time::timeout(Duration::from_millis(300), start(body.clone())).await;
    assert!(leaving.is_err());
    let waiting = start(body);
    let beat = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.register("w2", &[json!({"workflow_type": "open.v1"})]).await;
    };
    let (answer, ()) = tokio::join!(waiting, beat);
    assert_eq!(answer.ok()["workflow_id"], format!("{name}-r1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn search_attributes_are_typed() {
    let world = World::new(1).await;
    let spec = json!({"workflow_type": "found.v1", "search_attributes": [
        {"name": "Customer", "type": "Keyword"}, {"name": "DispatchCount", "type": "Int"}]});
    world.register("w1", &[spec]).await;
    let start = async |attributes: Value| {
        world.door().post("/workflows/found.v1/start", json!({"search_attributes": attributes})).await
    };
    // Provisioned in the background; a start waits for that a little.
    let deadline = Instant::now() + Duration::from_secs(40);
    let run = loop {
        let answer = start(json!({"Customer": "acme", "DispatchCount": 3})).await;
        if answer.status == StatusCode::OK {
            break answer.body;
        }
        answer.assert_problem("search_attributes_unavailable");
        assert!(Instant::now() < deadline, "never provisioned: {}", answer.body);
    };
    let event = started_with(&world, run["workflow_id"].as_str().unwrap()).await;
    let fields = event.search_attributes.unwrap().indexed_fields;
    assert_eq!(
        (&fields["Customer"].data[..], &fields["Customer"].metadata["type"][..]),
        (&b"\"acme\""[..], &b"Keyword"[..])
    );
    assert_eq!(
        (&fields["DispatchCount"].data[..], &fields["DispatchCount"].metadata["type"][..]),
        (&b"3"[..], &b"Int"[..])
    );
    let wrong = start(json!({"Customer": ["acme"], "DispatchCount": "3"})).await;
    wrong.assert_problem("invalid_request");
    let found: Vec<_> =
        wrong.body["details"].as_array().unwrap().iter().map(|d| (&d["loc"][2], &d["type"])).collect();
    assert_eq!(
        found,
        [(&json!("Customer"), &json!("string_type")), (&json!("DispatchCount"), &json!("int_parsing"))]
    );

    // Declared with another type than the namespace has.
    let clash = json!({"workflow_type": "clash.v1", "search_attributes": [{"name": "CustomKeywordField", "type": "Int"}]});
    world.register("w2", &[clash]).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let view = world.door().replica.mirror.view();
        match view.attributes.get("CustomKeywordField").map(|attribute| attribute.status.clone()) {
            Some(AttributeStatus::Pending) | None => {}
            Some(AttributeStatus::Conflict(_)) => break,
            Some(AttributeStatus::Ready) => return,
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = world.door().post("/workflows/clash.v1/start", json!({})).await;
    answer.assert_problem("search_attributes_unavailable");
    assert!(answer.text("detail").contains("CustomKeywordField"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_runs() {
    let world = World::new(1).await;
    world.register("w1", &[json!({"workflow_type": "agent.run.v1"})]).await;
    let run = async |body: Value| world.door().post("/run", body).await;
    let started = run(json!({"agent_id": "bot-1", "workspace": "//srv//work/./x/.."})).await.ok();
    let workflow_id = started["workflow_id"].as_str().unwrap();
    assert_eq!(workflow_id.len(), "run-agent-bot-1-".len() + 8, "{workflow_id}");
    let event = started_with(&world, workflow_id).await;
    let input: Value = serde_json::from_slice(&event.input.unwrap().payloads[0].data).unwrap();
    assert_eq!(
        input,
        json!({"agent_id": "bot-1", "workspace": "/srv/work", "prompt": "", "agent_acp_provider": "", "chain": [],
            "chain_mode": ""})
    );
    let named = json!({"agent_id": "bot", "workspace": "/w", "name": world.queue, "chain": [{"prompt": "p"}], "chain_mode": "append"});
    assert_eq!(run(named).await.ok()["workflow_id"], format!("{}-r1", world.queue));
    let table = [
        (json!({"workspace": "/w"}), "agent_id"),
        (json!({"agent_id": "Bot", "workspace": "/w"}), "agent_id"),
        (json!({"agent_id": "bot"}), "workspace"),
        (json!({"agent_id": "bot", "workspace": "w"}), "workspace"),
        (json!({"agent_id": "bot", "workspace": "//etc"}), "workspace"),
        (json!({"agent_id": "bot", "workspace": "/w", "chain": [{}]}), "chain_mode"),
        (
            json!({"agent_id": "bot", "workspace": "/w", "chain": [{"agent_id": "B"}], "chain_mode": "append"}),
            "chain",
        ),
        (json!({"agent_id": "bot", "workspace": "/w", "chain_mode": "other"}), "chain_mode"),
        (json!({"agent_id": "bot", "workspace": "/w", "more": 1}), "more"),
    ];
    for (body, place) in table {
        let answer = run(body.clone()).await;
        answer.assert_problem("invalid_request");
        assert_eq!(answer.body["details"][0]["loc"][1], place, "{body}: {}", answer.body);
    }
    let elsewhere = json!({"agent_id": "bot", "workspace": "/w", "workflow_type": "none.v1"});
    run(elsewhere).await.assert_problem("workflow_unavailable");
}
