//! The OpenAPI document: the committed one is the generated one, and it is sound.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Map, Value};
use temporal_registry::http::openapi;

fn document() -> Value {
    serde_json::to_value(openapi::document()).unwrap()
}

/// Calls `visit` with every object in a value.
fn objects<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values().for_each(|value| objects(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| objects(value, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(methods.contains(&method.as_str()), "{path}: {method} is no method");
            all.push((format!("{method} {path}"), path.as_str(), operation));
        }
    }
    all
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json"));
    let committed: Value = serde_json::from_str(&committed.unwrap()).unwrap();
    assert!(committed == document(), "openapi/openapi.json is not what the routes say: run `make openapi`");
}

#[test]
fn the_command_prints_it_without_configuration() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-registry"));
    // Settings that would stop a server from starting.
    command.arg("openapi").env("TEMPORAL_REGISTRY_PORT", "none").env("TEMPORAL_ADDRESS", "?");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), document());
}

#[test]
fn it_is_openapi_3_1() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(document["info"]["title"].is_string());

    let mut dangling = Vec::new();
    objects(&document, &mut |object| {
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#');
            if pointer.and_then(|pointer| document.pointer(pointer)).is_none() {
                dangling.push(reference);
            }
        }
    });
    assert!(dangling.is_empty(), "references to nothing: {dangling:?}");
}

#[test]
fn every_operation_is_complete() {
    let document = document();
    let schemes = &document["components"]["securitySchemes"];
    let mut ids = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, path, operation) in operations(&document) {
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        let id = operation["operationId"].as_str().unwrap_or_default();
        expect(!id.is_empty() && ids.insert(id.to_owned()), "no operation id of its own");
        expect(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "no summary");

        let in_path: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let described: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path" && parameter["required"] == true)
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        expect(in_path == described, "its path parameters are not those of the path");
        let mut named = BTreeSet::new();
        let once = parameters.iter().all(|p| named.insert((p["in"].as_str(), p["name"].as_str())));
        expect(once, "a parameter is there twice");

        let responses = operation["responses"].as_object();
        expect(responses.is_some_and(|all| all.keys().any(|s| s.starts_with(['2', '3']))), "no success");
        for (status, response) in responses.into_iter().flatten() {
            let is_status = status == "default" || status.parse().is_ok_and(|s: u16| (100..600).contains(&s));
            expect(is_status, "a response that is no status");
            expect(response["description"].is_string() || response["$ref"].is_string(), "no description");
        }
        for requirement in operation["security"].as_array().into_iter().flatten() {
            for scheme in requirement.as_object().into_iter().flat_map(Map::keys) {
                expect(schemes.get(scheme).is_some(), "a security scheme that is not there");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_schema_is_one() {
    // OpenAPI 3.1 schemas are JSON Schema 2020-12 documents.
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let outcome = jsonschema::meta::validate(schema);
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
