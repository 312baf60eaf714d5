//! What happens to every request whatever becomes of it: a request id, one metric, one access line,
//! and one audit line when it was a write.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use tracing::{Instrument, Span, field::Empty, info, info_span, warn};

use super::code::Code;
use super::service::Metrics;
use crate::{clock, telemetry::traces};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static TRACE: Arc<Trace>;
}

/// The id of the request being answered; empty outside of one.
pub fn request_id() -> String {
    TRACE.try_with(|trace| text(&trace.request_id).to_owned()).unwrap_or_default()
}

/// Notes which route was reached and whether it is a write. Outside of a request there is nothing to note on.
/// Only routes of ours become labels, never what a caller makes up.
pub(super) fn note_route(route: &Arc<str>, write: bool) {
    let _ = TRACE.try_with(|trace| (trace.route.set(route.clone()), trace.write.set(write)));
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
pub(super) struct Trace {
    edge: Arc<Edge>,
    request_id: HeaderValue,
    trace_id: Option<String>,
    method: Method,
    uri: Uri,
    peer: Option<SocketAddr>,
    started: Instant,
    route: OnceLock<Arc<str>>,
    who: OnceLock<Arc<str>>,
    write: OnceLock<bool>,
    outcome: OnceLock<(u16, &'static str)>,
}

impl Trace {
    /// Begins with a request; the span is for whatever answers it.
    pub fn begin(edge: Arc<Edge>, peer: Option<SocketAddr>, request: &Parts) -> (Arc<Self>, Span) {
        let request_id = sane_id(&request.headers).cloned().unwrap_or_else(new_id);
        let span = info_span!("request", request_id = text(&request_id), trace_id = Empty, otel.kind = Empty);
        let trace = Self {
            edge,
            request_id,
            trace_id: traces::serve(&span, caller(&request.headers)),
            method: request.method.clone(),
            uri: request.uri.clone(),
            peer,
            started: Instant::now(),
            route: OnceLock::new(),
            who: OnceLock::new(),
            write: OnceLock::new(),
            outcome: OnceLock::new(),
        };
        (Arc::new(trace), span)
    }

    /// Finds what is answered while the caller waits.
    pub fn at_once<T>(self: &Arc<Self>, span: &Span, find: impl FnOnce() -> T) -> T {
        span.in_scope(|| TRACE.sync_scope(self.clone(), find))
    }

    /// The answer that `inner` comes to.
    pub async fn answer(self: Arc<Self>, span: Span, inner: impl Future<Output = Response>) -> Response {
        let response = TRACE.scope(self.clone(), inner).instrument(span.clone()).await;
        self.answered(&span, response)
    }

    /// Notes what the answer is, and completes it.
    pub fn answered(&self, span: &Span, mut response: Response) -> Response {
        let code = response.extensions().get::<Code>().map_or("", |code| code.as_str());
        let status = response.status().as_u16();
        let _ = self.outcome.set((status, code));
        traces::answered(span, label(&self.method), self.route(), status);
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, self.request_id.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn route(&self) -> &str {
        self.route.get().map_or("unmatched", |route| route)
    }
}

/// Whose trace a request says it is part of.
fn caller(headers: &HeaderMap) -> traces::Caller<'_> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    traces::Caller { traceparent: header("traceparent"), tracestate: header("tracestate") }
}

/// Written on drop, so that a client that leaves before its answer is on record too.
impl Drop for Trace {
    fn drop(&mut self) {
        let (status, code) = self.outcome.get().copied().unwrap_or((0, "client_left"));
        let elapsed = self.started.elapsed();
        let (method, route, path) = (&self.method, self.route(), self.uri.path());
        let request_id = text(&self.request_id);
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
fn sane_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    ((1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)).then_some(id)
}

/// Sorts by time, like any UUID of version 7; from this thread's generator, which asks the system rarely.
fn new_id() -> HeaderValue {
    let now_ms = u64::try_from(clock::now_ms()).unwrap_or_default();
    let id = uuid::Builder::from_unix_timestamp_millis(now_ms, &rand::random()).into_uuid();
    // Hex digits and dashes only, so this never falls back.
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
        .unwrap_or(HeaderValue::from_static(""))
}

/// A request id, which is visible ASCII whoever made it.
fn text(request_id: &HeaderValue) -> &str {
    request_id.to_str().unwrap_or_default()
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
