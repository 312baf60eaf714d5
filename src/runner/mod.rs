//! The bundled worker: offers scripts, HTTP endpoints and human steps as durable workflow types.
//!
//! It is a client of the registry's HTTP API like any other worker, and a Temporal worker like any other. Each entry
//! of its `runner.yaml` becomes a workflow type; `workflow` is the one workflow behind all of them, `kinds` holds
//! what each kind of entry does, [`config`] the file and its checks.

mod activities;
mod artifacts;
pub mod config;
mod kinds;
pub mod outcome;
mod plan;
mod prepare;
mod progress;
mod registration;
mod registry_client;
mod secrets;
mod target;
mod template;
mod validation;
mod worker;
mod workflow;

pub use config::RunnerConfig;
pub use kinds::processes::become_reaper;
pub use target::TemporalTarget;
pub use worker::run;
