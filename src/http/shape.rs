//! Checks JSON against the very schema the OpenAPI document publishes for a type, so that what is
//! documented is what is accepted, and every violation is found at once.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::code::Code;
use super::problem::Problem;
use crate::schema::Validator;

static SHAPES: RwLock<Option<HashMap<TypeId, Arc<Shape>>>> = RwLock::new(None);

/// The schema of a request type, compiled once.
pub(super) struct Shape {
    pub schema: Value,
    validator: Validator,
}

impl Shape {
    /// The shape of `T`, compiled from `schema` on first use.
    pub fn of<T: 'static>(schema: fn() -> Value) -> Result<Arc<Self>, Problem> {
        let id = TypeId::of::<T>();
        if let Some(found) = SHAPES.read().as_ref().and_then(|shapes| shapes.get(&id)) {
            return Ok(found.clone());
        }
        let schema = schema();
        let validator = Validator::compile(&schema).map_err(|why| {
            let (name, pointer) = (std::any::type_name::<T>(), why.pointer);
            tracing::error!(name, pointer, "the schema of a request type does not compile: {}", why.msg);
            Problem::new(Code::Internal, "the schema of this request does not compile")
        })?;
        let shape = Arc::new(Self { schema, validator });
        SHAPES.write().get_or_insert_default().insert(id, shape.clone());
        Ok(shape)
    }

    /// `invalid_request` naming every place where a value does not fit, with `part` (`body`, `query`) in
    /// front of each `loc`.
    pub fn check(&self, part: &str, value: &Value) -> Result<(), Problem> {
        let mut found = self.validator.check(value);
        for violation in &mut found {
            violation.loc.insert(0, part.into());
        }
        if found.is_empty() { Ok(()) } else { Err(Problem::invalid_request(found)) }
    }
}

/// The schema of a type and of all it refers to, in one self-contained document.
pub(super) fn schema_of<T: ToSchema>() -> Value {
    let mut referred = Vec::new();
    T::schemas(&mut referred);
    let mut root = json!(T::schema());
    let definitions = referred.into_iter().map(|(name, schema)| (name, json!(schema))).collect::<Map<_, _>>();
    if let Value::Object(root) = &mut root {
        root.insert("$defs".into(), Value::Object(definitions));
    }
    checkable(&mut root);
    root
}

/// Rewrites a schema of the OpenAPI document into one that accepts the same and explains itself better: the formats of
/// integers are bounds, references point into `$defs`, and "null or X" becomes "unless null, X", whose violations are those
/// of X in their place rather than a single "fits neither".
pub(super) fn checkable(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(target)) = object.get_mut("$ref") {
                *target = target.replacen("#/components/schemas/", "#/$defs/", 1);
            }
            let largest = match object.get("format").and_then(Value::as_str) {
                Some("int32") => Some(i64::from(i32::MAX)),
                Some("int64") => Some(i64::MAX),
                _ => None,
            };
            if let Some(largest) = largest {
                object.entry("maximum").or_insert(largest.into());
            }
            object.values_mut().for_each(checkable);
            if let Some(inner) = unless_null(object) {
                *schema = json!({"if": {"not": {"type": "null"}}, "then": inner});
            }
        }
        Value::Array(items) => items.iter_mut().for_each(checkable),
        _ => {}
    }
}

/// What a nullable schema says about values that are not null.
fn unless_null(object: &Map<String, Value>) -> Option<Value> {
    if let Some(Value::Array(types)) = object.get("type") {
        let [first, second] = types.as_slice() else { return None };
        let kind = if first == "null" { second } else { first };
        let mut inner = object.clone();
        inner.insert("type".into(), kind.clone());
        return (first == "null" || second == "null").then_some(Value::Object(inner));
    }
    let Some(Value::Array(choices)) = object.get("oneOf") else { return None };
    match choices.as_slice() {
        [null, other] | [other, null] if *null == json!({"type": "null"}) => Some(other.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(ToSchema)]
    #[allow(dead_code)]
    struct Inner {
        size: u32,
    }

    #[derive(ToSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        note: Option<String>,
        inner: Option<Inner>,
        list: Option<Vec<Inner>>,
        any: Option<Value>,
    }

    #[test]
    fn all_violations_are_named_in_their_place() {
        let shape = Shape::of::<Outer>(schema_of::<Outer>).unwrap();
        let found =
            |value: &Value| shape.check("body", value).err().map_or(vec![], |problem| problem.details);
        let table = [
            (json!({"name": "a"}), vec![]),
            (json!({"name": "a", "note": null, "inner": null, "list": null, "any": null}), vec![]),
            (json!({"name": "a", "inner": {"size": 1}, "list": [{"size": 2}], "any": {"x": [1]}}), vec![]),
            (json!({}), vec!["/name missing"]),
            (json!({"name": "a", "note": 1}), vec!["/note string_type"]),
            (
                json!({"name": 1, "inner": {"size": "x"}}),
                vec!["/inner/size int_parsing", "/name string_type"],
            ),
            (json!({"name": "a", "inner": {"size": -1}}), vec!["/inner/size minimum"]),
            (json!({"name": "a", "inner": {"size": 2_147_483_648_u32}}), vec!["/inner/size maximum"]),
            (json!({"name": "a", "list": [{"size": 1}, {}]}), vec!["/list/1/size missing"]),
            (json!([]), vec![" dict_type"]),
        ];
        for (value, expected) in table {
            let found = found(&value);
            assert!(found.iter().all(|violation| violation.loc[0] == "body"));
            let mut found: Vec<_> = found.iter().map(|v| format!("{} {}", v.pointer, v.kind)).collect();
            found.sort();
            assert_eq!(found, expected, "{value}");
        }
        assert_eq!(found(&json!({"name": "a", "nmae": 1})).len(), 1);
    }
}
