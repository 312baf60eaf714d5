//! Tables over the room's public face.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, VIOLATIONS_MAX, Validator, ValidatorCache, content_hash};

fn compiled(schema: &Value) -> Validator {
    Validator::compile(schema).unwrap_or_else(|refused| panic!("{schema}: {refused}"))
}

/// `pointer kind` of every violation.
fn broken(schema: &Value, instance: &Value) -> Vec<String> {
    let violations = compiled(schema).check(instance);
    violations.into_iter().map(|violation| format!("{} {}", violation.pointer, violation.kind)).collect()
}

#[test]
fn kinds_and_places() {
    let table: Vec<(Value, Value, &[&str])> = vec![
        (json!({"type": "integer"}), json!("x"), &[" int_parsing"]),
        (json!({"type": "number"}), json!("x"), &[" float_parsing"]),
        (json!({"type": "string"}), json!(1), &[" string_type"]),
        (json!({"type": "boolean"}), json!(1), &[" bool_parsing"]),
        (json!({"type": "array"}), json!(1), &[" list_type"]),
        (json!({"type": "object"}), json!(1), &[" dict_type"]),
        (json!({"type": "null"}), json!(1), &[" null_type"]),
        (json!({"type": ["string", "null"]}), json!(1), &[" type_error"]),
        (json!({"enum": [1, 2]}), json!(3), &[" enum"]),
        (json!({"const": 1}), json!(3), &[" const"]),
        (json!({"pattern": "^a"}), json!("b"), &[" string_pattern"]),
        (json!({"minLength": 2}), json!("b"), &[" minLength"]),
        (json!({"minimum": 2}), json!(1), &[" minimum"]),
        (json!({"exclusiveMaximum": 2}), json!(2), &[" exclusiveMaximum"]),
        (json!({"multipleOf": 2}), json!(3), &[" multipleOf"]),
        (json!({"uniqueItems": true}), json!([1, 1]), &[" uniqueItems"]),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!(1), &[" anyOf"]),
        (json!({"oneOf": [{"type": "string"}, {"type": "null"}]}), json!(1), &[" oneOf"]),
        (json!({"not": {}}), json!(1), &[" not"]),
        (json!({"contains": {"const": 1}}), json!([2]), &[" contains"]),
        (json!({"propertyNames": {"maxLength": 1}}), json!({"ab": 1}), &[" propertyNames"]),
        (json!({"properties": {"a": false}}), json!({"a": 1}), &["/a validation_error"]),
        (json!(false), json!(1), &[" validation_error"]),
        (json!(false), json!({"a": {}}), &[" validation_error"]),
        (
            json!({"additionalProperties": false}),
            json!({"a": {}, "b": {}}),
            &["/a additionalProperties", "/b additionalProperties"],
        ),
        (
            json!({"properties": {"additionalProperties": false}}),
            json!({"additionalProperties": {"a": 1}}),
            &["/additionalProperties validation_error"],
        ),
        (json!({"required": ["a/b", "c~"]}), json!({}), &["/a~1b missing", "/c~0 missing"]),
        (
            json!({"additionalProperties": false, "properties": {"a": {}}}),
            json!({"z": 1, "a": 1, "b": 1}),
            &["/z additionalProperties", "/b additionalProperties"],
        ),
        (
            json!({"properties": {"n": {"type": "integer"}, "l": {"items": {"type": "string"}}}, "required": ["x"]}),
            json!({"n": "1", "l": ["a", 1, "b", {}, 2, 3, 4, 5, 6, 7, 8]}),
            &[
                "/x missing",
                "/l/1 string_type",
                "/l/3 string_type",
                "/l/4 string_type",
                "/l/5 string_type",
                "/l/6 string_type",
                "/l/7 string_type",
                "/l/8 string_type",
                "/l/9 string_type",
                "/l/10 string_type",
                "/n int_parsing",
            ],
        ),
        (json!({"format": "date-time"}), json!("never"), &[]),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "format": "email",
                   "contentMediaType": "application/json", "contentEncoding": "base64"}),
            json!("{"),
            &[],
        ),
    ];
    for (schema, instance, expected) in table {
        assert_eq!(broken(&schema, &instance), expected, "{schema} {instance}");
    }
}

#[test]
fn a_violation_as_json() {
    let schema = json!({"properties": {"l": {"items": {"required": ["k"]}}}});
    let violations = compiled(&schema).check(&json!({"l": [{}]}));
    let expected = json!([{
        "loc": ["l", 0, "k"], "pointer": "/l/0/k", "type": "missing", "msg": "\"k\" is a required property"
    }]);
    assert_eq!(serde_json::to_value(violations).unwrap(), expected);
}

#[test]
fn violations_and_messages_are_bounded() {
    let many: Vec<Value> = (0..500).map(Value::from).collect();
    let strings = compiled(&json!({"items": {"type": "string"}}));
    assert_eq!(strings.check(&json!(many)).len(), VIOLATIONS_MAX);
    let closed = compiled(&json!({"additionalProperties": false}));
    let wide: Value =
        (0..500).map(|n| (format!("p{n}"), Value::Null)).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(closed.check(&wide).len(), VIOLATIONS_MAX);

    let long = compiled(&json!({"type": "integer"})).check(&json!("ä".repeat(100_000)));
    assert!(long[0].msg.chars().count() <= 401, "{}", long[0].msg.chars().count());
}

#[test]
fn a_value_too_large_to_list_gets_its_first_violation() {
    let items: Vec<Value> = (0..300_000).map(Value::from).collect();
    let violations = compiled(&json!({"items": {"type": "string"}})).check(&json!(items));
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].pointer, "/0");
}

#[test]
fn open_schemas_have_nothing_to_check() {
    for (schema, open) in
        [(json!({}), true), (json!(true), true), (json!(false), false), (json!({"type": "object"}), false)]
    {
        assert_eq!(compiled(&schema).is_open(), open, "{schema}");
    }
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({"not": inner}))
}

#[test]
fn inadmissible_schemas() {
    let long_pattern = "a".repeat(1025);
    let many: serde_json::Map<String, Value> =
        (0..257).map(|n| (format!("p{n}"), json!({"pattern": "a"}))).collect();
    let table: Vec<(Value, &str, &str)> = vec![
        (json!([]), "schema_type", ""),
        (json!("{}"), "schema_type", ""),
        (json!(null), "schema_type", ""),
        (json!({"type": "strin"}), "schema_error", "/type"),
        (json!({"properties": {"a": {"minLength": -1}}}), "schema_error", "/properties/a/minLength"),
        (json!({"required": "a"}), "schema_error", "/required"),
        (json!({"$schema": "https://example.com/mine"}), "unknown_draft", "/$schema"),
        (json!({"$schema": 7}), "unknown_draft", "/$schema"),
        (json!({"$ref": "#/$defs/none"}), "unresolvable_ref", "/$ref"),
        (json!({"$ref": "#none"}), "unresolvable_ref", "/$ref"),
        (json!({"$defs": {"unused": {"$ref": "#/$defs/none"}}}), "unresolvable_ref", "/$defs/unused/$ref"),
        (json!({"items": {"$dynamicRef": "#none"}}), "unresolvable_ref", "/items/$dynamicRef"),
        (json!({"$ref": "https://example.com/schema.json"}), "unresolvable_ref", "/$ref"),
        (json!({"$ref": "http://127.0.0.1:1/schema.json"}), "unresolvable_ref", "/$ref"),
        (json!({"$ref": "file:///etc/passwd"}), "unresolvable_ref", "/$ref"),
        (json!({"$ref": "other.json"}), "unresolvable_ref", "/$ref"),
        (json!({"$id": "https://example.com/a", "$ref": "b"}), "unresolvable_ref", "/$ref"),
        (
            json!({"$defs": {"unused": {"$ref": "https://example.com/x"}}}),
            "unresolvable_ref",
            "/$defs/unused/$ref",
        ),
        (json!({"properties": {"a": {"pattern": "("}}}), "bad_pattern", "/properties/a/pattern"),
        (json!({"patternProperties": {"(": {}}}), "bad_pattern", "/patternProperties/("),
        (json!({"pattern": long_pattern}), "pattern_too_large", ""),
        (json!({"properties": many}), "pattern_too_large", "/properties/p256"),
        (json!({"pattern": "^((a{1,1000}){1,1000}){1,1000}$"}), "bad_pattern", "/pattern"),
        (nested(SCHEMA_DEPTH_MAX + 1), "schema_too_deep", ""),
        (json!({"description": "a".repeat(SCHEMA_BYTES_MAX)}), "schema_too_large", ""),
        (json!({"$ref": "#"}), "endless_ref", ""),
        (json!({"allOf": [{"$ref": "#"}]}), "endless_ref", ""),
        (
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
            "endless_ref",
            "",
        ),
    ];
    for (schema, code, pointer) in table {
        let Err(refused) = Validator::compile(&schema) else { panic!("admitted: {schema}") };
        assert_eq!(refused.code, code, "{schema}: {refused}");
        if code != "endless_ref" {
            assert_eq!(refused.pointer, pointer, "{schema}: {refused}");
        }
    }
}

#[test]
fn admissible_schemas() {
    for schema in [
        nested(SCHEMA_DEPTH_MAX),
        json!({"$schema": "http://json-schema.org/draft-04/schema#", "id": "urn:x", "minimum": 1, "exclusiveMinimum": true}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "#/not/a/pointer", "definitions": {"a": {"$id": "#a"}}, "$ref": "#a"}),
        json!({"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveAnchor": true, "items": {"$recursiveRef": "#"}}),
        json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": {}}}),
        json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}}),
        json!({"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}}),
        json!({"$id": "https://example.com/root", "$ref": "leaf", "$defs": {"a": {"$id": "leaf", "$ref": "#/$defs/b", "$defs": {"b": {"type": "null"}}}}}),
        json!({"$ref": "#/components/schemas/A", "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": {}}}}),
        json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
        json!({"properties": {"$ref": {"type": "string"}, "pattern": {"const": "("}}}),
        json!({"const": {"$ref": "#/nowhere"}, "examples": [{"$ref": "http://example.com/"}]}),
        json!({"x-vendor": {"anything": ["goes"]}, "type": "object", "properties": {"id": {"$ref": "#/$defs/id"}}, "id": "free", "$defs": {"id": {}}}),
        json!({"pattern": "^(?=.*[A-Z])(?=.*\\d).{8,}$"}),
    ] {
        compiled(&schema);
    }
}

#[test]
fn look_around_works_and_cannot_run_away() {
    let password = compiled(&json!({"pattern": "^(?=.*[A-Z])(?=.*\\d).{8,}$"}));
    assert!(password.check(&json!("Passw0rd")).is_empty());
    assert_eq!(password.check(&json!("password"))[0].kind, "string_pattern");

    let hostile = compiled(&json!({"pattern": "^(a|a)*(?=b)\\1$"}));
    assert_eq!(hostile.check(&json!("a".repeat(10_000)))[0].kind, "string_pattern");
}

fn linked(length: usize, last: Value) -> Value {
    (0..length).fold(last, |next, _| json!({"value": 1, "next": next}))
}

#[test]
fn a_recursive_schema_checks_deep_values() {
    let list = json!({
        "type": "object",
        "required": ["value"],
        "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
    });
    let list = compiled(&list);
    assert!(list.check(&linked(120, Value::Null)).is_empty());
    assert!(list.check(&linked(600, Value::Null)).is_empty());
    assert_eq!(list.check(&linked(120, json!(1))).len(), 1);
    let direct = compiled(&json!({"required": ["value"], "properties": {"next": {"$ref": "#"}}}));
    assert_eq!(direct.check(&linked(120, json!({})))[0].loc.len(), 121);
}

#[test]
fn long_reference_chains_are_refused_before_they_cost_stack() {
    let chain = |links: usize| {
        let mut text = String::from(r##"{"$ref":"#/$defs/0","$defs":{"##);
        for link in 0..links {
            write!(text, r##""{link}":{{"$ref":"#/$defs/{}"}},"##, link + 1).unwrap();
        }
        write!(text, r#""{links}":{{"type":"null"}}}}}}"#).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(broken(&chain(200), &json!(1)), [" null_type"]);
    assert_eq!(Validator::compile(&chain(6_000)).unwrap_err().code, "schema_too_complex");
    // One value each: as long as the schema allows, and never deep for any value.
    let mut properties = json!({"type": "null"});
    let mut definitions = serde_json::Map::new();
    for link in 0..4_000 {
        definitions.insert(link.to_string(), properties);
        properties = json!({"properties": {"next": {"$ref": format!("#/$defs/{link}")}}});
    }
    properties["$defs"] = definitions.into();
    assert!(compiled(&properties).check(&linked(100, Value::Null)).is_empty());
}

#[test]
fn schemas_that_multiply_are_refused_or_bounded() {
    let mut definitions = serde_json::Map::new();
    for level in 0..40 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        definitions.insert(level.to_string(), json!({"allOf": [next, next]}));
    }
    definitions.insert("40".to_owned(), json!({"type": "null"}));
    let bomb = json!({"$ref": "#/$defs/0", "$defs": definitions});
    assert_eq!(Validator::compile(&bomb).unwrap_err().code, "schema_too_complex");

    // Recursive, and every level is applied twice: right and wrong values both end soon.
    let next = json!({"properties": {"next": {"$ref": "#"}}});
    let doubling = compiled(&json!({"type": "object", "allOf": [next, next]}));
    assert!(doubling.check(&linked(100, json!({}))).is_empty());
    let wrong = doubling.check(&linked(100, json!(1)));
    assert_eq!(wrong.iter().map(|violation| violation.kind.as_str()).collect::<Vec<_>>(), ["too_complex"]);
}

#[test]
fn hashes_follow_content_not_order() {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let one = parsed(r#"{"a": {"x": 1, "y": [1, {"p": null, "q": "é\""}]}, "b": true}"#);
    let same = parsed(r#"{"b":true,"a":{"y":[1,{"q":"é\"","p":null}],"x":1}}"#);
    assert_eq!(content_hash(&one), content_hash(&same));
    assert_eq!(content_hash(&json!({})), "44136fa355b3678a1146ad16f7e8649e");
    let different =
        [json!([]), json!({}), json!("1"), json!(1), json!(1.0), json!([1, 2]), json!([2, 1]), json!(null)];
    let hashes: std::collections::BTreeSet<String> = different.iter().map(content_hash).collect();
    assert_eq!(hashes.len(), different.len());
}

#[test]
fn the_cache_keeps_and_bounds() {
    let cache = ValidatorCache::new(2);
    let schemas = [json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "null"})];
    let get = |schema: &Value| cache.get(&content_hash(schema), schema).unwrap();
    let first = get(&schemas[0]);
    get(&schemas[1]);
    assert!(Arc::ptr_eq(&first, &get(&schemas[0])));
    get(&schemas[2]);
    assert_eq!(cache.len(), 2);
    assert!(Arc::ptr_eq(&first, &get(&schemas[0])), "the least recently used went, not the oldest");
    assert!(cache.get("bad", &json!({"type": 1})).is_err());
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_part_of_a_spec_shares_its_validator_with_equal_schemas() {
    let cache = ValidatorCache::new(8);
    let schema = json!({"type": "integer"});
    let alone = cache.get(&content_hash(&schema), &schema).unwrap();
    let part = |hash: &str, name: &str, schema: &Value| cache.of_spec(hash, name, schema).unwrap();
    assert!(Arc::ptr_eq(&alone, &part("a", "input_schema", &schema)));
    let other = part("b", "input_schema", &json!({"type": "null"}));
    assert!(
        other.check(&json!(1)).len() == 1 && part("a", "input_schema", &schema).check(&json!(1)).is_empty()
    );
    assert!(Arc::ptr_eq(&alone, &part("b", "output_schema", &schema)));
}

#[test]
fn one_validator_serves_many_threads() {
    let cache = ValidatorCache::new(8);
    let schema = json!({"type": "integer"});
    let hash = content_hash(&schema);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(cache.get(&hash, &schema).unwrap().check(&json!("x")).len(), 1));
        }
    });
    assert_eq!(cache.len(), 1);
}
