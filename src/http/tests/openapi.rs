//! The document says what is served, completely and in a form that tools take.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::http::openapi::document;
use crate::http::shape;
use crate::schema::Validator;

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = |(path, item): (&String, &'_ Value)| {
        (path.clone(), item.as_object().unwrap().keys().cloned().collect::<Vec<_>>())
    };
    let names: Vec<_> = paths.iter().map(each).collect();
    let named = names
        .into_iter()
        .flat_map(|(path, methods)| methods.into_iter().map(move |method| (path.clone(), method)));
    named.map(|(path, method)| (format!("{method} {path}"), &paths[&path][&method])).collect()
}

/// What is mounted, probe routes included.
async fn served() -> Value {
    Door::open().get("/openapi.json").await.body
}

#[tokio::test]
async fn the_head_is_complete() {
    let served = served().await;
    for document in [json!(document()), served] {
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["license"]["identifier"], "MIT");
        assert_eq!(document["servers"][0]["url"], "/");
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!(
            (&schemes["bearer"]["scheme"], &schemes["api_key"]["name"]),
            (&json!("bearer"), &json!("X-API-Key"))
        );
        assert!(document["info"]["description"].as_str().unwrap().contains("`outcome_unknown`"));
    }
}

#[tokio::test]
async fn every_operation_is_identified_secured_and_says_how_it_fails() {
    let document = served().await;
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
        let open = ["get /health", "get /ready", "get /metrics"].contains(&name.as_str());
        let schemes = if open { json!([]) } else { json!([{"bearer": []}, {"api_key": []}]) };
        assert_eq!(operation["security"], schemes, "{name}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
        }
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap_or_default().is_empty(), "{name} {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let in_path = name.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap()));
            let hint = "query parameters need #[into_params(parameter_in = Query)]";
            assert_eq!(parameter["in"] == "path", in_path, "{name}: {parameter}: {hint}");
        }
        let templated = name.matches('{').count();
        let documented =
            operation["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "path");
        assert_eq!(documented.count(), templated, "{name}: each path parameter is documented");
        assert_eq!(responses.contains_key("401"), !open, "{name}");
        assert_eq!(responses.contains_key("415"), operation.get("requestBody").is_some(), "{name}");
        assert!(responses.contains_key("500"), "{name}");
    }
    let create = &document["paths"]["/probe/things"]["post"];
    assert!(create["responses"]["422"]["description"].as_str().unwrap().contains("`invalid_schema`"));
    assert!(create["responses"]["504"]["description"].as_str().unwrap().contains("`outcome_unknown`"));
    assert!(create["description"].as_str().unwrap().contains("role `register`"));
}

#[tokio::test]
async fn every_reference_resolves_and_every_component_compiles() {
    let document = served().await;
    let mut components = document["components"]["schemas"].clone();
    shape::checkable(&mut components);
    for name in components.as_object().unwrap().keys() {
        let schema = json!({"$ref": format!("#/$defs/{name}"), "$defs": components});
        assert_eq!(Validator::compile(&schema).err(), None, "{name}");
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(components.get(name).is_some(), "{name}");
    }
    assert_eq!(components["Thing"]["additionalProperties"], false);
}

#[tokio::test]
async fn the_documentation_page_needs_no_network() {
    let door = Door::open();
    let answer = door.get("/docs").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (307, "docs/"));
    for file in ["", "swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        let answer = door.get(&format!("/docs/{file}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
    }
    let page = door.get("/docs/").await;
    assert_eq!(page.header("content-type"), "text/html");
    let page = page.body.as_str().unwrap().to_owned();
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    let start = door.get("/docs/swagger-initializer.js").await.body;
    let start = start.as_str().unwrap();
    assert!(start.contains("../openapi.json") && start.contains("\"validatorUrl\": \"none\""), "{start}");
}
