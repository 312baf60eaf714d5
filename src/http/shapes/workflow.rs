//! A registered workflow type: its spec, who serves it, and whether it may be started.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use utoipa::openapi::{RefOr, schema::Schema};
use utoipa::{PartialSchema, ToSchema};

use super::{SpecShape, WorkerShape, rfc3339};
use crate::{
    registry::{TypeEntry, spec_hold},
    view::View,
};

/// A spec with what is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct WorkflowShape {
    /// The spec that stands.
    #[serde(flatten)]
    pub spec: SpecShape,
    #[serde(flatten)]
    known: Known,
}

/// What is known of a type beside its spec.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Known {
    /// The workers that serve it, by id.
    #[schema(value_type = Vec<WorkerShape>)]
    workers: Vec<Arc<WorkerShape>>,
    /// Number of the revision that stands.
    #[schema(example = 1)]
    revision: u32,
    /// Whether runs can be started, as far as search attributes go.
    status: TypeStatus,
    /// Why it is not ready.
    reason: Option<String>,
    /// When the revision that stands was registered.
    #[schema(example = "2026-05-01T12:00:00.000Z")]
    updated_at: String,
}

/// Whether the search attributes of a type can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeStatus {
    /// They can.
    Ready,
    /// They are being provisioned.
    Pending,
    /// They cannot be had: the reason says why.
    Unavailable,
}

impl TypeStatus {
    /// The status of a type and why it is so.
    pub fn of(view: &View, entry: &TypeEntry) -> (Self, Option<String>) {
        match spec_hold(&entry.current.spec, |name| view.attributes.get(name)) {
            None => (Self::Ready, None),
            Some((true, reason)) => (Self::Pending, Some(reason)),
            Some((false, reason)) => (Self::Unavailable, Some(reason)),
        }
    }
}

impl WorkflowShape {
    /// A type of the view with its workers, in the order of their ids.
    pub fn of(view: &View, entry: &TypeEntry, workers: Vec<Arc<WorkerShape>>) -> Self {
        let (status, reason) = TypeStatus::of(view, entry);
        let (revision, updated_at) = (entry.current.number, rfc3339(entry.current.at_ms));
        let known = Known { workers, revision, status, reason, updated_at };
        Self { spec: entry.spec().into(), known }
    }
}

/// One flat object: as `allOf`, the spec's refusal of unknown fields would refuse what is known beside it.
impl PartialSchema for WorkflowShape {
    fn schema() -> RefOr<Schema> {
        let mut schema = SpecShape::schema();
        if let (RefOr::T(Schema::Object(all)), RefOr::T(Schema::Object(more))) =
            (&mut schema, Known::schema())
        {
            all.properties.extend(more.properties);
            all.required = all.properties.keys().cloned().collect();
            all.additional_properties = None;
            all.description = Some("A registered workflow type with the workers that serve it.".to_owned());
        }
        schema
    }
}

impl ToSchema for WorkflowShape {
    fn name() -> Cow<'static, str> {
        "Workflow".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        SpecShape::schemas(schemas);
        Known::schemas(schemas);
    }
}
