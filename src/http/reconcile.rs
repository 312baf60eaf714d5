//! `POST /registry/temporal/search-attributes`: reconciling the namespace with what the types declare.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::Role;
use super::body::OptionalJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::problem::Problem;
use super::search_attributes::{ActualSearchAttribute, AttributeSource};
use super::shapes::SearchAttributeShape;
use super::state::AppState;
use crate::{
    registry::{AttributeType, SearchAttribute},
    seams::reconcile::{
        Affected, Conflict, ReconcileError, ReconcileMode, ReconcileReport, ReconcileRequest, SlotSource,
        Slots,
    },
};

pub(super) fn routes() -> Routes {
    // Temporal takes one change of a namespace a second, so this may take longer than other requests.
    let endpoint = Endpoint::needs(Role::Admin, routes!(reconcile_search_attributes)).waits();
    Routes::default().with(endpoint.problems(&[Code::TemporalUnavailable, Code::OutcomeUnknown]))
}

/// What to reconcile.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ReconcileBody {
    /// `validate` when absent.
    mode: Option<ReconcileModeName>,
    /// Only these; all that are declared when absent or empty.
    attributes: Vec<String>,
    /// Has to be true for `replace`.
    confirm: bool,
}

/// What to do about differences.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReconcileMode)]
enum ReconcileModeName {
    /// Tell them.
    Validate,
    /// Add what is missing; nothing at all when there is a conflict.
    Ensure,
    /// Remove and make again what conflicts, and add what is missing. Runs can no longer be found by the old values.
    Replace,
}

/// What was found and done. Every list is in the order of names.
#[derive(Serialize, ToSchema)]
struct SearchAttributeReport {
    mode: ReconcileModeName,
    /// What is declared, or the part of it that was asked for.
    desired: Vec<SearchAttributeShape>,
    /// What was in the namespace.
    existing: Vec<ActualSearchAttribute>,
    /// Declared and not there.
    missing: Vec<SearchAttributeShape>,
    /// Declared and there with another type.
    conflicts: Vec<ConflictShape>,
    /// Added now.
    added: Vec<SearchAttributeShape>,
    /// Removed and made again now.
    replaced: Vec<SearchAttributeShape>,
    /// Declared and there.
    unchanged: Vec<SearchAttributeShape>,
    /// Worth knowing.
    warnings: Vec<String>,
    /// Room in the namespace, by type, as it was found.
    slots: BTreeMap<&'static str, SlotsShape>,
    /// What replacing the conflicts touches.
    affected: AffectedShape,
}

/// An attribute that is there with another type.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchAttributeConflict)]
struct ConflictShape {
    name: String,
    existing_type: &'static str,
    desired_type: &'static str,
    source: AttributeSource,
}

/// How many attributes of a type there are and may be.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchAttributeSlots)]
struct SlotsShape {
    used: usize,
    /// Null: there is no such limit.
    limit: Option<usize>,
    /// How the limit is known.
    source: SlotSourceName,
}

/// How a limit on search attributes is known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SlotSource)]
enum SlotSourceName {
    /// Temporal said so when it refused one more.
    Told,
    /// The namespace keeps its attributes in numbered columns, of which SQL visibility has so many.
    Columns,
    /// Nothing to tell by yet: as for SQL visibility.
    Assumed,
    /// The namespace does not use numbered columns.
    Unlimited,
}

/// What a replacement touches.
#[derive(Serialize, ToSchema)]
#[schema(as = AffectedByReplacement)]
struct AffectedShape {
    /// Types that declare a conflicting attribute.
    workflow_types: Vec<String>,
    /// Schedules that set one.
    schedules: Vec<String>,
}

/// Reconciles the namespace's search attributes with what the types declare.
///
/// `replace` needs `confirm: true` and says what it touches before: without it the answer is 400 with the report in
/// `plan`. Temporal's own attributes are never replaced.
#[utoipa::path(
    post, path = "/registry/temporal/search-attributes", tag = "search attributes",
    request_body(content = Option<ReconcileBody>, example = json!({"mode": "ensure"})),
    responses((status = 200, body = SearchAttributeReport))
)]
async fn reconcile_search_attributes(
    State(state): State<AppState>,
    OptionalJson(body): OptionalJson<ReconcileBody>,
) -> Result<Json<SearchAttributeReport>, Problem> {
    let request = ReconcileRequest {
        mode: match body.mode {
            None | Some(ReconcileModeName::Validate) => ReconcileMode::Validate,
            Some(ReconcileModeName::Ensure) => ReconcileMode::Ensure,
            Some(ReconcileModeName::Replace) => ReconcileMode::Replace,
        },
        attributes: body.attributes,
        confirm: body.confirm,
    };
    match state.reconciles.reconcile(&request).await {
        Ok(report) => Ok(Json(report.into())),
        Err(error) => Err(problem(error, &request)),
    }
}

fn problem(error: ReconcileError, request: &ReconcileRequest) -> Problem {
    match error {
        ReconcileError::Unknown(names) => {
            let msg = format!("no workflow type declares {}", names.join(", "));
            Problem::invalid_at(&["body", "attributes"], msg, "unknown").with("unknown", names)
        }
        ReconcileError::Unconfirmed(plan) => {
            let problem = if request.attributes.is_empty() {
                Problem::invalid_at(&["body", "attributes"], "name the attributes to replace", "missing")
            } else {
                Problem::invalid_at(
                    &["body", "confirm"],
                    "must be true to replace what plan tells",
                    "missing",
                )
            };
            let plan = serde_json::to_value(SearchAttributeReport::from(*plan)).unwrap_or_default();
            problem.with("plan", plan)
        }
        ReconcileError::System(names) => {
            let msg = format!("Temporal's own attributes cannot be replaced: {}", names.join(", "));
            Problem::invalid_at(&["body", "attributes"], msg, "system").with("system", names)
        }
        ReconcileError::Refused(why) => {
            Problem::new(Code::InvalidRequest, format!("Temporal refuses it: {why}"))
        }
        ReconcileError::Unanswered(why) => Problem::new(Code::TemporalUnavailable, why),
    }
}

impl From<ReconcileReport> for SearchAttributeReport {
    fn from(report: ReconcileReport) -> Self {
        let attributes = |all: &[SearchAttribute]| all.iter().map(SearchAttributeShape::from).collect();
        let existing = report.existing.into_iter().map(|found| ActualSearchAttribute {
            name: found.name,
            kind: type_name(found.kind),
            source: source(found.system),
        });
        let Affected { workflow_types, schedules } = report.affected;
        Self {
            mode: match report.mode {
                ReconcileMode::Validate => ReconcileModeName::Validate,
                ReconcileMode::Ensure => ReconcileModeName::Ensure,
                ReconcileMode::Replace => ReconcileModeName::Replace,
            },
            desired: attributes(&report.desired),
            existing: existing.collect(),
            missing: attributes(&report.missing),
            conflicts: report.conflicts.into_iter().map(ConflictShape::from).collect(),
            added: attributes(&report.added),
            replaced: attributes(&report.replaced),
            unchanged: attributes(&report.unchanged),
            warnings: report.warnings,
            slots: report.slots.into_iter().map(|(kind, slots)| (kind.name(), slots.into())).collect(),
            affected: AffectedShape { workflow_types, schedules },
        }
    }
}

impl From<Conflict> for ConflictShape {
    fn from(conflict: Conflict) -> Self {
        Self {
            name: conflict.name,
            existing_type: type_name(conflict.existing),
            desired_type: conflict.desired.name(),
            source: source(conflict.system),
        }
    }
}

impl From<Slots> for SlotsShape {
    fn from(slots: Slots) -> Self {
        let source = match slots.source {
            SlotSource::Told => SlotSourceName::Told,
            SlotSource::Columns => SlotSourceName::Columns,
            SlotSource::Assumed => SlotSourceName::Assumed,
            SlotSource::Unlimited => SlotSourceName::Unlimited,
        };
        Self { used: slots.used, limit: slots.limit, source }
    }
}

fn type_name(kind: Option<AttributeType>) -> &'static str {
    kind.map_or("Unspecified", AttributeType::name)
}

fn source(system: bool) -> AttributeSource {
    if system { AttributeSource::System } else { AttributeSource::Custom }
}
