//! What is known of schedules and their calls, in the words of the seam.

use super::description::ScheduleDescription;
use super::error::ScheduleError;
use super::request::DispatchMode;
use super::stamp::Dispatch;
use super::state::{Problem, ScheduleDetail};
use crate::seams::schedules::ScheduleFailure;

/// Names the state that a schedule is in.
pub(super) fn version_of(seen: &ScheduleDescription) -> String {
    hex::encode(&seen.conflict_token.0)
}

/// Everything about a schedule, and what is wrong with it.
pub(super) fn detail(seen: ScheduleDescription, problems: Vec<Problem>) -> ScheduleDetail {
    let dispatch = seen.stamp.as_ref().map(|stamp| stamp.dispatch);
    ScheduleDetail {
        version: version_of(&seen),
        workflow_type: seen.workflow_type,
        dispatch: match dispatch {
            Some(Dispatch::AtFire) => DispatchMode::ResolveAtFire,
            Some(Dispatch::Pinned | Dispatch::Follows) | None => DispatchMode::Direct,
        },
        is_pinned: dispatch == Some(Dispatch::Pinned),
        is_ours: dispatch.is_some(),
        id: seen.id,
        task_queue: seen.task_queue,
        workflow_id: seen.workflow_id,
        paused: seen.paused,
        note: seen.note,
        input: seen.input,
        memo: seen.memo,
        search_attributes: seen.search_attributes,
        spec: seen.spec,
        overlap_policy: seen.overlap_policy,
        catchup_window_seconds: seen.catchup_window_seconds,
        pause_on_failure: seen.pause_on_failure,
        timeouts: seen.timeouts,
        retry_policy: seen.retry_policy,
        remaining_actions: seen.remaining_actions,
        next_fires: seen.next_fires,
        running: seen.running,
        recent: seen.recent,
        counts: seen.counts,
        created_at: seen.created_at,
        updated_at: seen.updated_at,
        problems,
    }
}

/// Why a call failed.
pub(super) fn failure(error: ScheduleError) -> ScheduleFailure {
    match error {
        ScheduleError::NotFound => ScheduleFailure::NotFound,
        ScheduleError::AlreadyExists => ScheduleFailure::Exists,
        ScheduleError::Invalid(why) => ScheduleFailure::Refused(why),
        ScheduleError::Conflict => ScheduleFailure::Changed,
        ScheduleError::Unavailable(why) => ScheduleFailure::TemporalUnavailable(why),
        ScheduleError::OutcomeUnknown(why) => ScheduleFailure::OutcomeUnknown(why),
        ScheduleError::ResourceExhausted(why) => ScheduleFailure::OverLimit(why),
        ScheduleError::PermissionDenied(why) => {
            ScheduleFailure::TemporalUnavailable(format!("it denies access to the registry: {why}"))
        }
        ScheduleError::Internal(why) => ScheduleFailure::Internal(why),
    }
}
