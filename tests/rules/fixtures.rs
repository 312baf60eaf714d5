//! Recorded forms. What was written once must be read for ever: a field or a name that changes fails here.
//! New fields are added to the files, nothing is taken out of them.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use temporal_registry::{
    registry::{
        AttributeStatus, Batch, BatchReply, Command, Key, Outcome, Registry, Source, Standing, State,
        VerdictKind, WorkerState,
    },
    view::View,
};

use crate::{
    refusals::kind_of,
    replication::{assert_follows, catch_up},
};

const STATE: &str = include_str!("../fixtures/state-v1.json");
const BATCH: &str = include_str!("../fixtures/batch-v1.json");
const REPLY: &str = include_str!("../fixtures/reply-v1.json");

/// Reads a recorded form and writes it again: nothing may get lost, and nothing may be missing in the record.
fn kept<T: Serialize + DeserializeOwned>(recorded: &str) -> T {
    let value: T = serde_json::from_str(recorded).unwrap();
    let written = serde_json::to_value(&value).unwrap();
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    same("", &recorded, &written);
    value
}

/// Tells the place of a difference instead of both documents.
fn same(at: &str, recorded: &Value, written: &Value) {
    match (recorded, written) {
        (Value::Object(was), Value::Object(is)) => {
            let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for key in keys {
                let (was, is) = (was.get(key), is.get(key));
                assert!(was.is_some() && is.is_some(), "{at}/{key}: recorded {was:?}, written {is:?}");
                same(&format!("{at}/{key}"), was.unwrap(), is.unwrap());
            }
        }
        (Value::Array(was), Value::Array(is)) if was.len() == is.len() => {
            for (index, (was, is)) in was.iter().zip(is).enumerate() {
                same(&format!("{at}/{index}"), was, is);
            }
        }
        _ => assert_eq!(recorded, written, "{at}"),
    }
}

#[test]
fn state() {
    let state: State = kept(STATE);
    let types: Vec<_> = state.types.values().collect();
    assert!(types.iter().any(|entry| !entry.past.is_empty() && !entry.known.is_empty()));
    let sources = types.iter().flat_map(|entry| entry.revisions()).map(|revision| match revision.source {
        Source::Admin => "admin",
        Source::Worker(_) => "worker",
    });
    assert_eq!(sources.collect::<BTreeSet<_>>().len(), 2);
    let states = state.workers.values().map(|worker| match worker.state {
        WorkerState::Active => "active",
        WorkerState::Draining => "draining",
    });
    assert_eq!(states.collect::<BTreeSet<_>>().len(), 2);
    let statuses = state.attributes.values().map(|attribute| match attribute.status {
        AttributeStatus::Pending => "pending",
        AttributeStatus::Ready => "ready",
        AttributeStatus::Conflict(_) => "conflict",
    });
    assert_eq!(statuses.collect::<BTreeSet<_>>().len(), 3);
    let keys = state.tombstones.iter().map(|(_, key)| kind_of_key(key)).collect::<BTreeSet<_>>();
    assert_eq!(keys.len(), 6);
    assert!(!state.applied.is_empty());

    let mut registry = Registry::new(state);
    let mut view = View::default();
    catch_up(&mut view, &registry, 100);
    assert_follows(&view, &registry);
    let claimed = registry.apply(&Command::Claim { name: "Daily".to_owned() }, 1_800_000_000_010);
    assert_eq!(claimed, Outcome::Claimed { slug: "daily".to_owned(), counter: 13 });
    let same = Command::Claim { name: "gone".to_owned() };
    registry.apply(&same, 1_800_000_000_010);
    catch_up(&mut view, &registry, 100);
    assert_follows(&view, &registry);
}

fn kind_of_key(key: &Key) -> &'static str {
    match key {
        Key::Type(_) => "type",
        Key::Worker(_) => "worker",
        Key::Lease(_) => "lease",
        Key::Slug(_) => "slug",
        Key::Attribute(_) => "attribute",
        Key::Reservation(_) => "reservation",
    }
}

/// A state from before anything was added to it.
#[test]
fn an_empty_state_is_read() {
    let state: State = serde_json::from_str("{}").unwrap();
    assert_eq!(state.limits.slugs_max, 10_000);
    assert_eq!(state.limits.run_events_max, 1_500);
    assert_eq!(Registry::new(state).revision(), 0);
    // The builds that wrote no such bound had another: what they ran replays with theirs.
    let state: State = serde_json::from_str(r#"{"limits": {}}"#).unwrap();
    assert_eq!(state.limits.run_events_max, 5_000);
}

#[test]
fn batch() {
    let batch: Batch = kept(BATCH);
    let kind = |command: &Command| match command {
        Command::Register(_) => "register",
        Command::Renew(_) => "renew",
        Command::Drain { .. } => "drain",
        Command::Deregister { .. } => "deregister",
        Command::CreateType(_) => "create",
        Command::ReplaceType { .. } => "replace",
        Command::SetEnabled { .. } => "enable",
        Command::DeleteType { .. } => "delete",
        Command::Claim { .. } => "claim",
        Command::ResetSlug { .. } => "reset",
        Command::Reserve(_) => "reserve",
        Command::Settle { .. } => "settle",
        Command::Sweep => "sweep",
        Command::ServiceStarted { .. } => "started",
        Command::Provisioned(_) => "provisioned",
        Command::Measured { .. } => "measured",
    };
    assert_eq!(batch.commands.iter().map(kind).collect::<BTreeSet<_>>().len(), 16);
    let claims = batch.commands.iter().filter_map(|command| match command {
        Command::Register(registration) => Some(&registration.workflows),
        _ => None,
    });
    let standings = claims.flatten().map(|claim| match claim.standing {
        Standing::Uncompared => "uncompared",
        Standing::Compared(_) => "compared",
        Standing::Never => "never",
        Standing::Force => "force",
    });
    assert_eq!(standings.collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn reply() {
    let reply: BatchReply = kept(REPLY);
    let kind = |outcome: &Outcome| match outcome {
        Outcome::Registered { .. } => "registered",
        Outcome::Put { .. } => "put",
        Outcome::Claimed { .. } => "claimed",
        Outcome::SlugReset { .. } => "reset",
        Outcome::Reserved { .. } => "reserved",
        Outcome::Done => "done",
        Outcome::Refused(refusal) => kind_of(refusal),
    };
    assert_eq!(reply.outcomes.iter().map(kind).collect::<BTreeSet<_>>().len(), 6 + 11);
    let verdicts = reply.outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Registered { verdicts, .. } => Some(verdicts),
        _ => None,
    });
    let kinds = verdicts.flatten().map(|verdict| match verdict.kind {
        VerdictKind::Created => "created",
        VerdictKind::Unchanged => "unchanged",
        VerdictKind::Revised => "revised",
        VerdictKind::Incompatible => "incompatible",
        VerdictKind::Pending => "pending",
        VerdictKind::Unavailable => "unavailable",
    });
    assert_eq!(kinds.collect::<BTreeSet<_>>().len(), 6);
    let removed = reply.changes.removed.iter().map(kind_of_key).collect::<BTreeSet<_>>();
    assert_eq!(removed.len(), 6);
}
