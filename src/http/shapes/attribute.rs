//! Search attributes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::registry::{AttributeType, SearchAttribute};

/// Temporal's search attribute types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = SearchAttributeType)]
#[allow(missing_docs)]
pub enum AttributeKind {
    Keyword,
    KeywordList,
    Text,
    Int,
    Double,
    Bool,
    Datetime,
}

impl From<AttributeType> for AttributeKind {
    fn from(kind: AttributeType) -> Self {
        match kind {
            AttributeType::Keyword => Self::Keyword,
            AttributeType::KeywordList => Self::KeywordList,
            AttributeType::Text => Self::Text,
            AttributeType::Int => Self::Int,
            AttributeType::Double => Self::Double,
            AttributeType::Bool => Self::Bool,
            AttributeType::Datetime => Self::Datetime,
        }
    }
}

impl From<AttributeKind> for AttributeType {
    fn from(kind: AttributeKind) -> Self {
        match kind {
            AttributeKind::Keyword => Self::Keyword,
            AttributeKind::KeywordList => Self::KeywordList,
            AttributeKind::Text => Self::Text,
            AttributeKind::Int => Self::Int,
            AttributeKind::Double => Self::Double,
            AttributeKind::Bool => Self::Bool,
            AttributeKind::Datetime => Self::Datetime,
        }
    }
}

/// A search attribute that runs of a type set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = SearchAttribute)]
#[serde(deny_unknown_fields)]
pub struct SearchAttributeShape {
    /// Name in the namespace.
    #[schema(min_length = 1)]
    pub name: String,
    /// Temporal's type.
    #[serde(rename = "type")]
    pub kind: AttributeKind,
    /// Free text.
    #[serde(default)]
    pub description: String,
}

impl From<&SearchAttribute> for SearchAttributeShape {
    fn from(rule: &SearchAttribute) -> Self {
        Self { name: rule.name.clone(), kind: rule.kind.into(), description: rule.description.clone() }
    }
}

impl From<SearchAttributeShape> for SearchAttribute {
    fn from(shape: SearchAttributeShape) -> Self {
        Self { name: shape.name.trim().to_owned(), kind: shape.kind.into(), description: shape.description }
    }
}
