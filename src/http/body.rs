//! JSON request bodies.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use http_body_util::BodyExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::code::Code;
use super::problem::{Problem, escape};
use super::shape::{self, Shape};
use crate::schema::Violation;

/// A JSON body that fits the schema published for `T`. Refuses other content types and compression (415), what is
/// not JSON (400 `invalid_json`), and whatever does not fit (400 `invalid_request`, all violations at once).
#[derive(Clone, Debug)]
pub struct ApiJson<T>(pub T);

/// Like [`ApiJson`], but an empty body (or `null`) is `T::default()`. Documented as
/// `request_body = Option<T>`.
#[derive(Clone, Debug)]
pub struct OptionalJson<T>(pub T);

/// A body made large by many small parts, so that reading it twice is what its request costs. Refuses unknown fields, and
/// takes its parts as [`Object`].
pub trait Bulk: DeserializeOwned + ToSchema + 'static {
    /// Whether what was read fits the published schema too, as far as the types of the fields do not say so.
    fn fits(&self) -> bool;
}

/// A `T` out of a JSON object and nothing else: what derives `Deserialize` would read an array of its fields as well.
#[derive(Clone, Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

/// Like [`ApiJson`], but read without looking at the schema. Only what does not read, or does not fit, is checked
/// against it, to say why.
#[derive(Clone, Debug)]
pub struct BulkJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + ToSchema + 'static> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = bytes(request).await?;
        parse(&body).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default + ToSchema + 'static> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = bytes(request).await?;
        let absent = matches!(body.trim_ascii(), b"" | b"null");
        if absent { Ok(Self(T::default())) } else { parse(&body).map(Self) }
    }
}

impl<S: Send + Sync, T: Bulk> FromRequest<S> for BulkJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = bytes(request).await?;
        match serde_json::from_slice(&body) {
            Ok(Object(read)) if T::fits(&read) => Ok(Self(read)),
            Ok(_) | Err(_) => parse(&body).map(Self),
        }
    }
}

/// The body, which the gate has read and bounded already.
async fn bytes(request: Request) -> Result<Bytes, Problem> {
    let content_types = request.headers().get_all(header::CONTENT_TYPE);
    if !content_types.iter().all(|content_type| is_json(content_type.as_bytes())) {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body as application/json"));
    }
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    if !encodings.iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(Code::UnsupportedMediaType, "send the body without a Content-Encoding"));
    }
    let unread = |_| Problem::invalid_at(&["body"], "the body could not be read", "incomplete");
    Ok(request.into_body().collect().await.map_err(unread)?.to_bytes())
}

/// `application/json`, or any type with the suffix `+json`; parameters do not matter.
fn is_json(content_type: &[u8]) -> bool {
    if content_type == b"application/json" {
        return true;
    }
    let content_type = String::from_utf8_lossy(content_type).to_ascii_lowercase();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned + ToSchema + 'static>(body: &[u8]) -> Result<T, Problem> {
    let value = read(body)?;
    check::<T>(&value)?;
    // Noting the place of everything costs more than the rest: that is left for what is wrong.
    serde_json::from_value(value).or_else(|_| typed("body", read(body)?))
}

fn read(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
            .with("line", error.line())
            .with("column", error.column())
    })
}

/// The typed value of a body that is JSON already.
pub(super) fn shaped<T: DeserializeOwned + ToSchema + 'static>(value: Value) -> Result<T, Problem> {
    check::<T>(&value)?;
    typed("body", value)
}

fn check<T: ToSchema + 'static>(value: &Value) -> Result<(), Problem> {
    Shape::of::<T>(shape::schema_of::<T>)?.check("body", value)
}

/// The typed value; what the schema cannot say (number ranges, own parsers) is reported in the same way.
pub(super) fn typed<T: DeserializeOwned>(part: &str, value: Value) -> Result<T, Problem> {
    use serde_path_to_error::Segment;

    serde_path_to_error::deserialize(value).map_err(|error| {
        let (mut loc, mut pointer) = (vec![part.into()], String::new());
        for segment in error.path() {
            let token = match segment {
                Segment::Seq { index } => Value::from(*index),
                Segment::Map { key } => key.as_str().into(),
                Segment::Enum { variant } => variant.as_str().into(),
                Segment::Unknown => continue,
            };
            let text = token.as_str().map_or_else(|| token.to_string(), escape);
            pointer.push('/');
            pointer.push_str(&text);
            loc.push(token);
        }
        let msg = error.into_inner().to_string();
        // To a schema 60.0 is an integer, so that serde is the first to refuse it.
        let kind =
            if msg.starts_with("invalid type: floating point") { "int_parsing" } else { "value_error" };
        Problem::invalid_request(vec![Violation { loc, pointer, msg, kind: kind.into() }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_content_types() {
        let table = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("text/plain", false),
            ("application/jsonp", false),
            ("", false),
        ];
        for (content_type, expected) in table {
            assert_eq!(is_json(content_type.as_bytes()), expected, "{content_type}");
        }
    }

    #[test]
    fn serde_has_the_last_word() {
        let table = [(serde_json::json!(300), "value_error"), (serde_json::json!(60.0), "int_parsing")];
        for (wrong, kind) in table {
            let problem = typed::<Vec<u8>>("body", serde_json::json!([1, wrong])).unwrap_err();
            assert_eq!(problem.details[0].pointer, "/1");
            assert_eq!(problem.details[0].loc, [Value::from("body"), Value::from(1)]);
            assert_eq!(problem.details[0].kind, kind, "{wrong}");
        }
    }
}
