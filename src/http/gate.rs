//! The way into one route: who may, how often, how much at once, how long.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::answers::{Answers, Rendered};
use super::auth::{Authenticator, Identity, Role};
use super::code::Code;
use super::docs::Document;
use super::edge;
use super::fresh::{self, Wanted};
use super::limits::Limits;
use super::problem::Problem;
use crate::seams::Reads;

/// How one route is guarded; derived from its [`super::endpoint::Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// The role needed; `None` only for the probes and the metrics.
    pub role: Option<Role>,
    /// Changes nothing, whatever the method.
    pub reads: bool,
    /// Waits as long as the request says, so the common deadline does not apply.
    pub waits: bool,
    /// Is about what this replica's view holds.
    pub view: bool,
    /// Documents the rest.
    pub docs: bool,
}

impl Policy {
    /// That of what no route serves: only who may read at all is told so.
    pub const NOWHERE: Self =
        Self { role: Some(Role::Read), reads: true, waits: false, view: false, docs: false };

    /// Whether a request changes something: it is then audited, bounded, and its outcome is unknown after
    /// the deadline. `safe` says that its method promises to change nothing.
    pub fn writes(self, safe: bool) -> bool {
        !self.reads && !safe
    }
}

/// The place of a request among those in hand. A handler whose answer goes on after it returned keeps a copy.
#[derive(Clone)]
#[expect(dead_code, reason = "held, never looked at")]
pub(super) struct Slot(Arc<OwnedSemaphorePermit>);

/// The place of a request among the writes in hand, for handlers that go on waiting when there is nothing left to write.
#[derive(Clone)]
pub(super) struct Writing(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Writing {
    /// Makes room for another write.
    pub fn done(&self) {
        self.0.lock().take();
    }
}

/// What all gates share.
pub(super) struct Shared {
    pub auth: Authenticator,
    pub limits: Limits,
    pub reads: Arc<dyn Reads>,
    pub answers: Answers,
    /// What `/openapi.json` answers; known once all routes are mounted.
    pub document: OnceLock<Bytes>,
    /// This server stops. Handlers whose answer goes on after they returned find it among the extensions.
    pub stop: CancellationToken,
}

/// What stands before one route.
pub(super) struct Gate {
    pub policy: Policy,
    /// The route's template.
    pub route: Arc<str>,
    pub shared: Arc<Shared>,
}

/// A route behind its gate. Not axum's `from_fn`, which boxes and clones the route once more for every request.
#[derive(Clone)]
pub(super) struct Gated<S> {
    pub gate: Arc<Gate>,
    pub route: S,
}

impl<S> Service<Request> for Gated<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that is ready is the one to call.
        let route = self.route.clone();
        let route = std::mem::replace(&mut self.route, route);
        let gate = self.gate.clone();
        gate.note(request.method());
        async move { Ok(gate.pass(request, route).await.unwrap_or_else(IntoResponse::into_response)) }.boxed()
    }
}

/// The handler's answer.
async fn run<S>(mut route: S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    match route.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Gate {
    /// Notes that a request came here.
    pub fn note(&self, method: &Method) {
        edge::note_route(&self.route, self.policy.writes(method.is_safe()));
    }

    async fn pass<S>(self: &Arc<Self>, request: Request, route: S) -> Result<Response, Problem>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let (policy, shared) = (self.policy, &self.shared);
        let request = admit(policy, shared, request)?;
        let writes = policy.writes(request.method().is_safe());
        let expects = request
            .headers()
            .get(header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let (mut parts, body) = request.into_parts();
        let body = shared.limits.read_body(body, expects).await?;
        let mut writing = if writes { Some(shared.limits.write_slot()?) } else { None };
        let wanted = if policy.view && !writes { Some(Wanted::read(&parts)?) } else { None };
        let waiting = policy.waits.then(|| Writing(Arc::new(Mutex::new(writing.take()))));
        if let Some(waiting) = &waiting {
            parts.extensions.insert(Slot(Arc::new(shared.limits.wait_slot()?)));
            parts.extensions.insert(waiting.clone());
            parts.extensions.insert(shared.stop.clone());
        }
        if policy.docs {
            parts.extensions.insert(Document(shared.document.get().cloned().unwrap_or_default()));
        }
        let answer = self.answered(wanted, Request::from_parts(parts, Body::from(body)), route);
        match (policy.waits, writes) {
            (true, true) => return Ok(answer.await),
            (true, false) => return going_on(&shared.stop, answer).await,
            (false, _) => {}
        }
        let deadline = shared.limits.settings.deadline;
        tokio::time::timeout(deadline, answer).await.map_err(|_| overdue(writes, deadline.as_secs_f32()))
    }

    /// Runs the handler, on a view as fresh as the request wants it.
    async fn answered<S>(self: &Arc<Self>, wanted: Option<Wanted>, request: Request, route: S) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        if !self.policy.view {
            return run(route, request).await;
        }
        let reads = &*self.shared.reads;
        let Some(wanted) = wanted else {
            let mut response = run(route, request).await;
            fresh::stamp(reads, reads.view().revision, &mut response);
            return response;
        };
        if let Err(problem) = wanted.met(reads).await {
            return problem.into_response();
        }
        // The view only moves forward, so a read is at least as new as the view before it, a write as the view after it.
        let revision = reads.view().revision;
        let uri = request.uri().clone();
        let mut response = run(route, request).await;
        if let Some(rendered) = response.extensions_mut().remove::<Arc<Rendered>>() {
            self.shared.answers.keep(&uri, rendered, self.clone());
        }
        fresh::stamp(reads, revision, &mut response);
        response
    }
}

/// The answer to a request that waits and changes nothing, unless this server stops before.
async fn going_on(
    stop: &CancellationToken,
    answer: impl Future<Output = Response>,
) -> Result<Response, Problem> {
    tokio::select! {
        biased;
        answer = answer => Ok(answer),
        () = stop.cancelled() => Err(Problem::new(Code::ShuttingDown, "this replica is stopping")),
    }
}

/// Who is calling; counts the request against the caller's rate.
pub(super) fn caller<'a>(
    policy: Policy,
    role: Role,
    shared: &'a Shared,
    method: &Method,
    headers: &HeaderMap,
) -> Result<&'a Identity, Problem> {
    let open = shared.auth.is_open(role == Role::Read && method.is_safe(), policy.docs);
    let identity = shared.auth.authenticate(open, headers)?;
    edge::note_caller(&identity.name);
    shared.limits.count(&identity.name)?;
    identity.require_role(role)?;
    Ok(identity)
}

/// Lets the caller in as an `Identity` extension.
pub(super) fn admit(policy: Policy, shared: &Shared, mut request: Request) -> Result<Request, Problem> {
    if let Some(role) = policy.role {
        let identity = caller(policy, role, shared, request.method(), request.headers())?.clone();
        request.extensions_mut().insert(identity);
    }
    Ok(request)
}

fn overdue(write: bool, seconds: f32) -> Problem {
    if write {
        let detail =
            format!("no outcome within {seconds} s; it may still take effect: retry with the same key");
        Problem::new(Code::OutcomeUnknown, detail)
    } else {
        Problem::new(Code::TemporalUnavailable, format!("no answer within {seconds} s"))
    }
}
