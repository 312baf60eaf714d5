//! Puts the routes behind their layers.

use std::any::Any;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use super::auth::{AuthSettings, Authenticator};
use super::code::Code;
use super::docs::Document;
use super::edge::{Edge, edge};
use super::endpoint::Routes;
use super::gate::{Policy, Shared, admit};
use super::limits::{LimitSettings, Limits};
use super::problem::Problem;
use super::service::METRICS_PATH;
use super::state::AppState;
use super::{openapi, resources};

/// How the front door is set up.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may call.
    pub auth: AuthSettings,
    /// How much.
    pub limits: LimitSettings,
    /// Write one line per request to the log target `access`.
    pub access_log: bool,
    /// Cancelled when this server stops: what only waits is then told to go on elsewhere.
    pub stop: CancellationToken,
}

/// The whole front door. Fails when a token or the metrics path is not well formed; the
/// error names it. Serve it with `into_make_service_with_connect_info::<SocketAddr>()` to have the
/// callers' addresses in the log.
pub fn router(state: AppState, settings: Settings) -> Result<Router, String> {
    build(resources(), state, settings)
}

pub(super) fn build(routes: Routes, state: AppState, settings: Settings) -> Result<Router, String> {
    let Settings { auth: settings, limits, access_log, stop } = settings;
    let auth = Authenticator::new(&settings)?;
    let limits = Limits::new(limits, auth.names());
    let (reads, answers) = (state.reads.clone(), state.answers.clone());
    let shared = Arc::new(Shared { auth, limits, reads, answers, stop });
    let loopback_guard = !settings.enabled && settings.loopback_only;
    let outside = Arc::new(Edge { access_log, loopback_guard, metrics: state.metrics.clone() });
    let (router, document) = routes
        .relocate(METRICS_PATH, settings.metrics_path.as_deref())
        .map_err(|why| format!("metrics path: {why}"))?
        .mount(OpenApiRouter::with_openapi(openapi::head()), Some(&shared))
        .split_for_parts();
    let json = document.to_json().map_err(|error| error.to_string())?;
    Ok(router
        .fallback_service(axum::handler::Handler::with_state(route_not_found, shared.clone()))
        .method_not_allowed_fallback(move |request| method_not_allowed(State(shared.clone()), request))
        // Bodies are bounded by the gate, before anything runs.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(Document(Bytes::from(json))))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(outside, edge))
        .with_state(state))
}

async fn route_not_found(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let request = admit(Policy::NOWHERE, &shared, request)?;
    Err(Problem::new(Code::RouteNotFound, format!("there is no route {}", request.uri().path())))
}

async fn method_not_allowed(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let request = admit(Policy::NOWHERE, &shared, request)?;
    Err(Problem::new(Code::MethodNotAllowed, format!("{} does not apply here", request.method())))
}

fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a handler panicked");
    Problem::new(Code::Internal, "this server has a defect here; the request id finds it in its log")
        .into_response()
}
