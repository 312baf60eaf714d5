//! What must hold whatever comes in, one function for each kind of input: bytes in, a panic when something is wrong.
//! The fuzzer calls them, and so do the tests, with everything in `corpus`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use temporal_registry::{
    config::Settings,
    http::shapes::SpecShape,
    registry::{Command, Outcome, Registry, SLUG_NAME_CHARS_MAX, State, compat, slugify},
    schema::{VIOLATIONS_MAX, ValidatorCache, content_hash},
    temporal::{codec, reference},
};
use temporalio_common::{data_converters::RawValue, protos::temporal::api::common::v1::Payload};

/// A moment like any other, milliseconds since the Unix epoch.
const NOW_MS: i64 = 1_767_225_600_000;

/// Signals that carry something.
const SIGNALS: [&str; 7] = [
    "register_worker",
    "put_workflow",
    "heartbeat_worker",
    "unregister_worker",
    "set_workflow_enabled",
    "unregister_workflow",
    "registry_service_started",
];

/// A name: what comes of it is a slug or a refusal.
pub fn slug(data: &[u8]) {
    let name = String::from_utf8_lossy(data);
    let slug = slugify(&name);
    assert!(slug.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{slug:?}");
    assert!(!slug.starts_with('-') && !slug.ends_with('-'), "{slug:?}");
    assert_eq!(slugify(&slug), slug);
    let mut registry = Registry::new(State::default());
    let claimed = registry.apply(&Command::Claim { name: name.to_string() }, NOW_MS);
    let taken = matches!(claimed, Outcome::Claimed { .. });
    assert_eq!(taken, !slug.is_empty() && name.chars().count() <= SLUG_NAME_CHARS_MAX, "{name:?}");
}

/// A spec over HTTP or in a signal: refused, or taken into a state that is sound.
pub fn spec(data: &[u8]) {
    if let Ok(shape) = serde_json::from_slice::<SpecShape>(data) {
        let told = serde_json::to_value(&shape).expect("a spec can be told");
        serde_json::from_value::<SpecShape>(told).expect("what is told can be read");
    }
    let mut registry = Registry::new(State::default());
    let mut bodies = vec![data.to_vec()];
    if let Ok(spec) = serde_json::from_slice::<Value>(data) {
        let registration = json!({"worker_id": "w", "task_queue": "q", "workflows": [spec]});
        let put = json!({"workflow": spec, "overwrite": true});
        bodies.extend([registration, put].map(|body| body.to_string().into_bytes()));
    }
    for body in &bodies {
        for name in SIGNALS {
            for command in reference::signal(name, body, &registry).unwrap_or_default() {
                registry.apply(&command, NOW_MS);
            }
        }
    }
    sound(registry);
}

/// A schema, or an array of two and a value: refused, or good for checking and comparing.
pub fn schema(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(data) else { return };
    let (schema, other, value) = match input.as_array().map(Vec::as_slice) {
        Some([schema, other, value]) => (schema, other, value),
        _ => (&input, &Value::Null, &Value::Null),
    };
    let cache = ValidatorCache::new(4);
    let compiled = |schema: &Value| cache.get(&content_hash(schema), schema);
    let Ok(validator) = compiled(schema) else { return };
    assert!(validator.check(value).len() <= VIOLATIONS_MAX);
    assert!(compat::broken_by(schema, schema).is_empty(), "a schema breaks nothing of itself");
    if compiled(other).is_ok() {
        compat::broken_by(schema, other);
        compat::broken_by(other, schema);
    }
}

/// The state between two runs, after a byte that says how it is packed: refused, or good to go on with.
pub fn state(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let encoding: &[u8] = if how % 2 == 0 { b"json/plain" } else { b"binary/zstd+json" };
    let metadata = [("encoding".to_owned(), encoding.to_vec())].into();
    let raw = RawValue::new(vec![Payload { metadata, data: data.to_vec(), ..Payload::default() }]);
    let Ok(state) = codec::decode_state(&raw) else { return };
    if state.check().is_err() {
        return;
    }
    let leapt = state.clone().leapt();
    for state in [state, leapt] {
        let mut registry = Registry::new(state);
        registry.begin_run(NOW_MS);
        registry.apply(&Command::Claim { name: "daily".to_owned() }, NOW_MS);
        registry.apply(&Command::Sweep, NOW_MS);
        registry.changes_since(0, 0, 1_000);
        sound(registry);
    }
}

/// A settings file, and a value of a setting: taken, or refused with a reason.
pub fn config(data: &[u8]) {
    thread_local! {
        static FILE: std::path::PathBuf =
            std::env::temp_dir().join(format!("config-{}-{:?}.yaml", std::process::id(), std::thread::current().id()));
    }
    let file = FILE.with(Clone::clone);
    let text = String::from_utf8_lossy(data).into_owned();
    std::fs::write(&file, data).expect("a file");
    let environment = BTreeMap::from([("NAME".to_owned(), text.clone())]);
    let mut loaded = vec![Settings::load(Some(&file), &environment, &[])];
    for key in [
        "TEMPORAL_ADDRESS",
        "TEMPORAL_REGISTRY_PORT",
        "TEMPORAL_REGISTRY__AUTH__TOKENS",
        "TEMPORAL_REGISTRY__",
    ] {
        loaded.push(Settings::load(None, &BTreeMap::from([(key.to_owned(), text.clone())]), &[]));
    }
    std::fs::remove_file(&file).expect("the file");
    for error in loaded.into_iter().filter_map(Result::err) {
        assert!(!error.to_string().is_empty());
    }
}

/// A state that holds together, and is handed over as it is.
fn sound(registry: Registry) {
    let state = registry.state();
    if let Err(why) = state.check() {
        panic!("{why}");
    }
    let handed = codec::decode_state(&codec::encode_state(state).expect("a state can be written"));
    let handed = handed.expect("what is written can be read");
    let text = |state: &State| serde_json::to_string(state).expect("JSON");
    assert_eq!(text(&handed), text(state));
}
