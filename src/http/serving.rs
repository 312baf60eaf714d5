//! Types with the workers that serve them, as one view has them at one moment.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::etag::ETag;
use super::shapes::{TypeStatus, WorkerShape, WorkflowShape};
use crate::{
    fleet::Judge,
    registry::{Health, TypeEntry},
    view::{Member, View},
};

/// Renders types of one view; a worker that serves many is rendered once.
pub struct Serving<'a> {
    view: &'a View,
    judge: Judge,
    rendered: RefCell<HashMap<&'a str, Arc<WorkerShape>>>,
}

impl<'a> Serving<'a> {
    /// The types of this view, their workers judged by this judge.
    pub fn new(view: &'a View, judge: Judge) -> Self {
        Self { view, judge, rendered: RefCell::default() }
    }

    /// A type with its workers.
    pub fn shape(&self, entry: &'a TypeEntry) -> WorkflowShape {
        let workers = self.view.workers_of(entry.workflow_type()).map(|member| self.worker(member));
        WorkflowShape::of(self.view, entry, workers.collect())
    }

    fn worker(&self, member: &'a Member) -> Arc<WorkerShape> {
        let mut rendered = self.rendered.borrow_mut();
        let shape = rendered
            .entry(&member.worker.worker_id)
            .or_insert_with(|| Arc::new(WorkerShape::of(member, &self.judge)));
        shape.clone()
    }

    /// Whether somebody serves a type who is not known to be gone.
    pub fn is_served(&self, entry: &TypeEntry) -> bool {
        self.view.workers_of(entry.workflow_type()).any(|member| self.judge.health(member).is_usable())
    }

    /// The tag of one type: its revision number, the registry's revision at which it changed last, and a digest of all that
    /// its JSON shows but heartbeats.
    pub fn etag(&self, entry: &TypeEntry) -> ETag {
        let mut digest = Sha256::new();
        self.feed(entry, &mut digest);
        ETag::new(format!("{}.{}.{}", entry.current.number, entry.changed, short(digest)))
    }

    /// The tag of a list.
    pub fn list_etag<'e>(&self, entries: impl Iterator<Item = &'e TypeEntry>, next: Option<&str>) -> ETag {
        let mut digest = Sha256::new();
        entries.for_each(|entry| self.feed(entry, &mut digest));
        digest.update(next.unwrap_or_default());
        ETag::new(short(digest))
    }

    /// Whatever changes a thing durably changes its `changed`; health and readiness change by themselves.
    fn feed(&self, entry: &TypeEntry, digest: &mut Sha256) {
        digest.update(entry.current.hash.as_bytes());
        digest.update(entry.changed.to_le_bytes());
        let (status, reason) = TypeStatus::of(self.view, entry);
        digest.update([match status {
            TypeStatus::Ready => 0,
            TypeStatus::Pending => 1,
            TypeStatus::Unavailable => 2,
        }]);
        digest.update(reason.unwrap_or_default());
        for member in self.view.workers_of(entry.workflow_type()) {
            digest.update(&member.worker.worker_id);
            digest.update(member.worker.changed.to_le_bytes());
            digest.update([match self.judge.health(member) {
                Health::Healthy => 0,
                Health::Unhealthy => 1,
                Health::Unknown => 2,
            }]);
        }
        // Ends the list of workers, so that none can pass for the next entry.
        digest.update([255]);
    }
}

fn short(digest: Sha256) -> String {
    hex::encode(&digest.finalize()[..8])
}
