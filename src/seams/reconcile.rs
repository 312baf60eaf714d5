//! Reconciling the namespace's search attributes with what the types declare.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Unanswered;
use crate::registry::{AttributeType, SearchAttribute};

/// What to do about differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileMode {
    /// Tell them.
    Validate,
    /// Add what is missing, unless anything conflicts.
    Ensure,
    /// Remove and make again what conflicts, add what is missing.
    Replace,
}

/// What to reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconcileRequest {
    /// What to do about differences.
    pub mode: ReconcileMode,
    /// Only these; all that are declared when empty.
    pub attributes: Vec<String>,
    /// Without it nothing is replaced.
    pub confirm: bool,
}

/// An attribute of the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingAttribute {
    /// Its name.
    pub name: String,
    /// Its type; none for one this program does not know.
    pub kind: Option<AttributeType>,
    /// Whether it belongs to Temporal itself.
    pub system: bool,
}

/// An attribute that is there with another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Its name.
    pub name: String,
    /// The type it has.
    pub existing: Option<AttributeType>,
    /// The type that is declared.
    pub desired: AttributeType,
    /// Whether it belongs to Temporal itself.
    pub system: bool,
}

/// How many attributes of a type there are and may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Taken.
    pub used: usize,
    /// At most; none when the namespace has no such limit.
    pub limit: Option<usize>,
    /// How the limit is known.
    pub source: SlotSource,
}

/// How a limit on search attributes is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotSource {
    /// Temporal said so when it refused one more.
    Told,
    /// The namespace keeps its attributes in numbered columns, of which SQL visibility has so many.
    Columns,
    /// The namespace has no custom attribute to tell by yet: as for SQL visibility.
    Assumed,
    /// The namespace does not use numbered columns: there is no such limit.
    Unlimited,
}

/// What a replacement touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Types that declare a conflicting attribute, in order.
    pub workflow_types: Vec<String>,
    /// Schedules that set one, in order.
    pub schedules: Vec<String>,
}

/// What was found and done. Every list is in the order of names.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconcileReport {
    /// As asked.
    pub mode: ReconcileMode,
    /// What is declared, or the part of it that was asked for.
    pub desired: Vec<SearchAttribute>,
    /// What was in the namespace.
    pub existing: Vec<ExistingAttribute>,
    /// Declared and not there.
    pub missing: Vec<SearchAttribute>,
    /// Declared and there with another type.
    pub conflicts: Vec<Conflict>,
    /// Added now.
    pub added: Vec<SearchAttribute>,
    /// Removed and made again now.
    pub replaced: Vec<SearchAttribute>,
    /// Declared and there.
    pub unchanged: Vec<SearchAttribute>,
    /// Worth saying.
    pub warnings: Vec<String>,
    /// How much room there is, by type, as it was before.
    pub slots: BTreeMap<AttributeType, Slots>,
    /// What replacing the conflicts touches.
    pub affected: Affected,
}

/// Why nothing was reconciled.
#[derive(Clone, Debug, PartialEq)]
pub enum ReconcileError {
    /// Names that no type declares (400).
    Unknown(Vec<String>),
    /// Replacing was not confirmed, or does not say what (400); this is what it would touch.
    Unconfirmed(Box<ReconcileReport>),
    /// Temporal's own attributes cannot be replaced (400).
    System(Vec<String>),
    /// Temporal does not take it (400).
    Refused(String),
    /// Temporal did not answer (503); what was done before is named.
    Unanswered(String),
}

impl From<Unanswered> for ReconcileError {
    fn from(error: Unanswered) -> Self {
        Self::Unanswered(error.0)
    }
}

/// Reconciles search attributes.
#[async_trait]
pub trait Reconciles: Send + Sync {
    /// Compares, and does what the mode says.
    async fn reconcile(&self, request: &ReconcileRequest) -> Result<ReconcileReport, ReconcileError>;
}
