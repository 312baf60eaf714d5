//! The history of a workflow type, and checking an input against what stands.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::Role;
use super::body::OptionalJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::page::Page;
use super::params::{ApiPath, ApiQuery};
use super::problem::{Problem, ViolationShape};
use super::refusal::workflow_not_found;
use super::shapes::{SpecShape, rfc3339};
use super::state::AppState;
use crate::{
    registry::{Revision, Source, Spec, TypeEntry},
    schema::{Violation, content_hash},
    view::View,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(
            Endpoint::needs(Role::Read, routes!(list_revisions))
                .from_view()
                .problems(&[Code::WorkflowNotFound]),
        )
        .with(
            Endpoint::needs(Role::Read, routes!(get_revision))
                .from_view()
                .problems(&[Code::WorkflowNotFound, Code::RevisionNotFound]),
        )
        .with(
            Endpoint::needs(Role::Read, routes!(validate_input))
                .from_view()
                .reads()
                .problems(&[Code::WorkflowNotFound, Code::InvalidSchema]),
        )
}

/// Which revision of which type.
#[derive(Deserialize)]
struct RevisionPath {
    workflow_type: String,
    revision: u32,
}

/// Which revisions to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RevisionPage {
    /// Items at most, 1 to 1000; all of them when absent.
    limit: Option<u32>,
    /// Where the last page ended.
    page_token: Option<String>,
}

/// Revisions of a type.
#[derive(Serialize, ToSchema)]
struct RevisionList {
    /// Newest first; old ones are dropped in time.
    revisions: Vec<RevisionShape>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// One spec in the history of a type.
#[derive(Serialize, ToSchema)]
#[schema(as = Revision)]
struct RevisionShape {
    /// Counts from 1 within the type.
    #[schema(example = 1)]
    revision: u32,
    /// Whether it stands.
    current: bool,
    /// Hash of the content: everything but `enabled`.
    hash: String,
    /// When it was registered.
    #[schema(example = "2026-05-01T12:00:00.000Z")]
    registered_at: String,
    /// Who registered it.
    source: RevisionSource,
    /// The worker, when it was one.
    worker_id: Option<String>,
    spec: SpecShape,
}

/// Who registered a revision.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RevisionSource {
    /// A request about the type itself.
    Admin,
    /// The registration of a worker.
    Worker,
}

impl RevisionShape {
    fn of(entry: &TypeEntry, revision: &Revision) -> Self {
        let (source, worker_id) = match &revision.source {
            Source::Admin => (RevisionSource::Admin, None),
            Source::Worker(id) => (RevisionSource::Worker, Some(id.clone())),
        };
        let current = revision.number == entry.current.number;
        let spec = if current { entry.spec() } else { Spec::clone(&revision.spec) };
        Self {
            revision: revision.number,
            current,
            hash: revision.hash.clone(),
            registered_at: rfc3339(revision.at_ms),
            source,
            worker_id,
            spec: spec.into(),
        }
    }
}

/// An input to check.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ValidateRequest {
    /// The input a run would be started with.
    #[serde(default = "nothing")]
    #[schema(example = json!({"day": "2026-05-01"}))]
    input: Value,
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

impl Default for ValidateRequest {
    fn default() -> Self {
        Self { input: nothing() }
    }
}

/// Whether an input fits.
#[derive(Serialize, ToSchema)]
struct Validated {
    valid: bool,
    /// Everything that does not fit.
    #[schema(value_type = Vec<ViolationShape>)]
    details: Vec<Violation>,
}

fn entry<'a>(view: &'a View, name: &str) -> Result<&'a TypeEntry, Problem> {
    view.types.get(name).map(|entry| &**entry).ok_or_else(|| workflow_not_found(name))
}

/// The history of a type, newest first.
#[utoipa::path(
    get, path = "/registry/workflows/{workflow_type}/revisions", tag = "workflows",
    params(("workflow_type" = String, Path), RevisionPage), responses((status = 200, body = RevisionList))
)]
async fn list_revisions(
    State(state): State<AppState>,
    ApiPath(name): ApiPath<String>,
    ApiQuery(page): ApiQuery<RevisionPage>,
) -> Result<Json<RevisionList>, Problem> {
    let page = Page::new(page.limit, page.page_token.as_deref())?;
    let view = state.reads.view();
    let entry = entry(&view, &name)?;
    // Newest first is ascending in what is left to the largest number there can be.
    let keyed = entry.revisions().map(|revision| (format!("{:010}", u32::MAX - revision.number), revision));
    let (found, next_page_token) = page.cut(keyed, |(key, _)| key);
    let revisions = found.into_iter().map(|(_, revision)| RevisionShape::of(entry, revision)).collect();
    Ok(Json(RevisionList { revisions, next_page_token }))
}

/// One revision of a type.
#[utoipa::path(
    get, path = "/registry/workflows/{workflow_type}/revisions/{revision}", tag = "workflows",
    params(("workflow_type" = String, Path), ("revision" = u32, Path)),
    responses((status = 200, body = RevisionShape))
)]
async fn get_revision(
    State(state): State<AppState>,
    ApiPath(RevisionPath { workflow_type: name, revision: number }): ApiPath<RevisionPath>,
) -> Result<Json<RevisionShape>, Problem> {
    let view = state.reads.view();
    let entry = entry(&view, &name)?;
    let revision = entry.revisions().find(|revision| revision.number == number).ok_or_else(|| {
        let detail = format!("{name:?} has no revision {number}, or has dropped it");
        Problem::new(Code::RevisionNotFound, detail).with("revision", number)
    })?;
    Ok(Json(RevisionShape::of(entry, revision)))
}

/// Checks an input against the schema that stands; starts nothing.
#[utoipa::path(
    post, path = "/registry/workflows/{workflow_type}/validate", tag = "workflows",
    params(("workflow_type" = String, Path)),
    request_body(content = Option<ValidateRequest>, example = json!({"input": {"day": "2026-05-01"}})),
    responses((status = 200, body = Validated, example = json!({"valid": true, "details": []})))
)]
async fn validate_input(
    State(state): State<AppState>,
    ApiPath(name): ApiPath<String>,
    OptionalJson(ValidateRequest { input }): OptionalJson<ValidateRequest>,
) -> Result<Json<Validated>, Problem> {
    let spec = entry(&state.reads.view(), &name)?.current.spec.clone();
    let validators = state.validators.clone();
    // Off the async threads: both the schema and the input may be large.
    let checked = tokio::task::spawn_blocking(move || {
        let validator = validators.get(&content_hash(&spec.input_schema), &spec.input_schema)?;
        Ok(validator.check(&input))
    });
    let details = checked
        .await
        .map_err(|_| Problem::new(Code::Internal, "the input could not be checked"))?
        .map_err(|why: crate::schema::Inadmissible| Problem::new(Code::InvalidSchema, why.to_string()))?;
    Ok(Json(Validated { valid: details.is_empty(), details }))
}
