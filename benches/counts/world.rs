//! What the cases begin with.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use temporal_registry::{
    registry::{
        Batch, Changes, Command, Limits, Outcome, Registration, Registry, Spec, SpecClaim, Standing, State,
    },
    schema::content_hash,
    view::View,
};

use crate::inputs::spec;

/// A moment like any other, milliseconds since the Unix epoch.
pub const NOW_MS: i64 = 1_800_000_000_000;

/// How large a registry is where a case does not say it: types, and as many workers and slugs.
pub const SIZE: usize = 1_000;
/// Types of one worker.
pub const TYPES_EACH: usize = 5;

/// A registry of so many types, of as many workers that serve some of them, and of as many slugs. Workers and types are
/// numbered from `0`.
pub fn registry(size: usize) -> Registry {
    let mut registry = Registry::new(State::default());
    registry.begin_run(NOW_MS);
    // The bounds of bytes need a measurement from outside; without it they are reached early.
    let limits = Limits { types_max: 2 * size, packed_bytes_max: u64::MAX, ..Limits::default() };
    registry.apply(&Command::ServiceStarted { process_id: "replica-1".to_owned(), limits }, NOW_MS);
    let types: Vec<SpecClaim> = (0..size).map(numbered).collect();
    for number in 0..size {
        let served = (0..TYPES_EACH).map(|one| types[(number * TYPES_EACH + one) % size].clone());
        let outcome = registry.apply(&Command::Register(worker(number, served.collect())), NOW_MS);
        assert!(matches!(outcome, Outcome::Registered { .. }), "{outcome:?}");
        registry.apply(&Command::Claim { name: format!("bench {number}") }, NOW_MS);
    }
    registry
}

/// The spec of type `number`.
pub fn numbered(number: usize) -> SpecClaim {
    claim_of(spec(&format!("bench-{number}.v1")))
}

/// A spec as a replica puts it to the rules.
pub fn claim_of(spec: Value) -> SpecClaim {
    let spec: Spec = serde_json::from_value(spec).expect("a spec");
    SpecClaim { hash: content_hash(&spec.content()), spec: Arc::new(spec), standing: Standing::Uncompared }
}

/// The registration of worker `number`.
pub fn worker(number: usize, workflows: Vec<SpecClaim>) -> Registration {
    Registration {
        worker_id: format!("w{number}"),
        task_queue: "bench".to_owned(),
        workflows,
        ttl_seconds: 60,
        environment: "local".to_owned(),
        labels: BTreeMap::new(),
        host: "bench.example.com".to_owned(),
        version: "1.0.0".to_owned(),
        metadata: Map::new(),
        incarnation: None,
        is_static: false,
    }
}

/// 512 claims that arrived together, of 64 names that are known.
pub fn claims(registry: &Registry) -> Batch {
    let claim = |number: usize| Command::Claim { name: format!("bench {}", number % 64) };
    Batch {
        replica: "replica-1".to_owned(),
        sequence: 1,
        known_revision: registry.revision(),
        known_born: 0,
        commands: (0..512).map(claim).collect(),
    }
}

/// The view of a registry, and the next change of it: a type is switched off.
pub fn view(size: usize) -> (View, Changes) {
    let mut registry = registry(size);
    let view = View::default().after(&registry.changes_since(0, 0, u64::MAX)).expect("a first view");
    let off = Command::SetEnabled { workflow_type: "bench-7.v1".to_owned(), enabled: false };
    registry.apply(&off, NOW_MS);
    let (revision, born) = view.reached();
    let changes = registry.changes_since(revision, born, u64::MAX);
    assert_eq!(changes.types.len(), 1);
    (view, changes)
}
