//! Traces over OTLP (gRPC). Off unless configured, and then nothing here costs more than one load from memory.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::{
    KeyValue, SpanId,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{
    SpanExporter, WithExportConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use tracing::{Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::{clock, config::OtelSettings};

/// Where traces go when no endpoint is configured.
const DEFAULT_ENDPOINT: &str = "http://localhost:4317";
/// Longest wait for the collector when this process ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// Only spans of this crate: the libraries below would tell of the sending of traces, too.
const OWN_SPANS: &str = "temporal_registry";

/// Set when traces are sent.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sends traces while it lives; what is left is sent when it is dropped.
#[must_use = "traces are sent while this lives"]
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        // A collector that is away must not keep this process from ending in order.
        if let Some(Err(error)) = self.0.as_ref().map(|provider| provider.shutdown_with_timeout(FLUSH_WITHIN))
        {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

type SpanLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// The layer that turns spans into traces, none when they are off. Needs a Tokio runtime when they are on.
pub(super) fn layer<S>(settings: &OtelSettings) -> anyhow::Result<(Option<SpanLayer<S>>, Traces)>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    if !settings.enabled {
        return Ok((None, Traces(None)));
    }
    let endpoint = settings.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    let exporter = exporter.build().with_context(|| format!("observability.otel.endpoint {endpoint}"))?;
    let resource = Resource::builder().with_service_name(settings.service_name.clone());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.with_attribute(version).build())
        .build();
    let tracer = provider.tracer("temporal-registry");
    let _ = TRACER.set(tracer.clone());
    let own = Targets::new().with_target(OWN_SPANS, LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    Ok((Some(layer.with_filter(own).boxed()), Traces(Some(provider))))
}

/// The headers of W3C trace context.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// `traceparent`.
    pub traceparent: Option<&'a str>,
    /// `tracestate`.
    pub tracestate: Option<&'a str>,
}

impl Extractor for Caller<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Makes a span the server's side of a request, in the caller's trace when its headers name one. The span must have
/// been made with the empty fields `otel.kind` and `trace_id`. Returns the trace id; none when traces are off.
pub fn serve(span: &Span, caller: Caller<'_>) -> Option<String> {
    TRACER.get()?;
    span.record("otel.kind", "server");
    // Fails on a span that nobody listens to, which has no trace either.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&caller));
    let context = span.context().span().span_context().clone();
    if !context.is_valid() {
        return None;
    }
    let id = context.trace_id().to_string();
    span.record("trace_id", &id);
    Some(id)
}

/// Notes how a request was answered. `route` is the pattern, not the path.
pub fn answered(span: &Span, method: &str, route: &str, status: u16) {
    if TRACER.get().is_none() {
        return;
    }
    // Which route it is was not known when the span began.
    span.context().span().update_name(format!("{method} {route}"));
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.route", route.to_owned());
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error(status.to_string()));
    }
}

/// The headers of W3C trace context for what the current span starts elsewhere; none when it is not traced.
pub fn passed_on() -> Option<HashMap<String, String>> {
    TRACER.get()?;
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.contains_key("traceparent").then_some(carrier)
}

/// Notes a call to another service that has just ended, as a child of the current span. Outside of a span that is
/// traced there is nothing to note it in.
pub fn called(name: &str, lasted: Duration) {
    let Some(tracer) = TRACER.get() else { return };
    let parent = Span::current().context();
    if parent.span().span_context().span_id() == SpanId::INVALID {
        return;
    }
    let now = clock::now();
    let mut span = tracer
        .span_builder(name.to_owned())
        .with_kind(SpanKind::Client)
        .with_start_time(now - lasted)
        .with_attributes([KeyValue::new("rpc.system", "grpc"), KeyValue::new("rpc.method", name.to_owned())])
        .start_with_context(tracer, &parent);
    span.end_with_timestamp(now);
}

/// Notes that a call failed, on the current span.
pub fn call_failed(name: &str, outcome: &str) {
    if TRACER.get().is_some() {
        let what =
            [KeyValue::new("rpc.method", name.to_owned()), KeyValue::new("outcome", outcome.to_owned())];
        Span::current().add_event("call failed", what.to_vec());
    }
}
