//! Fires that resolve their target: a workflow of the registry's around the run of the type.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use temporal_registry::registry::slugify;

use super::work::Work;
use super::world::{Door, World};

/// The one run that a visibility query finds, once there is one.
async fn found(door: &Door, query: &str) -> Value {
    let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = door.get(&format!("/runs?query={query}")).await.ok();
        if let Some([run]) = answer["runs"].as_array().map(Vec::as_slice) {
            return run.clone();
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_that_is_cancelled_cancels_its_run() {
    let world = World::new(1).await;
    let _work = Work::start(world.door().replica.link.clone(), &world.queue);
    world.register("w1", &[json!({"workflow_type": "talk.v1"})]).await;
    let door = world.door();
    let name = slugify(&format!("{}-talks", world.queue));
    let once = json!({
        "workflow_type": "talk.v1", "fire_offsets_seconds": [0], "dispatch": "resolve_at_fire"
    });
    let made = door.post(&format!("/schedules/{name}"), once).await;
    assert_eq!(made.status, 201, "{made:?}");
    let run = found(door, &format!("WorkflowId = '{name}-r1'")).await;
    assert_eq!((&run["workflow_type"], &run["status"]), (&json!("talk.v1"), &json!("running")));
    let fire = found(door, &format!("WorkflowId STARTS_WITH '{name}-2'")).await;
    let fire = fire["workflow_id"].as_str().expect("an id");
    assert_eq!(door.post(&format!("/runs/{fire}/cancel"), Value::Null).await.status, 202);
    for id in [fire, &format!("{name}-r1")] {
        let ended = door.get(&format!("/runs/{id}/result?wait=30")).await.ok();
        assert_eq!(ended["status"], "canceled", "{id}: {ended}");
    }
}
