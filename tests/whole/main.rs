//! The whole: the real binary against a real Temporal dev server with real workers.

mod catalogue;
mod claims;
mod clients;
mod closed;
mod cuts;
mod dev;
mod events;
mod harness;
mod histories;
mod link;
mod outage;
mod pollers;
mod python;
mod readme;
mod replicas;
mod runners;
mod scale;
mod schedules;
mod tasks;
mod transfer;
mod waits;
