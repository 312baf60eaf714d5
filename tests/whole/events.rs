//! Server-sent events over a real connection.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Registry, Temporal, worker};

/// Reads events until this many have come or the stream ends, and leaves: (id, data).
async fn read(registry: &Registry, path: &str, last: Option<&str>, count: usize) -> Vec<(String, Value)> {
    let mut request = registry.http.get(format!("{}{path}", registry.url));
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let (mut stream, mut text, mut found) = (answer.bytes_stream(), String::new(), Vec::new());
    while found.len() < count {
        let part =
            tokio::time::timeout(Duration::from_secs(60), stream.next()).await.expect("an event in time");
        let Some(part) = part else { break };
        text.push_str(std::str::from_utf8(&part.expect("an event")).expect("text"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                found.push((id.to_owned(), serde_json::from_str(data).expect("JSON")));
            }
            text = rest.to_owned();
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_is_resumed_where_it_broke() {
    let temporal = Temporal::start().await;
    let registry = Registry::start(&temporal.address()).await;
    registry.must("/registry/workers", &worker("w", "nobody", 600, &["idle.v1"])).await;
    registry.must("/workflows/idle.v1/start", &json!({"workflow_id": "idle"})).await;
    let signal = async |name: &str| registry.must(&format!("/runs/idle/signals/{name}"), &json!({})).await;
    signal("one").await;
    let first = read(&registry, "/runs/idle/events", None, 2).await;
    let told = |events: &[(String, Value)]| -> Vec<String> {
        let word = |data: &Value| data["name"].as_str().or(data["status"].as_str()).map(str::to_owned);
        events.iter().filter_map(|(_, data)| word(data)).collect()
    };
    assert_eq!(told(&first), ["idle.v1", "one"]);
    // While nobody listens.
    signal("two").await;
    let last = first.last().map(|(id, _)| id.as_str());
    let more = tokio::join!(read(&registry, "/runs/idle/events", last, 100), async {
        signal("three").await;
        registry.must("/runs/idle/terminate", &json!({"reason": "enough"})).await
    });
    assert_eq!(told(&more.0), ["two", "three", "terminated"], "nothing twice, nothing left out, and the end");
    let (end, _) = more.0.last().expect("an event");
    let again = registry.http.get(format!("{}/runs/idle/events", registry.url)).header("Last-Event-ID", end);
    assert_eq!(again.send().await.expect("an answer").status(), 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_waits_is_let_go_when_the_server_stops() {
    let temporal = Temporal::start().await;
    let patient = [("TEMPORAL_REGISTRY__SERVER__SHUTDOWN_GRACE_SECONDS", "600")];
    let registry = Registry::start_with(&temporal.address(), &patient).await;
    registry.must("/registry/workers", &worker("w", "nobody", 600, &["idle.v1"])).await;
    registry.must("/workflows/idle.v1/start", &json!({"workflow_id": "idle"})).await;
    let (url, http) = (registry.url.clone(), registry.http.clone());
    let result = tokio::spawn(http.get(format!("{url}/runs/idle/result?wait=300")).send());
    let events = http.get(format!("{url}/runs/idle/events")).send().await.expect("an answer");
    let mut events = events.bytes_stream();
    events.next().await.expect("an event").expect("bytes");
    assert!(registry.stop().await.success());
    while let Some(part) = events.next().await {
        part.expect("the stream ends as a stream does");
    }
    let told = result.await.expect("no panic").expect("an answer");
    assert_eq!((told.status().as_u16(), told.headers().contains_key("retry-after")), (503, true));
    let problem: Value = told.json().await.expect("a problem");
    assert_eq!(problem["code"], "shutting_down");
}
