//! Traces: a request through the front door reaches a collector, in the trace its caller named.

mod door;

use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use temporal_registry::{
    config::{ObservabilitySettings, OtelSettings, Settings},
    http,
    telemetry::{self, Outages},
};
use temporalio_client::tonic::{self, Response, Status};
use tokio::sync::mpsc;
use tower::ServiceExt;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

struct Collector(mpsc::UnboundedSender<(String, Span)>);

#[async_trait::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = service.and_then(|a| a.value.clone()?.value).map(text).unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let _ = self.0.send((service.clone(), span));
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(value: Value) -> String {
    match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    found.and_then(|a| a.value.clone()?.value).map(text).unwrap_or_default()
}

fn settings(endpoint: String) -> ObservabilitySettings {
    let mut settings = Settings::load(None, &Default::default(), &[]).unwrap().observability;
    let service_name = "under-test".to_owned();
    settings.otel = OtelSettings { enabled: true, service_name, endpoint: Some(endpoint), insecure: true };
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_in_its_callers_trace() {
    let (sender, mut spans) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let collector = Router::new().route_service(path, TraceServiceServer::new(Collector(sender)));
    tokio::spawn(axum_server::from_tcp(listener).serve(collector.into_make_service()));

    let traces = telemetry::init(&settings(format!("http://{address}")), Outages::Ours).unwrap();
    let router = door::router(http::Settings::default());
    let request = |method: &str, uri: &str, traceparent: Option<String>| {
        let mut request = Request::builder().method(method).uri(uri).header("x-request-id", "r1");
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    assert_eq!(
        request("GET", "/health", Some(format!("00-{TRACE}-{PARENT}-01"))).await.unwrap().status(),
        200
    );
    assert_eq!(request("GET", "/no/such/thing", None).await.unwrap().status(), 404);
    // A caller that does not want its trace recorded gets none.
    request("GET", "/ready", Some(format!("00-{TRACE}-{PARENT}-00"))).await.unwrap();
    // What is left is sent when the process ends.
    tokio::task::spawn_blocking(move || drop(traces)).await.unwrap();

    let mut got = Vec::new();
    while got.len() < 2 {
        let next = tokio::time::timeout(Duration::from_secs(10), spans.recv()).await;
        got.push(next.expect("a span within 10 s").expect("a span"));
    }
    got.sort_by_key(|(_, span)| span.start_time_unix_nano);
    let (service, health) = &got[0];
    assert_eq!(service, "under-test");
    assert_eq!(health.name, "GET /health");
    assert_eq!(health.kind, i32::from(SpanKind::Server));
    assert_eq!(
        (hex::encode(&health.trace_id), hex::encode(&health.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    let attributes = ["http.request.method", "http.route", "http.response.status_code", "request_id"];
    assert_eq!(attributes.map(|key| attribute(health, key)), ["GET", "/health", "200", "r1"]);

    let (_, absent) = &got[1];
    assert_eq!(absent.name, "GET unmatched");
    assert!(absent.parent_span_id.is_empty() && hex::encode(&absent.trace_id) != TRACE);
    assert_eq!(attribute(absent, "http.response.status_code"), "404");
    assert!(spans.try_recv().is_err(), "a span that nobody asked for");
}

#[test]
fn traces_do_not_leave_in_plain_text_unless_told() {
    for (endpoint, insecure, allowed) in [
        ("http://collector:4317", "false", false),
        ("", "false", false),
        ("http://collector:4317", "true", true),
        ("https://collector:4317", "false", true),
    ] {
        let environment = [
            ("TEMPORAL_REGISTRY_OTEL_ENABLED", "true"),
            ("TEMPORAL_REGISTRY_OTEL_ENDPOINT", endpoint),
            ("TEMPORAL_REGISTRY_OTEL_INSECURE", insecure),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let outcome = Settings::load(None, &environment, &[]);
        assert_eq!(outcome.is_ok(), allowed, "{endpoint}, insecure {insecure}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(error.to_string().contains("observability.otel.endpoint"), "{error}");
        }
    }
}
