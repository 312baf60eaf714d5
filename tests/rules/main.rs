//! The rules of the registry, by tables: one line a command, `tick` moves time.

mod attributes;
mod batches;
mod bulk;
#[path = "../../fuzz/checks.rs"]
mod checks;
mod corpora;
mod envelope;
mod fixtures;
mod health;
mod hostile;
mod idempotency;
mod limits;
mod model;
mod naive;
mod refusals;
mod replication;
mod slugs;
mod takeover;
mod types;
mod workers;
mod world;
