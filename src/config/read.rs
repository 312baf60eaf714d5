//! Typed reading of single keys. A bad value is recorded and a stand-in returned, so that one start-up tells about
//! every mistake.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use serde_yaml::Value;

use super::{
    layers::{Layers, Leaf, Source},
    problem::Problem,
};

/// Reads keys out of the layers.
pub(super) struct Reader {
    layers: Layers,
}

impl Reader {
    pub fn new(layers: Layers) -> Self {
        Self { layers }
    }

    /// All problems recorded so far.
    pub fn into_problems(self) -> Vec<Problem> {
        self.layers.problems
    }

    /// Any string.
    pub fn text(&mut self, key: &str) -> String {
        let (value, source) = self.leaf(key);
        match value {
            Value::String(text) => text,
            other => {
                self.wrong(key, &source, &shown(&other), "a string (put it in quotes)");
                String::new()
            }
        }
    }

    /// A string that is not blank and has no space around it.
    pub fn name(&mut self, key: &str) -> String {
        let text = self.text(key);
        if text.trim().is_empty() || text.trim() != text {
            self.refuse(key, format!("is {text:?}"), "a name that is not empty, without spaces around it");
        }
        text
    }

    /// A string, or `None` when empty.
    pub fn optional(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// true/false in any accepted spelling.
    pub fn flag(&mut self, key: &str) -> bool {
        let (value, source) = self.leaf(key);
        let text = scalar(&value).unwrap_or_default().to_lowercase();
        match text.as_str() {
            "1" | "true" | "yes" | "on" => true,
            "0" | "false" | "no" | "off" => false,
            _ => {
                self.wrong(key, &source, &shown(&value), "true, false, yes, no, on, off, 1 or 0");
                false
            }
        }
    }

    /// A whole number within `range`.
    pub fn number<T>(&mut self, key: &str, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let (value, source) = self.leaf(key);
        match scalar(&value).and_then(|text| text.parse::<T>().ok()) {
            Some(number) if range.contains(&number) => number,
            _ => {
                let allowed = format!("a whole number from {} to {}", range.start(), range.end());
                self.wrong(key, &source, &shown(&value), allowed);
                *range.start()
            }
        }
    }

    /// One of a few words, in any case.
    pub fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)], allowed: &str) -> T {
        let (value, source) = self.leaf(key);
        let text = scalar(&value).unwrap_or_default().to_lowercase();
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => *meaning,
            None => {
                self.wrong(key, &source, &shown(&value), allowed);
                words[0].1
            }
        }
    }

    /// A list; a string, as from the environment, is read as YAML (and so JSON).
    pub fn list(&mut self, key: &str) -> Vec<Value> {
        let (value, source) = self.leaf(key);
        let parsed = match &value {
            Value::String(text) => serde_yaml::from_str(text).unwrap_or(Value::Null),
            other => other.clone(),
        };
        match parsed {
            Value::Sequence(items) => items,
            // Not shown: lists may hold secrets.
            _ => {
                self.refuse_at(key, key, &source, "is not a list", "a list, [] for none");
                Vec::new()
            }
        }
    }

    /// Records a problem with the value of `key`.
    pub fn refuse(&mut self, key: &str, message: impl Into<String>, allowed: impl Into<String>) {
        let source = self.leaf(key).1;
        self.layers.problem(key, &source, message, allowed);
    }

    /// Records a problem at `path`, a place inside the list `key`.
    pub fn refuse_inside(
        &mut self,
        key: &str,
        path: &str,
        message: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        let source = self.leaf(key).1;
        self.refuse_at(key, path, &source, message, allowed);
    }

    fn refuse_at(
        &mut self,
        key: &str,
        path: &str,
        source: &Source,
        message: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        debug_assert!(path.starts_with(key), "{path} is not inside {key}");
        self.layers.problem(path, source, message, allowed);
    }

    fn wrong(&mut self, key: &str, source: &Source, value: &str, allowed: impl Into<String>) {
        let message = if is_secret(key) { "has the wrong shape".to_owned() } else { format!("is {value}") };
        self.layers.problem(key, source, message, allowed);
    }

    fn leaf(&self, key: &str) -> (Value, Source) {
        match self.layers.leaves.get(key) {
            Some(Leaf { value, source }) => (value.clone(), source.clone()),
            None => unreachable!("{key} is read but config.yaml does not have it"),
        }
    }
}

/// Keys whose values are never shown.
fn is_secret(key: &str) -> bool {
    matches!(key, "temporal.api_key" | "temporal.tls_key" | "auth.token")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Sequence(_) => "a list".into(),
        Value::Mapping(_) => "a mapping".into(),
        other => scalar(other).unwrap_or_else(|| "null".into()),
    }
}
