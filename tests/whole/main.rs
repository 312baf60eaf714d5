//! The whole: the real binary against a real Temporal dev server with real workers.

mod catalogue;
mod claims;
mod dev;
mod harness;
mod outage;
mod python;
mod scale;
mod schedules;
mod tasks;
