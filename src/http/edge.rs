//! What happens to every request whatever becomes of it: a request id, one metric, one access line,
//! and one audit line when it was a write.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, field::Empty, info, info_span, warn};

use super::code::Code;
use super::loopback;
use super::service::Metrics;
use crate::{clock, telemetry::traces};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static TRACE: Arc<Trace>;
}

/// The id of the request being answered; empty outside of one.
pub fn request_id() -> String {
    TRACE.try_with(|trace| trace.request_id.clone()).unwrap_or_default()
}

/// Notes whether the route reached is a write. Outside of a request there is nothing to note on.
pub(super) fn note_route(write: bool) {
    let _ = TRACE.try_with(|trace| trace.write.set(write));
}

/// Notes who is calling.
pub(super) fn note_caller(who: &Arc<str>) {
    let _ = TRACE.try_with(|trace| trace.who.set(who.clone()));
}

/// What the edge itself needs.
pub(super) struct Edge {
    pub access_log: bool,
    /// Refuse foreign hosts and origins: the listener is loopback and authentication is off.
    pub loopback_guard: bool,
    pub metrics: Arc<dyn Metrics>,
}

/// One request, from its arrival to its answer or to the moment its client left.
struct Trace {
    edge: Arc<Edge>,
    request_id: String,
    trace_id: Option<String>,
    method: Method,
    route: String,
    path: String,
    peer: Option<SocketAddr>,
    started: Instant,
    who: OnceLock<Arc<str>>,
    write: OnceLock<bool>,
    outcome: OnceLock<(u16, &'static str)>,
}

/// The outermost layer.
pub(super) async fn edge(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let guard = edge.loopback_guard;
    let mut trace = Trace::new(edge, &request);
    let span = info_span!(
        "request",
        request_id = trace.request_id,
        trace_id = Empty,
        otel.name = Empty,
        otel.kind = Empty
    );
    let name = || format!("{} {}", label(&trace.method), trace.route);
    trace.trace_id = traces::serve(&span, name, caller(request.headers()));
    let trace = Arc::new(trace);
    let answered = trace.clone();
    let inner = async move {
        match guard.then(|| loopback::check(&request)) {
            Some(Err(problem)) => problem.into_response(),
            _ => next.run(request).await,
        }
    };
    let mut response = TRACE.scope(trace, inner).instrument(span.clone()).await;
    let code = response.extensions().get::<Code>().map_or("", |code| code.as_str());
    let status = response.status().as_u16();
    let _ = answered.outcome.set((status, code));
    traces::answered(&span, label(&answered.method), &answered.route, status);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&answered.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whose trace a request says it is part of.
fn caller(headers: &HeaderMap) -> traces::Caller<'_> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    traces::Caller { traceparent: header("traceparent"), tracestate: header("tracestate") }
}

impl Trace {
    fn new(edge: Arc<Edge>, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            edge,
            request_id: sane_id(request.headers()).unwrap_or_else(new_id),
            trace_id: None,
            method: request.method().clone(),
            // Only routes of ours become labels, never what a caller makes up.
            route: route.map_or("unmatched", MatchedPath::as_str).to_owned(),
            path: request.uri().path().to_owned(),
            peer: peer.map(|info| info.0),
            started: Instant::now(),
            who: OnceLock::new(),
            write: OnceLock::new(),
            outcome: OnceLock::new(),
        }
    }
}

/// Written on drop, so that a client that leaves before its answer is on record too.
impl Drop for Trace {
    fn drop(&mut self) {
        let (status, code) = self.outcome.get().copied().unwrap_or((0, "client_left"));
        let elapsed = self.started.elapsed();
        let (method, route, path, request_id) = (&self.method, &self.route, &self.path, &self.request_id);
        let who = self.who.get().map_or("unknown", |who| who);
        let (peer, trace_id) = (self.peer.map(tracing::field::display), self.trace_id.as_deref());
        if self.outcome.get().is_some() {
            self.edge.metrics.answered(label(method), route, status, code, elapsed.as_secs_f64());
        }
        if self.edge.access_log {
            let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            info!(target: "access", %method, path, status, ms, who, peer, request_id, trace_id);
        }
        let refused = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::MISDIRECTED_REQUEST,
        ];
        if refused.iter().any(|refusal| refusal.as_u16() == status) {
            warn!(%method, path, status, code, who, peer, request_id, trace_id, "refused");
        }
        if self.write.get() == Some(&true) {
            info!(target: "audit", who, %method, route, path, status, code, request_id, trace_id);
        }
    }
}

/// The caller's own id, when it can be echoed and logged safely.
fn sane_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    (1..=128)
        .contains(&id.len())
        .then_some(id)
        .filter(|id| id.bytes().all(|b| b.is_ascii_graphic()))
        .map(str::to_owned)
}

/// Sorts by time, like any UUID of version 7; from this thread's generator, which asks the system rarely.
fn new_id() -> String {
    let now_ms = u64::try_from(clock::now_ms()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid().to_string()
}

/// The method as a metric label; extension methods share one.
fn label(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT") => {
            known
        }
        _ => "other",
    }
}
