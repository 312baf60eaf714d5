//! What is registered and started, as large as it comes in practice; the counts use it too.

use serde_json::{Value, json};

/// A spec of about 500 bytes.
pub fn spec(name: &str) -> Value {
    json!({
        "workflow_type": name, "task_queue": "bench", "description": "Writes the report of a day for a region",
        "input_schema": {
            "type": "object", "required": ["day"],
            "properties": {"day": {"type": "string", "maxLength": 10}, "region": {"enum": ["eu", "us", "ap"]}},
        },
        "labels": {"team": "reports"}, "tags": ["nightly"], "owner": "reports@example.com",
    })
}

/// A spec with an input schema of about 20 KB, and an input for it of about 10 KB.
pub fn large(name: &str) -> (Value, Value) {
    let described = "One of the many fields of a document as large as they come in practice, with its rules";
    let field = |n: usize| {
        (format!("field_{n:03}"), json!({"type": "string", "maxLength": 200, "description": described}))
    };
    let properties: serde_json::Map<String, Value> = (0..125).map(field).collect();
    let value = |n: usize| (format!("field_{n:03}"), Value::from("x".repeat(64)));
    let input: serde_json::Map<String, Value> = (0..125).map(value).collect();
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    (json!({"workflow_type": name, "task_queue": "bench", "input_schema": schema}), input.into())
}
