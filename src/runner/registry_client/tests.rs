//! The client against a web server that plays the registry's part as the contract has it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::*;

/// Answers that are given before the usual one, and everything that was asked.
#[derive(Clone, Default)]
struct Registry {
    first: Arc<Mutex<VecDeque<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Registry {
    async fn start(first: impl IntoIterator<Item = (u16, Value)>) -> (Self, String) {
        let registry = Self { first: Arc::new(Mutex::new(first.into_iter().collect())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base/", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (registry, url)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().iter().map(|(what, _)| what.clone()).collect()
    }

    async fn until_asked(&self, what: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.asked().iter().filter(|asked| *asked == what).count() < times {
            assert!(
                Instant::now() < deadline,
                "{what} was asked less than {times} times: {:?}",
                self.asked()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    let what = format!("{} {}", request.method(), request.uri());
    if request.headers().get(header::AUTHORIZATION).is_none_or(|value| value != "Bearer sesame") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    registry.asked.lock().push((what, serde_json::from_slice(&body).unwrap_or_default()));
    let first = registry.first.lock().pop_front();
    let usual = json!({"status": "ack", "epoch": 7, "heartbeat_interval_seconds": 0.1, "verdicts": []});
    let (status, answer) = first.unwrap_or((200, usual));
    (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
}

fn client(url: &str) -> RegistryClient {
    let yaml = format!(
        "{{registry: {{url: '{url}', token: sesame}}, worker: {{id: 'host/1', ttl_seconds: 5}}, \
         entries: [{{workflow_type: a.v1, kind: manual}}]}}"
    );
    RegistryClient::new(&RunnerConfig::parse(&yaml, "test").unwrap()).unwrap()
}

const REGISTER: &str = "POST /base/registry/workers";
const HEARTBEAT: &str = "POST /base/registry/workers/host%2F1/heartbeat";

#[tokio::test]
async fn it_registers_heartbeats_registers_again_drains_and_leaves() {
    let refused = (503, json!({"code": "shutting_down"}));
    let taken = (201, json!({"epoch": 6, "heartbeat_interval_seconds": 0.1}));
    let unknown = (200, json!({"status": "reregister"}));
    let (registry, url) = Registry::start([refused, taken, unknown]).await;
    let client = Arc::new(client(&url));
    let stop = CancellationToken::new();
    let kept = tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.keep_registered(None, stop).await }
    });
    registry.until_asked(HEARTBEAT, 3).await;
    client.drain().await;
    stop.cancel();
    kept.await.unwrap();
    client.leave().await;

    let asked = registry.asked();
    assert_eq!(asked[..5], [REGISTER, REGISTER, HEARTBEAT, REGISTER, HEARTBEAT], "{asked:?}");
    assert!(asked.contains(&"POST /base/registry/workers/host%2F1/drain".to_owned()));
    assert_eq!(asked.last().unwrap(), "DELETE /base/registry/workers/host%2F1?epoch=7");
    let bodies = registry.asked.lock();
    assert_eq!((&bodies[2].1["epoch"], &bodies[4].1["epoch"]), (&json!(6), &json!(7)));
    let registration = &bodies[0].1;
    assert_eq!(registration["workflows"][0]["workflow_type"], "a.v1");
    assert_eq!(registration["incarnation"], bodies[3].1["incarnation"]);
}

#[tokio::test]
async fn a_lost_worker_behind_an_older_registry_registers_again() {
    let missing = (404, json!({"code": "worker_not_found"}));
    let first = (201, json!({"epoch": 1, "heartbeat_interval_seconds": 0.1}));
    let (registry, url) = Registry::start([first, missing]).await;
    let client = client(&url);
    let stop = CancellationToken::new();
    tokio::join!(client.keep_registered(None, stop.clone()), async {
        registry.until_asked(REGISTER, 2).await;
        stop.cancel();
    });
}

#[tokio::test]
async fn who_was_never_registered_leaves_silently() {
    let (registry, url) = Registry::start([]).await;
    let client = client(&url);
    client.drain().await;
    client.leave().await;
    assert_eq!(registry.asked(), Vec::<String>::new());
}

#[test]
fn the_pause_grows_and_stays_below_its_limit() {
    for failures in [0, 1, 5, 40] {
        assert!(backoff(failures) <= LONGEST_PAUSE);
    }
    assert!(backoff(0) < Duration::from_millis(501) && backoff(8) > Duration::from_secs(10));
}
