//! Where a schema holds other schemas, and how they are reached.

use serde_json::{Map, Value};

/// How a schema applies another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach<'a> {
    /// To the same value.
    SameValue,
    /// To the property of this name.
    Property(&'a str),
    /// To any property or item.
    AnyChild,
    /// Not by itself; only a reference leads there.
    OnlyByReference,
}

const ONE_SAME: [&str; 4] = ["not", "if", "then", "else"];
const LIST_SAME: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const MAP_SAME: [&str; 2] = ["dependentSchemas", "dependencies"];
const CHILD: [&str; 7] = [
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "items",
];
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// The schemas `schema` holds directly, each with its pointer below `schema`. Data (`enum`, `const`,
/// `default`, `examples`) and unknown keywords are not entered.
pub(super) fn subschemas(schema: &Map<String, Value>) -> Vec<(String, Reach<'_>, &Value)> {
    let mut found = Vec::new();
    for (keyword, held) in schema {
        let name = keyword.as_str();
        if name == "properties" {
            for (property, sub) in held.as_object().into_iter().flatten() {
                found.push((below(&[name, property]), Reach::Property(property), sub));
            }
        } else if name == "patternProperties" {
            map(name, held, Reach::AnyChild, &mut found);
        } else if MAP_SAME.contains(&name) {
            map(name, held, Reach::SameValue, &mut found);
        } else if DEFINITIONS.contains(&name) {
            map(name, held, Reach::OnlyByReference, &mut found);
        } else if LIST_SAME.contains(&name) {
            list(name, held, Reach::SameValue, &mut found);
        } else if name == "prefixItems" || (name == "items" && held.is_array()) {
            list(name, held, Reach::AnyChild, &mut found);
        } else if ONE_SAME.contains(&name) {
            found.push((below(&[name]), Reach::SameValue, held));
        } else if CHILD.contains(&name) {
            found.push((below(&[name]), Reach::AnyChild, held));
        } else if name == "contentSchema" {
            found.push((below(&[name]), Reach::OnlyByReference, held));
        }
    }
    found.retain(|(_, _, sub)| sub.is_object() || sub.is_boolean());
    found
}

fn map<'a>(name: &str, held: &'a Value, reach: Reach<'a>, found: &mut Vec<(String, Reach<'a>, &'a Value)>) {
    let entries = held.as_object().into_iter().flatten();
    found.extend(entries.map(|(key, sub)| (below(&[name, key]), reach, sub)));
}

fn list<'a>(name: &str, held: &'a Value, reach: Reach<'a>, found: &mut Vec<(String, Reach<'a>, &'a Value)>) {
    let entries = held.as_array().into_iter().flatten().enumerate();
    found.extend(entries.map(|(index, sub)| (below(&[name, &index.to_string()]), reach, sub)));
}

/// A JSON pointer made of `steps`.
pub(super) fn below(steps: &[&str]) -> String {
    steps.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}
