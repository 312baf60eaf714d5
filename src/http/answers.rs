//! Answers that were rendered a moment ago, given again while nothing they show has changed.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;

use super::code::Code;
use super::etag::ETag;
use super::fresh;
use super::gate::{Gate, caller};
use super::problem::Problem;
use super::serving::Serving;
use super::state::AppState;
use crate::{clock, seams::Reads, view::View};

/// For how long an answer is given again, in milliseconds: time itself changes the health of workers.
const GOOD_FOR_MS: i64 = 100;

/// Bodies and their keys kept, in bytes; beyond it the least recently given go first.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An answer has this many headers on its way out: room for all at once.
const HEADERS: usize = 6;

/// What was rendered, by the path and query it was asked for with.
pub(super) struct Answers(Mutex<Shelf>);

struct Shelf {
    kept: LruCache<String, Kept>,
    bytes: usize,
}

/// An answer, and the gate that whoever wants it has to pass.
#[derive(Clone)]
struct Kept {
    gate: Arc<Gate>,
    answer: Arc<Rendered>,
}

impl Default for Answers {
    fn default() -> Self {
        Self(Mutex::new(Shelf { kept: LruCache::unbounded(), bytes: 0 }))
    }
}

/// An answer, and what it was rendered from.
pub(super) struct Rendered {
    revision: u64,
    generation: u64,
    at_ms: i64,
    tag: ETag,
    tag_header: HeaderValue,
    body: Bytes,
}

impl Rendered {
    fn to(&self, asked: &HeaderMap) -> Result<Response, Problem> {
        let is_the_same = || asked.get(header::IF_NONE_MATCH) == Some(&self.tag_header);
        let is_known = is_the_same() || self.tag.is_known_to(asked)?;
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Response::new(Body::from(self.body.clone()))
        };
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(header::ETAG, self.tag_header.clone());
        if !is_known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(response)
    }
}

impl Answers {
    /// The answer to a GET without a body that was rendered a moment ago and still holds. None when there is none, or
    /// when the request wants a view that may have to be waited for: it goes the long way then.
    pub fn again(&self, request: &Parts, reads: &dyn Reads) -> Option<Result<Response, Problem>> {
        if request.method != Method::GET {
            return None;
        }
        let kept = self.0.lock().kept.get(key(&request.uri)).cloned()?;
        // The view only moves forward, so a read is at least as new as the view before it.
        let (revision, generation) = (reads.view().revision, reads.generation());
        let answer = &kept.answer;
        let is_young = (0..GOOD_FOR_MS).contains(&(clock::now_ms() - answer.at_ms));
        let holds = is_young && answer.revision >= revision && answer.generation == generation;
        if !holds || !fresh::Wanted::read(request).is_ok_and(|wanted| wanted.is_met_by(revision)) {
            return None;
        }
        kept.gate.note(&request.method);
        Some(kept.given(request).map(|mut response| {
            fresh::stamp(reads, revision, &mut response);
            response
        }))
    }

    /// Keeps an answer for those who ask the same at the same gate.
    pub fn keep(&self, uri: &Uri, answer: Arc<Rendered>, gate: Arc<Gate>) {
        let weight = |key: &str, kept: &Kept| key.len() + kept.answer.body.len();
        let (key, kept) = (key(uri), Kept { gate, answer });
        if weight(key, &kept) > KEPT_BYTES_MAX {
            return;
        }
        let mut shelf = self.0.lock();
        shelf.bytes += weight(key, &kept);
        if let Some((key, before)) = shelf.kept.push(key.to_owned(), kept) {
            shelf.bytes -= weight(&key, &before);
        }
        while shelf.bytes > KEPT_BYTES_MAX
            && let Some((key, oldest)) = shelf.kept.pop_lru()
        {
            shelf.bytes -= weight(&key, &oldest);
        }
    }
}

impl Kept {
    fn given(&self, request: &Parts) -> Result<Response, Problem> {
        let Gate { policy, shared, .. } = &*self.gate;
        if let Some(role) = policy.role {
            caller(*policy, role, shared, &request.method, &request.headers)?;
        }
        self.answer.to(&request.headers)
    }
}

fn key(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", |key| key.as_str())
}

/// Answers a GET with what `render` makes of the view; the gate keeps it for those who ask the same. It may depend on
/// nothing but the view and the path and query. 304 when the client has it already.
pub(super) fn answer<T: Serialize>(
    state: &AppState,
    headers: &HeaderMap,
    render: impl for<'v> FnOnce(&'v View, &Serving<'v>) -> Result<(ETag, T), Problem>,
) -> Result<Response, Problem> {
    // Read before the view: what comes meanwhile makes the answer an old one.
    let (generation, at_ms) = (state.reads.generation(), clock::now_ms());
    let view = state.reads.view();
    let serving = Serving::new(&view, state.fleet.judge(&view, at_ms));
    let (tag, body) = render(&view, &serving)?;
    let (revision, tag_header, body) = (view.revision, tag.header(), json(&body)?);
    let rendered = Arc::new(Rendered { revision, generation, at_ms, tag, tag_header, body });
    let mut response = rendered.to(headers)?;
    response.extensions_mut().insert(rendered);
    Ok(response)
}

/// An answer that nobody asks for twice.
pub(super) fn rendered(body: &impl Serialize) -> Result<Response, Problem> {
    let json = json(body)?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response())
}

/// Into one buffer: axum's `Json` writes in pieces, which shows when there are thousands.
fn json(body: &impl Serialize) -> Result<Bytes, Problem> {
    let json = serde_json::to_vec(body);
    json.map(Bytes::from).map_err(|_| Problem::new(Code::Internal, "the answer could not be rendered"))
}
