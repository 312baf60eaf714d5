//! What each kind of entry does when it runs. Nothing here knows Temporal.

pub mod capture;
pub mod exchange;
pub mod executable;
pub mod guard;
pub mod http;
pub mod http_async;
pub mod processes;
pub mod request;
pub mod subprocess;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    artifacts::RunFolder,
    config::Entry,
    outcome::{RunResult, Status},
    secrets::Secrets,
    template::Values,
    validation,
};

/// What an execution is given.
#[derive(Debug)]
pub struct Execution<'a> {
    /// The entry that is run.
    pub entry: &'a Entry,
    /// The input of the run.
    pub input: &'a Value,
    /// The entry's secrets.
    pub secrets: &'a Secrets,
    /// Workflow id, for the process's environment.
    pub workflow_id: &'a str,
    /// Run id, also the key under which a remote service may recognise a repeated request.
    pub run_id: &'a str,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Where files of this run go.
    pub folder: &'a RunFolder,
    /// Set when the work has to stop.
    pub cancelled: CancellationToken,
    /// Where the work says how far it is.
    pub progress: watch::Sender<Value>,
}

impl Execution<'_> {
    /// What templates are filled from.
    pub fn values(&self) -> Values<'_> {
        Values { input: self.input, secrets: self.secrets }
    }

    /// A succeeded result, unless its output does not fit the entry's `output_schema`.
    pub fn checked(&self, mut result: RunResult) -> RunResult {
        if result.status != Status::Succeeded {
            return result;
        }
        match validation::violations(&self.entry.common.output_schema, &result.output) {
            Ok(broken) if broken.is_empty() => result,
            Ok(broken) => {
                result.status = Status::Failed;
                result.because(format!(
                    "the output does not fit output_schema: {}",
                    validation::summary(&broken)
                ))
            }
            Err(reason) => {
                result.status = Status::Failed;
                result.because(reason)
            }
        }
    }
}
