//! The entries of `runner.yaml`: what all have in common, and what each kind adds.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::{
        secrets::SecretSource,
        template::{Body, Template},
    },
    Problem, check, problem, read,
};

/// One workflow type this runner offers.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What all kinds have in common.
    pub common: Common,
    /// What it does.
    pub kind: Kind,
}

/// The keys of every entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// The workflow type it is registered as.
    pub workflow_type: String,
    /// Version shown in the registry.
    #[serde(default)]
    pub version: String,
    /// Description shown in the registry.
    #[serde(default)]
    pub description: String,
    /// Owner shown in the registry.
    #[serde(default)]
    pub owner: String,
    /// Tags shown in the registry.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Labels shown in the registry.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Example inputs.
    #[serde(default)]
    pub examples: Vec<Value>,
    /// Why it should no longer be used.
    #[serde(default)]
    pub deprecated: Option<String>,
    /// Search attributes that starts may set.
    #[serde(default)]
    pub search_attributes: Vec<Value>,
    /// Anything else (command, run-as, become); `runner.kind` is added to it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// JSON Schema of the input; `{}` accepts everything.
    #[serde(default = "anything")]
    pub input_schema: Value,
    /// JSON Schema of `output` of a succeeded run; `{}` accepts everything.
    #[serde(default = "anything")]
    pub output_schema: Value,
    /// Whether it may be done again elsewhere when its runner is lost.
    #[serde(default)]
    pub idempotent: bool,
    /// How often an idempotent entry is tried when runners are lost (1..100).
    #[serde(default = "three")]
    pub max_attempts: u32,
    /// Secrets by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
}

const COMMON: [&str; 15] = [
    "workflow_type",
    "version",
    "description",
    "owner",
    "tags",
    "labels",
    "examples",
    "deprecated",
    "search_attributes",
    "metadata",
    "input_schema",
    "output_schema",
    "idempotent",
    "max_attempts",
    "secrets",
];

fn anything() -> Value {
    json!({})
}

fn three() -> u32 {
    3
}

/// What an entry does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Runs a process.
    Subprocess(Box<Subprocess>),
    /// Makes one HTTP exchange.
    Http(Box<Http>),
    /// Starts a remote job and waits for its end.
    HttpAsync(Box<HttpAsync>),
    /// Waits for a person or another system.
    Manual(Box<Manual>),
}

impl Kind {
    /// The name it has in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Subprocess(_) => "subprocess",
            Self::Http(_) => "http",
            Self::HttpAsync(_) => "http_async",
            Self::Manual(_) => "manual",
        }
    }
}

/// How a process's standard output becomes the result's `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// `{stdout, stderr, stdout_bytes, stderr_bytes, truncated}`.
    #[default]
    Text,
    /// The standard output read as one JSON value; anything else is a failed run.
    Json,
}

/// Limits of one process and of each it starts, set by `prlimit` before it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Address space in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU time in seconds.
    pub cpu_seconds: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Size of a file it may write, in bytes.
    pub file_bytes: Option<u64>,
}

/// The keys of `kind: subprocess`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subprocess {
    /// Executable and arguments. The first is literal; the others may hold `{{input…}}`.
    pub argv: Vec<Template>,
    /// Environment; values may hold `{{input…}}` and `{{secret.NAME}}`.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// Variables of the runner that the process gets too.
    #[serde(default)]
    pub env_allow: Vec<String>,
    /// Folder it starts in; the runner's own when absent.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Text for its standard input; may hold `{{input…}}`. Nothing when absent.
    #[serde(default)]
    pub stdin: Option<Template>,
    /// Seconds until it is stopped.
    #[serde(default = "ten_minutes")]
    pub timeout_seconds: u64,
    /// Seconds between SIGTERM and SIGKILL.
    #[serde(default = "ten")]
    pub grace_seconds: u64,
    /// Bytes of each stream kept in the result (1..262144).
    #[serde(default = "output_bytes")]
    pub max_output_bytes: usize,
    /// Bytes of each stream kept in a file when the result cannot hold them.
    #[serde(default = "artifact_bytes")]
    pub max_artifact_bytes: u64,
    /// How standard output becomes `output`.
    #[serde(default)]
    pub output_format: OutputFormat,
    /// Resource limits.
    #[serde(default)]
    pub limits: Limits,
}

/// The keys of `kind: http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to; may hold `{{input…}}`, each value percent-encoded.
    pub url: Template,
    /// HTTP method.
    #[serde(default = "post")]
    pub method: String,
    /// Headers; may hold `{{input…}}` and `{{secret.NAME}}`.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Body; may hold both. The input as JSON when absent and the method carries one.
    #[serde(default)]
    pub body: Option<Body>,
    /// Hosts it may talk to: `host`, `host:port`, or `*.domain`.
    pub allowed_hosts: Vec<String>,
    /// Seconds for the whole exchange.
    #[serde(default = "thirty")]
    pub timeout_seconds: u64,
    /// Seconds to connect.
    #[serde(default = "ten")]
    pub connect_timeout_seconds: u64,
    /// Redirects that are followed, each checked like the first address.
    #[serde(default)]
    pub max_redirects: u32,
    /// Bytes of the answer's body kept in the result (1..262144).
    #[serde(default = "output_bytes")]
    pub max_output_bytes: usize,
}

/// The keys of `kind: http_async`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAsync {
    /// Where the job is started.
    pub url: Template,
    /// Method of the kick-off.
    #[serde(default = "post")]
    pub method: String,
    /// Headers of every request to the job's service.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    /// Body of the kick-off; the input as JSON when absent.
    #[serde(default)]
    pub body: Option<Body>,
    /// Hosts it may talk to.
    pub allowed_hosts: Vec<String>,
    /// Where the job's id is in the answer to the kick-off, as `a.b`.
    pub run_id_path: String,
    /// Where the job's state is asked; `{run_id}` stands for its id.
    pub poll_url_template: Template,
    /// Where the state is in the answer to a poll, as `a.b`.
    pub poll_status_path: String,
    /// States in which the job has ended.
    pub poll_terminal_states: Vec<String>,
    /// Those of them in which it has succeeded.
    pub poll_success_states: Vec<String>,
    /// Seconds between two polls.
    #[serde(default = "five")]
    pub poll_interval_seconds: u64,
    /// Polls in a row that may fail before the run does.
    #[serde(default = "twenty")]
    pub poll_max_failures: u32,
    /// Where the job is stopped on cancellation or timeout; `{run_id}` stands for its id.
    #[serde(default)]
    pub cancel_url_template: Option<Template>,
    /// Method of the stop request.
    #[serde(default = "post")]
    pub cancel_method: String,
    /// Seconds until the job is given up.
    #[serde(default = "one_day")]
    pub timeout_seconds: u64,
    /// Seconds for one HTTP exchange.
    #[serde(default = "thirty")]
    pub request_timeout_seconds: u64,
    /// Seconds to connect.
    #[serde(default = "ten")]
    pub connect_timeout_seconds: u64,
    /// Redirects that are followed.
    #[serde(default)]
    pub max_redirects: u32,
    /// Bytes of the last answer kept in the result (1..262144).
    #[serde(default = "output_bytes")]
    pub max_output_bytes: usize,
}

/// The keys of `kind: manual`. Its form is the entry's `output_schema`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manual {
    /// One line for a list; may hold `{{input…}}`. The workflow type when absent.
    #[serde(default)]
    pub title: Option<Template>,
    /// What is asked for; may hold `{{input…}}`.
    #[serde(default)]
    pub instructions: Option<Template>,
    /// Seconds until the task times out; it waits for ever when absent.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// Lease of a claim that names none.
    #[serde(default = "quarter_hour")]
    pub lease_seconds: u64,
}

fn five() -> u64 {
    5
}
fn ten() -> u64 {
    10
}
fn twenty() -> u32 {
    20
}
fn thirty() -> u64 {
    30
}
fn ten_minutes() -> u64 {
    600
}
fn quarter_hour() -> u64 {
    900
}
fn one_day() -> u64 {
    86_400
}
fn output_bytes() -> usize {
    65_536
}
fn artifact_bytes() -> u64 {
    104_857_600
}
fn post() -> String {
    "POST".to_owned()
}

/// Reads and checks the entries one by one, so that every bad one is told at once.
pub fn read_all(items: Vec<Value>, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        let path = format!("entries[{at}]");
        if let Some(entry) = read_one(item, &path, problems) {
            check::entry(&entry, &path, problems);
            entries.push(entry);
        }
    }
    entries
}

fn read_one(item: Value, path: &str, problems: &mut Vec<Problem>) -> Option<Entry> {
    let Value::Object(mut keys) = item else {
        problems.push(problem(path, "must be a mapping".to_owned()));
        return None;
    };
    let kind = keys.shift_remove("kind");
    let (common, own): (Map<_, _>, Map<_, _>) =
        keys.into_iter().partition(|(key, _)| COMMON.contains(&key.as_str()));
    let common = read::<Common>(Value::Object(common), path, problems);
    let own = Value::Object(own);
    let known = problems.len();
    let kind = match kind.as_ref().and_then(Value::as_str) {
        Some("subprocess") => read(own, path, problems).map(|own| Kind::Subprocess(Box::new(own))),
        Some("http") => read(own, path, problems).map(|own| Kind::Http(Box::new(own))),
        Some("http_async") => read(own, path, problems).map(|own| Kind::HttpAsync(Box::new(own))),
        Some("manual") => read(own, path, problems).map(|own| Kind::Manual(Box::new(own))),
        _ => {
            let message = "must be one of subprocess, http, http_async, manual".to_owned();
            problems.push(problem(&format!("{path}.kind"), message));
            None
        }
    };
    // An unknown key is looked for among those of its kind, so the message does not list the others yet.
    for problem in problems.iter_mut().skip(known) {
        let is_of_entry = !problem.path[path.len()..].trim_start_matches('.').contains(['.', '[']);
        if is_of_entry && problem.message.starts_with("unknown field") {
            problem.message.push_str(&format!(", or for every kind `{}`", COMMON.join("`, `")));
        }
    }
    Some(Entry { common: common?, kind: kind? })
}
