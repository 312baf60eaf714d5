//! `${NAME}` and `${NAME:-default}` in strings of a configuration file.

use std::collections::BTreeMap;

use serde_yaml::Value;

/// Why a string could not be expanded, and what would be allowed.
#[derive(Debug)]
pub(super) struct ExpandError {
    pub message: String,
    pub allowed: String,
}

/// Expands every string inside `value`, lists and mappings included, and adds the names used to `used`.
pub(super) fn expand_value(
    value: &mut Value,
    environment: &BTreeMap<String, String>,
    used: &mut Vec<String>,
) -> Result<(), ExpandError> {
    match value {
        Value::String(text) if text.contains("${") => *text = expand(text, environment, used)?,
        Value::Sequence(items) => {
            for item in items {
                expand_value(item, environment, used)?;
            }
        }
        Value::Mapping(entries) => {
            for (_, item) in entries.iter_mut() {
                expand_value(item, environment, used)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn expand(
    text: &str,
    environment: &BTreeMap<String, String>,
    used: &mut Vec<String>,
) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let from = &from[2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = from;
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = from.split_once('}') else {
            return Err(malformed("has a `${` without a closing `}`".into()));
        };
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(malformed(format!("`${{{inside}}}` does not name a variable")));
        }
        used.push(name.to_owned());
        // As in a shell: `:-` also stands in for an empty variable.
        match (environment.get(name), default) {
            (Some(value), None) => out.push_str(value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err(ExpandError {
                    message: format!("`${{{name}}}` is not set"),
                    allowed: format!("set the environment variable {name}, or write `${{{name}:-default}}`"),
                });
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn malformed(message: String) -> ExpandError {
    ExpandError { message, allowed: "`${NAME}`, `${NAME:-default}`, or `$${` for a plain `${`".into() }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
