//! Logs, metrics and traces.

mod logs;
mod metrics;
pub mod traces;

pub use logs::init;
pub use metrics::Metrics;
pub use traces::Traces;
