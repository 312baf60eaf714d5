//! The spec of a workflow type.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{RefOr, schema::Schema};
use utoipa::{PartialSchema, ToSchema};

use super::SearchAttributeShape;
use crate::registry::{InputWarning, Spec};

/// A workflow type as registered. Answers hold every field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkflowSpec)]
#[serde(deny_unknown_fields)]
pub struct SpecShape {
    /// Temporal workflow type.
    #[schema(min_length = 1, example = "report.v1")]
    pub workflow_type: String,
    /// Task queue its workers poll.
    // Not demanded here because a worker's registration may leave it out; the schema demands it.
    #[serde(default)]
    #[schema(required = true, min_length = 1, example = "reports")]
    pub task_queue: String,
    /// Free text.
    #[serde(default)]
    pub version: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the input; `{}`, the default, accepts everything.
    #[serde(default = "open")]
    #[schema(example = json!({"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}))]
    pub input_schema: Value,
    /// JSON Schema of the result; `{}`, the default, accepts everything.
    #[serde(default = "open")]
    #[schema(example = json!({}))]
    pub output_schema: Value,
    /// JSON Schema of the argument of each signal.
    #[serde(default)]
    #[schema(example = json!({}))]
    pub signals: BTreeMap<String, Value>,
    /// JSON Schema of the argument of each query.
    #[serde(default)]
    #[schema(example = json!({}))]
    pub queries: BTreeMap<String, Value>,
    /// JSON Schema of the argument of each update.
    #[serde(default)]
    #[schema(example = json!({}))]
    pub updates: BTreeMap<String, Value>,
    /// Input fields that a schedule should set, and why.
    #[serde(default)]
    #[schema(example = json!([]))]
    pub schedule_input_warnings: Vec<InputWarningShape>,
    /// Search attributes its runs set.
    #[serde(default)]
    #[schema(example = json!([]))]
    pub search_attributes: Vec<SearchAttributeShape>,
    /// Whether it may be started.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
    /// Free key-value pairs to filter by.
    #[serde(default)]
    #[schema(example = json!({"team": "data"}))]
    pub labels: BTreeMap<String, String>,
    /// Free words to filter by.
    #[serde(default)]
    #[schema(example = json!([]))]
    pub tags: Vec<String>,
    /// Who answers for it.
    #[serde(default)]
    pub owner: String,
    /// Example inputs.
    #[serde(default)]
    #[schema(example = json!([]))]
    pub examples: Vec<Value>,
    /// Why it should no longer be used; `null` while it may be.
    #[serde(default)]
    pub deprecated: Option<String>,
    /// Anything else, kept as given.
    #[serde(default)]
    #[schema(example = json!({}))]
    pub metadata: Map<String, Value>,
}

fn open() -> Value {
    Value::Object(Map::new())
}

fn yes() -> bool {
    true
}

/// A warning shown when a schedule leaves an input field empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = InputWarning)]
#[serde(deny_unknown_fields)]
pub struct InputWarningShape {
    /// Top-level input field.
    #[schema(min_length = 1)]
    pub field: String,
    /// What to tell the person who makes the schedule.
    #[schema(min_length = 1)]
    pub message: String,
}

impl From<Spec> for SpecShape {
    fn from(spec: Spec) -> Self {
        let warning = |w: InputWarning| InputWarningShape { field: w.field, message: w.message };
        Self {
            workflow_type: spec.workflow_type,
            task_queue: spec.task_queue,
            version: spec.version,
            description: spec.description,
            input_schema: spec.input_schema,
            output_schema: spec.output_schema,
            signals: spec.signals,
            queries: spec.queries,
            updates: spec.updates,
            schedule_input_warnings: spec.schedule_input_warnings.into_iter().map(warning).collect(),
            search_attributes: spec.search_attributes.iter().map(SearchAttributeShape::from).collect(),
            enabled: spec.enabled,
            labels: spec.labels,
            tags: spec.tags,
            owner: spec.owner,
            examples: spec.examples,
            deprecated: spec.deprecated,
            metadata: spec.metadata,
        }
    }
}

/// Names are trimmed on the way in; whether they are empty then is for the admission to say.
impl From<SpecShape> for Spec {
    fn from(shape: SpecShape) -> Self {
        let trimmed = |text: String| text.trim().to_owned();
        let warning =
            |w: InputWarningShape| InputWarning { field: trimmed(w.field), message: trimmed(w.message) };
        Self {
            workflow_type: trimmed(shape.workflow_type),
            task_queue: trimmed(shape.task_queue),
            version: shape.version,
            description: shape.description,
            input_schema: shape.input_schema,
            output_schema: shape.output_schema,
            signals: shape.signals,
            queries: shape.queries,
            updates: shape.updates,
            schedule_input_warnings: shape.schedule_input_warnings.into_iter().map(warning).collect(),
            search_attributes: shape.search_attributes.into_iter().map(Into::into).collect(),
            enabled: shape.enabled,
            labels: shape.labels,
            tags: shape.tags,
            owner: shape.owner,
            examples: shape.examples,
            deprecated: shape.deprecated,
            metadata: shape.metadata,
        }
    }
}

/// A spec in the registration of a worker: like any other, but `task_queue` may be left out and is the worker's then.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct OfferedSpec(pub SpecShape);

impl PartialSchema for OfferedSpec {
    fn schema() -> RefOr<Schema> {
        let mut schema = SpecShape::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.retain(|field| field != "task_queue");
            let text = "A workflow type that a worker serves; `task_queue` is the worker's when left out.";
            object.description = Some(text.to_owned());
        }
        schema
    }
}

impl ToSchema for OfferedSpec {
    fn name() -> Cow<'static, str> {
        "OfferedWorkflowSpec".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        SpecShape::schemas(schemas);
    }
}

/// Some fields of a spec, each to replace the one that stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct SpecPatch(pub Map<String, Value>);

impl PartialSchema for SpecPatch {
    fn schema() -> RefOr<Schema> {
        let mut schema = SpecShape::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.required.clear();
            object.properties.shift_remove("workflow_type");
            object.min_properties = Some(1);
            object.description =
                Some("Fields of a spec, each to replace the one that stands as a whole.".to_owned());
        }
        schema
    }
}

impl ToSchema for SpecPatch {
    fn name() -> Cow<'static, str> {
        "WorkflowSpecPatch".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        SpecShape::schemas(schemas);
    }
}
