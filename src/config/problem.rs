//! What is wrong with the settings, said so that it can be put right.

use std::fmt;

/// One thing wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the key, for example `auth.tokens[0].sha256`; empty when a whole file is at fault.
    pub key: String,
    /// Where the value came from: a file, an environment variable or a flag.
    pub source: String,
    /// What is wrong. Never holds the value of a secret.
    pub message: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, source, message, allowed } = self;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{message} ({source}); allowed: {allowed}")
    }
}

/// All that is wrong with the settings, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad configuration\n{}", .problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// At least one problem, in the order of `config.yaml`.
    pub problems: Vec<Problem>,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}
