//! The JSON of registered things: what clients send and see, apart from the rules' own types, which recorded
//! histories have frozen in another form.

mod attribute;
mod moment;
mod run;
mod spec;
mod task;
mod verdict;
mod worker;
mod workflow;

pub use attribute::{AttributeKind, SearchAttributeShape};
pub use moment::{epoch_seconds, rfc3339};
pub use run::{FailureShape, MilestoneShape, RunRefShape, RunShape, RunStatusWord};
pub use spec::{InputWarningShape, OfferedSpec, SpecPatch, SpecShape};
pub use task::{TaskShape, TaskStatusWord};
pub use verdict::{BrokenShape, VerdictShape, VerdictWord};
pub use worker::{WorkerHealth, WorkerShape, WorkerStateWord};
pub use workflow::{TypeStatus, WorkflowShape};
