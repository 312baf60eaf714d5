//! Reading payloads that anybody may have sent, without ever failing a workflow task.

use std::any::Any;

use serde_json::{Map, Value};
use temporalio_common::data_converters::RawValue;

/// The first argument as JSON; no argument at all is `{}`.
pub fn decode(input: &RawValue) -> Result<Value, String> {
    let Some(payload) = input.payloads.first() else { return Ok(Value::Object(Map::new())) };
    let encoding = payload.metadata.get("encoding").map_or(&b""[..], Vec::as_slice);
    match encoding {
        b"binary/null" => Ok(Value::Object(Map::new())),
        b"json/plain" | b"json/protobuf" => {
            serde_json::from_slice(&payload.data).map_err(|e| format!("the argument is not JSON: {e}"))
        }
        other => Err(format!("the argument is encoded as `{}`, not as JSON", String::from_utf8_lossy(other))),
    }
}

/// [`decode`] for an argument that went through the SDK's type-erased dispatch.
pub fn first_json(input: &Box<dyn Any>) -> Result<Value, String> {
    input.downcast_ref::<RawValue>().map_or_else(|| Err("the argument is missing".to_owned()), decode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use temporalio_common::protos::temporal::api::common::v1::Payload;

    #[test]
    fn arguments_of_every_sort_decode_or_say_why() {
        let table: [(&str, &[u8], Result<Value, &str>); 4] = [
            ("json/plain", b"{\"a\":1}", Ok(serde_json::json!({"a": 1}))),
            ("binary/null", b"", Ok(serde_json::json!({}))),
            ("json/plain", b"{", Err("not JSON")),
            ("binary/plain", b"\x00\xff", Err("encoded as `binary/plain`")),
        ];
        for (encoding, data, expected) in table {
            let metadata = [("encoding".to_owned(), encoding.as_bytes().to_vec())].into_iter().collect();
            let raw = RawValue::new(vec![Payload { metadata, data: data.to_vec(), ..Default::default() }]);
            match (decode(&raw), expected) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
                (Err(found), Err(wanted)) => assert!(found.contains(wanted), "{found}"),
                (found, wanted) => panic!("{encoding}: {found:?} is not {wanted:?}"),
            }
        }
        assert_eq!(decode(&RawValue::new(vec![])).unwrap(), serde_json::json!({}));
    }
}
