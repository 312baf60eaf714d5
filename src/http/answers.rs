//! Answers that were rendered a moment ago, given again while nothing they show has changed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;

use super::code::Code;
use super::etag::ETag;
use super::problem::Problem;
use super::serving::Serving;
use super::state::AppState;
use crate::{clock, view::View};

/// For how long an answer is given again, in milliseconds: time itself changes the health of workers.
const GOOD_FOR_MS: i64 = 100;

/// Bodies and their keys kept, in bytes; beyond it the least recently given go first.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What was rendered, by the path and query it was asked for with.
pub struct Answers(Mutex<Shelf>);

struct Shelf {
    kept: LruCache<String, Arc<Rendered>>,
    bytes: usize,
}

impl Default for Answers {
    fn default() -> Self {
        Self(Mutex::new(Shelf { kept: LruCache::unbounded(), bytes: 0 }))
    }
}

/// An answer, and what it was rendered from.
struct Rendered {
    revision: u64,
    generation: u64,
    at_ms: i64,
    tag: ETag,
    tag_header: HeaderValue,
    body: Bytes,
}

impl Rendered {
    fn to(&self, headers: &HeaderMap) -> Result<Response, Problem> {
        let tag = (header::ETAG, self.tag_header.clone());
        if self.tag.is_known_to(headers)? {
            return Ok((StatusCode::NOT_MODIFIED, [tag]).into_response());
        }
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(([json, tag], self.body.clone()).into_response())
    }
}

impl Answers {
    /// The answer to a GET that was rendered a moment ago and still holds: not of an older revision than this, and of
    /// this generation of the view.
    pub(super) fn again(
        &self,
        request: &Request,
        revision: u64,
        generation: u64,
    ) -> Option<Result<Response, Problem>> {
        let now_ms = clock::now_ms();
        let holds = |answer: &&Arc<Rendered>| {
            let is_young = (0..GOOD_FOR_MS).contains(&(now_ms - answer.at_ms));
            is_young && answer.revision >= revision && answer.generation == generation
        };
        let answer = self.0.lock().kept.get(key(request.uri())).filter(holds).cloned();
        answer.map(|answer| answer.to(request.headers()))
    }

    fn keep(&self, key: &str, answer: &Arc<Rendered>) {
        let weight = |key: &str, answer: &Rendered| key.len() + answer.body.len();
        if weight(key, answer) > KEPT_BYTES_MAX {
            return;
        }
        let mut shelf = self.0.lock();
        shelf.bytes += weight(key, answer);
        if let Some((key, before)) = shelf.kept.push(key.to_owned(), answer.clone()) {
            shelf.bytes -= weight(&key, &before);
        }
        while shelf.bytes > KEPT_BYTES_MAX
            && let Some((key, oldest)) = shelf.kept.pop_lru()
        {
            shelf.bytes -= weight(&key, &oldest);
        }
    }
}

fn key(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", |key| key.as_str())
}

/// Answers a GET with what `render` makes of the view, and keeps it for those who ask the same. It may depend on nothing
/// but the view and `uri`. 304 when the client has it already.
pub(super) fn answer<T: Serialize>(
    state: &AppState,
    uri: &Uri,
    headers: &HeaderMap,
    render: impl for<'v> FnOnce(&'v View, &Serving<'v>) -> Result<(ETag, T), Problem>,
) -> Result<Response, Problem> {
    // Read before the view: what comes meanwhile makes the answer an old one.
    let (generation, at_ms) = (state.reads.generation(), clock::now_ms());
    let view = state.reads.view();
    let serving = Serving::new(&view, state.fleet.judge(&view, at_ms));
    let (tag, body) = render(&view, &serving)?;
    let body = serde_json::to_vec(&body)
        .map_err(|_| Problem::new(Code::Internal, "the answer could not be rendered"))?;
    let (revision, tag_header, body) = (view.revision, tag.header(), Bytes::from(body));
    let answer = Arc::new(Rendered { revision, generation, at_ms, tag, tag_header, body });
    state.answers.keep(key(uri), &answer);
    answer.to(headers)
}
