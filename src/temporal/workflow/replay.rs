//! Recorded histories replay: what earlier releases did must go on being understood.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use temporalio_common::{
    data_converters::RawValue,
    protos::temporal::api::{
        history::v1::{History, history_event::Attributes},
        update::v1::outcome::Value,
    },
};
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};

use super::{HANDING_OVER, RegistryWorkflow, surface};
use crate::temporal::codec::{self, STATE_VERSION};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/histories")
}

fn recorded() -> Vec<(String, History)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let read = |file: PathBuf| {
        let history = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        (file.file_stem().unwrap().to_str().unwrap().to_owned(), history)
    };
    files.map(read).collect()
}

async fn replay(history: History) -> Result<(), WorkflowReplayError> {
    surface::registering("temporal-registry.v1");
    let options = WorkflowReplayerOptions::new().register_workflow::<RegistryWorkflow>().unwrap().build();
    WorkflowReplayer::new(options)?.replay_workflow(history.into()).await
}

#[tokio::test]
async fn every_recorded_history_replays() {
    for (name, history) in recorded() {
        if let Err(error) = replay(history).await {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn the_recordings_hold_everything_that_can_be_sent() {
    let (mut signals, mut updates, mut versions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut timers, mut activities, mut handed_over, mut stateless, mut refused) = (0, 0, 0, 0, 0);
    for event in recorded().into_iter().flat_map(|(_, history)| history.events) {
        match event.attributes.unwrap() {
            Attributes::WorkflowExecutionSignaledEventAttributes(signal) => {
                signals.insert(signal.signal_name);
            }
            Attributes::WorkflowExecutionUpdateAcceptedEventAttributes(update) => {
                updates.insert(update.accepted_request.unwrap().input.unwrap().name);
            }
            Attributes::WorkflowExecutionStartedEventAttributes(started) => {
                match started.input.unwrap_or_default().payloads.first() {
                    None => stateless += 1,
                    Some(payload) => {
                        let envelope: serde_json::Value =
                            serde_json::from_slice(&codec::json_of(payload).unwrap()).unwrap();
                        versions.insert(envelope["version"].as_u64().unwrap());
                    }
                }
            }
            Attributes::WorkflowExecutionUpdateCompletedEventAttributes(update) => {
                let outcome = update.outcome.and_then(|outcome| outcome.value);
                refused += usize::from(
                    matches!(outcome, Some(Value::Failure(failure)) if failure.message.contains(HANDING_OVER)),
                );
            }
            Attributes::TimerFiredEventAttributes(_) => timers += 1,
            Attributes::ActivityTaskCompletedEventAttributes(_) => activities += 1,
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(_) => handed_over += 1,
            _ => {}
        }
    }
    assert_eq!(signals.iter().map(String::as_str).collect::<BTreeSet<_>>(), surface::SIGNALS.into());
    assert_eq!(updates.iter().map(String::as_str).collect::<BTreeSet<_>>(), surface::UPDATES.into());
    assert_eq!(versions, (1..=u64::from(STATE_VERSION)).collect());
    assert!(timers > 0 && activities > 0 && handed_over > 0 && stateless > 0 && refused > 0);
}

/// The last recorded history of a name.
fn one(begin: &str) -> History {
    let name = format!("{begin}-v{STATE_VERSION}");
    recorded().into_iter().find(|(found, _)| *found == name).unwrap().1
}

fn input(history: &mut History) -> &mut RawInput {
    match history.events[0].attributes.as_mut().unwrap() {
        Attributes::WorkflowExecutionStartedEventAttributes(started) => started.input.as_mut().unwrap(),
        other => panic!("{other:?}"),
    }
}

type RawInput = temporalio_common::protos::temporal::api::common::v1::Payloads;

#[tokio::test]
async fn a_newer_state_is_refused_and_left_as_it_is() {
    let mut history = one("taken-state");
    let payloads = input(&mut history);
    let state = codec::decode_state(&RawValue::new(payloads.payloads.clone())).unwrap();
    let envelope = serde_json::json!({"version": STATE_VERSION + 1, "state": state});
    payloads.payloads = vec![codec::of_value(&envelope)];
    // The workflow task fails: Temporal keeps the run as it is until a program comes along that can read it.
    match replay(history).await {
        Err(WorkflowReplayError::Replay(WorkflowReplayFailure::WorkflowTaskFailure { message })) => {
            assert!(message.contains("run a newer release"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_course_of_things_is_noticed() {
    let mut history = one("surface");
    let scheduled = history.events.iter_mut().find_map(|event| match event.attributes.as_mut() {
        Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => Some(scheduled),
        _ => None,
    });
    scheduled.unwrap().activity_type.as_mut().unwrap().name = "another".to_owned();
    let replayed = replay(history).await;
    let noticed =
        matches!(replayed, Err(WorkflowReplayError::Replay(WorkflowReplayFailure::Nondeterminism { .. })));
    assert!(noticed, "{replayed:?}");
}
