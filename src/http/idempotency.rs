//! The `Idempotency-Key` header.

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::json;

use super::problem::Problem;
use crate::{schema::content_hash, seams::IdempotencyKey};

const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
const CHARS_MAX: usize = 255;

/// The key a client sent, if any: 1 to 255 visible ASCII characters.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.as_bytes().trim_ascii();
    let fits = (1..=CHARS_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic);
    if !fits || values.next().is_some() {
        let msg = format!("must be sent once, as 1 to {CHARS_MAX} visible ASCII characters");
        return Err(Problem::invalid_at(&["header", HEADER], msg, "value_error"));
    }
    Ok(Some(text.iter().map(|byte| char::from(*byte)).collect()))
}

/// The key with the hash of what was asked for under it.
pub(super) fn keyed(
    headers: &HeaderMap,
    route: &str,
    body: &impl Serialize,
) -> Result<Option<IdempotencyKey>, Problem> {
    let fingerprint = || content_hash(&json!([route, body]));
    Ok(key(headers)?.map(|key| IdempotencyKey { key, fingerprint: fingerprint() }))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn keys_are_visible_and_bounded() {
        let long = "k".repeat(256);
        let table = [
            (vec![], Ok(None)),
            (vec!["a"], Ok(Some("a"))),
            (vec![" a-1_.~!\"  "], Ok(Some("a-1_.~!\""))),
            (vec![&long[1..]], Ok(Some(&long[1..]))),
            (vec![&long], Err(())),
            (vec![""], Err(())),
            (vec!["a b"], Err(())),
            (vec!["a\tb"], Err(())),
            (vec!["ä"], Err(())),
            (vec!["a", "a"], Err(())),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in &values {
                headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let found = key(&headers).map_err(|_| ());
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{values:?}");
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let headers = HeaderMap::from_iter([(
            axum::http::HeaderName::from_static(HEADER),
            HeaderValue::from_static("k"),
        )]);
        let keyed =
            |route, body: serde_json::Value| keyed(&headers, route, &body).unwrap().unwrap().fingerprint;
        assert_eq!(keyed("r", json!({"a": 1, "b": 2})), keyed("r", json!({"b": 2, "a": 1})));
        assert_ne!(keyed("r", json!({"a": 1})), keyed("r", json!({"a": 2})));
        assert_ne!(keyed("r", json!({"a": 1})), keyed("s", json!({"a": 1})));
    }
}
