//! The values by dotted key, each with its source; later layers win.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde_yaml::Value;

use super::{
    Flag, Profile,
    expand::expand_value,
    problem::{ConfigError, Problem},
};

/// Prefix of the environment variables that set any key.
const ANY_KEY_PREFIX: &str = "TEMPORAL_REGISTRY__";

/// Environment variables with a name of their own, and the key each sets.
const NAMED_VARIABLES: &[(&str, &str)] = &[
    ("TEMPORAL_ADDRESS", "temporal.address"),
    ("TEMPORAL_NAMESPACE", "temporal.namespace"),
    ("TEMPORAL_TLS", "temporal.tls"),
    ("TEMPORAL_API_KEY", "temporal.api_key"),
    ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "temporal.tls_ca"),
    ("TEMPORAL_TLS_SERVER_CA_CERT_DATA", "temporal.tls_ca"),
    ("TEMPORAL_TLS_CLIENT_CERT_PATH", "temporal.tls_cert"),
    ("TEMPORAL_TLS_CLIENT_CERT_DATA", "temporal.tls_cert"),
    ("TEMPORAL_TLS_CLIENT_KEY_PATH", "temporal.tls_key"),
    ("TEMPORAL_TLS_CLIENT_KEY_DATA", "temporal.tls_key"),
    ("TEMPORAL_TLS_SERVER_NAME", "temporal.tls_domain"),
    ("TEMPORAL_REGISTRY_HOST", "server.host"),
    ("TEMPORAL_REGISTRY_PORT", "server.port"),
    ("TEMPORAL_REGISTRY_AUTH_ENABLED", "auth.enabled"),
    ("TEMPORAL_REGISTRY_TOKEN", "auth.token"),
    ("TEMPORAL_REGISTRY_LOG_LEVEL", "observability.logging.level"),
    ("TEMPORAL_REGISTRY_ACCESS_LOG", "observability.logging.access"),
    ("TEMPORAL_REGISTRY_METRICS_ENABLED", "observability.metrics.enabled"),
    ("TEMPORAL_REGISTRY_METRICS_PATH", "observability.metrics.path"),
    ("TEMPORAL_REGISTRY_OTEL_ENABLED", "observability.otel.enabled"),
    ("TEMPORAL_REGISTRY_OTEL_SERVICE_NAME", "observability.otel.service_name"),
    ("TEMPORAL_REGISTRY_OTEL_ENDPOINT", "observability.otel.endpoint"),
    ("TEMPORAL_REGISTRY_OTEL_INSECURE", "observability.otel.insecure"),
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The compiled-in `config.yaml`.
    Default,
    /// A profile of Temporal's own configuration, in words.
    Profile(String),
    /// A file, and the variables its value was filled from.
    File(PathBuf, Vec<String>),
    /// An environment variable.
    Environment(String),
    /// A flag, or the command itself.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::Profile(words) => f.write_str(words),
            Self::File(path, used) if used.is_empty() => write!(f, "file {}", path.display()),
            Self::File(path, used) => {
                write!(f, "file {}, filled from environment variable {}", path.display(), used.join(", "))
            }
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub value: Value,
    pub source: Source,
}

/// All values so far, and all problems so far.
#[derive(Debug)]
pub(super) struct Layers {
    pub leaves: BTreeMap<String, Leaf>,
    pub problems: Vec<Problem>,
}

impl Layers {
    /// The first layer: the keys of `text` are the only keys there are.
    pub fn from_defaults(text: &str) -> Result<Self, ConfigError> {
        let mut layers = Self { leaves: BTreeMap::new(), problems: Vec::new() };
        let root = parse(text, &Source::Default)?;
        walk(root, String::new(), &mut |key, value| {
            let is_leaf = !value.is_mapping();
            if is_leaf {
                layers.leaves.insert(key.to_owned(), Leaf { value: value.clone(), source: Source::Default });
            }
            !is_leaf
        });
        Ok(layers)
    }

    /// Adds a profile.
    pub fn add_profile(&mut self, profile: &Profile) {
        for (key, value) in &profile.values {
            self.set(key, Value::String(value.clone()), Source::Profile(profile.source.clone()));
        }
    }

    /// Adds a YAML file.
    pub fn add_file(
        &mut self,
        path: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        let source = Source::File(path.to_owned(), Vec::new());
        let text = std::fs::read_to_string(path).map_err(|error| whole(&source, error.to_string()))?;
        let root = parse(&text, &source)?;
        if root.is_null() {
            return Ok(());
        }
        if !root.is_mapping() {
            return Err(whole(&source, "is not a mapping of sections".into()).into());
        }
        walk(root, String::new(), &mut |key, value| {
            if value.is_null() && (self.leaves.contains_key(key) || self.is_section(key)) {
                return false;
            }
            if self.is_section(key) {
                if value.is_mapping() {
                    return true;
                }
                let allowed = format!("a section with the keys {}", self.children(key));
                self.problem(key, &source, "is a section, not a value", allowed);
                return false;
            }
            let mut used = Vec::new();
            match expand_value(value, environment, &mut used) {
                Ok(()) => self.set(key, value.clone(), Source::File(path.to_owned(), used)),
                Err(error) => self.problem(key, &source, error.message, error.allowed),
            }
            false
        });
        Ok(())
    }

    /// Adds the environment. Empty variables count as unset.
    pub fn add_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (name, key) in NAMED_VARIABLES {
            let Some(value) = environment.get(*name).filter(|value| !value.is_empty()) else { continue };
            // Kubernetes sets this very name to `tcp://ip:port` in every pod beside a Service called
            // `temporal-registry`; nobody means that as a port.
            if *name == "TEMPORAL_REGISTRY_PORT" && value.starts_with("tcp://") {
                continue;
            }
            // As for Temporal's own programs: what TLS needs says that it is wanted, unless TEMPORAL_TLS says more.
            let says_itself = environment.get("TEMPORAL_TLS").is_some_and(|value| !value.is_empty());
            if name.starts_with("TEMPORAL_TLS_") && !says_itself {
                let source = Source::Environment((*name).to_owned());
                self.set("temporal.tls", Value::String("true".to_owned()), source);
            }
            self.set(key, Value::String(value.clone()), Source::Environment((*name).to_owned()));
        }
        for (name, value) in environment {
            let Some(path) = name.strip_prefix(ANY_KEY_PREFIX) else { continue };
            if !value.is_empty() {
                let key = path.replace("__", ".").to_lowercase();
                self.set(&key, Value::String(value.clone()), Source::Environment(name.clone()));
            }
        }
    }

    /// Adds flags.
    pub fn add_flags(&mut self, flags: &[Flag]) {
        for flag in flags {
            self.set(flag.key, Value::String(flag.value.clone()), Source::Flag(flag.name));
        }
    }

    /// Records a problem with `key`.
    pub fn problem(
        &mut self,
        key: &str,
        source: &Source,
        message: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        self.problems.push(Problem {
            key: key.to_owned(),
            source: source.to_string(),
            message: message.into(),
            allowed: allowed.into(),
        });
    }

    fn set(&mut self, key: &str, value: Value, source: Source) {
        match self.leaves.get_mut(key) {
            Some(leaf) => *leaf = Leaf { value, source },
            None => {
                let section = self.nearest_section(key);
                let place = if section.is_empty() { "the top level".to_owned() } else { section.to_owned() };
                let allowed = format!("the keys of {place} are {}", self.children(section));
                self.problem(key, &source, "unknown key", allowed);
            }
        }
    }

    fn is_section(&self, key: &str) -> bool {
        let prefix = format!("{key}.");
        self.leaves.keys().any(|leaf| leaf.starts_with(&prefix))
    }

    /// The longest beginning of `key` that is a section; empty for the top level.
    fn nearest_section<'a>(&self, key: &'a str) -> &'a str {
        let mut section = key;
        while let Some((parent, _)) = section.rsplit_once('.') {
            if self.is_section(parent) {
                return parent;
            }
            section = parent;
        }
        ""
    }

    /// The names directly below a section, for messages.
    fn children(&self, section: &str) -> String {
        let prefix = if section.is_empty() { String::new() } else { format!("{section}.") };
        let mut names: Vec<&str> = self
            .leaves
            .keys()
            .filter_map(|leaf| leaf.strip_prefix(&prefix))
            .map(|rest| rest.split_once('.').map_or(rest, |(name, _)| name))
            .collect();
        names.dedup();
        names.join(", ")
    }
}

fn parse(text: &str, source: &Source) -> Result<Value, ConfigError> {
    serde_yaml::from_str(text).map_err(|error| whole(source, format!("is not YAML: {error}")).into())
}

fn whole(source: &Source, message: String) -> Problem {
    Problem {
        key: String::new(),
        source: source.to_string(),
        message,
        allowed: "a readable YAML file with sections as in config.yaml".into(),
    }
}

/// Visits every entry below `value` with its dotted key; `visit` says whether to go further down.
fn walk(value: Value, key: String, visit: &mut impl FnMut(&str, &mut Value) -> bool) {
    let Value::Mapping(entries) = value else { return };
    for (name, mut child) in entries {
        let name = match name {
            Value::String(name) => name,
            other => serde_yaml::to_string(&other).unwrap_or_default().trim().to_owned(),
        };
        let path = if key.is_empty() { name } else { format!("{key}.{name}") };
        if visit(&path, &mut child) {
            walk(child, path, visit);
        }
    }
}
