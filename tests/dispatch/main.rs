//! Starts and runs over a real Temporal dev server, through the real front door.

mod cost;
#[path = "../support/dev_server.rs"]
mod dev_server;
mod fires;
mod idempotency;
mod paused;
mod places;
mod rows;
mod runs;
mod starts;
mod waiting;
mod work;
mod world;
