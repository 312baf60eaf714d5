//! How fresh an answer is: what a client may ask for, and what every answer out of the view says.

use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Required};

use super::code::Code;
use super::problem::Problem;
use crate::seams::Reads;

/// The revision an answer was made at, or at least has to be made at.
const REVISION: HeaderName = HeaderName::from_static("x-registry-revision");
/// How old the view is.
const AGE: HeaderName = HeaderName::from_static("x-registry-age-ms");
/// How long a revision is waited for.
const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// A younger view is not worth a word.
const WORTH_SAYING_MS: i64 = 1_000;

/// How fresh a request wants the view to be.
pub(super) struct Wanted {
    consistent: bool,
    revision: Option<u64>,
}

impl Wanted {
    /// Reads `?consistent=true` and the revision named.
    pub fn read(request: &Parts) -> Result<Self, Problem> {
        let consistent = wants_consistent(request.uri.query())?;
        Ok(Self { consistent, revision: wanted_revision(&request.headers)? })
    }

    /// Whether a view at this revision will do as it is.
    pub fn is_met_by(&self, revision: u64) -> bool {
        !self.consistent && self.revision.is_none_or(|wanted| wanted <= revision)
    }

    /// Brings the view there, or says 503.
    pub async fn met(&self, reads: &dyn Reads) -> Result<(), Problem> {
        if self.consistent {
            reads.catch_up().await?;
        }
        match self.revision {
            Some(revision) if reads.view().revision < revision => {
                reads.reached(revision, REACHED_WITHIN).await.map_err(|_| {
                    let at = reads.view().revision;
                    let detail = format!("this replica is at revision {at} and does not see {revision} yet");
                    Problem::new(Code::TemporalUnavailable, detail).retry_after(1)
                })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Says at which revision at least an answer was made, and how old the view is.
pub(super) fn stamp(reads: &dyn Reads, revision: u64, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(REVISION, HeaderValue::from(revision));
    let age_ms = reads.freshness().age_ms;
    if age_ms > WORTH_SAYING_MS {
        headers.insert(AGE, HeaderValue::from(age_ms));
    }
}

fn wants_consistent(query: Option<&str>) -> Result<bool, Problem> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let Some((_, value)) = pairs.find(|(name, _)| name == "consistent") else { return Ok(false) };
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::invalid_at(&["query", "consistent"], "is not true or false", "bool_parsing")),
    }
}

fn wanted_revision(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(REVISION) else { return Ok(None) };
    // As documented, an int64.
    let revision = value.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
    let revision = revision.and_then(|revision| u64::try_from(revision).ok());
    let malformed =
        || Problem::invalid_at(&["header", REVISION.as_str()], "is not a revision", "int_parsing");
    revision.map(Some).ok_or_else(malformed)
}

/// Documents both ways of asking, where they apply, and what answers say.
pub(super) fn document(operation: &mut Operation, asks: bool) {
    let integer = || {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
    };
    if asks {
        let consistent = ParameterBuilder::new()
            .name("consistent")
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(
                "Catch up with everything written anywhere before answering; 503 when that is not possible.",
            ))
            .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean)));
        let revision = ParameterBuilder::new()
            .name("X-Registry-Revision")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "Wait up to 2 s until this replica has reached this revision; 503 when it has not.",
            ))
            .schema(Some(integer()));
        let parameters: [Parameter; 2] = [consistent.build(), revision.build()];
        operation.parameters.get_or_insert_default().extend(parameters.map(RefOr::T));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let revision = HeaderBuilder::new()
                .schema(Some(integer()))
                .description(Some("The registry's revision, at least."));
            response.headers.insert("X-Registry-Revision".into(), revision.build().into());
            let age = HeaderBuilder::new()
                .schema(Some(integer()))
                .description(Some("Age of this replica's view in milliseconds, when it is older than 1 s."));
            response.headers.insert("X-Registry-Age-Ms".into(), age.build().into());
        }
    }
}
