//! Tokens, roles and the loopback guard.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::desk::registration;
use super::*;
use crate::http::auth::{AuthSettings, Role, TokenSettings};
use crate::seams::TaskError;

fn token(name: &str, role: Role, types: &[&str]) -> TokenSettings {
    TokenSettings {
        name: name.to_owned(),
        sha256: hex::encode(Sha256::digest(format!("{name}-secret"))),
        roles: vec![role],
        workflow_types: types.iter().map(|glob| (*glob).to_owned()).collect(),
    }
}

fn door(read_public: bool) -> Door {
    let tokens = vec![
        token("reader", Role::Read, &[]),
        token("starter", Role::Dispatch, &["build.*"]),
        token("worker", Role::Register, &[]),
    ];
    let metrics_path = Some("/internal/metrics".to_owned());
    let auth = AuthSettings {
        enabled: true,
        token: Some("root".into()),
        tokens,
        read_public,
        metrics_path,
        ..AuthSettings::default()
    };
    Door::new(Settings { auth, ..Settings::default() })
}

async fn ask(door: &Door, method: &str, uri: &str, token: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    door.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn roles_open_their_routes_only() {
    let door = door(false);
    let tokens = ["", "wrong", "reader-secret", "starter-secret", "worker-secret", "root"];
    // For each route the status each token gets; an empty body is a 400 where a body is needed.
    let table = [
        ("GET", "/probe/things", [401, 401, 200, 200, 200, 200]),
        ("HEAD", "/probe/things", [401, 401, 200, 200, 200, 200]),
        ("POST", "/probe/things", [401, 401, 403, 403, 400, 400]),
        ("POST", "/probe/touch", [401, 401, 403, 200, 403, 200]),
        ("DELETE", "/probe/things/1", [401, 401, 403, 403, 403, 200]),
        ("GET", "/openapi.json", [401, 401, 200, 200, 200, 200]),
        ("GET", "/docs/", [401, 401, 200, 200, 200, 200]),
        ("GET", "/nope", [401, 401, 404, 404, 404, 404]),
        ("PUT", "/probe/things", [401, 401, 405, 405, 405, 405]),
        ("GET", "/health", [200, 200, 200, 200, 200, 200]),
        ("GET", "/ready", [200, 200, 200, 200, 200, 200]),
        ("GET", "/internal/metrics", [200, 200, 200, 200, 200, 200]),
        ("GET", "/metrics", [401, 401, 404, 404, 404, 404]),
    ];
    for (method, uri, expected) in table {
        for (token, status) in tokens.iter().zip(expected) {
            let answer = ask(&door, method, uri, token).await;
            assert_eq!(answer.status, status, "{method} {uri} with {token:?}: {}", answer.body);
            match (status, method) {
                (_, "HEAD") => {}
                (401, _) => answer.assert_problem(Code::Unauthorized),
                (403, _) => answer.assert_problem(Code::Forbidden),
                _ => {}
            }
            if status == 401 {
                assert!(answer.header("www-authenticate").starts_with("Bearer "));
            }
            assert!(!answer.body.to_string().contains("secret"));
        }
    }
}

#[tokio::test]
async fn the_other_header_works_too() {
    let request =
        Request::get("/probe/things").header("x-api-key", "reader-secret").body(Body::empty()).unwrap();
    assert_eq!(door(false).send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn public_reading_opens_reads_only() {
    let door = door(true);
    for (method, uri, token, status) in [
        ("GET", "/probe/things", "", 200),
        ("GET", "/openapi.json", "", 200),
        ("GET", "/probe/things", "wrong", 401),
        ("GET", "/probe/things/1", "", 401),
        ("POST", "/probe/stuck", "", 401),
        ("GET", "/nope", "", 404),
    ] {
        let answer = ask(&door, method, uri, token).await;
        assert_eq!(answer.status, status, "{method} {uri} {token}: {}", answer.body);
    }
}

#[tokio::test]
async fn documentation_may_be_public() {
    let door = |token: Option<&str>| {
        let token = token.map(str::to_owned);
        let auth = AuthSettings { enabled: true, docs_public: true, token, ..AuthSettings::default() };
        Door::new(Settings { auth, ..Settings::default() })
    };
    for (path, status) in [("/docs", 307), ("/docs/", 200), ("/openapi.json", 200), ("/probe/things", 401)] {
        assert_eq!(ask(&door(Some("root")), "GET", path, "").await.status, status, "{path}");
        assert_eq!(ask(&door(Some("root")), "GET", path, "guess").await.status, 401, "{path}");
        assert_eq!(ask(&door(None), "GET", path, "").await.status, 401, "{path} with no token configured");
    }
}

#[tokio::test]
async fn with_no_token_configured_only_the_probes_answer() {
    for public in [false, true] {
        let auth = AuthSettings {
            enabled: true,
            token: Some(String::new()),
            read_public: public,
            docs_public: public,
            metrics_path: Some("/metrics".to_owned()),
            ..AuthSettings::default()
        };
        let door = Door::new(Settings { auth, ..Settings::default() });
        for (uri, status) in [
            ("/health", 200),
            ("/ready", 200),
            ("/metrics", 200),
            ("/docs/", 401),
            ("/openapi.json", 401),
            ("/registry/workflows", 401),
            ("/probe/things", 401),
            ("/nope", 401),
        ] {
            assert_eq!(door.get(uri).await.status, status, "{uri}, public: {public}");
            assert_eq!(ask(&door, "GET", uri, "guess").await.status, status, "{uri} with a guess");
        }
    }
}

#[tokio::test]
async fn workflow_types_bound_a_token() {
    let door = door(false);
    assert_eq!(
        ask(&door, "POST", "/probe/typed/build.v1", "starter-secret").await.body,
        json!({"who": "starter"})
    );
    ask(&door, "POST", "/probe/typed/report.v1", "starter-secret").await.assert_problem(Code::Forbidden);
    assert_eq!(ask(&door, "POST", "/probe/typed/report.v1", "root").await.body, json!({"who": "admin"}));
}

#[tokio::test]
async fn a_bounded_token_does_not_reach_open_runs_of_other_types_by_starting() {
    let door = door(false);
    door.desk.has_task("report.v1", Err(TaskError::NotATask));
    let table = [
        (json!({"id_conflict_policy": "fail"}), "start", Code::TemporalUnavailable),
        (json!({"id_conflict_policy": "use_existing"}), "start", Code::Forbidden),
        (json!({"id_conflict_policy": "terminate_existing"}), "execute", Code::Forbidden),
        (json!({"signal": {"name": "s"}}), "signal-with-start", Code::Forbidden),
    ];
    for (mut body, route, expected) in table {
        body["workflow_id"] = json!("a-r1");
        let uri = format!("/workflows/build.v1/{route}");
        for (token, expected) in [("starter-secret", expected), ("root", Code::TemporalUnavailable)] {
            let bearer = format!("Bearer {token}");
            let answer = door.ask("POST", &uri, &[("authorization", &bearer)], body.clone()).await;
            answer.assert_problem(expected);
        }
    }
}

#[tokio::test]
async fn a_bounded_token_keeps_no_worker_of_other_types_alive() {
    let mut bounded = token("worker", Role::Register, &["build.*"]);
    bounded.name = "bounded".to_owned();
    let auth = AuthSettings { enabled: true, tokens: vec![bounded], ..AuthSettings::default() };
    let door = Door::new(Settings { auth, ..Settings::default() });
    door.desk.earlier(&registration("other", &["report.v1"]), 0);
    door.desk.earlier(&registration("own", &["build.v1"]), 0);
    let many = json!({"workers": [{"worker_id": "own"}, {"worker_id": "other"}]});
    for (uri, body, status) in [
        ("/registry/workers/own/heartbeat", Value::Null, 200),
        ("/registry/workers/nobody/heartbeat", Value::Null, 200),
        ("/registry/workers/other/heartbeat", Value::Null, 403),
        ("/registry/heartbeats", many, 403),
    ] {
        let answer = door.ask("POST", uri, &[("x-api-key", "worker-secret")], body).await;
        assert_eq!(answer.status, status, "{uri}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_loopback_guard_stands_before_everything() {
    let guarded = |loopback_only| {
        let auth = AuthSettings { loopback_only, ..AuthSettings::default() };
        Door::new(Settings { auth, ..Settings::default() })
    };
    let table = [
        ("localhost:8080", "", None),
        ("evil.example", "", Some(Code::ForeignHost)),
        ("localhost:8080", "https://evil.example", Some(Code::ForeignOrigin)),
    ];
    for uri in ["/health", "/probe/things", "/nope"] {
        for (host, origin, expected) in table {
            let mut request = Request::get(uri).header("host", host);
            if !origin.is_empty() {
                request = request.header("origin", origin);
            }
            let answer = guarded(true).send(request.body(Body::empty()).unwrap()).await;
            match expected {
                Some(code) => answer.assert_problem(code),
                None => assert_ne!(answer.status, StatusCode::MISDIRECTED_REQUEST),
            }
        }
    }
    assert_eq!(guarded(false).get("/health").await.status, StatusCode::OK);
}
