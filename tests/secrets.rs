//! No token shows in any log line, metric or answer, whatever is logged and whatever is sent.

mod door;

use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use temporal_registry::http::{
    self,
    auth::{AuthSettings, Role, TokenSettings},
};
use tower::ServiceExt;
use tracing_subscriber::fmt::format::FmtSpan;

const ADMIN: &str = "admin-token-5f1c9e";
const NAMED: &str = "named-token-77ab03";
const WRONG: &str = "wrong-token-d00d42";
const BODY: &str = "body-secret-1b2c3d";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings() -> http::Settings {
    let named = TokenSettings {
        name: "reader".to_owned(),
        sha256: hex::encode(Sha256::digest(NAMED)),
        roles: vec![Role::Read],
        workflow_types: Vec::new(),
    };
    let auth = AuthSettings {
        enabled: true,
        token: Some(ADMIN.to_owned()),
        tokens: vec![named],
        metrics_path: Some("/metrics".to_owned()),
        ..AuthSettings::default()
    };
    http::Settings { auth, access_log: true, ..http::Settings::default() }
}

#[tokio::test]
async fn tokens_stay_where_they_are() {
    let lines = Lines::default();
    let writer = lines.clone();
    let everything = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(everything.finish()).unwrap();

    let settings = settings();
    tracing::debug!(?settings, "starting");
    let router = door::router(settings);
    let headers = |token: &str| {
        [
            vec![("authorization", format!("Bearer {token}"))],
            vec![("authorization", format!("bearer   {token} "))],
            vec![("x-api-key", token.to_owned())],
            // Half of a header, the wrong scheme, and both headers at once.
            vec![("authorization", token.to_owned())],
            vec![("authorization", format!("Basic {token}"))],
            vec![("authorization", format!("Bearer {token}")), ("x-api-key", token.to_owned())],
        ]
    };
    let requests = [
        ("GET", "/health"),
        ("GET", "/openapi.json"),
        ("GET", "/registry/workflows"),
        ("GET", "/no/such/route"),
        ("PATCH", "/health"),
        ("POST", "/workflow-ids/claim"),
        ("POST", "/registry/workers"),
        ("PUT", "/registry/workflows/x"),
        ("DELETE", "/registry/workers/x"),
    ];
    let bodies = ["", "{", r#"{"name": "body-secret-1b2c3d", "unknown": "body-secret-1b2c3d"}"#];
    let mut statuses = std::collections::BTreeSet::new();
    let mut answers = String::new();
    for token in [ADMIN, NAMED, WRONG, ""] {
        for (headers, (method, uri)) in headers(token).iter().flat_map(|h| requests.map(|r| (h, r))) {
            for body in bodies {
                let mut request = Request::builder().method(method).uri(uri);
                for (name, value) in headers {
                    request = request.header(*name, value);
                }
                let answer = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
                let (parts, body) = answer.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                statuses.insert(parts.status.as_u16());
                if uri != "/openapi.json" {
                    answers += &format!("{parts:?} {}\n", String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
    let metrics = router.oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
    let metrics =
        String::from_utf8(metrics.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();

    // All of it was there to be looked through.
    assert!(statuses.is_superset(&[200, 401, 404, 405].into()), "{statuses:?}");
    for part in ["starting settings=", "who=\"reader\"", "who=\"unknown\"", "refused", "request{"] {
        assert!(log.contains(part), "the log has no {part}");
    }
    assert!(log.lines().count() > 1_000, "{} lines", log.lines().count());
    assert!(metrics.contains("temporal_registry_http_requests_total{") && answers.contains("unauthorized"));
    for secret in [ADMIN, NAMED, WRONG] {
        for (place, text) in [("log", &log), ("metrics", &metrics), ("answers", &answers)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "a token is in the {place}");
        }
        let digest = hex::encode(Sha256::digest(secret));
        assert!(!log.contains(&digest) && !metrics.contains(&digest), "the digest of a token is shown");
    }
    for (place, text) in [("log", &log), ("metrics", &metrics)] {
        assert_eq!(text.lines().find(|line| line.contains(BODY)), None, "what was sent is in the {place}");
    }
}
