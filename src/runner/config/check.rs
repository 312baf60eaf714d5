//! What the shape of the file cannot say: ranges, references, settings that contradict each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    ops::RangeInclusive,
};

use reqwest::{Method, header::HeaderName};
use serde_json::Value;

use super::{
    Entry, Http, HttpAsync, Kind, Manual, Problem, Registry, Subprocess, Worker,
    entry::Common,
    problem,
    url_check::{hosts, url},
};
use crate::runner::{
    kinds::executable,
    template::{Body, Template, Variable},
    validation,
};

const MONTH: u64 = 31 * 86_400;
const OUTPUT: RangeInclusive<usize> = 1..=262_144;

/// Collects problems below one path.
struct At<'a> {
    path: &'a str,
    secrets: &'a BTreeMap<String, crate::runner::secrets::SecretSource>,
    problems: &'a mut Vec<Problem>,
}

impl At<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(problem(&format!("{}.{key}", self.path), message.into()));
    }

    fn range<T: PartialOrd + Display>(&mut self, key: &str, value: T, range: RangeInclusive<T>) {
        if !range.contains(&value) {
            self.wrong(key, format!("must be {}..{}, is {value}", range.start(), range.end()));
        }
    }

    /// A template may use secrets only where they stay out of command lines, URLs and lists.
    fn template(&mut self, key: &str, template: &Template, secrets_allowed: bool) {
        let secrets = self.secrets;
        for variable in template.variables() {
            let Variable::Secret(name) = variable else { continue };
            if !secrets_allowed {
                self.wrong(key, "a secret may only be used in env, headers and body");
            } else if !secrets.contains_key(name) {
                self.wrong(key, format!("secret `{name}` is not declared under `secrets`"));
            }
        }
    }

    fn exchange(&mut self, method: &str, headers: &BTreeMap<String, Template>, body: Option<&Body>) {
        self.method("method", method);
        for (name, value) in headers {
            let key = format!("headers.{name}");
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                self.wrong(&key, "is not the name of a header");
            }
            self.template(&key, value, true);
        }
        match body {
            Some(Body::Text(text)) => self.template("body", text, true),
            Some(Body::Json(json)) => {
                json.templates().into_iter().for_each(|text| self.template("body", text, true))
            }
            None => {}
        }
    }

    fn method(&mut self, key: &str, method: &str) {
        const KNOWN: [Method; 6] =
            [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD];
        if !KNOWN.iter().any(|known| known.as_str() == method) {
            self.wrong(key, "must be one of GET, POST, PUT, PATCH, DELETE, HEAD");
        }
    }
}

/// Checks the keys under `registry`.
pub fn registry(registry: &Registry, problems: &mut Vec<Problem>) {
    if !matches!(registry.url.scheme(), "http" | "https") || registry.url.host().is_none() {
        problems.push(problem("registry.url", "must be an http or https URL".to_owned()));
    }
}

/// Checks the keys under `worker`.
pub fn worker(worker: &Worker, problems: &mut Vec<Problem>) {
    let none = BTreeMap::new();
    let mut at = At { path: "worker", secrets: &none, problems };
    for (key, value) in [("id", &worker.id), ("task_queue", &worker.task_queue)] {
        if value.is_empty() || value.trim() != value || value.len() > 200 {
            at.wrong(key, "must be 1..200 characters without spaces around them");
        }
    }
    at.range("ttl_seconds", worker.ttl_seconds, 5..=3_600);
    at.range("max_concurrent", worker.max_concurrent, 1..=1_000);
    at.range("drain_seconds", worker.drain_seconds, 0..=3_600);
}

/// Checks that no workflow type is offered twice.
pub fn names(entries: &[Entry], problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for entry in entries {
        let name = &entry.common.workflow_type;
        if !seen.insert(name) {
            problems.push(problem("entries", format!("workflow type `{name}` is there twice")));
        }
    }
}

/// Checks one entry.
pub fn entry(entry: &Entry, path: &str, problems: &mut Vec<Problem>) {
    let mut at = At { path, secrets: &entry.common.secrets, problems };
    common(&mut at, &entry.common);
    match &entry.kind {
        Kind::Subprocess(own) => subprocess(&mut at, own),
        Kind::Http(own) => http(&mut at, own),
        Kind::HttpAsync(own) => http_async(&mut at, own),
        Kind::Manual(own) => manual(&mut at, own),
    }
}

fn common(at: &mut At<'_>, common: &Common) {
    let name = &common.workflow_type;
    if name.is_empty() || name.trim() != name || name.len() > 200 {
        at.wrong("workflow_type", "must be 1..200 characters without spaces around them");
    }
    for (key, schema) in [("input_schema", &common.input_schema), ("output_schema", &common.output_schema)] {
        if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
            at.wrong(key, "must be a JSON Schema");
        } else if let Err(reason) = validation::compile(schema) {
            at.wrong(key, reason);
        }
    }
    at.range("max_attempts", common.max_attempts, 1..=100);
}

fn subprocess(at: &mut At<'_>, own: &Subprocess) {
    match own.argv.first() {
        None => at.wrong("argv", "must name an executable"),
        Some(first) if !first.is_literal() => {
            at.wrong("argv[0]", "the executable must be literal: no input may choose what is run");
        }
        Some(first) if first.literal_text().is_empty() => at.wrong("argv[0]", "must name an executable"),
        Some(_) => {}
    }
    for (index, argument) in own.argv.iter().enumerate() {
        at.template(&format!("argv[{index}]"), argument, false);
    }
    let named = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    for (name, value) in &own.env {
        let key = format!("env.{name}");
        if !named(name) {
            at.wrong(&key, "is not the name of an environment variable");
        }
        at.template(&key, value, true);
    }
    for (index, name) in own.env_allow.iter().enumerate() {
        if !named(name) {
            at.wrong(&format!("env_allow[{index}]"), "is not the name of an environment variable");
        }
    }
    if let Some(stdin) = &own.stdin {
        at.template("stdin", stdin, false);
    }
    if own.cwd.as_ref().is_some_and(|cwd| !cwd.is_absolute()) {
        at.wrong("cwd", "must be an absolute path");
    }
    at.range("timeout_seconds", own.timeout_seconds, 1..=MONTH);
    at.range("grace_seconds", own.grace_seconds, 0..=600);
    at.range("max_output_bytes", own.max_output_bytes, OUTPUT);
    let limits = [
        ("memory_bytes", own.limits.memory_bytes, 1_048_576),
        ("cpu_seconds", own.limits.cpu_seconds, 1),
        ("open_files", own.limits.open_files, 8),
        ("file_bytes", own.limits.file_bytes, 0),
    ];
    for (key, value, least) in limits {
        if let Some(value) = value {
            at.range(&format!("limits.{key}"), value, least..=i64::MAX.unsigned_abs());
        }
    }
}

fn http(at: &mut At<'_>, own: &Http) {
    at.exchange(&own.method, &own.headers, own.body.as_ref());
    at.template("url", &own.url, false);
    hosts(&own.allowed_hosts, &format!("{}.allowed_hosts", at.path), at.problems);
    url(&own.url, &own.allowed_hosts, &format!("{}.url", at.path), at.problems);
    at.range("timeout_seconds", own.timeout_seconds, 1..=3_600);
    at.range("connect_timeout_seconds", own.connect_timeout_seconds, 1..=300);
    at.range("max_redirects", own.max_redirects, 0..=10);
    at.range("max_output_bytes", own.max_output_bytes, OUTPUT);
}

fn http_async(at: &mut At<'_>, own: &HttpAsync) {
    at.exchange(&own.method, &own.headers, own.body.as_ref());
    at.method("cancel_method", &own.cancel_method);
    hosts(&own.allowed_hosts, &format!("{}.allowed_hosts", at.path), at.problems);
    let urls = [
        ("url", Some(&own.url), false),
        ("poll_url_template", Some(&own.poll_url_template), true),
        ("cancel_url_template", own.cancel_url_template.as_ref(), true),
    ];
    for (key, template, of_job) in urls {
        let Some(template) = template else { continue };
        at.template(key, template, false);
        url(template, &own.allowed_hosts, &format!("{}.{key}", at.path), at.problems);
        if of_job && !template.literal_text().contains("{run_id}") {
            at.wrong(key, "must hold {run_id}: without it, one job cannot be told from another");
        }
    }
    for (key, path) in [("run_id_path", &own.run_id_path), ("poll_status_path", &own.poll_status_path)] {
        if path.split('.').any(|part| part.trim().is_empty()) {
            at.wrong(key, "must be a path such as `id` or `data.state`");
        }
    }
    if own.poll_terminal_states.is_empty() {
        at.wrong(
            "poll_terminal_states",
            "must name at least one state: without one, no poll could ever be the last",
        );
    }
    if own.poll_success_states.is_empty() {
        at.wrong(
            "poll_success_states",
            "must name at least one state: without one, no run could ever succeed",
        );
    }
    for (index, state) in own.poll_success_states.iter().enumerate() {
        if !own.poll_terminal_states.contains(state) {
            let message = format!("`{state}` is not among poll_terminal_states, so it would never be seen");
            at.wrong(&format!("poll_success_states[{index}]"), message);
        }
    }
    at.range("poll_interval_seconds", own.poll_interval_seconds, 1..=86_400);
    at.range("poll_max_failures", own.poll_max_failures, 1..=10_000);
    at.range("timeout_seconds", own.timeout_seconds, 1..=MONTH);
    if own.poll_interval_seconds >= own.timeout_seconds {
        at.wrong("poll_interval_seconds", "must be shorter than timeout_seconds, or there is only one poll");
    }
    at.range("request_timeout_seconds", own.request_timeout_seconds, 1..=600);
    at.range("connect_timeout_seconds", own.connect_timeout_seconds, 1..=300);
    at.range("max_redirects", own.max_redirects, 0..=10);
    at.range("max_output_bytes", own.max_output_bytes, OUTPUT);
}

fn manual(at: &mut At<'_>, own: &Manual) {
    for (key, template) in [("title", &own.title), ("instructions", &own.instructions)] {
        if let Some(template) = template {
            at.template(key, template, false);
        }
    }
    if let Some(seconds) = own.timeout_seconds {
        at.range("timeout_seconds", seconds, 1..=10 * 366 * 86_400);
    }
    at.range("lease_seconds", own.lease_seconds, 1..=604_800);
}

/// Executables and secrets that are not there at this moment.
pub fn warnings(entries: &[Entry]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Kind::Subprocess(own) = &entry.kind
            && let Err(reason) = executable::command(own)
        {
            found.push(problem(&format!("entries[{index}].argv[0]"), reason));
        }
        for (name, source) in &entry.common.secrets {
            if let Err(reason) = source.read() {
                found.push(problem(&format!("entries[{index}].secrets.{name}"), reason));
            }
        }
    }
    found
}
