//! Every code in its one form, and the errors that no handler makes.

use axum::body::Body;
use axum::http::Request;

use super::*;

#[tokio::test]
async fn every_code_has_the_same_form() {
    let door = Door::open();
    for code in Code::ALL {
        let answer = door.get(&format!("/probe/fail/{}", code.as_str())).await;
        answer.assert_problem(*code);
        assert_eq!(answer.body["extra"], 7);
        assert_eq!(!answer.header("www-authenticate").is_empty(), *code == Code::Unauthorized);
    }
}

#[tokio::test]
async fn what_no_route_serves() {
    let door = Door::open();
    for uri in ["/nope", "/", "/health/", "/probe/things/1/2", "/docs/nope.js"] {
        door.get(uri).await.assert_problem(Code::RouteNotFound);
    }
    for (method, uri, allow) in [
        ("POST", "/health", "GET,HEAD"),
        ("DELETE", "/probe/things", "GET,HEAD,POST"),
        ("PUT", "/probe/things/1", "GET,HEAD,DELETE"),
        ("OPTIONS", "/probe/touch", "POST"),
        ("BREW", "/openapi.json", "GET,HEAD"),
    ] {
        let answer = door.send(Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()).await;
        answer.assert_problem(Code::MethodNotAllowed);
        assert_eq!(answer.header("allow"), allow, "{method} {uri}");
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing() {
    let answer = Door::open().get("/probe/panic").await;
    answer.assert_problem(Code::Internal);
    assert!(!answer.body.to_string().contains("hunter2"));
}

#[tokio::test]
async fn request_ids_are_echoed_when_sane() {
    let door = Door::open();
    let long = "x".repeat(128);
    let too_long = "x".repeat(129);
    let table: [(&[u8], bool); 6] = [
        (b"abc-123", true),
        (long.as_bytes(), true),
        (too_long.as_bytes(), false),
        (b"", false),
        (b"two words", false),
        (b"caf\xc3\xa9", false),
    ];
    for uri in ["/health", "/nope"] {
        for (id, echoed) in table {
            let request = Request::get(uri).header("x-request-id", id).body(Body::empty()).unwrap();
            let answer = door.send(request).await;
            let given = answer.header("x-request-id");
            assert_eq!(given.as_bytes() == id, echoed, "{given}");
            assert!(echoed || uuid::Uuid::parse_str(given).unwrap().get_version_num() == 7);
        }
    }
}

#[tokio::test]
async fn readiness_follows_the_replica() {
    let door = Door::open();
    assert_eq!(door.get("/ready").await.body["status"], "ready");
    *door.fake.problem.lock() = Some(Problem::new(Code::TemporalUnavailable, "the view is 9 s old"));
    door.get("/ready").await.assert_problem(Code::TemporalUnavailable);
    assert_eq!(door.get("/health").await.body["status"], "ok");
}
