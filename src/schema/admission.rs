//! What a schema must be to be registered.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError};
use serde::Serialize;
use serde_json::{Map, Value};

use super::violation::message;

/// The most bytes a schema may have as compact JSON.
pub const SCHEMA_BYTES_MAX: usize = 256 * 1024;
/// How deep a schema may be nested: arrays and objects, data included.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// Bytes in one regular expression, and how many a schema may have.
const PATTERN_BYTES_MAX: usize = 1024;
const PATTERNS_MAX: usize = 256;
/// Bytes one compiled regular expression may take.
const PATTERN_COMPILED_BYTES_MAX: usize = 1024 * 1024;
/// Steps back one match may take. Only look-around and back-references need any: every other pattern runs in
/// linear time. Enough for the usual password rules, too few to hold a thread.
const PATTERN_BACKTRACKS_MAX: usize = 2_000;

/// Why a schema is not admissible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{msg} (at '{pointer}')")]
pub struct Inadmissible {
    /// JSON pointer into the schema, empty for the schema as a whole.
    pub pointer: String,
    /// What is wrong, for people.
    pub msg: String,
    /// What is wrong, for programs: `schema_type`, `schema_too_large`, `schema_too_deep`,
    /// `schema_too_complex`, `unknown_draft`, `schema_error` (its meta-schema refuses it),
    /// `unresolvable_ref`, `endless_ref`, `pattern_too_large` or `bad_pattern`.
    pub code: &'static str,
}

impl Inadmissible {
    pub(super) fn new(code: &'static str, pointer: impl Into<String>, msg: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), msg: msg.into(), code }
    }
}

/// The bounds that need no understanding of the schema, and its draft.
pub(super) fn outline(schema: &Value) -> Result<Draft, Inadmissible> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(Inadmissible::new("schema_type", "", "a schema is an object, true or false"));
    }
    // Depth first: the byte count below recurses.
    if deeper_than(schema, SCHEMA_DEPTH_MAX) {
        let msg = format!("nested deeper than {SCHEMA_DEPTH_MAX} levels");
        return Err(Inadmissible::new("schema_too_deep", "", msg));
    }
    let bytes = serde_json::to_vec(schema).map_or(usize::MAX, |text| text.len());
    if bytes > SCHEMA_BYTES_MAX {
        let msg = format!("{bytes} bytes, more than the {SCHEMA_BYTES_MAX} allowed");
        return Err(Inadmissible::new("schema_too_large", "", msg));
    }
    let Some(declared) = schema.get("$schema") else { return Ok(Draft::Draft202012) };
    let known = declared.as_str().map(Draft::from_schema_uri).filter(|draft| *draft != Draft::Unknown);
    known.ok_or_else(|| {
        let msg = format!("{declared} is not a JSON Schema draft known here (4, 6, 7, 2019-09, 2020-12)");
        Inadmissible::new("unknown_draft", "/$schema", msg)
    })
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(map) => levels == 0 || map.values().any(|item| deeper_than(item, levels - 1)),
        _ => false,
    }
}

/// Counts the regular expressions of `schema` itself into `count` and refuses the oversized.
pub(super) fn patterns(
    schema: &Map<String, Value>,
    pointer: &str,
    count: &mut usize,
) -> Result<(), Inadmissible> {
    let own = schema.get("pattern").and_then(Value::as_str).into_iter();
    let keys = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    for pattern in own.chain(keys.map(String::as_str)) {
        *count += 1;
        if pattern.len() > PATTERN_BYTES_MAX || *count > PATTERNS_MAX {
            let msg = format!("at most {PATTERNS_MAX} patterns of at most {PATTERN_BYTES_MAX} bytes");
            return Err(Inadmissible::new("pattern_too_large", pointer, msg));
        }
    }
    Ok(())
}

/// The compiled form of an outlined schema.
pub(super) fn compile(schema: &Value, draft: Draft) -> Result<jsonschema::Validator, Inadmissible> {
    jsonschema::options()
        .with_draft(draft)
        .offline()
        .should_validate_formats(false)
        .without_content_media_type_support("application/json")
        .without_content_encoding_support("base64")
        .with_pattern_options(
            PatternOptions::fancy_regex()
                .backtrack_limit(PATTERN_BACKTRACKS_MAX)
                .size_limit(PATTERN_COMPILED_BYTES_MAX)
                .dfa_size_limit(PATTERN_COMPILED_BYTES_MAX),
        )
        .build(schema)
        .map_err(|error| refusal(&error))
}

fn refusal(error: &ValidationError<'_>) -> Inadmissible {
    let code = match error.kind() {
        ValidationErrorKind::Referencing(_) => "unresolvable_ref",
        ValidationErrorKind::Format { format } if format == "regex" => "bad_pattern",
        _ => "schema_error",
    };
    Inadmissible::new(code, error.instance_path().as_str(), message(error))
}
