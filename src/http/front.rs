//! What every request comes to first: answered from what was rendered a moment ago, or sent on to its route.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use futures::FutureExt;
use futures::future::{BoxFuture, Either};
use tower::Service;

use super::code::Code;
use super::edge::{Edge, Trace};
use super::gate::Shared;
use super::loopback;
use super::problem::Problem;

/// The whole front door. One service and not a layer around each route: axum clones and boxes every layer for every request.
#[derive(Clone)]
pub struct FrontDoor {
    edge: Arc<Edge>,
    shared: Arc<Shared>,
    routes: Router,
    peer: Option<SocketAddr>,
}

impl FrontDoor {
    pub(super) fn new(edge: Edge, shared: Arc<Shared>, routes: Router) -> Self {
        Self { edge: Arc::new(edge), shared, routes, peer: None }
    }

    /// The same for one connection: its caller's address is what the log shows.
    #[must_use]
    pub fn for_peer(&self, peer: SocketAddr) -> Self {
        Self { peer: Some(peer), ..self.clone() }
    }

    /// What needs no route.
    fn at_once(&self, request: &Parts, is_bodiless: bool) -> Option<Result<Response, Problem>> {
        if self.edge.loopback_guard
            && let Err(problem) = loopback::check(&request.uri, &request.headers)
        {
            return Some(Err(problem));
        }
        if is_bodiless { self.shared.answers.again(request, &*self.shared.reads) } else { None }
    }
}

impl<B> Service<Request<B>> for FrontDoor
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let (trace, span) = Trace::begin(self.edge.clone(), self.peer, &parts);
        let at_once = trace.at_once(&span, || {
            let answer = self.at_once(&parts, body.is_end_stream())?;
            Some(answer.unwrap_or_else(IntoResponse::into_response))
        });
        if let Some(response) = at_once {
            return Either::Left(ready(Ok(trace.answered(&span, response))));
        }
        let routed = self.routes.call(Request::from_parts(parts, Body::new(body)));
        let inner = async {
            match AssertUnwindSafe(routed).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(cause) => panicked(&*cause),
            }
        };
        Either::Right(trace.answer(span, inner).map(Ok).boxed())
    }
}

fn panicked(cause: &(dyn Any + Send)) -> Response {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a handler panicked");
    Problem::new(Code::Internal, "this server has a defect here; the request id finds it in its log")
        .into_response()
}
