//! The mark that this registry leaves on its schedules, to know them again.
//!
//! It is in the memo of the schedule, where a listing shows it, and in the memo of the action. The server keeps a
//! schedule's memo as it was at creation for good, so the action's copy, which every update replaces, is the one to
//! believe; the schedule's says no more than that the schedule is ours. Runs inherit the action's copy.

use super::request::{DispatchMode, ScheduleRequest};
use super::spec::CompiledSpec;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use temporalio_common::protos::temporal::api::common::v1::{Memo, Payload};
use uuid::Uuid;

use crate::schema::content_hash;

/// The memo key of the mark.
pub const MEMO_KEY: &str = "temporal_registry";
/// The version of the mark written today.
const VERSION: u32 = 1;

/// Whether a schedule's queue is its own or its type's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// The caller named the queue: it stays.
    Pinned,
    /// The registry chose the queue: it follows the type.
    Follows,
    /// The queue is looked up at each fire, by a workflow of the registry's.
    AtFire,
}

/// What the registry notes about a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Version of the mark.
    pub v: u32,
    /// The type it starts.
    pub workflow_type: String,
    /// Who decides on the queue.
    pub dispatch: Dispatch,
    /// Hash of the input, to tell whether a check of it against a schema is still good.
    pub input_hash: String,
    /// Hash of the whole request, to tell an identical one.
    pub spec_hash: String,
    /// For a schedule of single fires only, how many there will be; it is done after them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_shot_fires: Option<i64>,
    /// Different for every change, so that a change can be seen to have taken effect.
    pub change: String,
    /// Where the times come from, when the last change was about something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_set: Option<TimesSet>,
}

/// The change that gave a schedule its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimesSet {
    /// Its name.
    pub by: String,
    /// When the server took it.
    pub at: DateTime<Utc>,
}

impl Stamp {
    /// The mark for a schedule of this request.
    pub fn new(request: &ScheduleRequest, spec: &CompiledSpec) -> Self {
        let dispatch = match (request.dispatch, request.pinned_task_queue()) {
            (DispatchMode::ResolveAtFire, _) => Dispatch::AtFire,
            (DispatchMode::Direct, Some(_)) => Dispatch::Pinned,
            (DispatchMode::Direct, None) => Dispatch::Follows,
        };
        Self {
            v: VERSION,
            workflow_type: request.workflow_type.clone(),
            dispatch,
            input_hash: content_hash(&request.input),
            spec_hash: request.hash(),
            one_shot_fires: spec.one_shot_fires(),
            change: Uuid::new_v4().to_string(),
            times_set: None,
        }
    }

    /// The name of the change that gave the schedule its times.
    pub fn times_set_by(&self) -> &str {
        self.times_set.as_ref().map_or(&self.change, |set| &set.by)
    }

    /// The mark as the one entry of a memo.
    pub fn to_memo(&self) -> Memo {
        let mut fields = HashMap::new();
        if let Ok(value) = serde_json::to_value(self) {
            fields.insert(MEMO_KEY.to_owned(), to_payload(&value));
        }
        Memo { fields }
    }

    /// Reads the mark; `None` on a schedule that is not ours, or of a version not known yet.
    pub fn of_memo(memo: Option<&Memo>) -> Option<Self> {
        let stamp: Self = serde_json::from_slice(&memo?.fields.get(MEMO_KEY)?.data).ok()?;
        (stamp.v == VERSION).then_some(stamp)
    }
}

/// A value as a JSON payload.
pub(super) fn to_payload(value: &serde_json::Value) -> Payload {
    Payload {
        metadata: HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]),
        data: value.to_string().into_bytes(),
        ..Payload::default()
    }
}

/// The value of a JSON payload; `None` when it is something else.
pub(super) fn of_payload(payload: &Payload) -> Option<serde_json::Value> {
    if payload.metadata.get("encoding").is_some_and(|encoding| encoding == b"binary/null") {
        return Some(serde_json::Value::Null);
    }
    serde_json::from_slice(&payload.data).ok()
}
