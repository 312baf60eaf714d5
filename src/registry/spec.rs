//! What a workflow type is: the spec a worker or an administrator registers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A workflow type as registered. Two specs are the same when everything but `enabled` is equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Temporal workflow type.
    pub workflow_type: String,
    /// Task queue its workers poll.
    pub task_queue: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema of the input; `{}` accepts everything.
    #[serde(default = "open", skip_serializing_if = "is_open")]
    pub input_schema: Value,
    /// JSON Schema of the result; `{}` accepts everything.
    #[serde(default = "open", skip_serializing_if = "is_open")]
    pub output_schema: Value,
    /// JSON Schema of the argument of each signal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signals: BTreeMap<String, Value>,
    /// JSON Schema of the argument of each query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<String, Value>,
    /// JSON Schema of the argument of each update.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub updates: BTreeMap<String, Value>,
    /// Input fields that a schedule should set, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule_input_warnings: Vec<InputWarning>,
    /// Search attributes its runs set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search_attributes: Vec<SearchAttribute>,
    /// Whether it may be started. Not part of the content: switching it makes no new revision.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Free key-value pairs to filter by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Free words to filter by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Example inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Value>,
    /// Why it should no longer be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Anything else, kept as given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

fn open() -> Value {
    Value::Object(Map::new())
}

fn is_open(schema: &Value) -> bool {
    schema.as_object().is_some_and(Map::is_empty)
}

fn yes() -> bool {
    true
}

impl Spec {
    /// The part of the spec that makes its content, as JSON: everything but `enabled`. Hash this, canonically.
    pub fn content(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.remove("enabled");
        }
        value
    }

    /// Whether its runs are tasks: it is a `manual` entry of a runner.
    pub fn is_manual(&self) -> bool {
        self.metadata.get("runner").is_some_and(|runner| runner["kind"] == "manual")
    }

    /// Every schema of the spec with the JSON pointer of its place in the spec.
    pub fn schemas(&self) -> Vec<(String, &Value)> {
        let mut all = vec![
            ("/input_schema".to_owned(), &self.input_schema),
            ("/output_schema".to_owned(), &self.output_schema),
        ];
        let groups: [(&str, &BTreeMap<String, Value>); 3] =
            [("signals", &self.signals), ("queries", &self.queries), ("updates", &self.updates)];
        for (group, schemas) in groups {
            all.extend(schemas.iter().map(|(name, schema)| (format!("/{group}/{}", escape(name)), schema)));
        }
        all
    }
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// A warning shown when a schedule leaves an input field empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputWarning {
    /// Top-level input field.
    pub field: String,
    /// What to tell the person who makes the schedule.
    pub message: String,
}

/// A search attribute that runs of a type set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchAttribute {
    /// Name in the namespace.
    pub name: String,
    /// Temporal's type.
    #[serde(rename = "type")]
    pub kind: AttributeType,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// Temporal's seven search attribute types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum AttributeType {
    Keyword,
    KeywordList,
    Text,
    Int,
    Double,
    Bool,
    Datetime,
}

impl AttributeType {
    /// Temporal's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyword => "Keyword",
            Self::KeywordList => "KeywordList",
            Self::Text => "Text",
            Self::Int => "Int",
            Self::Double => "Double",
            Self::Bool => "Bool",
            Self::Datetime => "Datetime",
        }
    }
}
