//! What is pure around the rules: the view, the payloads, schemas and bodies.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;
use temporal_registry::{
    http::body::{Bulk, BulkJson, Object},
    registry::Batch,
    schema::{Validator, ValidatorCache, content_hash},
    temporal::codec,
};
use temporalio_common::data_converters::RawValue;
use utoipa::ToSchema;

use crate::count;
use crate::inputs::large;
use crate::world::{NOW_MS, SIZE, claims, registry, view};

pub fn view_after(types: usize) {
    let (view, changes) = view(types);
    let next = count(|| view.after(&changes)).expect("a view");
    assert!(next.revision > view.revision);
}

pub fn state_packed() {
    let registry = registry(SIZE);
    let packed = count(|| codec::encode_state(registry.state())).expect("a state");
    assert_eq!(packed.payloads.len(), 1);
}

pub fn state_unpacked() {
    let packed = codec::encode_state(registry(SIZE).state()).expect("a state");
    let state = count(|| codec::decode_state(&packed)).expect("the state");
    assert_eq!((state.types.len(), state.workers.len()), (SIZE, SIZE));
}

pub fn batch_read() {
    let raw = RawValue::new(vec![codec::encode(&claims(&registry(SIZE))).expect("a batch")]);
    assert_eq!(count(|| codec::decode::<Batch>(&raw)).expect("the batch").commands.len(), 512);
}

pub fn answer_written() {
    let mut registry = registry(SIZE);
    let reply = registry.apply_batch(&claims(&registry), NOW_MS, u64::MAX);
    assert!(!count(|| codec::encode(&reply)).expect("an answer").data.is_empty());
}

pub fn compiled() {
    let (spec, _) = large("large.v1");
    count(|| Validator::compile(&spec["input_schema"])).expect("a good schema");
}

pub fn hashed() {
    let (spec, _) = large("large.v1");
    assert_eq!(count(|| content_hash(&spec["input_schema"])).len(), 32);
}

pub fn checked() {
    let (spec, input) = large("large.v1");
    let cache = ValidatorCache::new(4);
    let validator = || cache.of_spec("hash", "input_schema", &spec["input_schema"]).expect("a good schema");
    validator();
    assert!(count(|| validator().check(&input)).is_empty());
}

/// The body of `POST /registry/heartbeats`, of which the crate shows no type.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Heartbeats {
    #[schema(value_type = Vec<Alive>)]
    workers: Vec<Object<Alive>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Alive {
    #[schema(min_length = 1)]
    worker_id: String,
    epoch: Option<u64>,
}

impl Bulk for Heartbeats {
    fn fits(&self) -> bool {
        self.workers.iter().all(|Object(one)| !one.worker_id.is_empty())
    }
}

pub fn body() {
    let alive: Vec<_> = (0..1_000).map(|n| json!({"worker_id": format!("w{n}"), "epoch": n})).collect();
    let text = json!({"workers": alive}).to_string();
    let request = || {
        let request = Request::post("/").header("content-type", "application/json");
        request.body(Body::from(text.clone())).expect("a request")
    };
    let read = |request| {
        let reading = BulkJson::<Heartbeats>::from_request(request, &()).now_or_never();
        reading.expect("all of it is there").expect("a good body").0.workers
    };
    // The schema of the body is made once.
    read(request());
    let request = request();
    let workers = count(|| read(request));
    assert!(workers.iter().all(|Object(one)| one.worker_id == format!("w{}", one.epoch.unwrap_or_default())));
    assert_eq!(workers.len(), 1_000);
}
