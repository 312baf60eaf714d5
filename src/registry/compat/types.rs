//! Sets of JSON types as bits. Whole numbers and other numbers are apart, since `integer` is only one half of
//! `number`.

use serde_json::Value;

pub(super) const NULL: u8 = 1;
pub(super) const BOOLEAN: u8 = 2;
const WHOLE: u8 = 4;
const FRACTION: u8 = 8;
pub(super) const NUMBER: u8 = WHOLE | FRACTION;
pub(super) const STRING: u8 = 16;
pub(super) const ARRAY: u8 = 32;
pub(super) const OBJECT: u8 = 64;
pub(super) const ALL: u8 = 127;

const NAMES: [(u8, &str); 7] = [
    (NULL, "null"),
    (BOOLEAN, "boolean"),
    (WHOLE, "integer"),
    (FRACTION, "number"),
    (STRING, "string"),
    (ARRAY, "array"),
    (OBJECT, "object"),
];

/// The types a `type` keyword names.
pub(super) fn named(keyword: &Value) -> u8 {
    let one = |name: &str| match name {
        "number" => NUMBER,
        other => NAMES.iter().find(|(_, name)| *name == other).map_or(0, |(bit, _)| *bit),
    };
    match keyword {
        Value::String(name) => one(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).fold(0, |all, name| all | one(name)),
        _ => ALL,
    }
}

/// The type of one value.
pub(super) fn of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.as_f64().is_some_and(|float| float.fract() == 0.0) => WHOLE,
        Value::Number(_) => FRACTION,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

/// The types of `set` in words.
pub(super) fn words(set: u8) -> String {
    let names: Vec<&str> = NAMES.iter().filter(|(bit, _)| set & bit != 0).map(|(_, name)| *name).collect();
    names.join(", ")
}

/// Whether `set` holds whole numbers only, or no numbers at all.
pub(super) fn only_whole(set: u8) -> bool {
    set & FRACTION == 0
}
