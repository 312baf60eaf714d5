//! Path and query parameters.

use std::collections::BTreeMap;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

use super::body::typed;
use super::code::Code;
use super::problem::Problem;
use super::shape::{self, Shape};

/// Path parameters; what cannot be decoded is 400 `invalid_request` with loc `["path", name]`.
#[derive(Clone, Debug)]
pub struct ApiPath<T>(pub T);

/// Query parameters, read by the types `T` documents. Unknown ones are ignored, a repeated one is a list
/// where `T` says so (else the last one counts), and all that do not fit are reported at once with loc
/// `["query", name]`. `T` is documented with `#[into_params(parameter_in = Query)]`.
#[derive(Clone, Debug)]
pub struct ApiQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        well_encoded(parts.uri.path(), "path")?;
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(failed)) => Err(misfit(failed.into_kind())),
            Err(_) => Err(Problem::new(Code::Internal, "the route has no such path parameters")),
        }
    }
}

fn misfit(kind: ErrorKind) -> Problem {
    match kind {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            let kind = if expected_type.starts_with(['i', 'u']) { "int_parsing" } else { "value_error" };
            Problem::invalid_at(&["path", &key], format!("is not a {expected_type}"), kind)
        }
        ErrorKind::DeserializeError { key, message, .. } => {
            Problem::invalid_at(&["path", &key], message, "value_error")
        }
        ErrorKind::InvalidUtf8InPathParam { key } => {
            Problem::invalid_at(&["path", &key], "is not UTF-8", "invalid_encoding")
        }
        other => Problem::invalid_at(&["path"], other.to_string(), "value_error"),
    }
}

impl<S: Send + Sync, T: DeserializeOwned + IntoParams + 'static> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        well_encoded(query, "query")?;
        let shape = Shape::of::<T>(schema_of::<T>)?;
        let value = coerced(query, &shape.schema);
        shape.check("query", &value)?;
        typed("query", value).map(Self)
    }
}

/// The parameters of `T` as an object schema. A reference is left to the typed value to check.
fn schema_of<T: IntoParams>() -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in T::into_params(|| Some(ParameterIn::Query)) {
        let mut schema = json!(parameter.schema);
        shape::checkable(&mut schema);
        if json!(parameter.required) == true {
            required.push(parameter.name.clone());
        }
        properties.insert(parameter.name, if has_reference(&schema) { json!({}) } else { schema });
    }
    json!({"type": "object", "properties": properties, "required": required})
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => object.contains_key("$ref") || object.values().any(has_reference),
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}

/// The known parameters as JSON of the documented type; a text that is none stays a text, so that the
/// check says what was expected.
fn coerced(query: &str, schema: &Value) -> Value {
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        given.entry(name.into_owned()).or_default().push(value.into_owned());
    }
    let mut object = Map::new();
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let Some(mut values) = given.remove(name) else { continue };
        let schema = schema.get("then").unwrap_or(schema);
        let value = if schema["type"] == "array" {
            values.into_iter().map(|value| scalar(value, &schema["items"])).collect()
        } else {
            scalar(values.pop().unwrap_or_default(), schema)
        };
        object.insert(name.clone(), value);
    }
    Value::Object(object)
}

fn scalar(text: String, schema: &Value) -> Value {
    let parsed = match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("number") => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        Some("boolean") => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true.into()),
            "false" | "0" => Some(false.into()),
            _ => None,
        },
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

/// Refuses a `%` without two hex digits, and bytes that are not UTF-8, which decoders let through.
fn well_encoded(text: &str, part: &str) -> Result<(), Problem> {
    if !text.contains('%') {
        return Ok(());
    }
    let mut pieces = text.split('%').skip(1);
    let hex =
        |piece: &str| piece.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !pieces.all(hex) || percent_decode_str(text).decode_utf8().is_err() {
        return Err(Problem::invalid_at(&[part], "is not percent-encoded UTF-8", "invalid_encoding"));
    }
    Ok(())
}
