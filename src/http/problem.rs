//! One shape for every error: RFC 9457 `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::code::Code;
use super::edge;
use crate::schema::Violation;

/// An error answer. Handlers return `Result<_, Problem>`.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What clients branch on; decides the HTTP status.
    pub code: Code,
    /// What happened this time, for people. Never holds a secret.
    pub detail: String,
    /// Field-level trouble, all of it at once; empty when there is none.
    pub details: Vec<Violation>,
    /// Seconds for `Retry-After`; every 429 and 503 gets one even when this is `None`.
    pub retry_after: Option<u32>,
    /// Further members, for example the run that exists already.
    pub extra: Box<Map<String, Value>>,
}

impl Problem {
    /// A problem with this code and an explanation of this occurrence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), details: Vec::new(), retry_after: None, extra: Box::default() }
    }

    /// The HTTP status; that of `code`.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Adds field-level trouble.
    pub fn with_details(mut self, details: Vec<Violation>) -> Self {
        self.details = details;
        self
    }

    /// Adds one more member to the answer. The standard members cannot be replaced.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(member.to_owned(), value.into());
        self
    }

    /// Sets `Retry-After`, in seconds; at least one is sent.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// `invalid_request` with these violations; the detail counts them and quotes the first.
    pub fn invalid_request(details: Vec<Violation>) -> Self {
        let detail = match details.as_slice() {
            [] => "the request is not valid".to_owned(),
            [only] => describe(only),
            [first, rest @ ..] => format!("{} (and {} more)", describe(first), rest.len()),
        };
        Self::new(Code::InvalidRequest, detail).with_details(details)
    }

    /// `invalid_request` about a single place, for example `["query", "limit"]`.
    pub fn invalid_at(place: &[&str], msg: impl Into<String>, kind: &str) -> Self {
        let loc = place.iter().map(|part| Value::from(*part)).collect();
        let pointer = place.iter().skip(1).map(|part| format!("/{}", escape(part))).collect();
        let kind = kind.to_owned();
        Self::invalid_request(vec![Violation { loc, pointer, msg: msg.into(), kind }])
    }
}

/// `body.workflows.0.name: is required`.
fn describe(violation: &Violation) -> String {
    let parts =
        violation.loc.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
    format!("{}: {}", parts.collect::<Vec<_>>().join("."), violation.msg)
}

/// One reference token of a JSON pointer (RFC 6901).
pub(super) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = Map::new();
        body.insert("type".into(), format!("urn:temporal-registry:problem:{}", self.code.as_str()).into());
        body.insert("title".into(), self.code.title().into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), self.detail.into());
        body.insert("code".into(), self.code.as_str().into());
        body.insert("request_id".into(), edge::request_id().into());
        if !self.details.is_empty() {
            body.insert("details".into(), serde_json::to_value(self.details).unwrap_or_default());
        }
        for (member, value) in *self.extra {
            body.entry(member).or_insert(value);
        }
        let mut response = (status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after.or(self.code.default_retry_after_seconds()) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"temporal-registry\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        // The edge reads it back for the audit line.
        response.extensions_mut().insert(self.code);
        response
    }
}

/// An error (RFC 9457). Branch on `code`; some codes add members of their own.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code, reason = "describes what `Problem` serialises to; never built")]
pub(super) struct ProblemShape {
    /// URN of the code.
    #[schema(example = "urn:temporal-registry:problem:invalid_request")]
    r#type: String,
    /// Constant per code.
    title: String,
    /// The HTTP status again.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// Stable name to branch on; see the catalogue.
    code: String,
    /// The `x-request-id` of this answer.
    request_id: String,
    /// All field-level violations at once.
    #[schema(nullable = false)]
    details: Option<Vec<ViolationShape>>,
}

/// One place where a value is wrong.
#[derive(ToSchema)]
#[schema(as = Violation)]
#[allow(dead_code, reason = "describes what `Violation` serialises to; never built")]
pub(super) struct ViolationShape {
    /// Where: `body`, `query`, `path` or `header` first, then names and indexes. With the code `invalid_input`, the
    /// place in the input itself.
    loc: Vec<Value>,
    /// JSON pointer into that part; with `invalid_input`, into the body.
    pointer: String,
    /// What is wrong, for people.
    msg: String,
    /// What is wrong, for programs: `missing`, `int_parsing`, `enum`, … or the schema keyword.
    r#type: String,
}
