//! What a registration did to each type.

use serde::Serialize;
use utoipa::ToSchema;

use crate::registry::{Verdict, VerdictKind};

/// What became of one type of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Verdict)]
pub struct VerdictShape {
    /// Temporal workflow type.
    pub workflow_type: String,
    /// What became of it.
    pub verdict: VerdictWord,
    /// Number of the revision that this worker serves, or that stands beside its own.
    pub revision: u32,
    /// Why, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// What is no longer accepted, for an incompatible spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenShape>,
}

/// What became of one type of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = VerdictWord)]
#[serde(rename_all = "snake_case")]
pub enum VerdictWord {
    /// New.
    Created,
    /// Stands already, or is known as an older revision.
    Unchanged,
    /// Became the next revision.
    Revised,
    /// Recorded with the worker; the current spec stands.
    Incompatible,
    /// Its search attributes are being provisioned.
    Pending,
    /// Its search attributes cannot be had.
    Unavailable,
}

/// One place where a schema refuses what the current one accepts.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Broken)]
pub struct BrokenShape {
    /// JSON pointer into the input schema.
    pub pointer: String,
    /// What is no longer accepted.
    pub msg: String,
}

impl From<VerdictKind> for VerdictWord {
    fn from(kind: VerdictKind) -> Self {
        match kind {
            VerdictKind::Created => Self::Created,
            VerdictKind::Unchanged => Self::Unchanged,
            VerdictKind::Revised => Self::Revised,
            VerdictKind::Incompatible => Self::Incompatible,
            VerdictKind::Pending => Self::Pending,
            VerdictKind::Unavailable => Self::Unavailable,
        }
    }
}

impl From<Verdict> for VerdictShape {
    fn from(rule: Verdict) -> Self {
        let broken = rule.broken.into_iter();
        Self {
            workflow_type: rule.workflow_type,
            verdict: rule.kind.into(),
            revision: rule.revision,
            reason: rule.reason,
            broken: broken.map(|found| BrokenShape { pointer: found.pointer, msg: found.msg }).collect(),
        }
    }
}
