//! What a request leaves behind: metrics, access lines, audit lines.

use std::io;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::http::auth::AuthSettings;
use crate::http::router;

/// Log lines as JSON, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn of(&self, target: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == target).map(|line| line["fields"].clone()).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// Always there beside a listener. While there is only one subscriber, whichever thread comes to a log statement first
/// decides whether it is ever written, and the other tests have none.
static BESIDE: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
    LazyLock::force(&BESIDE);
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

fn request(method: &str, uri: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(uri)
        .header("x-request-id", "r1")
        .header("authorization", "Bearer root")
        .body(Body::empty())
        .unwrap()
}

fn door() -> Door {
    let auth = AuthSettings { enabled: true, token: Some("root".into()), ..AuthSettings::default() };
    Door::new(Settings { auth, access_log: true, ..Settings::default() })
}

#[tokio::test]
async fn metrics_are_labelled_by_route() {
    let door = door();
    for (method, uri) in
        [("GET", "/probe/things/7"), ("DELETE", "/probe/things/x"), ("GET", "/nope/1"), ("BREW", "/nope")]
    {
        door.send(request(method, uri)).await;
    }
    door.get("/probe/things").await;
    let counted: Vec<_> = door.fake.answered.lock().iter().map(|(m, r, s)| format!("{m} {r} {s}")).collect();
    assert_eq!(
        counted,
        [
            "GET /probe/things/{number} 200",
            "DELETE /probe/things/{number} 400",
            "GET unmatched 404",
            "other unmatched 404",
            "GET /probe/things 401",
        ]
    );
}

#[tokio::test]
async fn every_write_leaves_one_audit_line() {
    let (lines, _guard) = listen();
    let door = door();
    door.send(request("DELETE", "/probe/things/7?x=secret")).await;
    door.send(request("POST", "/probe/things")).await;
    door.send(request("GET", "/probe/things/7")).await;
    door.send(request("POST", "/probe/compute")).await;
    door.send(Request::post("/probe/touch").header("x-request-id", "r2").body(Body::empty()).unwrap()).await;
    let line = |who: &str, method: &str, route: &str, path: &str, status: u16, code: &str, id: &str| json!({"who": who, "method": method, "route": route, "path": path, "status": status, "code": code, "request_id": id});
    assert_eq!(
        lines.of("audit"),
        [
            line("admin", "DELETE", "/probe/things/{number}", "/probe/things/7", 200, "", "r1"),
            line("admin", "POST", "/probe/things", "/probe/things", 400, "invalid_json", "r1"),
            line("unknown", "POST", "/probe/touch", "/probe/touch", 401, "unauthorized", "r2"),
        ]
    );
    assert_eq!(lines.of("access").len(), 5);
    let refused = lines.of("temporal_registry::http::edge");
    assert_eq!(refused.len(), 1);
    assert_eq!((&refused[0]["request_id"], &refused[0]["status"]), (&json!("r2"), &json!(401)));
}

#[tokio::test]
async fn a_client_that_leaves_is_audited_too() {
    let (lines, _guard) = listen();
    let door = door();
    tokio::select! {
        _ = door.send(request("POST", "/probe/stuck")) => unreachable!("it is stuck"),
        begun = door.probe.begun.acquire() => begun.unwrap().forget(),
    }
    let audit = lines.of("audit");
    assert_eq!(audit.len(), 1);
    assert_eq!((&audit[0]["code"], &audit[0]["who"]), (&json!("client_left"), &json!("admin")));
}

#[test]
fn a_metrics_path_that_cannot_be_served_is_refused() {
    for path in ["metrics", "/m/{x}", "/health", ""] {
        let auth = AuthSettings { metrics_path: Some(path.to_owned()), ..AuthSettings::default() };
        let state = state(&Arc::default(), &Arc::default());
        let outcome = router(state, Settings { auth, ..Settings::default() });
        assert!(outcome.err().unwrap().starts_with("observability.metrics.path: "), "{path}");
    }
}

#[tokio::test]
async fn metrics_are_served_where_told() {
    for (path, uri, status) in
        [(Some("/m"), "/m", 200), (Some("/m"), "/metrics", 404), (None, "/metrics", 404)]
    {
        let auth = AuthSettings { metrics_path: path.map(str::to_owned), ..AuthSettings::default() };
        let door = Door::new(Settings { auth, ..Settings::default() });
        let answer = door.get(uri).await;
        assert_eq!(answer.status, status, "{uri}");
        assert!(status != 200 || answer.body == "up 1\n");
        let document = door.get("/openapi.json").await.body;
        assert_eq!(document["paths"].get("/m").is_some(), path.is_some());
        assert!(document["paths"].get("/metrics").is_none());
    }
}
