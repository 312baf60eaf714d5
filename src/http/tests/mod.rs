//! The real router in process, with a probe resource mounted beside the real ones.

mod access;
mod bodies;
mod catalogue;
mod desk;
mod errors;
mod faults;
mod freshness;
mod heartbeats;
mod limits;
mod observed;
mod openapi;
mod probe;
mod registry;
mod schedules;
mod static_workers;
mod task_queues;
mod tasks;
mod workers;
mod workflow_ids;
mod workflows;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::endpoint::Routes;
use super::front::FrontDoor;
use super::problem::Problem;
use super::router::{Settings, build};
use super::service::{Metrics, Readiness};
use super::state::{AppState, Parts};
use super::{code::Code, resources};
use crate::{fleet::Fleet, registry::PreservationRules, schema::ValidatorCache};

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts the form every error has, and that it is this one.
    #[track_caller]
    fn assert_problem(&self, code: Code) {
        assert_eq!(self.body["code"], code.as_str(), "{}", self.body);
        assert_eq!(self.status, code.status(), "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert_eq!(self.body["title"], code.title());
        assert_eq!(self.body["type"], format!("urn:temporal-registry:problem:{}", code.as_str()));
        assert!(!self.body["detail"].as_str().unwrap().is_empty());
        assert!(!self.header("x-request-id").is_empty());
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        let waits = matches!(self.status.as_u16(), 429 | 503);
        assert_eq!(!self.header("retry-after").is_empty(), waits, "{:?}", self.headers);
    }
}

/// Metrics and readiness that remember and do as told.
#[derive(Default)]
struct Fake {
    answered: parking_lot::Mutex<Vec<(String, String, u16)>>,
    problem: parking_lot::Mutex<Option<Problem>>,
}

impl Readiness for Fake {
    fn ready(&self) -> Result<(), Problem> {
        self.problem.lock().clone().map_or(Ok(()), Err)
    }
}

impl Metrics for Fake {
    fn answered(&self, method: &str, route: &str, status: u16, _code: &str, seconds: f64) {
        assert!(seconds >= 0.0);
        self.answered.lock().push((method.to_owned(), route.to_owned(), status));
    }

    fn render(&self) -> String {
        "up 1\n".to_owned()
    }
}

/// A front door with the probe routes.
#[derive(Clone)]
struct Door {
    door: FrontDoor,
    fake: Arc<Fake>,
    probe: Arc<probe::Probe>,
    desk: Arc<desk::Desk>,
}

fn state(fake: &Arc<Fake>, desk: &Arc<desk::Desk>) -> AppState {
    AppState::from(Parts {
        readiness: fake.clone(),
        metrics: fake.clone(),
        writes: desk.clone(),
        reads: desk.clone(),
        starts: desk.clone(),
        schedules: desk.clone(),
        reconciles: desk.clone(),
        runs: desk.clone(),
        tasks: desk.clone(),
        attributes: desk.clone(),
        shutdown: desk.clone(),
        validators: Arc::new(ValidatorCache::new(100)),
        fleet: Arc::new(Fleet::new(desk.clone(), desk.clone(), PreservationRules::default())),
        queues: desk.clone(),
        own_queue: "registry-service".into(),
        slug_ttl_ms: 30 * 86_400_000,
    })
}

impl Door {
    fn new(settings: Settings) -> Self {
        Self::of(resources().merge(probe::routes()), settings)
    }

    fn of(routes: Routes, settings: Settings) -> Self {
        let (fake, desk) = (Arc::new(Fake::default()), Arc::new(desk::Desk::default()));
        let state = state(&fake, &desk);
        let door = build(routes, state, settings).unwrap();
        let probe = Arc::new(probe::Probe::default());
        Self { door, fake, probe, desk }
    }

    /// Auth off and no bounds: what is under test is elsewhere.
    fn open() -> Self {
        Self::new(Settings::default())
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(self.probe.clone());
        let response = self.door.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, uri: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(uri).body(body.into()).unwrap()).await
    }

    /// Sends a JSON body (none for null) with headers.
    async fn ask(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.body(body).unwrap()).await
    }
}
