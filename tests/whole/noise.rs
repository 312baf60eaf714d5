//! What an operator sees at level `info`: what happened, and nothing twice.

use serde_json::Value;

use crate::harness::{Registry, Temporal, worker};

/// Lines of a log that are warnings or errors. What the SDK says of single tasks is left out: on a busy machine a query may
/// have been given up by whoever asked.
fn complaints(log: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).expect("a log");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let complaints = lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR");
    let complaints = complaints.filter(|line| line["target"] != "temporalio_sdk_core::worker::workflow");
    complaints.map(|line| format!("{} {}", line["target"], line["message"])).collect()
}

#[tokio::test]
async fn a_clean_start_and_stop_complain_of_nothing_and_an_outage_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let temporal = Temporal::start_with(Some(folder.path().join("temporal.db"))).await;
    let info = [("TEMPORAL_REGISTRY_LOG_LEVEL", "info")];
    let registry = Registry::start_logging(&temporal.address(), &info, &log).await;
    registry.must("/registry/workers", &worker("w", "q", 600, &["kept.v1"])).await;
    assert_eq!(complaints(&log), [""; 0]);

    let options = temporal.stop().await;
    // Long enough for everything that tries again to have done so many times.
    registry
        .until("the view is 15 s old", async || {
            let answer = registry.get("/registry/workflows").await;
            let age = answer
                .headers
                .get("x-registry-age-ms")
                .and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
            age.is_some_and(|age| age > 15_000)
        })
        .await;
    let outage = complaints(&log);
    assert!(outage.len() == 1 && outage[0].contains("cannot look at the registry"), "{outage:#?}");

    let _temporal = Temporal::again(options).await;
    registry.until("ready again", async || registry.get("/ready").await.status == 200).await;
    assert!(registry.stop().await.success());
    assert_eq!(complaints(&log), outage);
}
