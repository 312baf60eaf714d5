//! The JSON Schema engine: what may be registered as a schema, and what a value breaks.
//!
//! Schemas come from whoever may register, values from whoever may start work, so both are treated as
//! hostile: nothing is ever fetched, patterns and references are bounded when a schema is admitted, and a
//! check never costs more stack or time than those bounds allow. `format` and the `content*` keywords are
//! annotations here, as 2020-12 has it by default.

mod admission;
mod cache;
mod graph;
mod hash;
mod keywords;
mod validator;
mod violation;

#[cfg(test)]
mod tests;

pub use admission::{Inadmissible, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX};
pub use cache::ValidatorCache;
pub use hash::content_hash;
pub use validator::Validator;
pub use violation::{VIOLATIONS_MAX, Violation};
