//! Search attributes: what the types declare, and what the namespace has.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::Role;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::problem::Problem;
use super::shapes::AttributeKind;
use super::state::AppState;
use crate::{
    registry::{AttributeStatus, AttributeType},
    view::View,
};

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Read, routes!(declared_search_attributes)).from_view()).with(
        Endpoint::needs(Role::Read, routes!(actual_search_attributes)).problems(&[Code::TemporalUnavailable]),
    )
}

/// What the types declare, by name.
#[derive(Serialize, ToSchema)]
struct DeclaredSearchAttributes {
    search_attributes: Vec<DeclaredSearchAttribute>,
}

/// A declared search attribute.
#[derive(Serialize, ToSchema)]
struct DeclaredSearchAttribute {
    #[schema(example = "Customer")]
    name: String,
    #[serde(rename = "type")]
    kind: AttributeKind,
    /// The first one that a type gives.
    description: String,
    /// The types that declare it.
    #[schema(example = json!(["report.v1"]))]
    workflows: Vec<String>,
    /// Whether runs can set it.
    status: AttributeState,
    /// Why not.
    reason: Option<String>,
}

/// Whether runs can set a search attribute.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AttributeState {
    /// The namespace has it, and it was seen to work.
    Ready,
    /// It is being provisioned.
    Pending,
    /// It cannot be had as declared.
    Conflict,
}

/// What the namespace has, by name.
#[derive(Serialize, ToSchema)]
struct ActualSearchAttributes {
    search_attributes: Vec<ActualSearchAttribute>,
}

/// A search attribute of the namespace.
#[derive(Serialize, ToSchema)]
pub(super) struct ActualSearchAttribute {
    #[schema(example = "Customer")]
    pub(super) name: String,
    /// Temporal's type; `Unspecified` for one that is not known here.
    #[serde(rename = "type")]
    #[schema(example = "Keyword")]
    pub(super) kind: &'static str,
    pub(super) source: AttributeSource,
}

/// Whose search attribute it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AttributeSource {
    /// Made for this namespace.
    Custom,
    /// Temporal's own.
    System,
}

/// Search attributes that the registered types declare.
#[utoipa::path(
    get, path = "/registry/search-attributes", tag = "search attributes",
    responses((status = 200, body = DeclaredSearchAttributes))
)]
async fn declared_search_attributes(State(state): State<AppState>) -> Json<DeclaredSearchAttributes> {
    let view = state.reads.view();
    let mut declared: BTreeMap<(&str, AttributeType), (&str, Vec<String>)> = BTreeMap::new();
    for entry in view.types.values() {
        for attribute in &entry.current.spec.search_attributes {
            let found = declared.entry((&attribute.name, attribute.kind)).or_default();
            if found.0.is_empty() {
                found.0 = &attribute.description;
            }
            if found.1.last().is_none_or(|last| last != entry.workflow_type()) {
                found.1.push(entry.workflow_type().to_owned());
            }
        }
    }
    let search_attributes = declared.into_iter().map(|((name, kind), (description, workflows))| {
        let (status, reason) = known(&view, name, kind);
        let (name, description) = (name.to_owned(), description.to_owned());
        DeclaredSearchAttribute { name, kind: kind.into(), description, workflows, status, reason }
    });
    Json(DeclaredSearchAttributes { search_attributes: search_attributes.collect() })
}

fn known(view: &View, name: &str, kind: AttributeType) -> (AttributeState, Option<String>) {
    match view.attributes.get(name) {
        Some(known) if known.kind != kind => {
            let reason = format!("declared as {} by another type", known.kind.name());
            (AttributeState::Conflict, Some(reason))
        }
        Some(known) => match &known.status {
            AttributeStatus::Pending => (AttributeState::Pending, None),
            AttributeStatus::Ready => (AttributeState::Ready, None),
            AttributeStatus::Conflict(reason) => (AttributeState::Conflict, Some(reason.clone())),
        },
        None => (AttributeState::Pending, None),
    }
}

/// Search attributes that the namespace has.
#[utoipa::path(
    get, path = "/registry/temporal/search-attributes", tag = "search attributes",
    responses((status = 200, body = ActualSearchAttributes))
)]
async fn actual_search_attributes(
    State(state): State<AppState>,
) -> Result<Json<ActualSearchAttributes>, Problem> {
    let actual = state.attributes.actual().await?;
    let search_attributes = actual.into_iter().map(|(name, found)| ActualSearchAttribute {
        name,
        kind: found.kind.map_or("Unspecified", AttributeType::name),
        source: if found.system { AttributeSource::System } else { AttributeSource::Custom },
    });
    Ok(Json(ActualSearchAttributes { search_attributes: search_attributes.collect() }))
}
