//! Everything that speaks to Temporal: the connection, the workflow shell around the rules, the registry worker, the
//! ledger (writes), the mirror (reads) and dispatch (starts).

pub mod attributes;
pub mod attributes_reconcile;
pub mod codec;
pub mod connection;
pub mod dispatch;
pub mod keeper;
pub mod ledger;
mod meter;
pub mod mirror;
mod patience;
pub mod pollers;
mod predecessors;
pub mod provision;
pub mod reference;
pub mod replica;
pub mod runs;
pub mod schedules;
mod update;
pub mod worker;
pub mod workflow;
