//! The rules. Each case makes what it needs, has the work counted, and looks whether the work was done at all.

use serde_json::json;
use temporal_registry::registry::{Command, Outcome, Renewal, compat, slugify};

use crate::count;
use crate::inputs::large;
use crate::world::{NOW_MS, SIZE, TYPES_EACH, claims, numbered, registry, worker};

pub fn claim() {
    let mut registry = registry(SIZE);
    let claim = Command::Claim { name: "bench 7".to_owned() };
    let outcome = count(|| registry.apply(&claim, NOW_MS));
    assert_eq!(outcome, Outcome::Claimed { slug: "bench-7".to_owned(), counter: 2 });
}

pub fn batch() {
    let mut registry = registry(SIZE);
    let batch = claims(&registry);
    let reply = count(|| registry.apply_batch(&batch, NOW_MS, u64::MAX));
    assert_eq!((reply.outcomes.len(), reply.changes.slugs.len()), (512, 64));
}

pub fn registration() {
    let mut registry = registry(SIZE);
    let types = (SIZE..SIZE + TYPES_EACH).map(numbered);
    let register = Command::Register(worker(SIZE, types.collect()));
    let outcome = count(|| registry.apply(&register, NOW_MS));
    assert!(matches!(outcome, Outcome::Registered { changed: true, .. }), "{outcome:?}");
}

pub fn heartbeats() {
    let mut registry = registry(SIZE);
    let workers = registry.state().workers.values();
    let beat = |id: &String, epoch| Renewal { worker_id: id.clone(), epoch, age_ms: 10 };
    let renew = Command::Renew(workers.map(|worker| beat(&worker.worker_id, worker.epoch)).collect());
    let later_ms = NOW_MS + 20_000;
    count(|| registry.apply(&renew, later_ms));
    assert!(registry.state().workers.values().all(|worker| worker.last_seen_ms == later_ms - 10));
}

pub fn compared() {
    let (spec, _) = large("large.v1");
    let old = &spec["input_schema"];
    let mut new = old.clone();
    new["properties"]["one_more"] = json!({"type": "string"});
    assert!(count(|| compat::broken_by(old, &new)).is_empty());
}

pub fn slug() {
    let name = "Report of the Day (EU), 2026-05-01";
    // The first of its size costs the allocator more than the slug.
    let first = slugify(name);
    assert_eq!(count(|| slugify(name)), first);
}
