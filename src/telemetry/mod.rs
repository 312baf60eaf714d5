//! Logs, metrics and traces.

mod logs;
mod metrics;
pub mod traces;

pub use logs::{Outages, init};
pub use metrics::Metrics;
pub use traces::Traces;
