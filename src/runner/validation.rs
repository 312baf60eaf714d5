//! Inputs and outputs against JSON Schema.

use jsonschema::{ReferencingError, ValidationError, error::ValidationErrorKind};
use serde_json::{Value, json};

/// Where a value breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the value.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

/// Every way `value` breaks `schema`; empty when it fits.
///
/// # Errors
/// When the schema itself cannot be compiled. Remote references are never fetched, they count as broken.
pub fn violations(schema: &Value, value: &Value) -> Result<Vec<Violation>, String> {
    let validator = compile(schema)?;
    Ok(validator
        .iter_errors(value)
        .map(|error| Violation { pointer: error.instance_path().to_string(), message: error.to_string() })
        .collect())
}

/// Compiles a schema, to refuse a broken one early.
///
/// # Errors
/// The compiler's words.
pub fn compile(schema: &Value) -> Result<jsonschema::Validator, String> {
    // As the registry does: what it lets through must not be turned away here.
    let options = jsonschema::options().offline().should_validate_formats(false);
    options.build(schema).map_err(|error| format!("not a valid JSON Schema: {}", reason(&error)))
}

fn reason(error: &ValidationError<'_>) -> String {
    match error.kind() {
        ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => {
            format!("it refers to {uri}, and nothing is fetched")
        }
        _ => error.to_string(),
    }
}

/// The violations as one line for a human.
pub fn summary(broken: &[Violation]) -> String {
    let lines = broken.iter().take(10).map(|violation| {
        let at = if violation.pointer.is_empty() { "/" } else { violation.pointer.as_str() };
        format!("{at}: {}", violation.message)
    });
    lines.collect::<Vec<_>>().join("; ")
}

/// The violations as `[{pointer, msg}]`.
pub fn details(broken: &[Violation]) -> Value {
    broken.iter().map(|violation| json!({"pointer": violation.pointer, "msg": violation.message})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_violations_are_found_at_once() {
        let schema = json!({"type": "object", "required": ["day"], "properties": {"n": {"type": "integer"}}});
        let broken = violations(&schema, &json!({"n": "x"})).unwrap();
        assert_eq!(broken.len(), 2, "{broken:?}");
        assert!(broken.iter().any(|violation| violation.pointer == "/n"));
        assert!(violations(&schema, &json!({"day": "mon"})).unwrap().is_empty());
    }

    #[test]
    fn a_broken_or_remote_schema_is_refused() {
        for schema in
            [json!({"type": 5}), json!({"$ref": "https://example.com/x.json"}), json!({"$ref": "#/$defs/no"})]
        {
            assert!(compile(&schema).is_err(), "{schema}");
        }
    }
}
