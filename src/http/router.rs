//! Puts the routes behind the front door.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::response::Response;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::answers::Answers;
use super::auth::{AuthSettings, Authenticator};
use super::code::Code;
use super::edge::{self, Edge};
use super::endpoint::Routes;
use super::front::FrontDoor;
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

/// Whether no other route is at the path that metrics are to be served at.
pub fn is_free_for_metrics(path: &str) -> bool {
    resources().relocate(METRICS_PATH, Some(path)).is_ok()
}

/// The whole front door. Fails when a token or the metrics path is not well formed; the error names it.
pub fn router(state: AppState, settings: Settings) -> Result<FrontDoor, String> {
    build(resources(), state, settings)
}

pub(super) fn build(routes: Routes, state: AppState, settings: Settings) -> Result<FrontDoor, String> {
    let Settings { auth: settings, limits, access_log, stop } = settings;
    let auth = Authenticator::new(&settings)?;
    let limits = Limits::new(limits, auth.names());
    let reads = state.reads.clone();
    let (answers, document) = (Answers::default(), OnceLock::new());
    let shared = Arc::new(Shared { auth, limits, reads, answers, document, stop });
    let loopback_guard = !settings.enabled && settings.loopback_only;
    let edge = Edge { access_log, loopback_guard, metrics: state.metrics.clone() };
    let (router, document) = routes
        .relocate(METRICS_PATH, settings.metrics_path.as_deref())
        .map_err(|why| format!("observability.metrics.path: {why}"))?
        .mount(OpenApiRouter::with_openapi(openapi::head()), Some(&shared))
        .split_for_parts();
    let json = document.to_json().map_err(|error| error.to_string())?;
    shared.document.get_or_init(|| Bytes::from(json));
    let for_others = shared.clone();
    let routes = router
        .fallback_service(axum::handler::Handler::with_state(route_not_found, shared.clone()))
        .method_not_allowed_fallback(move |request| method_not_allowed(State(for_others.clone()), request))
        .with_state(state);
    Ok(FrontDoor::new(edge, shared, routes))
}

async fn route_not_found(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let request = admit(Policy::NOWHERE, &shared, request)?;
    Err(Problem::new(Code::RouteNotFound, format!("there is no route {}", request.uri().path())))
}

async fn method_not_allowed(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        edge::note_route(&route.as_str().into(), false);
    }
    let request = admit(Policy::NOWHERE, &shared, request)?;
    Err(Problem::new(Code::MethodNotAllowed, format!("{} does not apply here", request.method())))
}
