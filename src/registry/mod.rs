//! The rules of the registry: pure, synchronous, deterministic. Time comes in as an argument, nothing goes out but
//! outcomes and changes. The workflow shell in `temporal` runs these rules durably; the same rules run in tests
//! without any of it.

mod apply;
mod attributes;
mod batch;
mod catalogue;
mod changes;
mod command;
pub mod compat;
mod fleet;
mod health;
mod idempotency;
mod limits;
mod outcome;
mod shared;
mod size;
mod slugs;
mod spec;
mod state;
mod takeover;
mod target;
mod worker;

pub use attributes::{Attribute, AttributeStatus, Provisioned, spec_hold};
pub use batch::{Batch, BatchReply};
pub use catalogue::{Revision, Source, TypeEntry};
pub use changes::{Changes, Key};
pub use command::{Command, Compared, Registration, Renewal, Reservation, SpecClaim, Standing};
pub use health::{Health, Preservation, PreservationRules};
pub use idempotency::Reserved;
pub use limits::Limits;
pub use outcome::{Outcome, Refusal, Verdict, VerdictKind};
pub use slugs::{SLUG_NAME_CHARS_MAX, SlugCounter, run_name, slugify};
pub use spec::{AttributeType, InputWarning, SearchAttribute, Spec};
pub use state::{Registry, State, Status};
pub use target::{Target, choose_queue};
pub use worker::{Lease, Served, Worker, WorkerState};
