//! `runner.yaml`: read, and checked as a whole before anything is started.

mod check;
mod entry;
mod interpolate;
#[cfg(test)]
mod tests;
mod url_check;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use url::Url;

pub use entry::{Entry, Http, HttpAsync, Kind, Limits, Manual, OutputFormat, Subprocess};

/// One thing that is wrong with the configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path to the key, such as `entries[2].argv`; empty for the file as a whole.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name} is not usable:{}", self.list())]
pub struct ConfigError {
    /// The file.
    pub source_name: String,
    /// What is wrong with it, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    fn list(&self) -> String {
        self.problems.iter().map(|problem| format!("\n  {problem}")).collect()
    }
}

/// The runner's configuration.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Where to register.
    pub registry: Registry,
    /// Who this runner is.
    pub worker: Worker,
    /// What it runs.
    pub entries: Vec<Entry>,
}

/// The registry this runner is a client of.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registry {
    /// Base URL of its HTTP API.
    #[serde(deserialize_with = "url")]
    pub url: Url,
    /// Bearer token; empty for none.
    pub token: String,
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| serde::de::Error::custom(format!("`{text}` is not a URL: {error}")))
}

impl Default for Registry {
    fn default() -> Self {
        let url = Url::parse("http://127.0.0.1:8080").unwrap_or_else(|_| unreachable!("a literal URL"));
        Self { url, token: String::new() }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// How this runner appears in the registry, and how much it takes on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Its worker id, unique among all workers.
    pub id: String,
    /// The Temporal task queue it serves. Every runner on a queue must hold the same entries.
    #[serde(default = "defaults::task_queue")]
    pub task_queue: String,
    /// Seconds without a heartbeat after which it counts as gone (5..3600).
    #[serde(default = "defaults::ttl_seconds")]
    pub ttl_seconds: u64,
    /// Environment name shown in the registry.
    #[serde(default = "defaults::environment")]
    pub environment: String,
    /// Host name shown in the registry.
    #[serde(default)]
    pub host: String,
    /// Version shown in the registry.
    #[serde(default)]
    pub version: String,
    /// Labels shown in the registry.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Anything else about this host (command, run-as, become).
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// Executions at a time: so many of those for any runner of the queue, and so many of those for this one alone.
    #[serde(default = "defaults::max_concurrent")]
    pub max_concurrent: usize,
    /// Seconds that running work gets to end after SIGTERM before it is stopped.
    #[serde(default = "defaults::drain_seconds")]
    pub drain_seconds: u64,
    /// Folder for the files of executions; made when missing.
    #[serde(default = "defaults::artifact_dir")]
    pub artifact_dir: PathBuf,
    /// Days after which the files of an execution are removed; 0 keeps them for ever.
    #[serde(default = "defaults::artifact_days")]
    pub artifact_days: u64,
}

impl Worker {
    /// The task queue that this runner alone serves, beside the one it shares.
    pub fn own_task_queue(&self) -> String {
        format!("{}/{}", self.task_queue, self.id)
    }
}

mod defaults {
    use std::path::PathBuf;

    pub fn task_queue() -> String {
        "runner".to_owned()
    }
    pub fn ttl_seconds() -> u64 {
        30
    }
    pub fn environment() -> String {
        "local".to_owned()
    }
    pub fn max_concurrent() -> usize {
        20
    }
    pub fn drain_seconds() -> u64 {
        30
    }
    pub fn artifact_dir() -> PathBuf {
        std::env::temp_dir().join("temporal-registry-artifacts")
    }
    pub fn artifact_days() -> u64 {
        30
    }
}

impl RunnerConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it at once, each with the path to its key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            source_name: name.clone(),
            problems: vec![problem("", format!("cannot be read: {error}"))],
        })?;
        Self::parse(&text, &name)
    }

    /// Checks a configuration given as text; `source_name` is for messages.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, source_name: &str) -> Result<Self, ConfigError> {
        let failed = |problems| ConfigError { source_name: source_name.to_owned(), problems };
        let (text, references) = interpolate::References::take_out(text);
        let mut value: Value = serde_yaml::from_str(&text)
            .map_err(|error| failed(vec![problem("", format!("not readable as YAML: {error}"))]))?;
        let mut problems = Vec::new();
        references.put_in(&mut value, "", &|name| std::env::var(name).ok(), &mut problems);
        let Value::Object(mut top) = value else {
            return Err(failed(vec![problem(
                "",
                "must be a mapping with registry, worker and entries".to_owned(),
            )]));
        };
        let registry = match top.shift_remove("registry") {
            Some(value) => read(value, "registry", &mut problems),
            None => Some(Registry::default()),
        };
        let worker: Option<Worker> = match top.shift_remove("worker") {
            Some(value) => read(value, "worker", &mut problems),
            None => {
                problems.push(problem("worker", "is required: at least `worker.id`".to_owned()));
                None
            }
        };
        let entries = match top.shift_remove("entries") {
            Some(Value::Array(items)) if !items.is_empty() => entry::read_all(items, &mut problems),
            _ => {
                problems.push(problem("entries", "must be a list with at least one entry".to_owned()));
                Vec::new()
            }
        };
        for key in top.keys() {
            problems.push(problem(key, "unknown key; allowed: registry, worker, entries".to_owned()));
        }
        if let Some(worker) = &worker {
            check::worker(worker, &mut problems);
        }
        if let Some(registry) = &registry {
            check::registry(registry, &mut problems);
        }
        check::names(&entries, &mut problems);
        match (registry, worker) {
            (Some(registry), Some(worker)) if problems.is_empty() => Ok(Self { registry, worker, entries }),
            _ => Err(failed(problems)),
        }
    }

    /// What is not wrong yet and may be by the time a run needs it: executables and secrets that are not there.
    pub fn warnings(&self) -> Vec<Problem> {
        check::warnings(&self.entries)
    }
}

fn problem(path: &str, message: String) -> Problem {
    Problem { path: path.to_owned(), message }
}

/// Deserializes one part of the file, with the path of the first thing that does not fit.
fn read<T: DeserializeOwned>(value: Value, at: &str, problems: &mut Vec<Problem>) -> Option<T> {
    match serde_path_to_error::deserialize(value) {
        Ok(part) => Some(part),
        Err(error) => {
            let inner = error.path().to_string();
            let path = match inner.as_str() {
                "." => at.to_owned(),
                inner if inner.starts_with('[') => format!("{at}{inner}"),
                inner => format!("{at}.{inner}"),
            };
            problems.push(problem(&path, error.into_inner().to_string()));
            None
        }
    }
}
