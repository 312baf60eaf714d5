//! `/registry/workflows`: the catalogue, and changing it.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use utoipa_axum::routes;

use super::admission::{Offered, admit, require_attributes};
use super::answers::answer;
use super::auth::{Identity, Role};
use super::body::ApiJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::etag::{Demand, ETag};
use super::params::ApiPath;
use super::problem::Problem;
use super::refusal::{unexpected, workflow_not_found};
use super::serving::Serving;
use super::shapes::{SpecPatch, SpecShape, WorkflowShape};
use super::state::AppState;
use crate::{
    clock,
    registry::{Command, Outcome, Refusal, Spec, SpecClaim, Standing, TypeEntry},
    schema::content_hash,
    view::View,
};

/// How often a change is made again on what somebody else has changed meanwhile.
const ATTEMPTS_MAX: usize = 5;

pub(super) fn routes() -> Routes {
    const CHANGING: &[Code] = &[
        Code::WorkflowNotFound,
        Code::InvalidSchema,
        Code::RegistryQueueRefused,
        Code::SearchAttributeConflict,
        Code::RevisionMismatch,
        Code::RegistryFull,
        Code::QueueFull,
        Code::TemporalUnavailable,
    ];
    Routes::default()
        .with(Endpoint::needs(Role::Admin, routes!(create_workflow)).from_view().problems(&[
            Code::AlreadyRegistered,
            Code::InvalidSchema,
            Code::RegistryQueueRefused,
            Code::SearchAttributeConflict,
            Code::RegistryFull,
            Code::QueueFull,
            Code::TemporalUnavailable,
        ]))
        .with(
            Endpoint::needs(Role::Read, routes!(get_workflow))
                .from_view()
                .problems(&[Code::WorkflowNotFound]),
        )
        .with(
            Endpoint::needs(Role::Admin, routes!(put_workflow, patch_workflow, delete_workflow))
                .from_view()
                .problems(CHANGING),
        )
}

/// Registers a type that is not registered yet.
///
/// Exactly one of several concurrent creators gets 201.
#[utoipa::path(
    post, path = "/registry/workflows", tag = "workflows",
    request_body(content = SpecShape, example = json!({
        "workflow_type": "report.v1", "task_queue": "reports", "description": "Writes the report of a day",
        "input_schema": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
    })),
    responses((
        status = 201, body = SpecShape, description = "The spec as registered.",
        headers(("ETag" = String, description = "For `If-Match`."), ("Location" = String, description = "The type."))
    ))
)]
async fn create_workflow(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiJson(body): ApiJson<SpecShape>,
) -> Result<Response, Problem> {
    let claim = admitted(&state, &who, body.into()).await?;
    let spec = claim.spec.clone();
    match state.write(&Command::CreateType(claim)).await? {
        Outcome::Put { .. } => {}
        other => return Err(unexpected(&other)),
    }
    let name = utf8_percent_encode(&spec.workflow_type, NON_ALPHANUMERIC);
    let location = [(header::LOCATION, format!("/registry/workflows/{name}"))];
    Ok((StatusCode::CREATED, location, echo(&state, &spec)).into_response())
}

/// One type, with the workers that serve it.
#[utoipa::path(
    get, path = "/registry/workflows/{workflow_type}", tag = "workflows",
    params(
        ("workflow_type" = String, Path),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that is known already.")
    ),
    responses(
        (
            status = 200, body = WorkflowShape,
            headers(("ETag" = String, description = "`\"<revision>.<change>.<variant>\"`; `If-Match` compares the first two: heartbeats and workers do not count."))
        ),
        (status = 304, description = "Nothing but heartbeats since.")
    )
)]
async fn get_workflow(
    State(state): State<AppState>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&state, &headers, |view, serving| {
        let entry = view.types.get(&name).ok_or_else(|| workflow_not_found(&name))?;
        Ok((serving.etag(entry), serving.shape(entry)))
    })
}

/// Replaces a type as a whole, or registers it.
///
/// `If-Match` takes the `ETag` of the GET (or `*`: it has to exist), `If-None-Match: *` says that it must not exist.
#[utoipa::path(
    put, path = "/registry/workflows/{workflow_type}", tag = "workflows",
    params(
        ("workflow_type" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be replaced.")
    ),
    request_body(content = SpecShape, example = json!({
        "workflow_type": "report.v1", "task_queue": "reports", "version": "2",
        "input_schema": {"type": "object", "properties": {"day": {"type": "string"}, "draft": {"type": "boolean"}}, "required": ["day"]}
    })),
    responses((
        status = 200, body = SpecShape, description = "The spec as it stands now.",
        headers(("ETag" = String, description = "For the next `If-Match`."))
    ))
)]
async fn put_workflow(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<SpecShape>,
) -> Result<Response, Problem> {
    let demand = Demand::read(&headers)?;
    let spec: Spec = body.into();
    if spec.workflow_type != name {
        let msg = format!("is not {name:?}, as the path has it");
        return Err(Problem::invalid_at(&["body", "workflow_type"], msg, "value_error"));
    }
    let claim = admitted(&state, &who, spec).await?;
    let spec = claim.spec.clone();
    let command = |(base, base_changed)| {
        let claim = claim.clone();
        Command::ReplaceType { claim, base, base_changed, keeps_enabled: false }
    };
    demanding(&state, &name, &demand, command).await?;
    Ok(echo(&state, &spec).into_response())
}

/// Changes some fields of a type.
///
/// Each field given replaces the one that stands as a whole. `{"enabled": false}` keeps the type from being started.
#[utoipa::path(
    patch, path = "/registry/workflows/{workflow_type}", tag = "workflows",
    params(
        ("workflow_type" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be changed.")
    ),
    request_body(content = SpecPatch, example = json!({"enabled": false})),
    responses((
        status = 200, body = SpecShape, description = "The spec as it stands now.",
        headers(("ETag" = String, description = "For the next `If-Match`."))
    ))
)]
async fn patch_workflow(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
    ApiJson(SpecPatch(patch)): ApiJson<SpecPatch>,
) -> Result<Response, Problem> {
    who.require_type(&name)?;
    let demand = Demand::read(&headers)?;
    if let (Some(Value::Bool(enabled)), 1, Demand::Nothing) = (patch.get("enabled"), patch.len(), &demand) {
        let command = Command::SetEnabled { workflow_type: name.clone(), enabled: *enabled };
        state.write(&command).await?;
        return Ok(standing(&state, &name)?.into_response());
    }
    let mut attempts = 0;
    loop {
        // What is not in the patch is written as it was read, so it had better be read now.
        state.reads.catch_up().await?;
        let view = state.reads.view();
        let Some(entry) = view.types.get(&name) else {
            demand.base((0, 0))?;
            return Err(workflow_not_found(&name));
        };
        let number = entry.current.number;
        let (base, base_changed) = demand.base((number, entry.changed))?;
        if base.is_some_and(|base| base != number) {
            return Err(Refusal::RevisionMismatch { current: number }.into());
        }
        let claim = admitted(&state, &who, patched(entry, &patch)?).await?;
        attempts += 1;
        // Switching makes no revision, so that the one demanded does not tell of it.
        let keeps_enabled = !patch.contains_key("enabled");
        let amended = Command::ReplaceType { claim, base: Some(number), base_changed, keeps_enabled };
        match state.writes.submit(&amended).await? {
            Outcome::Put { .. } => return Ok(standing(&state, &name)?.into_response()),
            Outcome::Refused(Refusal::RevisionMismatch { .. })
                if base.is_none() && attempts < ATTEMPTS_MAX => {}
            Outcome::Refused(refusal) => return Err(refusal.into()),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Removes a type, and strips it from the workers that serve it.
#[utoipa::path(
    delete, path = "/registry/workflows/{workflow_type}", tag = "workflows",
    params(
        ("workflow_type" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be removed.")
    ),
    responses((status = 204, description = "Gone."))
)]
async fn delete_workflow(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(name): ApiPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    who.require_type(&name)?;
    let demand = Demand::read(&headers)?;
    let command =
        |(base, base_changed)| Command::DeleteType { workflow_type: name.clone(), base, base_changed };
    demanding(&state, &name, &demand, command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Submits a command on the revision demanded. "Whatever there is" is demanded by its number, again when that moves.
async fn demanding(
    state: &AppState,
    name: &str,
    demand: &Demand,
    command: impl Fn((Option<u32>, Option<u64>)) -> Command,
) -> Result<Outcome, Problem> {
    let standing = || {
        let view = state.reads.view();
        view.types.get(name).map_or((0, 0), |entry| (entry.current.number, entry.changed))
    };
    let mut current = standing();
    let is_current = |(number, changed): (Option<u32>, Option<u64>)| {
        number == Some(current.0) && changed.is_none_or(|changed| changed == current.1)
    };
    if *demand != Demand::Nothing && demand.base(current).is_ok_and(|base| !is_current(base)) {
        // Somebody else may have put there what is demanded.
        state.reads.catch_up().await?;
        current = standing();
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        match state.writes.submit(&command(demand.base(current)?)).await? {
            Outcome::Refused(Refusal::RevisionMismatch { current: now })
                if *demand == Demand::Something && attempts < ATTEMPTS_MAX =>
            {
                current.0 = now;
            }
            Outcome::Refused(refusal) => return Err(refusal.into()),
            outcome => return Ok(outcome),
        }
    }
}

/// A spec that may be put to the rules.
async fn admitted(state: &AppState, who: &Identity, spec: Spec) -> Result<SpecClaim, Problem> {
    let offer = Offered::as_body(spec);
    admit(state.into(), who, std::slice::from_ref(&offer)).await?;
    require_attributes(state, &state.reads.view(), &offer.spec).await?;
    let hash = content_hash(&offer.spec.content());
    Ok(SpecClaim { spec: offer.spec, hash, standing: Standing::Uncompared })
}

/// The spec that stands with the fields of a patch in place of its own.
fn patched(entry: &TypeEntry, patch: &Map<String, Value>) -> Result<Spec, Problem> {
    let mut fields = serde_json::to_value(SpecShape::from(entry.spec())).unwrap_or_default();
    if let Value::Object(fields) = &mut fields {
        fields.extend(patch.clone());
    }
    let shape: SpecShape = super::body::typed("body", fields)?;
    Ok(shape.into())
}

/// A spec as it was taken, with the tag it has now.
fn echo(state: &AppState, spec: &Arc<Spec>) -> impl IntoResponse + use<> {
    let view = state.reads.view();
    let tag = view.types.get(&spec.workflow_type).map(|entry| tag(state, &view, entry));
    let tag: HeaderMap = tag.into_iter().map(|tag| (header::ETAG, tag.header())).collect();
    (tag, Json(SpecShape::from((**spec).clone())))
}

/// The spec of a type as it stands now, with its tag.
fn standing(state: &AppState, name: &str) -> Result<impl IntoResponse + use<>, Problem> {
    let view = state.reads.view();
    let entry = view.types.get(name).ok_or_else(|| workflow_not_found(name))?;
    Ok(([(header::ETAG, tag(state, &view, entry).header())], Json(SpecShape::from(entry.spec()))))
}

fn tag(state: &AppState, view: &View, entry: &TypeEntry) -> ETag {
    Serving::new(view, state.fleet.judge(view, clock::now_ms())).etag(entry)
}
