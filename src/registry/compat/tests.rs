//! Old schema, new schema, and where it breaks.

use serde_json::{Value, json};

use super::{FINDINGS_MAX, broken_by};

fn pointers(old: &Value, new: &Value) -> Vec<String> {
    broken_by(old, new).into_iter().map(|finding| finding.pointer).collect()
}

fn check(table: Vec<(Value, Value, &[&str])>) {
    for (old, new, expected) in table {
        assert_eq!(pointers(&old, &new), expected, "{old} -> {new}: {:?}", broken_by(&old, &new));
    }
}

#[test]
fn whole_schemas() {
    check(vec![
        (json!({}), json!({}), &[]),
        (json!({"type": "string"}), json!({}), &[]),
        (json!({"type": "string"}), json!(true), &[]),
        (json!(false), json!({"type": "string"}), &[]),
        (json!(false), json!(false), &[]),
        (json!({}), json!(false), &[""]),
        (json!(true), json!({"type": "string"}), &["/type"]),
        (json!({"allOf": [false]}), json!({"type": "null"}), &[]),
        (
            json!({"title": "a", "description": "b", "default": 1, "examples": [1], "format": "date"}),
            json!({"title": "c", "deprecated": true, "readOnly": true, "$comment": "d", "format": "uuid", "x-mine": 1,
                "contentMediaType": "text/plain", "contentEncoding": "base64"}),
            &[],
        ),
    ]);
}

#[test]
fn types_and_values() {
    check(vec![
        (json!({"type": "integer"}), json!({"type": "number"}), &[]),
        (json!({"type": "number"}), json!({"type": "integer"}), &["/type"]),
        (json!({"type": "string"}), json!({"type": ["string", "null"]}), &[]),
        (json!({"type": ["string", "null"]}), json!({"type": "string"}), &["/type"]),
        (json!({}), json!({"type": ["null", "boolean", "number", "string", "array", "object"]}), &[]),
        (json!({"enum": ["a"]}), json!({"enum": ["a", "b"]}), &[]),
        (json!({"enum": ["a", "b"]}), json!({"enum": ["a"]}), &["/enum"]),
        (json!({"const": "a"}), json!({"enum": ["a", "b"]}), &[]),
        (json!({"enum": ["a"]}), json!({"const": "a"}), &[]),
        (json!({"enum": ["a", "b"]}), json!({"const": "a"}), &["/const"]),
        (json!({"type": "string", "enum": ["a", 1]}), json!({"enum": ["a"]}), &[]),
        (json!({"enum": ["a", "b"]}), json!({"type": "string"}), &[]),
        (json!({"enum": ["a", 1]}), json!({"type": "string"}), &["/type"]),
        (json!({"type": "string"}), json!({"type": "string", "enum": ["a"]}), &["/enum"]),
        (json!({"type": "boolean"}), json!({"enum": [true, false]}), &[]),
        (json!({"type": ["boolean", "null"]}), json!({"enum": [true, false]}), &["/enum"]),
        (json!({"allOf": [{"enum": [1]}, {"enum": [1.0]}]}), json!({"enum": [2]}), &["/enum"]),
    ]);
}

#[test]
fn bounds() {
    check(vec![
        (json!({"minimum": 1}), json!({"minimum": 0}), &[]),
        (json!({"minimum": 1}), json!({"minimum": 2}), &["/minimum"]),
        (json!({"minimum": 1}), json!({"exclusiveMinimum": 0}), &[]),
        (json!({"minimum": 1}), json!({"exclusiveMinimum": 1}), &["/exclusiveMinimum"]),
        (json!({"exclusiveMinimum": 1}), json!({"minimum": 1}), &[]),
        (json!({"maximum": 10}), json!({"maximum": 10.5}), &[]),
        (json!({"maximum": 10}), json!({"exclusiveMaximum": 10}), &["/exclusiveMaximum"]),
        (
            json!({"maximum": 9_007_199_254_740_993_i64}),
            json!({"maximum": 9_007_199_254_740_992_i64}),
            &["/maximum"],
        ),
        (json!({}), json!({"maximum": 10}), &["/maximum"]),
        (
            json!({"type": "string"}),
            json!({"maximum": 10, "multipleOf": 2, "minItems": 3, "required": ["a"]}),
            &[],
        ),
        (json!({"enum": [1, 2]}), json!({"minimum": 1, "maximum": 2}), &[]),
        (json!({"enum": [1, 2]}), json!({"minimum": 2}), &["/minimum"]),
        (json!({"multipleOf": 4}), json!({"multipleOf": 2}), &[]),
        (json!({"multipleOf": 2}), json!({"multipleOf": 4}), &["/multipleOf"]),
        (json!({"type": "integer"}), json!({"multipleOf": 1}), &[]),
        (json!({"type": "number"}), json!({"multipleOf": 1}), &["/multipleOf"]),
        (json!({"minLength": 2, "maxLength": 5}), json!({"minLength": 1, "maxLength": 6}), &[]),
        (
            json!({"minLength": 2, "maxLength": 5}),
            json!({"minLength": 3, "maxLength": 4}),
            &["/minLength", "/maxLength"],
        ),
        (json!({"maxLength": 5}), json!({}), &[]),
        (json!({"type": "string"}), json!({"minLength": 0}), &[]),
        (json!({"const": "äb"}), json!({"maxLength": 2}), &[]),
        (json!({"minItems": 1}), json!({"minItems": 2}), &["/minItems"]),
        (json!({"maxProperties": 1}), json!({"maxProperties": 2}), &[]),
        (json!({"type": "object"}), json!({"minProperties": 1}), &["/minProperties"]),
        (json!({"pattern": "^a"}), json!({"pattern": "^a"}), &[]),
        (json!({"pattern": "^a"}), json!({"pattern": "^b"}), &["/pattern"]),
        (json!({"pattern": "^a"}), json!({}), &[]),
        (json!({"type": "array"}), json!({"uniqueItems": true}), &["/uniqueItems"]),
        (json!({"type": "array"}), json!({"uniqueItems": false}), &[]),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}),
            &["/minimum"],
        ),
    ]);
}

#[test]
fn properties() {
    check(vec![
        (json!({"type": "object"}), json!({"properties": {"a": {"type": "string"}}}), &[]),
        (json!({"properties": {"b": {}}}), json!({"properties": {"b": {}, "a": {"type": "string"}}}), &[]),
        (json!({"additionalProperties": true}), json!({"properties": {"a": {"type": "string"}}}), &[]),
        (
            json!({"properties": {"a": {}}}),
            json!({"properties": {"a": {"type": "string"}}}),
            &["/properties/a/type"],
        ),
        (
            json!({"required": ["a"]}),
            json!({"properties": {"a": {"type": "string"}}}),
            &["/properties/a/type"],
        ),
        (
            json!({"properties": {"a/b": {"type": "number"}}}),
            json!({"properties": {"a/b": {"type": "integer"}}}),
            &["/properties/a~1b/type"],
        ),
        (json!({}), json!({"properties": {"a": {}}, "required": ["a"]}), &["/required/0"]),
        (json!({"required": ["b", "a"]}), json!({"required": ["a"]}), &[]),
        (json!({"required": ["a"]}), json!({"required": ["a", "c"]}), &["/required/1"]),
        // Removal is judged by what the new schema says of other properties.
        (
            json!({"properties": {"a": {"type": "string"}}}),
            json!({"type": ["null", "boolean", "number", "string", "array", "object"]}),
            &[],
        ),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"additionalProperties": false}),
            &["/properties/a"],
        ),
        (
            json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            json!({"additionalProperties": {"type": "string"}}),
            &[],
        ),
        (
            json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            json!({"additionalProperties": {"type": "null"}}),
            &["/properties/a/type"],
        ),
        (
            json!({"properties": {"a": false}, "additionalProperties": false}),
            json!({"additionalProperties": false}),
            &[],
        ),
        (
            json!({"properties": {"a": {}}}),
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            &["/additionalProperties"],
        ),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"properties": {"a": {}, "b": {"type": "null"}}, "additionalProperties": false}),
            &[],
        ),
        (
            json!({"additionalProperties": {"type": "integer"}}),
            json!({"additionalProperties": {"type": "number"}}),
            &[],
        ),
        (
            json!({"additionalProperties": {"type": "number"}}),
            json!({"additionalProperties": {"type": "integer"}}),
            &["/additionalProperties/type"],
        ),
        (
            json!({"additionalProperties": {"type": "string"}}),
            json!({"properties": {"a": {"type": "null"}}}),
            &["/properties/a/type"],
        ),
        (
            json!({"patternProperties": {"^a": {"type": "integer"}}}),
            json!({"patternProperties": {"^a": {"type": "number"}}}),
            &[],
        ),
        (
            json!({"patternProperties": {"^a": {"type": "number"}}}),
            json!({"patternProperties": {"^a": {"type": "integer"}}}),
            &["/patternProperties/^a/type"],
        ),
        (
            json!({"type": "object"}),
            json!({"patternProperties": {"^a": {"type": "null"}}}),
            &["/patternProperties/^a/type"],
        ),
        (
            json!({"properties": {"ab": {"type": "null"}}, "additionalProperties": false}),
            json!({"properties": {"ab": {}}, "patternProperties": {"^a": {"type": "null"}}, "additionalProperties": false}),
            &[],
        ),
        (
            json!({"patternProperties": {"^a": {"type": "number"}}, "additionalProperties": false}),
            json!({"properties": {"ab": {"type": "integer"}}}),
            &["/properties/ab/type"],
        ),
        (
            json!({"patternProperties": {"^a": {}}, "additionalProperties": false}),
            json!({"additionalProperties": false}),
            &["/patternProperties/^a"],
        ),
        (
            json!({"propertyNames": {"maxLength": 2}}),
            json!({"propertyNames": {"maxLength": 2, "title": "t"}}),
            &[],
        ),
        (
            json!({"propertyNames": {"maxLength": 2}}),
            json!({"propertyNames": {"maxLength": 1}}),
            &["/propertyNames"],
        ),
        (json!({"dependentRequired": {"a": ["b"]}}), json!({}), &[]),
        (json!({}), json!({"dependentRequired": {"a": ["b"]}}), &["/dependentRequired"]),
        (
            json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
            json!({"dependentSchemas": {"a": {"required": ["c"]}}}),
            &["/dependentSchemas"],
        ),
        (
            json!({"properties": {"a": {}}, "unevaluatedProperties": false}),
            json!({"properties": {"a": {}, "b": {}}, "unevaluatedProperties": false}),
            &[],
        ),
        (
            json!({"properties": {"a": {}, "b": {}}, "unevaluatedProperties": false}),
            json!({"properties": {"a": {}}, "unevaluatedProperties": false}),
            &["/unevaluatedProperties"],
        ),
        (
            json!({"$ref": "#/$defs/x", "unevaluatedProperties": false, "$defs": {"x": {"properties": {"a": {}}}}}),
            json!({"$ref": "#/$defs/x", "unevaluatedProperties": false, "$defs": {"x": {}}}),
            &["/unevaluatedProperties"],
        ),
    ]);
}

#[test]
fn items() {
    check(vec![
        (json!({"items": {"type": "integer"}}), json!({"items": {"type": "number"}}), &[]),
        (json!({"items": {"type": "number"}}), json!({"items": {"type": "integer"}}), &["/items/type"]),
        (json!({"type": "array"}), json!({"items": {"type": "string"}}), &["/items/type"]),
        (json!({"items": {"type": "string"}}), json!({}), &[]),
        (
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            json!({"items": {"type": "string"}}),
            &[],
        ),
        (
            json!({"prefixItems": [{"type": "string"}], "items": {"type": "null"}}),
            json!({"items": {"type": "string"}}),
            &["/items/type"],
        ),
        (
            json!({"items": {"type": "string"}}),
            json!({"prefixItems": [{"type": "null"}]}),
            &["/prefixItems/0/type"],
        ),
        (
            json!({"prefixItems": [{}, {}], "items": false}),
            json!({"prefixItems": [{}], "items": false}),
            &["/items"],
        ),
        (json!({"contains": {"const": 1}}), json!({"contains": {"const": 1}, "minContains": 1}), &[]),
        (
            json!({"contains": {"const": 1}, "minContains": 0}),
            json!({"contains": {"const": 1}}),
            &["/contains"],
        ),
        (
            json!({"contains": {"const": {"title": "a"}}}),
            json!({"contains": {"const": {"title": "b"}}}),
            &["/contains"],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": false}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}], "additionalItems": false}),
            &["/items/0/type"],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}], "additionalItems": false}),
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            &[],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{"type": "string"}]}),
            json!({"prefixItems": [{"type": "string"}]}),
            &["/prefixItems/0/type"],
        ),
    ]);
}

#[test]
fn combinations() {
    check(vec![
        (json!({"type": "string"}), json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), &[]),
        (json!({"type": "string"}), json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), &["/anyOf"]),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "integer"}]}),
            &[],
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"anyOf": [{"type": "null"}]}),
            &["/anyOf"],
        ),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!({"type": ["string", "null"]}), &[]),
        (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!({"type": "string"}), &["/type"]),
        (
            json!({"anyOf": [{"minimum": 5, "type": "integer"}, {"minimum": 7, "type": "number"}]}),
            json!({"minimum": 4}),
            &[],
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            &[],
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"oneOf": [{"type": "string"}, {"type": "null", "title": "t"}]}),
            &[],
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            json!({"oneOf": [{"type": "string"}]}),
            &["/oneOf"],
        ),
        (json!({"oneOf": [{"type": "string"}]}), json!({}), &[]),
        (json!({"not": {"type": "null"}}), json!({"not": {"type": "null"}, "title": "t"}), &[]),
        (json!({"not": {"type": "null"}}), json!({}), &[]),
        (json!({}), json!({"not": {"type": "null"}}), &["/not"]),
        (
            json!({"not": {"$ref": "#/$defs/x"}, "$defs": {"x": {"type": "null"}}}),
            json!({"not": {"$ref": "#/$defs/x"}, "$defs": {"x": {}}}),
            &["/not"],
        ),
        (
            json!({"not": {"properties": {"title": true}}}),
            json!({"not": {"properties": {"title": false}}}),
            &["/not"],
        ),
        (
            json!({"if": {"minimum": 1}, "then": {"maximum": 2}, "else": {"type": "null"}}),
            json!({"if": {"minimum": 1}, "then": {"maximum": 2}}),
            &[],
        ),
        (json!({"if": {"minimum": 1}}), json!({"if": {"minimum": 1}, "then": {"maximum": 2}}), &["/then"]),
        (
            json!({"if": {"minimum": 1}, "then": {"maximum": 2}}),
            json!({"if": {"minimum": 0}, "then": {"maximum": 2}}),
            &["/then"],
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            json!({"allOf": [{"type": "string"}, {"maxLength": 4}]}),
            &[],
        ),
        (
            json!({"allOf": [{"type": "string"}, {"maxLength": 4}]}),
            json!({"type": "string", "maxLength": 4}),
            &[],
        ),
        (
            json!({"type": "string"}),
            json!({"allOf": [{"type": "string"}, {"maxLength": 4}]}),
            &["/allOf/1/maxLength"],
        ),
        (json!({"allOf": [{"type": "string"}]}), json!({}), &[]),
    ]);
}

#[test]
fn references() {
    let list = |value: &str| json!({"type": "object", "properties": {"value": {"type": value}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}});
    check(vec![
        (json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}), json!({"type": "number"}), &[]),
        (json!({"type": "integer"}), json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "number"}}}), &[]),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "number"}}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}),
            &["/$ref/type"],
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
            json!({"$ref": "#/$defs/a", "maxLength": 1, "$defs": {"a": {"type": "string"}}}),
            &["/maxLength"],
        ),
        (
            json!({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "integer"}}}),
            json!({"type": "number"}),
            &[],
        ),
        (list("integer"), list("number"), &[]),
        (list("number"), list("integer"), &["/properties/value/type", "/properties/next/anyOf"]),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "string", "definitions": {"a": {}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"}),
            &["/type"],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "string", "definitions": {"a": {}}}),
            &[],
        ),
        (
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}),
            json!({"$ref": "https://json-schema.org/draft/2020-12/schema", "title": "t"}),
            &[],
        ),
        (json!({}), json!({"$ref": "https://json-schema.org/draft/2020-12/schema"}), &["/$ref"]),
        (
            json!({"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a"}}}),
            json!({"$dynamicRef": "#a", "$defs": {"a": {"$dynamicAnchor": "a", "type": "null"}}}),
            &["/$dynamicRef"],
        ),
        (
            json!({"$defs": {"a": {"$id": "a"}}}),
            json!({"type": "string", "$defs": {"a": {"$id": "a"}}}),
            &[""],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "integer"}),
            json!({"type": "number"}),
            &[],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "dependentRequired": {"a": ["b"]}}),
            json!({"dependentRequired": {"a": ["b"]}}),
            &["/$schema"],
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "const": 1, "minimum": 1}),
            &["/minimum"],
        ),
    ]);
}

#[test]
fn findings_are_bounded() {
    let many = |kind: &str| {
        let properties: serde_json::Map<_, _> =
            (0..100).map(|n| (format!("p{n}"), json!({"type": kind}))).collect();
        json!({"properties": properties})
    };
    assert_eq!(broken_by(&many("string"), &many("null")).len(), FINDINGS_MAX);
}

#[test]
fn deep_and_branching_schemas_end() {
    let chain = |links: usize, last: &str| {
        let mut definitions = serde_json::Map::new();
        for link in 0..links {
            let next = json!({"properties": {"next": {"$ref": format!("#/$defs/{}", link + 1)}}});
            definitions.insert(link.to_string(), next);
        }
        definitions.insert(links.to_string(), json!({"type": last}));
        json!({"$ref": "#/$defs/0", "$defs": definitions})
    };
    assert!(!broken_by(&chain(2_000, "string"), &chain(2_000, "null")).is_empty());
    assert!(broken_by(&chain(20, "integer"), &chain(20, "number")).is_empty());

    let branches = |count: usize, top: usize| {
        let one =
            |low: usize| json!({"anyOf": (0..8).map(|n| json!({"minimum": low + n})).collect::<Vec<_>>()});
        json!({"allOf": (0..count).map(one).collect::<Vec<_>>(), "maximum": top})
    };
    assert!(!broken_by(&branches(12, 9), &branches(12, 8)).is_empty());
}
