//! The whole: the real binary against a real Temporal dev server with real workers.

mod catalogue;
mod claims;
mod clients;
mod closed;
mod cuts;
mod dev;
mod document;
mod door;
mod events;
mod guarded;
mod harness;
mod histories;
mod link;
mod noise;
mod outage;
mod pollers;
mod python;
mod readme;
mod replicas;
mod runners;
mod scale;
mod schedules;
mod tasks;
mod traced;
mod transfer;
mod waits;
