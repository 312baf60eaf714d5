//! What a value breaks, in the vocabulary clients branch on.

use std::fmt::{self, Write};

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError};
use serde::Serialize;
use serde_json::Value;

/// The most violations one check reports; the rest are left out.
pub const VIOLATIONS_MAX: usize = 100;

/// Characters kept of one message. Messages quote the value, which may be as large as a request body.
const MESSAGE_CHARS_MAX: usize = 400;

/// One way in which a value breaks its schema.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// Path into the value: property names and array indices. A missing or unexpected property is its last
    /// element.
    pub loc: Vec<Value>,
    /// The same path as a JSON pointer.
    pub pointer: String,
    /// What is wrong, for people; long values are cut.
    pub msg: String,
    /// What is wrong, for programs: `missing`, `additionalProperties`, `int_parsing`, `float_parsing`,
    /// `string_type`, `bool_parsing`, `list_type`, `dict_type`, `null_type`, `type_error` (several types
    /// allowed), `enum`, `string_pattern`, `validation_error` (a `false` schema), `too_complex` (the
    /// violations are too many or too costly to list), else the schema keyword.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Violation {
    /// The violation of the whole value, without a more precise place.
    pub(super) fn of_whole(kind: &str, msg: &str) -> Self {
        Self { loc: Vec::new(), pointer: String::new(), msg: msg.to_owned(), kind: kind.to_owned() }
    }

    fn inside(mut self, property: &str, kind: &str) -> Self {
        self.pointer.push('/');
        self.pointer.push_str(&property.replace('~', "~0").replace('/', "~1"));
        self.loc.push(Value::from(property));
        kind.clone_into(&mut self.kind);
        self
    }
}

/// The violations behind `errors` of `instance`, ordered by the place of the value that broke a keyword.
pub(super) fn ordered<'a>(
    instance: &'a Value,
    errors: impl Iterator<Item = ValidationError<'a>>,
) -> Vec<Violation> {
    let mut placed: Vec<_> = errors.map(|error| (place(&error), error)).collect();
    placed.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut violations = Vec::new();
    for (_, error) in &placed {
        expand(instance, error, &mut violations);
        if violations.len() >= VIOLATIONS_MAX {
            violations.truncate(VIOLATIONS_MAX);
            break;
        }
    }
    violations
}

/// Sorts indices as numbers and names as text, a container before what is in it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Property(String),
}

fn place(error: &ValidationError<'_>) -> Vec<Step> {
    let step = |segment| match segment {
        LocationSegment::Property(name) => Step::Property(name.to_string()),
        LocationSegment::Index(index) => Step::Index(index),
    };
    error.instance_path().segments().map(step).collect()
}

fn expand(root: &Value, error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
    let violation = Violation {
        loc: place(error)
            .into_iter()
            .map(|step| match step {
                Step::Index(index) => Value::from(index),
                Step::Property(name) => Value::from(name),
            })
            .collect(),
        pointer: error.instance_path().as_str().to_owned(),
        msg: message(error),
        kind: kind(error),
    };
    match error.kind() {
        ValidationErrorKind::Required { property: Value::String(property) } => {
            violations.push(violation.inside(property, "missing"));
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            violations.extend(unexpected_in(&violation, unexpected.iter()));
        }
        ValidationErrorKind::FalseSchema => match root.pointer(&violation.pointer) {
            // The engine reports a bare `additionalProperties: false` as a `false` schema at the object, with
            // its first member as what broke it. No value equals a part of itself, so this tells them apart.
            Some(Value::Object(map)) if map.values().next() == Some(error.instance()) => {
                violations.extend(unexpected_in(&violation, map.keys()));
            }
            _ => violations.push(violation),
        },
        _ => violations.push(violation),
    }
}

fn unexpected_in<'a>(
    object: &Violation,
    properties: impl Iterator<Item = &'a String>,
) -> impl Iterator<Item = Violation> {
    // A body may hold a hundred thousand of them.
    properties.take(VIOLATIONS_MAX).map(|property| Violation {
        msg: shortened(&format_args!("'{property}' is not an allowed property")),
        ..object.clone().inside(property, "additionalProperties")
    })
}

fn kind(error: &ValidationError<'_>) -> String {
    let kind = match error.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(expected) } => match expected {
            JsonType::Integer => "int_parsing",
            JsonType::Number => "float_parsing",
            JsonType::String => "string_type",
            JsonType::Boolean => "bool_parsing",
            JsonType::Array => "list_type",
            JsonType::Object => "dict_type",
            JsonType::Null => "null_type",
        },
        ValidationErrorKind::Type { kind: TypeKind::Multiple(_) } => "type_error",
        ValidationErrorKind::FalseSchema => "validation_error",
        other => match other.keyword() {
            "pattern" => "string_pattern",
            keyword => keyword,
        },
    };
    kind.to_owned()
}

/// `error` as text, bounded.
pub(super) fn message(error: &ValidationError<'_>) -> String {
    shortened(error)
}

fn shortened(text: &dyn fmt::Display) -> String {
    let mut bounded = Bounded { text: String::new(), left: MESSAGE_CHARS_MAX };
    if write!(bounded, "{text}").is_err() {
        bounded.text.push('…');
    }
    bounded.text
}

/// Stops the formatting once it is full, so that a large value is not rendered in order to be cut.
struct Bounded {
    text: String,
    left: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}
