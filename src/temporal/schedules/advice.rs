//! What to tell a caller about a request: what does not fit, and what is worth knowing all the same.

use serde_json::Value;

use super::fit::Queue;
use super::request::{DispatchMode, FieldError, FieldWarning, ScheduleRequest};
use super::spec::CompiledSpec;
use super::stamp::{Dispatch, Stamp};
use crate::{
    registry::{SLUG_NAME_CHARS_MAX, TypeEntry, slugify, spec_hold},
    schema::Violation,
    seams::schedules::ScheduleFailure,
    view::View,
};

/// A listing tells these from what was noted at the creation, which Temporal keeps for good.
pub(super) fn lasting(stamp: &Stamp, request: &ScheduleRequest) -> Result<(), ScheduleFailure> {
    let (was, is) = (stamp.dispatch == Dispatch::AtFire, request.dispatch == DispatchMode::ResolveAtFire);
    let misfit = |field: &str| {
        let msg = "cannot be changed while the target is resolved at fire: delete the schedule first";
        Err(ScheduleFailure::Invalid(vec![misfit(&[field], msg, "conflict")]))
    };
    if was != is {
        return misfit("dispatch");
    }
    if was && stamp.workflow_type != request.workflow_type {
        return misfit("workflow_type");
    }
    Ok(())
}

/// What a schedule whose target is resolved at fire cannot have.
pub(super) fn unfit_at_fire(id: &str, request: &ScheduleRequest) -> Vec<Violation> {
    if request.dispatch == DispatchMode::Direct {
        return Vec::new();
    }
    let mut violations = Vec::new();
    if request.pinned_task_queue().is_some() {
        violations.push(misfit(&["task_queue"], "the queue is resolved at fire", "conflict"));
    }
    if !request.memo.is_empty() {
        violations.push(misfit(&["memo"], "runs whose target is resolved at fire have no memo", "conflict"));
    }
    let name = request.base_workflow_id(id);
    if slugify(name).is_empty() || name.chars().count() > SLUG_NAME_CHARS_MAX {
        let msg = format!(
            "{name:?} is no name to claim run ids by: up to {SLUG_NAME_CHARS_MAX} letters and digits"
        );
        violations.push(misfit(&["workflow_id"], &msg, "value_error"));
    }
    violations
}

/// What does not keep a schedule from being made.
pub(super) fn warnings(
    request: &ScheduleRequest,
    spec: &CompiledSpec,
    view: &View,
    entry: &TypeEntry,
    queue: &Queue,
) -> Vec<FieldWarning> {
    let current = &entry.current.spec;
    let mut warnings = spec.warnings.clone();
    for warning in &current.schedule_input_warnings {
        if is_blank(request.input.get(&warning.field)) {
            let (field, message) = (warning.field.clone(), warning.message.clone());
            warnings.push(FieldWarning { field, message });
        }
    }
    if !queue.is_served {
        let message = format!(
            "no healthy worker serves {} now: runs wait on {} until one does",
            current.workflow_type, queue.name
        );
        warnings.push(FieldWarning { field: "workflow_type".to_owned(), message });
    }
    // What is being provisioned will be there by the time of a fire.
    if let Some((false, why)) = spec_hold(current, |name| view.attributes.get(name)) {
        let message = format!("{} is unavailable: {why}", current.workflow_type);
        warnings.push(FieldWarning { field: "workflow_type".to_owned(), message });
    }
    if let Some(why) = &current.deprecated {
        let message = format!("{} is deprecated: {why}", current.workflow_type);
        warnings.push(FieldWarning { field: "workflow_type".to_owned(), message });
    }
    warnings
}

/// Absent, null, or empty.
fn is_blank(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    }
}

/// What a compilation complains of.
pub(super) fn violation(error: &FieldError) -> Violation {
    let place: Vec<&str> = error.field.iter().map(String::as_str).collect();
    misfit(&place, &error.msg, error.kind)
}

/// A violation at a place in the body; digits are indexes.
pub(super) fn misfit(place: &[&str], msg: &str, kind: &str) -> Violation {
    let index = |part: &&str| part.parse::<u64>().map_or_else(|_| Value::from(*part), Value::from);
    Violation {
        loc: place.iter().map(index).collect(),
        pointer: place.iter().map(|part| format!("/{part}")).collect(),
        msg: msg.to_owned(),
        kind: kind.to_owned(),
    }
}
