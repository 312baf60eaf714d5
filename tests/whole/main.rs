//! The whole: the real binary against a real Temporal dev server with real workers.

mod catalogue;
mod claims;
mod clients;
mod closed;
mod cuts;
mod harness;
mod histories;
mod link;
mod outage;
mod python;
mod replicas;
mod scale;
mod transfer;
