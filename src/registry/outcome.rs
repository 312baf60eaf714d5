//! Outcomes: the answer to each command, as data. A refusal has changed nothing.

use serde::{Deserialize, Serialize};

use super::{Reserved, compat::Broken};

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The worker is registered.
    Registered {
        /// Its epoch.
        epoch: u64,
        /// Whether anything about it or its types changed.
        changed: bool,
        /// What became of each type, in the order given.
        verdicts: Vec<Verdict>,
    },
    /// The type is as asked for.
    Put {
        /// The revision number that stands.
        number: u32,
        /// Whether the type is new.
        created: bool,
        /// Whether anything changed.
        changed: bool,
    },
    /// A run number was given.
    Claimed {
        /// The slug.
        slug: String,
        /// The number.
        counter: u64,
    },
    /// A counter was forgotten.
    SlugReset {
        /// The slug.
        slug: String,
        /// The last number given before.
        previous_counter: u64,
    },
    /// The idempotency record of a key.
    Reserved {
        /// The record.
        reserved: Reserved,
        /// Whether this command made it.
        created: bool,
    },
    /// Done; there is nothing more to say.
    Done,
    /// Refused; nothing changed.
    Refused(Refusal),
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Refusal {
    BadName {
        reason: String,
    },
    AlreadyRegistered {
        workflow_type: String,
    },
    TypeNotFound {
        workflow_type: String,
    },
    WorkerNotFound {
        worker_id: String,
    },
    StaleEpoch {
        current: u64,
    },
    RevisionMismatch {
        current: u32,
    },
    /// The spec was compared with one that no longer stands: compare again and resend.
    CompareAgain {
        workflow_type: String,
    },
    AttributeConflict {
        attribute: String,
        reason: String,
    },
    RegistryQueue {
        task_queue: String,
    },
    KeyReused,
    /// The registry holds as much as it can.
    Full {
        what: String,
        limit: u64,
    },
}

/// What became of one type of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Temporal workflow type.
    pub workflow_type: String,
    /// What became of it.
    pub kind: VerdictKind,
    /// Its revision number; 0 when it has none.
    pub revision: u32,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is no longer accepted, for an incompatible spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<Broken>,
}

/// What became of one type of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerdictKind {
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

impl Verdict {
    pub(super) fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }
}

pub(super) fn verdict(workflow_type: &str, kind: VerdictKind, revision: u32) -> Verdict {
    Verdict { workflow_type: workflow_type.to_owned(), kind, revision, reason: None, broken: Vec::new() }
}
