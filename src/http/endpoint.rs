//! One route: its handler, its documentation, who may use it and how it can fail, said in one place.
//! The OpenAPI operation, the guard around the handler and the audit all follow from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::StatusCode;
use tower::layer::layer_fn;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, SecurityRequirement, schema,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::auth::Role;
use super::code::Code;
use super::fresh;
use super::gate::{Gate, Gated, Policy, Shared};
use super::state::AppState;

/// One path, with one or more methods that need the same role.
pub struct Endpoint {
    route: UtoipaMethodRouter<AppState>,
    role: Option<Role>,
    codes: &'static [Code],
    reads: bool,
    waits: bool,
    view: bool,
    docs: bool,
}

impl Endpoint {
    /// A route for callers with this role. `routes!` may name several handlers if they share the path.
    pub fn needs(role: Role, route: UtoipaMethodRouter<AppState>) -> Self {
        Self { route, role: Some(role), codes: &[], reads: false, waits: false, view: false, docs: false }
    }

    /// A route for everybody, also when no token is configured: the probes and the metrics.
    pub(super) fn open(route: UtoipaMethodRouter<AppState>) -> Self {
        Self { route, role: None, codes: &[], reads: false, waits: false, view: false, docs: false }
    }

    /// The problems the handler itself can answer with. Those every route shares (401, 413, a malformed
    /// body or parameter, the deadline, ...) are added without being named.
    pub fn problems(mut self, codes: &'static [Code]) -> Self {
        self.codes = codes;
        self
    }

    /// Changes nothing although the method is not GET: no audit line, and 503 after the deadline.
    pub fn reads(mut self) -> Self {
        self.reads = true;
        self
    }

    /// Is about what is registered: reads come out of this replica's view and may say how fresh it has to be, and
    /// every answer says at which revision it was made.
    pub fn from_view(mut self) -> Self {
        self.view = true;
        self
    }

    /// Takes as long as the request says: the common deadline does not apply.
    pub fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Is documentation, which may be open to callers without a token.
    pub(super) fn documents(mut self) -> Self {
        self.docs = true;
        self
    }

    /// The only path of this route.
    pub(super) fn path(&self) -> &str {
        self.route.1.paths.keys().next().map_or("", String::as_str)
    }

    /// The same route at another path.
    pub(super) fn at(mut self, path: &str) -> Self {
        let paths = &mut self.route.1.paths;
        if let Some((_, item)) = paths.pop_first() {
            paths.insert(path.to_owned(), item);
        }
        self
    }

    /// Adds this route to a router: documented always, guarded when there is something to guard with.
    fn mount(
        mut self,
        router: OpenApiRouter<AppState>,
        shared: Option<&Arc<Shared>>,
    ) -> OpenApiRouter<AppState> {
        let Self { role, reads, waits, view, docs, .. } = self;
        let policy = Policy { role, reads, waits, view, docs };
        for item in self.route.1.paths.values_mut() {
            operations(item).for_each(|(safe, operation)| document(operation, policy, safe, self.codes));
        }
        let route = Arc::from(self.path());
        let (schemas, paths, mut methods) = self.route;
        if let Some(shared) = shared {
            let gate = Arc::new(Gate { policy, route, shared: shared.clone() });
            methods = methods.route_layer(layer_fn(move |route| Gated { gate: gate.clone(), route }));
        }
        router.routes((schemas, paths, methods))
    }
}

/// The routes of a resource, or of all of them.
#[derive(Default)]
pub struct Routes {
    endpoints: Vec<Endpoint>,
    /// What they refer to, once for all: each endpoint brings all it needs, together megabytes of the same.
    schemas: BTreeMap<String, RefOr<Schema>>,
}

impl Routes {
    /// Adds one route.
    pub fn with(mut self, mut endpoint: Endpoint) -> Self {
        self.schemas.extend(std::mem::take(&mut endpoint.route.0));
        self.endpoints.push(endpoint);
        self
    }

    /// Adds the routes of another resource.
    pub fn merge(mut self, other: Routes) -> Self {
        self.schemas.extend(other.schemas);
        self.endpoints.extend(other.endpoints);
        self
    }

    /// Serves a route elsewhere, or not at all when there is no such place. Fails when the place is no
    /// plain path or is taken.
    pub(super) fn relocate(mut self, path: &str, to: Option<&str>) -> Result<Self, String> {
        let taken = |to: &str| self.endpoints.iter().any(|endpoint| endpoint.path() == to && to != path);
        if let Some(to) = to
            && (!to.starts_with('/') || to.contains(['{', '}', '*', '?', '#', ' ']) || taken(to))
        {
            return Err(format!("{to:?} is no plain path starting with '/', or it is taken"));
        }
        let moved = self.endpoints.into_iter().filter_map(|endpoint| match to {
            _ if endpoint.path() != path => Some(endpoint),
            Some(to) => Some(endpoint.at(to)),
            None => None,
        });
        self.endpoints = moved.collect();
        Ok(self)
    }

    /// The same routes with handlers that never end; those that set their own pace answer 418 at once.
    #[cfg(test)]
    pub(super) fn stuck(mut self) -> Self {
        use axum::extract::Request;
        use axum::middleware::{Next, from_fn};

        for endpoint in &mut self.endpoints {
            let waits = endpoint.waits;
            let handler = move |_: Request, _: Next| async move {
                if !waits {
                    std::future::pending::<()>().await;
                }
                StatusCode::IM_A_TEAPOT
            };
            let methods = std::mem::take(&mut endpoint.route.2);
            endpoint.route.2 = methods.route_layer(from_fn(handler));
        }
        self
    }

    /// Mounts everything on a router that holds the head of the OpenAPI document.
    pub(super) fn mount(
        self,
        mut router: OpenApiRouter<AppState>,
        shared: Option<&Arc<Shared>>,
    ) -> OpenApiRouter<AppState> {
        router.get_openapi_mut().components.get_or_insert_default().schemas.extend(self.schemas);
        self.endpoints.into_iter().fold(router, |router, endpoint| endpoint.mount(router, shared))
    }
}

/// Every operation of a path, and whether its method is safe (changes nothing).
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let safe = [&mut item.get, &mut item.head, &mut item.options, &mut item.trace]
        .map(|operation| (true, operation));
    let unsafe_ones = [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    let all = safe.into_iter().chain(unsafe_ones.map(|operation| (false, operation)));
    all.filter_map(|(safe, operation)| operation.as_mut().map(|operation| (safe, operation)))
}

/// Completes an operation: what it needs, and every problem it can answer with.
fn document(operation: &mut Operation, policy: Policy, safe: bool, own: &[Code]) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            // OpenAPI demands one: the reason phrase says as much as there is to say.
            let status = status.parse::<StatusCode>().ok();
            response.description = status.and_then(|s| s.canonical_reason()).unwrap_or("Answer").to_owned();
        }
    }
    if policy.view {
        fresh::document(operation, !policy.writes(safe));
    }
    let mut codes: Vec<Code> = own.to_vec();
    codes.extend([
        Code::ForeignHost,
        Code::ForeignOrigin,
        Code::BodyTooLarge,
        Code::InvalidRequest,
        Code::Internal,
    ]);
    if operation.request_body.is_some() {
        codes.extend([Code::InvalidJson, Code::UnsupportedMediaType]);
    }
    if let Some(role) = policy.role {
        codes.extend([Code::Unauthorized, Code::Forbidden, Code::TooManyRequests]);
        let schemes = ["bearer", "api_key"].map(|scheme| SecurityRequirement::new(scheme, [""; 0]));
        operation.security = Some(schemes.to_vec());
        let text = operation.description.take().map_or_else(String::new, |text| format!("{text}\n\n"));
        operation.description = Some(format!("{text}Needs the role `{}`.", role.as_str()));
    } else {
        operation.security = Some(Vec::new());
    }
    match (policy.waits, policy.writes(safe)) {
        (true, true) => codes.push(Code::TooManyRequests),
        (true, false) => codes.extend([Code::TooManyRequests, Code::ShuttingDown]),
        (false, true) => codes.extend([Code::TooManyRequests, Code::OutcomeUnknown]),
        (false, false) => codes.push(Code::TemporalUnavailable),
    }
    codes.sort_unstable();
    codes.dedup();
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(response(status, &codes)));
    }
}

fn response(status: u16, codes: &[Code]) -> Response {
    let lines: Vec<_> = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning())).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response =
        ResponseBuilder::new().description(lines.join("\n\n")).content("application/problem+json", content);
    if matches!(status, 429 | 503) {
        let seconds = schema::ObjectBuilder::new().schema_type(schema::Type::Integer).build();
        let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait.")).build();
        response = response.header("Retry-After", header);
    }
    response.build()
}
