//! Search attribute values: checked against their declared types, and encoded.

use chrono::DateTime;
use imbl::OrdMap;
use serde_json::{Map, Value};
use temporalio_common::protos::temporal::api::common::v1::{Payload, SearchAttributes};

use super::misfit;
use crate::{
    registry::{Attribute, AttributeStatus, AttributeType, Spec},
    schema::Violation,
    seams::StartError,
    temporal::codec,
};

/// Encodes the values of declared attributes: those of the type itself, and of any other type.
pub(in crate::temporal) fn encode(
    given: &Map<String, Value>,
    spec: &Spec,
    declared: &OrdMap<String, Attribute>,
) -> Result<SearchAttributes, StartError> {
    let mut attributes = SearchAttributes::default();
    let mut violations = Vec::new();
    for (name, value) in given {
        let own = spec.search_attributes.iter().find(|attribute| attribute.name == *name);
        let kind = match (own, declared.get(name)) {
            (Some(own), _) => own.kind,
            (None, Some(other)) if other.status == AttributeStatus::Ready => other.kind,
            (None, Some(_)) => {
                return Err(StartError::AttributesUnavailable(format!(
                    "search attribute {name}: not usable"
                )));
            }
            (None, None) => {
                violations.push(violation(name, "no workflow type declares it", "extra_forbidden"));
                continue;
            }
        };
        match payload(kind, value) {
            Ok(payload) => {
                attributes.indexed_fields.insert(name.clone(), payload);
            }
            Err((expected, code)) => {
                let msg = format!("must be {expected}: it is declared as {}", kind.name());
                violations.push(violation(name, &msg, code));
            }
        }
    }
    if violations.is_empty() { Ok(attributes) } else { Err(StartError::Invalid(violations)) }
}

fn violation(name: &str, msg: &str, code: &str) -> Violation {
    misfit(&["search_attributes", name], msg, code)
}

/// A value as Temporal stores it, or what is expected instead.
fn payload(kind: AttributeType, value: &Value) -> Result<Payload, (&'static str, &'static str)> {
    let fits = match kind {
        AttributeType::Keyword | AttributeType::Text => {
            value.is_string().then_some(()).ok_or(("a string", "string_type"))
        }
        AttributeType::KeywordList => {
            let strings = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
            strings.then_some(()).ok_or(("a list of strings", "list_type"))
        }
        AttributeType::Int => {
            value.is_i64().then_some(()).ok_or(("a whole number of 64 bits", "int_parsing"))
        }
        AttributeType::Double => value.is_number().then_some(()).ok_or(("a number", "float_parsing")),
        AttributeType::Bool => value.is_boolean().then_some(()).ok_or(("true or false", "bool_parsing")),
        AttributeType::Datetime => {
            let moment = value.as_str().is_some_and(|text| DateTime::parse_from_rfc3339(text).is_ok());
            moment.then_some(()).ok_or(("a date and time with a zone (RFC 3339)", "format"))
        }
    };
    fits.map(|()| {
        let mut payload = codec::of_value(value);
        payload.metadata.insert("type".to_owned(), kind.name().as_bytes().to_vec());
        payload
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_follow_their_types() {
        use AttributeType::{Bool, Datetime, Double, Int, Keyword, KeywordList, Text};
        let table = [
            (Keyword, json!("a"), None),
            (Keyword, json!(1), Some("string_type")),
            (Keyword, json!(["a"]), Some("string_type")),
            (Text, json!(""), None),
            (Text, json!(null), Some("string_type")),
            (KeywordList, json!(["a", "b"]), None),
            (KeywordList, json!([]), None),
            (KeywordList, json!("a"), Some("list_type")),
            (KeywordList, json!(["a", 1]), Some("list_type")),
            (Int, json!(-3), None),
            (Int, json!(1.5), Some("int_parsing")),
            (Int, json!(u64::MAX), Some("int_parsing")),
            (Int, json!("3"), Some("int_parsing")),
            (Double, json!(1), None),
            (Double, json!(1.5), None),
            (Double, json!("1.5"), Some("float_parsing")),
            (Bool, json!(false), None),
            (Bool, json!(0), Some("bool_parsing")),
            (Datetime, json!("2026-01-02T03:04:05+02:00"), None),
            (Datetime, json!("2026-01-02T03:04:05"), Some("format")),
            (Datetime, json!(0), Some("format")),
        ];
        for (kind, value, expected) in table {
            let outcome = payload(kind, &value);
            assert_eq!(outcome.as_ref().err().map(|(_, code)| *code), expected, "{kind:?} {value}");
            if let Ok(payload) = outcome {
                assert_eq!(payload.metadata["type"], kind.name().as_bytes());
                assert_eq!(payload.data, value.to_string().as_bytes());
            }
        }
    }
}
