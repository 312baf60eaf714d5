//! Payloads: small ones as plain JSON that a person can read in Temporal's UI, large ones compressed.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use temporalio_common::{data_converters::RawValue, protos::temporal::api::common::v1::Payload};

use crate::registry::State;

/// JSON larger than this many bytes is compressed.
const PLAIN_BYTES_MAX: usize = 4 * 1024;
/// A compressed payload may not unpack to more than this many bytes.
const UNPACKED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// zstd level: about the ratio of higher levels on JSON at a fraction of their time.
const ZSTD_LEVEL: i32 = 6;
const ENCODING: &str = "encoding";
const PLAIN: &[u8] = b"json/plain";
const PACKED: &[u8] = b"binary/zstd+json";

/// The newest form of the state that this program reads, and the one it writes.
pub const STATE_VERSION: u32 = 1;

/// The state that this process handed over last, with what it was packed into. Mostly the same process begins the next run,
/// and everybody waits meanwhile: it need not unpack what it has just packed.
static HANDED_OVER: Mutex<Option<(Vec<u8>, State)>> = Mutex::new(None);

/// A payload that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// There is none where one is needed.
    #[error("expected one payload, got {0}")]
    Count(usize),
    /// Not an encoding this program knows.
    #[error("unknown payload encoding {0:?}")]
    Encoding(String),
    /// Damaged compression.
    #[error("cannot decompress the payload: {0}")]
    Packed(#[from] std::io::Error),
    /// Not the JSON that was expected.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer release.
    #[error(
        "the registry state has version {0}, this program reads up to {STATE_VERSION}: run a newer release"
    )]
    Newer(u32),
}

/// The state of the registry between two runs of its workflow.
#[derive(Serialize, Deserialize)]
struct Envelope<S> {
    version: u32,
    state: S,
}

/// A value as one JSON payload, compressed when large.
pub fn encode(value: &impl Serialize) -> Result<Payload, CodecError> {
    let json = serde_json::to_vec(value)?;
    if json.len() <= PLAIN_BYTES_MAX {
        return Ok(payload(PLAIN, json));
    }
    Ok(payload(PACKED, zstd::bulk::compress(&json, ZSTD_LEVEL)?))
}

/// A value as one plain JSON payload, whatever its size: for readers that are not ours.
pub fn plain(value: &impl Serialize) -> Result<Payload, CodecError> {
    Ok(payload(PLAIN, serde_json::to_vec(value)?))
}

/// A JSON value as one plain payload, for readers that are not ours.
pub fn of_value(value: &Value) -> Payload {
    payload(PLAIN, value.to_string().into_bytes())
}

/// The JSON text of a payload.
pub fn json_of(payload: &Payload) -> Result<Vec<u8>, CodecError> {
    match payload.metadata.get(ENCODING).map_or(&b""[..], Vec::as_slice) {
        PLAIN => Ok(payload.data.clone()),
        PACKED => Ok(zstd::bulk::decompress(&payload.data, unpacked_size(&payload.data))?),
        other => Err(CodecError::Encoding(String::from_utf8_lossy(other).into_owned())),
    }
}

/// Reads a value from exactly one payload.
pub fn decode<T: DeserializeOwned>(raw: &RawValue) -> Result<T, CodecError> {
    match raw.payloads.as_slice() {
        [payload] => Ok(serde_json::from_slice(&json_of(payload)?)?),
        other => Err(CodecError::Count(other.len())),
    }
}

/// The state as this program writes it.
pub fn encode_state(state: &State) -> Result<RawValue, CodecError> {
    Ok(RawValue::new(vec![encode(&Envelope { version: STATE_VERSION, state })?]))
}

/// The state, ready to be handed to the next run.
pub fn hand_over(state: &State) -> Result<RawValue, CodecError> {
    let raw = encode_state(state)?;
    let packed = raw.payloads.first().map(|payload| payload.data.clone());
    *HANDED_OVER.lock() = packed.map(|packed| (packed, state.clone()));
    Ok(raw)
}

/// The state that a run begins with; empty when it was given none.
pub fn take_over(raw: &RawValue) -> Result<State, CodecError> {
    let handed = HANDED_OVER.lock().take();
    match (handed, raw.payloads.first()) {
        (Some((packed, state)), Some(payload)) if packed == payload.data => Ok(state),
        _ => decode_state(raw),
    }
}

/// The state in a payload; empty when there is none.
pub fn decode_state(raw: &RawValue) -> Result<State, CodecError> {
    let Some(payload) = raw.payloads.first() else { return Ok(State::default()) };
    state_of(&json_of(payload)?)
}

/// The state in a JSON document that says its version.
pub fn state_of(json: &[u8]) -> Result<State, CodecError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let read = serde_json::from_slice::<Envelope<State>>(json);
    let version = match &read {
        Ok(envelope) => envelope.version,
        // That of a newer release may have another form.
        Err(_) => serde_json::from_slice::<Version>(json)?.version,
    };
    if version > STATE_VERSION {
        return Err(CodecError::Newer(version));
    }
    Ok(read?.state)
}

/// A yes or no beside another argument; no when it is left out.
pub fn flag(payload: Option<&Payload>) -> Result<bool, CodecError> {
    payload.map_or(Ok(false), |payload| Ok(serde_json::from_slice(&json_of(payload)?)?))
}

/// How many bytes a state takes when packed.
pub fn packed_len(state: &State) -> Result<u64, CodecError> {
    let raw = encode_state(state)?;
    Ok(raw.payloads.iter().map(|payload| payload.data.len() as u64).sum())
}

fn payload(encoding: &[u8], data: Vec<u8>) -> Payload {
    let metadata = HashMap::from([(ENCODING.to_owned(), encoding.to_vec())]);
    Payload { metadata, data, ..Payload::default() }
}

/// The size a zstd frame says it unpacks to, bounded.
fn unpacked_size(data: &[u8]) -> usize {
    let told = zstd::zstd_safe::get_frame_content_size(data).ok().flatten();
    told.and_then(|size| usize::try_from(size).ok()).unwrap_or(UNPACKED_BYTES_MAX).min(UNPACKED_BYTES_MAX)
}
