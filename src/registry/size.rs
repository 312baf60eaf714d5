//! How many bytes things take in the state, by the registry's own count. What renewals and switches change is counted
//! at a flat rate, so that a thing always leaves with as many bytes as it came with.

use super::{
    Attribute, AttributeStatus, Reserved, Spec, TypeEntry, Worker,
    state::{State, json_bytes},
};

/// Numbers, names of fields and punctuation of one thing.
const FLAT: u64 = 160;

/// A spec as one revision of a type.
pub(super) fn revision(spec: &Spec) -> u64 {
    let enabled_either_way = u64::from(spec.enabled);
    FLAT + json_bytes(spec) + enabled_either_way
}

/// A type with its history.
pub(super) fn entry(entry: &TypeEntry) -> u64 {
    let known: usize = entry.known.iter().map(|hash| hash.len() + 3).sum();
    FLAT + known as u64 + entry.revisions().map(|of| revision(&of.spec)).sum::<u64>()
}

/// A worker.
pub(super) fn worker(of: &Worker) -> u64 {
    let texts = (&of.worker_id, &of.task_queue, &of.environment, &of.host, &of.version);
    FLAT + sum([
        json_bytes(&texts),
        json_bytes(&of.workflows),
        json_bytes(&of.labels),
        json_bytes(&of.metadata),
    ])
}

/// A slug counter.
pub(super) fn slug(slug: &str) -> u64 {
    48 + slug.len() as u64
}

/// An idempotency record.
pub(super) fn reserved(of: &Reserved) -> u64 {
    48 + json_bytes(&(&of.key, &of.fingerprint, &of.workflow_id, &of.run))
}

/// A declared attribute.
pub(super) fn attribute(of: &Attribute) -> u64 {
    let reason = match &of.status {
        AttributeStatus::Conflict(reason) => reason.len(),
        AttributeStatus::Pending | AttributeStatus::Ready => 0,
    };
    64 + (of.name.len() + reason) as u64
}

/// Everything that is counted, from scratch.
pub(super) fn all(state: &State) -> u64 {
    sum([
        state.types.values().map(entry).sum(),
        state.workers.values().map(worker).sum(),
        state.slugs.keys().map(|of| slug(of)).sum(),
        state.attributes.values().map(attribute).sum(),
        state.reservations.values().map(reserved).sum(),
    ])
}

fn sum<const N: usize>(parts: [u64; N]) -> u64 {
    parts.into_iter().sum()
}
