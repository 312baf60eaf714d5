//! What `dev` runs beside the registry: the example of a worker, unchanged, and the example of a runner, as far as it
//! needs nothing but this machine.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::companion::Companion;
use crate::runner::{
    self, RunnerConfig, TemporalTarget,
    config::{Entry, Kind},
};

#[path = "../../examples/demo_worker.rs"]
#[allow(dead_code, reason = "the example has a main function of its own")]
mod demo_worker;

pub use demo_worker::{DemoOptions, WORKER_ID};

/// The example of a runner and its script, as they are in the repository. Compiled in: `dev` works anywhere.
const RUNNER: &str = include_str!("../../examples/runner.yaml");
const SCRIPT: &str = include_str!("../../examples/scripts/daily-report.sh");
/// Where the entries of the example look for the script, from the folder they run in.
const SCRIPT_PATH: &str = "examples/scripts/daily-report.sh";

/// Name of the sample runner and of its task queue: beside a runner of one's own with the same file.
pub const RUNNER_ID: &str = "dev-runner";
/// What running work gets to end after Ctrl-C.
const DRAIN_SECONDS: u64 = 1;

/// Starts the demo worker.
pub fn worker(options: DemoOptions) -> Companion {
    Companion::start("demo worker", |stop| demo_worker::run(options, stop))
}

/// Starts the sample runner. Its script and its artifacts are in `folder`, which is made when missing.
///
/// # Errors
/// When the folder cannot be written to.
pub fn sample_runner(options: DemoOptions, folder: &Path) -> anyhow::Result<Companion> {
    let folder = std::path::absolute(folder)?;
    unpack(&folder).with_context(|| folder.display().to_string())?;
    let config = sample(&options, &folder)?;
    let temporal = TemporalTarget {
        address: options.temporal_address,
        namespace: options.namespace,
        ..TemporalTarget::default()
    };
    Ok(Companion::start("sample runner", |stop| runner::run(config, temporal, stop.cancelled_owned())))
}

/// The example, changed as little as it takes to work from here.
fn sample(options: &DemoOptions, folder: &Path) -> anyhow::Result<RunnerConfig> {
    let mut config = RunnerConfig::parse(RUNNER, "examples/runner.yaml (compiled in)")?;
    config.registry.url = options.registry_url.parse()?;
    config.registry.token.clear();
    RUNNER_ID.clone_into(&mut config.worker.id);
    RUNNER_ID.clone_into(&mut config.worker.task_queue);
    config.worker.drain_seconds = DRAIN_SECONDS;
    config.worker.artifact_dir = folder.join("artifacts");
    config.entries.retain_mut(|entry| fits(entry, folder));
    Ok(config)
}

/// Whether an entry works without anything outside this machine; those that do run in `folder`.
fn fits(entry: &mut Entry, folder: &Path) -> bool {
    match &mut entry.kind {
        Kind::Subprocess(own) => {
            own.cwd = Some(folder.to_owned());
            true
        }
        Kind::Manual(_) => true,
        Kind::Http(_) | Kind::HttpAsync(_) => false,
    }
}

/// Puts the script where the entries look for it. What is there already is from an earlier time, maybe another version.
fn unpack(folder: &Path) -> io::Result<()> {
    let script: PathBuf = folder.join(SCRIPT_PATH);
    if let Some(parent) = script.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    // Not written over but replaced: a run of it may be going on.
    let fresh = script.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(&fresh)?;
    io::Write::write_all(&mut file, SCRIPT.as_bytes())?;
    drop(file);
    fs::rename(fresh, script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_needs_nothing_but_its_folder() {
        let options = DemoOptions {
            temporal_address: "127.0.0.1:1".to_owned(),
            namespace: "default".to_owned(),
            registry_url: "http://127.0.0.1:2".to_owned(),
        };
        let folder = tempfile::tempdir().unwrap();
        // Twice, as by two starts one after the other.
        unpack(folder.path()).unwrap();
        unpack(folder.path()).unwrap();
        let config = sample(&options, folder.path()).unwrap();
        assert_eq!(config.registry.url.as_str(), "http://127.0.0.1:2/");
        let names: Vec<_> = config.entries.iter().map(|entry| entry.common.workflow_type.as_str()).collect();
        assert_eq!(names, ["report.demo.v1", "approve.demo.v1"]);
        assert_eq!(config.warnings(), [], "the script is there and may be executed");
    }
}
