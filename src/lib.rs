//! temporal-registry: the registry, dispatcher and scheduler for people who run Temporal workers.
//!
//! See ARCHITECTURE.md for the rooms and what each may know of the others.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dev_server;
pub mod fleet;
pub mod http;
pub mod registry;
pub mod runner;
pub mod schema;
pub mod seams;
pub mod telemetry;
pub mod temporal;
pub mod view;
