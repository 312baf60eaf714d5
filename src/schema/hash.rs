//! One name for one JSON content, however its keys were ordered.

use std::io::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The first 32 hex characters of the SHA-256 of `value` in canonical form: keys sorted at every depth, no
/// whitespace. `1` and `1.0` are different contents.
pub fn content_hash(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(value, &mut hasher);
    let digest = hasher.finalize();
    hex::encode(&digest[..16])
}

fn feed(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hasher.update(b"[");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    hasher.update(b",");
                }
                feed(item, hasher);
            }
            hasher.update(b"]");
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hasher.update(b"{");
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    hasher.update(b",");
                }
                feed_text(key, hasher);
                hasher.update(b":");
                feed(&map[key.as_str()], hasher);
            }
            hasher.update(b"}");
        }
        Value::String(text) => feed_text(text, hasher),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            // Writing into a hasher has no failure to report.
            let _ = write!(hasher, "{value}");
        }
    }
}

fn feed_text(text: &str, hasher: &mut Sha256) {
    // A string always serializes, and writing into a hasher has no failure to report.
    let _ = serde_json::to_writer(hasher, text);
}
