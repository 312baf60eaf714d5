//! The whole: the real binary against a real Temporal dev server with real workers.

mod catalogue;
mod claims;
mod dev;
mod events;
mod harness;
mod outage;
mod pollers;
mod python;
mod scale;
mod schedules;
mod tasks;
