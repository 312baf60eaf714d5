//! Clients beside those that claim: workers that come and heartbeat, types that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{ANSWERED_WITHIN, Places};
use crate::harness::worker;

const WORKERS: usize = 100;
const TYPES: usize = 20;

/// What these clients did, and whether they go on.
#[derive(Default)]
pub struct Counts {
    pub done: AtomicU64,
    pub unanswered: AtomicU64,
    pub stop: AtomicBool,
}

impl Counts {
    fn running(&self) -> bool {
        !self.stop.load(Relaxed)
    }
}

/// Sends until it is taken; what is unavailable is sent again.
async fn send(
    http: &reqwest::Client,
    counts: &Counts,
    method: Method,
    place: impl Fn() -> String,
    body: &Value,
) -> Value {
    loop {
        let request = http.request(method.clone(), place()).json(body).timeout(ANSWERED_WITHIN);
        if let Ok(answer) = request.send().await {
            let status = answer.status();
            assert!(
                status.is_success() || status.is_server_error() || status == 404,
                "{method} {}: {status}",
                place()
            );
            if status.is_success()
                && let Ok(body) = answer.json().await
            {
                counts.done.fetch_add(1, Relaxed);
                return body;
            }
        }
        counts.unanswered.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Workers register and heartbeat, each with a replica of its own choice every time.
pub async fn workers(places: Arc<Places>, counts: Arc<Counts>) {
    let http = reqwest::Client::new();
    let mut turn = 0;
    while counts.running() {
        turn += 1;
        let (n, place) = (turn % WORKERS, || places.borrow()[turn % 2].clone());
        let (id, kind) = (format!("w-{n}"), format!("type-{}.v1", n % TYPES));
        let path = format!("/registry/workers/{id}/heartbeat");
        let beat = send(&http, &counts, Method::POST, || place() + &path, &json!({})).await;
        if beat["status"] == "reregister" {
            let body = worker(&id, "q", 60, &[&kind]);
            send(&http, &counts, Method::POST, || place() + "/registry/workers", &body).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Puts one version after the other at one replica, reads each at the other, and gives how many there were and how many
/// were found lost.
pub async fn versions(places: Arc<Places>, counts: Arc<Counts>, home: usize) -> (u64, u64) {
    let (http, mut version, mut lost) = (reqwest::Client::new(), 0_u64, 0);
    let name = format!("versions-{home}.v1");
    while counts.running() {
        version += 1;
        let body = json!({"workflow_type": name, "task_queue": "q", "version": version.to_string()});
        let at = |n: usize, query: &str| format!("{}/registry/workflows/{name}{query}", places.borrow()[n]);
        send(&http, &counts, Method::PUT, || at(home, ""), &body).await;
        let read = send(&http, &counts, Method::GET, || at(1 - home, "?consistent=true"), &Value::Null).await;
        lost += u64::from(read["version"].as_str() != Some(version.to_string().as_str()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (version, lost)
}
