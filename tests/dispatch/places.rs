//! How many writes may be in hand at once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use temporal_registry::http::limits::LimitSettings;
use temporal_registry::registry::{Command, Outcome};
use temporal_registry::seams::{WriteError, Writes};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::world::{Answer, Door, World, until};

/// Holds every claim of a number until it is let go.
struct Held(Arc<dyn Writes>);

static CLAIMS: Semaphore = Semaphore::const_new(0);
static LET_GO: Semaphore = Semaphore::const_new(0);

#[async_trait::async_trait]
impl Writes for Held {
    async fn submit(&self, command: &Command) -> Result<Outcome, WriteError> {
        if matches!(command, Command::Claim { .. }) {
            CLAIMS.add_permits(1);
            LET_GO.acquire().await.expect("never closed").forget();
        }
        self.0.submit(command).await
    }
}

fn post(door: &Door, route: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
    let (door, uri, body) = (door.clone(), format!("/workflows/idle.v1/{route}"), body.clone());
    async move { door.post(&uri, body).await }
}

#[track_caller]
fn assert_no_place(answer: &Answer) {
    answer.assert_problem("too_many_requests");
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u32 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!(seconds >= 1, "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_take_the_places_of_writes_and_a_wait_for_a_result_takes_none() {
    let limits = LimitSettings { concurrent_writes: 1, ..LimitSettings::default() };
    let world = World::with_limits(1, |writes| Arc::new(Held(writes)), limits).await;
    world.register("w1", &[json!({"workflow_type": "idle.v1"})]).await;
    let door = world.door();
    let routes = ["start", "execute?wait=0", "signal-with-start"];
    let body = |more: Value| {
        let mut body = more;
        body["signal"] = json!({"name": "s"});
        body
    };
    let of = |route: &str, more: Value| if route == "signal-with-start" { body(more) } else { more };
    for holding in routes {
        let held = tokio::spawn(post(door, holding, &of(holding, json!({"name": world.queue}))));
        let claim = timeout(Duration::from_secs(60), CLAIMS.acquire()).await;
        claim.expect("it claims a number").expect("never closed").forget();
        for route in routes {
            assert_no_place(&post(door, route, &of(route, json!({}))).await);
        }
        assert_eq!(door.get("/registry/workflows").await.status, StatusCode::OK, "who reads needs no place");
        LET_GO.add_permits(1);
        let held = held.await.expect("no panic");
        assert!(held.status.is_success(), "{holding}: {held:?}");
        post(door, "start", &json!({})).await.ok();
    }

    // It has a place while it starts the run, and none while it waits for the end.
    let id = format!("{}-waiting", world.queue);
    let waiting = tokio::spawn(post(door, "execute?wait=300", &json!({"workflow_id": id})));
    until("it waits", async || door.get(&format!("/runs/{id}")).await.status == StatusCode::OK).await;
    until("there is a place", async || post(door, "start", &json!({})).await.status == StatusCode::OK).await;
    assert!(!waiting.is_finished(), "it has ended");
    let ended = door.post(&format!("/runs/{id}/terminate"), Value::Null).await;
    assert_eq!(ended.status, StatusCode::ACCEPTED, "{ended:?}");
    assert_eq!(waiting.await.expect("no panic").ok()["status"], "terminated");
}
