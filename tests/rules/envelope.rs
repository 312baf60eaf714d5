//! The state between two runs, as Temporal keeps it: what every release wrote is read, what none of them wrote is refused.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use temporal_registry::{
    registry::{Registry, State, TypeEntry},
    temporal::codec::{self, CodecError, STATE_VERSION},
};
use temporalio_common::{data_converters::RawValue, protos::temporal::api::common::v1::Payload};

use crate::world::cases;

/// The recorded state of each version, oldest first.
const RECORDED: [&str; STATE_VERSION as usize] = [include_str!("../fixtures/state-v1.json")];

fn plain(value: &Value) -> RawValue {
    RawValue::new(vec![codec::of_value(value)])
}

#[test]
fn a_state_of_every_version_is_read() {
    for (before, recorded) in RECORDED.iter().enumerate() {
        let recorded: Value = serde_json::from_str(recorded).unwrap();
        let state = codec::decode_state(&plain(&json!({"version": before + 1, "state": recorded}))).unwrap();
        state.check().unwrap();
        // As this release writes it, compressed or not.
        let again = codec::decode_state(&codec::encode_state(&state).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&state).unwrap());
        assert!(!Registry::new(again).state().is_blank());
    }
}

#[test]
fn what_this_process_handed_over_is_taken_over_and_nothing_in_its_place() {
    let recorded: State = serde_json::from_str(RECORDED[0]).unwrap();
    let text = |state: &State| serde_json::to_string(state).unwrap();
    let (handed, other) =
        (codec::hand_over(&recorded).unwrap(), codec::encode_state(&State::default()).unwrap());
    // Kept for the next run only, and read as any other is after that.
    for _ in 0..2 {
        assert_eq!(text(&codec::take_over(&handed).unwrap()), text(&recorded));
    }
    codec::hand_over(&recorded).unwrap();
    assert!(codec::take_over(&other).unwrap().is_blank());
    codec::hand_over(&recorded).unwrap();
    assert!(codec::take_over(&RawValue::new(Vec::new())).unwrap().is_blank());
}

#[test]
fn a_spec_is_held_once_however_often_it_is_read() {
    let recorded: Value = serde_json::from_str(RECORDED[0]).unwrap();
    let mut entry = recorded["types"].as_object().unwrap().values().next().unwrap().clone();
    // Other tests read the recorded ones meanwhile.
    entry["current"]["spec"]["workflow_type"] = "held-once.v1".into();
    let read = |entry: &Value| serde_json::from_value::<TypeEntry>(entry.clone()).unwrap();
    let (first, again) = (read(&entry), read(&entry));
    assert!(Arc::ptr_eq(&first.current.spec, &again.current.spec));
    // What differs is not taken for it, by however little.
    let enabled = !first.current.spec.enabled;
    entry["current"]["spec"]["enabled"] = enabled.into();
    let other = read(&entry);
    assert_eq!((other.current.spec.enabled, again.current.spec.enabled), (enabled, !enabled));
    // Nobody holds on to what nobody else holds.
    let held = Arc::downgrade(&first.current.spec);
    drop((first, again));
    assert!(held.upgrade().is_none());
}

#[test]
fn what_is_no_state_is_refused() {
    for state in [json!({}), json!(["another form"])] {
        let newer = plain(&json!({"version": STATE_VERSION + 1, "state": state}));
        let newer = codec::decode_state(&newer).unwrap_err();
        assert!(matches!(newer, CodecError::Newer(version) if version == STATE_VERSION + 1), "{newer}");
        assert!(newer.to_string().contains("run a newer release"));
    }
    for value in [json!({}), json!(7), json!([]), json!({"version": 1}), json!({"version": -1, "state": {}})]
    {
        assert!(codec::decode_state(&plain(&value)).is_err(), "{value}");
    }
    let unknown = Payload { data: b"{}".to_vec(), ..Payload::default() };
    assert!(matches!(codec::decode_state(&RawValue::new(vec![unknown])), Err(CodecError::Encoding(_))));
    assert!(codec::decode_state(&RawValue::new(Vec::new())).unwrap().is_blank());
}

/// Somebody may have edited an export.
#[test]
fn a_state_that_contradicts_itself_is_found_out() {
    let good: Value = serde_json::from_str(RECORDED[0]).unwrap();
    let check = |value: &Value| serde_json::from_value::<State>(value.clone()).unwrap().check();
    check(&good).unwrap();
    let slug = good["slugs"].as_object().unwrap().keys().next().unwrap().clone();
    for (pointer, wrong, why) in [
        (format!("/slugs/{slug}/slug"), json!("other"), "holds what is called"),
        (format!("/slugs/{slug}/changed"), json!(0), "changed at 0"),
        (format!("/slugs/{slug}/counter"), json!(u64::MAX), "more than a registry counts to"),
        (format!("/slugs/{slug}/last_claimed_ms"), json!(i64::MIN), "more than a registry counts to"),
        (format!("/slugs/{slug}/changed"), json!(u64::MAX), "but the registry's revision is"),
        ("/revision".to_owned(), json!(1), "but the registry's revision is"),
        (format!("/slugs/{slug}/changed"), good["tombstones"][0][0].clone(), "like another"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(&pointer).unwrap() = wrong;
        let found = check(&bad).unwrap_err();
        assert!(found.contains(why), "{pointer}: {found}");
    }
}

proptest! {
    #![proptest_config(cases(64))]

    /// Bytes that were damaged on their way are refused or read as another state, but nothing worse happens.
    #[test]
    fn damage_is_survived(at in any::<prop::sample::Index>(), to in any::<u8>(), cut in any::<bool>(), pack in any::<bool>()) {
        let state: State = serde_json::from_str(RECORDED[0]).unwrap();
        let mut raw = if pack {
            codec::encode_state(&state).unwrap()
        } else {
            plain(&json!({"version": 1, "state": state}))
        };
        let data = &mut raw.payloads[0].data;
        let at = at.index(data.len());
        if cut { data.truncate(at) } else { data[at] = to }
        if let Ok(state) = codec::decode_state(&raw) && state.check().is_ok() {
            Registry::new(state).changes_since(0, 0, 1_000);
        }
    }

    /// Any bytes whatever, under either encoding.
    #[test]
    fn noise_is_refused(data in proptest::collection::vec(any::<u8>(), 0..200), packed in any::<bool>()) {
        let encoding: &[u8] = if packed { b"binary/zstd+json" } else { b"json/plain" };
        let metadata = [("encoding".to_owned(), encoding.to_vec())].into();
        let raw = RawValue::new(vec![Payload { metadata, data, ..Payload::default() }]);
        prop_assert!(codec::decode_state(&raw).is_err());
    }
}
