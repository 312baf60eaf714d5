//! Bodies and parameters.

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::stream;
use serde_json::json;

use super::*;
use crate::http::limits::LimitSettings;

fn chunks(count: usize, size: usize) -> Body {
    let chunk = Bytes::from(vec![b' '; size]);
    Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
}

#[tokio::test]
async fn bodies_that_are_refused() {
    let door = Door::open();
    let valid = r#"{"name": "a"}"#;
    let table: [(Option<&str>, &[u8], Option<Code>); 12] = [
        (None, valid.as_bytes(), None),
        (Some("application/json"), valid.as_bytes(), None),
        (Some("application/vnd.x+json; v=1"), valid.as_bytes(), None),
        (Some("text/plain"), valid.as_bytes(), Some(Code::UnsupportedMediaType)),
        (Some("application/x-www-form-urlencoded"), b"name=a", Some(Code::UnsupportedMediaType)),
        (None, b"", Some(Code::InvalidJson)),
        (None, b"{\"name\": \"a\"", Some(Code::InvalidJson)),
        (None, b"{\"name\": \"a\"} x", Some(Code::InvalidJson)),
        (None, b"{\"name\": \"\xff\"}", Some(Code::InvalidJson)),
        (None, b"[1]", Some(Code::InvalidRequest)),
        (None, b"{\"name\": \"a\", \"nmae\": 1}", Some(Code::InvalidRequest)),
        (None, b"{\"name\": \"a\", \"parts\": [{\"size\": 256}]}", Some(Code::InvalidRequest)),
    ];
    let mut executed = 0;
    for (content_type, body, expected) in table {
        let mut request = Request::post("/probe/things");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = door.send(request.body(Body::from(body)).unwrap()).await;
        match expected {
            Some(code) => answer.assert_problem(code),
            None => {
                executed += 1;
                assert_eq!(answer.body["executed"], executed);
            }
        }
    }
}

#[tokio::test]
async fn bad_json_is_located() {
    let answer = Door::open().post("/probe/things", "{\n  \"name\": trux\n}").await;
    answer.assert_problem(Code::InvalidJson);
    assert_eq!((&answer.body["line"], answer.body["column"].is_u64()), (&json!(2), true));
}

#[tokio::test]
async fn all_violations_come_at_once() {
    let body = json!({"name": 1, "note": [], "parts": [{"size": 1}, {"size": "x"}, {}], "main": {"size": true}, "kind": "odd"});
    let answer = Door::open().post("/probe/things", body.to_string()).await;
    answer.assert_problem(Code::InvalidRequest);
    let details = answer.body["details"].as_array().unwrap();
    let mut found: Vec<_> =
        details.iter().map(|d| json!([d["loc"], d["pointer"], d["type"]]).to_string()).collect();
    found.sort();
    assert_eq!(
        found,
        [
            r#"[["body","kind"],"/kind","enum"]"#,
            r#"[["body","main","size"],"/main/size","int_parsing"]"#,
            r#"[["body","name"],"/name","string_type"]"#,
            r#"[["body","note"],"/note","string_type"]"#,
            r#"[["body","parts",1,"size"],"/parts/1/size","int_parsing"]"#,
            r#"[["body","parts",2,"size"],"/parts/2/size","missing"]"#,
        ]
    );
    assert!(details.iter().all(|detail| !detail["msg"].as_str().unwrap().is_empty()));
}

#[tokio::test]
async fn null_is_taken_where_a_field_is_optional() {
    let answer = Door::open().post("/probe/things", r#"{"name": "a", "note": null, "main": null}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn an_empty_body_is_the_default_where_allowed() {
    let door = Door::open();
    for empty in ["", " \n", "null"] {
        assert_eq!(door.post("/probe/touch", empty).await.body, json!({"reason": ""}));
    }
    assert_eq!(door.post("/probe/touch", r#"{"reason": "x"}"#).await.body, json!({"reason": "x"}));
    door.post("/probe/touch", r#"{"raison": "x"}"#).await.assert_problem(Code::InvalidRequest);
}

#[tokio::test]
async fn a_large_body_executes_nothing() {
    let limits = LimitSettings { max_body_bytes: 1000, ..LimitSettings::default() };
    let door = Door::new(Settings { limits, ..Settings::default() });
    let two_mb = 2 * 1024 * 1024;
    for uri in ["/probe/things", "/probe/touch", "/probe/compute"] {
        door.post(uri, chunks(two_mb / 4096, 4096)).await.assert_problem(Code::BodyTooLarge);
        door.post(uri, vec![b' '; two_mb]).await.assert_problem(Code::BodyTooLarge);
        door.post(uri, chunks(1001, 1)).await.assert_problem(Code::BodyTooLarge);
    }
    // The first handler to run says that it is the first.
    assert_eq!(door.post("/probe/compute", chunks(1000, 1)).await.body, 1);
}

/// Over a real connection: a client that is still sending gets the answer, not a reset.
#[tokio::test]
async fn a_client_sees_why_its_body_was_refused() {
    let limits = LimitSettings { max_body_bytes: 1000, ..LimitSettings::default() };
    let door = Door::new(Settings { limits, ..Settings::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/probe/things", listener.local_addr().unwrap());
    let server = tokio::spawn(
        axum::serve(listener, axum::ServiceExt::<Request<Body>>::into_make_service(door.door)).into_future(),
    );
    let pieces = || stream::iter((0..512).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 4096]))));
    let client = reqwest::Client::new();
    for body in [reqwest::Body::wrap_stream(pieces()), vec![b' '; 2 * 1024 * 1024].into()] {
        let answer = client.post(&url).body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 413);
        assert!(answer.text().await.unwrap().contains("body_too_large"));
    }
    assert_eq!(door.probe.executed.load(std::sync::atomic::Ordering::SeqCst), 0);
    server.abort();
}

#[tokio::test]
async fn a_body_cut_short_executes_nothing() {
    let door = Door::open();
    let cut = stream::iter([Ok(Bytes::from("{\"name\"")), Err(std::io::Error::other("gone"))]);
    door.post("/probe/things", Body::from_stream(cut)).await.assert_problem(Code::InvalidRequest);
    assert_eq!(door.post("/probe/compute", "").await.body, 1);
}

#[tokio::test]
async fn query_parameters() {
    let door = Door::open();
    let nothing = json!({"limit": null, "label": [], "healthy": null, "q": null});
    let table = [
        ("", nothing.clone()),
        ("?unknown=1&x", nothing),
        ("?limit=5&healthy=true&q=12", json!({"limit": 5, "label": [], "healthy": true, "q": "12"})),
        ("?label=a%3Db&label=c", json!({"limit": null, "label": ["a=b", "c"], "healthy": null, "q": null})),
        ("?healthy=0&q=a+b%20c", json!({"limit": null, "label": [], "healthy": false, "q": "a b c"})),
    ];
    for (query, expected) in table {
        assert_eq!(door.get(&format!("/probe/things{query}")).await.body, expected, "{query}");
    }
}

#[tokio::test]
async fn query_parameters_that_are_refused() {
    let door = Door::open();
    let table = [
        ("?limit=x", vec!["limit"]),
        ("?limit=", vec!["limit"]),
        ("?limit=-1", vec!["limit"]),
        ("?limit=4294967296", vec!["limit"]),
        ("?healthy=maybe&limit=x", vec!["healthy", "limit"]),
    ];
    for (query, names) in table {
        let answer = door.get(&format!("/probe/things{query}")).await;
        answer.assert_problem(Code::InvalidRequest);
        let details = answer.body["details"].as_array().unwrap();
        let mut found: Vec<_> = details.iter().map(|detail| detail["loc"].clone()).collect();
        found.sort_by_key(Value::to_string);
        assert_eq!(found, names.iter().map(|name| json!(["query", name])).collect::<Vec<_>>(), "{query}");
    }
    for query in ["?q=%zz", "?q=%", "?q=%ff", "?unknown=%2"] {
        door.get(&format!("/probe/things{query}")).await.assert_problem(Code::InvalidRequest);
    }
}

#[tokio::test]
async fn path_parameters() {
    let door = Door::open();
    assert_eq!(door.get("/probe/things/7").await.body, 7);
    for uri in ["/probe/things/x", "/probe/things/-1", "/probe/things/%ff", "/probe/things/%zz"] {
        let answer = door.get(uri).await;
        answer.assert_problem(Code::InvalidRequest);
        assert_eq!(answer.body["details"][0]["loc"][0], "path", "{uri}");
    }
}
