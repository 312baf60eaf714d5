//! A run is part of the trace of the request that started it.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::harness::{Registry, Temporal, ask, worker};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_run_is_started_in_the_trace_of_its_request() {
    let temporal = Temporal::start().await;
    let traced = [
        ("TEMPORAL_REGISTRY_OTEL_ENABLED", "true"),
        // Nobody collects: the spans are lost, and nothing else.
        ("TEMPORAL_REGISTRY_OTEL_ENDPOINT", "http://127.0.0.1:1"),
        ("TEMPORAL_REGISTRY_OTEL_INSECURE", "true"),
    ];
    let registry = Registry::start_with(&temporal.address(), &traced).await;
    registry.must("/registry/workers", &worker("w", "q", 60, &["traced.v1"])).await;
    for (id, more) in [("started", "start"), ("signalled", "signal-with-start")] {
        let mut body = json!({"workflow_id": id});
        if more == "signal-with-start" {
            body["signal"] = json!({"name": "go"});
        }
        let request = registry.http.post(format!("{}/workflows/traced.v1/{more}", registry.url)).json(&body);
        let answer = request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01")).send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        let history = ask(&temporal.address(), "show", id).await;
        let header = &history["events"][0]["workflowExecutionStartedEventAttributes"]["header"]["fields"];
        let data = header["_tracer-data"]["data"].as_str().unwrap_or_else(|| panic!("{history}"));
        let carrier: Value =
            serde_json::from_slice(&BASE64_STANDARD.decode(data).expect("base64")).expect("JSON");
        let parent: Vec<&str> = carrier["traceparent"].as_str().expect("a parent").split('-').collect();
        assert_eq!((parent[1], parent[3]), (TRACE, "01"), "{carrier}");
        assert_ne!(parent[2], "00f067aa0ba902b7", "the registry's own span is the parent");
    }
}
