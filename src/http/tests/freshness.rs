//! How fresh an answer is, and how fresh it can be asked to be.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use super::desk::{registration, worker};
use super::*;
use crate::clock;

#[tokio::test]
async fn answers_say_how_fresh_they_are() {
    let door = Door::open();
    let written = door.ask("POST", "/registry/workers", &[], worker("w1", vec![])).await;
    assert_eq!(written.header("x-registry-revision"), "1");
    for uri in ["/registry/workers", "/registry/workers/w1", "/registry/workers/nope", "/registry/status"] {
        let answer = door.get(uri).await;
        assert_eq!(answer.header("x-registry-revision"), "1", "{uri}");
        assert_eq!(answer.header("x-registry-age-ms"), "", "{uri}");
    }
    // Temporal is away: reads go on, and say how old they are.
    door.desk.is_away.store(true, SeqCst);
    door.desk.confirmed_ms.store(clock::steady_ms() - 9_000, SeqCst);
    let stale = door.get("/registry/workers/w1").await;
    assert_eq!(stale.status, StatusCode::OK);
    assert!(stale.header("x-registry-age-ms").parse::<u64>().unwrap() >= 9_000);
    assert_eq!(door.get("/health").await.header("x-registry-revision"), "");
}

#[tokio::test]
async fn a_read_can_be_asked_to_be_consistent() {
    let door = Door::open();
    door.desk.elsewhere(&registration("w1", &["a"]), 0);
    door.get("/registry/workers/w1").await.assert_problem(Code::WorkerNotFound);
    door.get("/registry/workers/w1?consistent=false").await.assert_problem(Code::WorkerNotFound);
    assert_eq!(door.get("/registry/workers/w1?consistent=true").await.status, StatusCode::OK);
    door.get("/registry/workers/w1?consistent=yes").await.assert_problem(Code::InvalidRequest);
    door.desk.is_away.store(true, SeqCst);
    door.get("/registry/workers/w1?consistent=true").await.assert_problem(Code::TemporalUnavailable);
    assert_eq!(door.get("/registry/workers/w1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_read_can_wait_for_a_revision() {
    let door = Door::open();
    let head = match door.desk.elsewhere(&registration("w1", &["a"]), 0) {
        crate::registry::Outcome::Registered { epoch, .. } => epoch.to_string(),
        other => panic!("{other:?}"),
    };
    let ask = |revision: &str| {
        let (door, revision) = (door.clone(), revision.to_owned());
        async move {
            door.ask("GET", "/registry/workers/w1", &[("x-registry-revision", &revision)], Value::Null).await
        }
    };
    ask("x").await.assert_problem(Code::InvalidRequest);
    let waiting = tokio::spawn(ask(&head));
    // It waits, for as long as nobody brings the view there.
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    door.desk.look();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status, answer.header("x-registry-revision")), (StatusCode::OK, &*head));
    door.desk.is_hurried.store(true, SeqCst);
    let refused = ask("999").await;
    refused.assert_problem(Code::TemporalUnavailable);
    assert_eq!(refused.header("retry-after"), "1");
    let heads = door.ask("HEAD", "/registry/workers/w1", &[("x-registry-revision", "1")], json!(null)).await;
    assert_eq!(heads.status, StatusCode::OK);
}
