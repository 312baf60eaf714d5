//! Foretells when a schedule fires, without asking the server.

use super::calendar::Steps;
use super::spec::{CompiledSpec, Interval, NamedCalendar};
use chrono::{DateTime, Duration, SecondsFormat, SubsecRound, Utc};

/// How far ahead to look: 100 years of 366 days.
const HORIZON_DAYS: i64 = 36_600;
/// How much work to put into one preview; a step is a day or an hour looked at, or a fire found.
const STEPS_MAX: u32 = 1_000_000;

/// One fire to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fire {
    /// When. Jitter comes on top.
    pub at: DateTime<Utc>,
    /// The id of the workflow it starts.
    pub workflow_id: String,
}

/// The first `n` fires after `from`, in order and each instant once, fewer when there are no more. An immediate fire
/// counts as long as it is not before `from`.
///
/// Start, end and the number of actions allowed are honoured; jitter is not, for it is random (and does not change
/// workflow ids). The search gives up, with what it has, 100 years on or when it becomes too much work.
pub fn fires(spec: &CompiledSpec, from: DateTime<Utc>, n: usize) -> Vec<DateTime<Utc>> {
    let limit = spec.limited_actions.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(0));
    let n = n.min(limit);
    let mut found = Vec::new();
    if n == 0 {
        return found;
    }
    let from = from.trunc_subsecs(0);
    found.extend(spec.immediate.filter(|at| *at >= from));
    let mut after = match spec.start_at {
        // The first second of the range may fire.
        Some(start) if from < start => start - Duration::seconds(1),
        Some(_) | None => from,
    };
    let mut last = from + Duration::days(HORIZON_DAYS);
    if let Some(end) = spec.end_at {
        last = last.min(end);
    }
    let mut steps = Steps::at_most(STEPS_MAX);
    let mut upcoming = Upcoming::new(spec, after, &mut steps);
    while found.len() < n && steps.take().is_some() {
        match upcoming.after(after, &mut steps) {
            Some(at) if at <= last => {
                if found.last() != Some(&at) {
                    found.push(at);
                }
                after = at;
            }
            Some(_) | None => break,
        }
    }
    found
}

/// The first `n` fires with the workflow ids they get; `base_workflow_id` is what the times are appended to.
pub fn preview(spec: &CompiledSpec, base_workflow_id: &str, from: DateTime<Utc>, n: usize) -> Vec<Fire> {
    let named = |at| Fire { at, workflow_id: workflow_id(base_workflow_id, at) };
    fires(spec, from, n).into_iter().map(named).collect()
}

/// The id of the workflow that a fire starts.
pub fn workflow_id(base_workflow_id: &str, at: DateTime<Utc>) -> String {
    format!("{base_workflow_id}-{}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The next fire of each calendar. One that is far off is not looked for again at every step; a near one is, because
/// what the server makes of a repeated hour depends on where it comes from.
struct Upcoming<'a> {
    spec: &'a CompiledSpec,
    calendars: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Upcoming<'a> {
    fn new(spec: &'a CompiledSpec, after: DateTime<Utc>, steps: &mut Steps) -> Self {
        let next = |named: &NamedCalendar| named.calendar.next(after, spec.zone, steps);
        Self { spec, calendars: spec.calendars.iter().map(next).collect() }
    }

    fn after(&mut self, after: DateTime<Utc>, steps: &mut Steps) -> Option<DateTime<Utc>> {
        for (named, next) in self.spec.calendars.iter().zip(&mut self.calendars) {
            if next.is_some_and(|at| at <= after + Duration::days(1)) {
                *next = named.calendar.next(after, self.spec.zone, steps).filter(|at| *at > after);
            }
        }
        let intervals = self.spec.intervals.iter().filter_map(|interval| interval.next(after));
        let one_shots = self.spec.one_shots.iter().copied().find(|at| *at > after);
        self.calendars.iter().copied().flatten().chain(intervals).chain(one_shots).min()
    }
}

impl Interval {
    /// The first fire after `after`; `None` at the end of time.
    fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let past = (after.timestamp() - self.phase_seconds).rem_euclid(self.every_seconds);
        DateTime::from_timestamp(after.timestamp().checked_add(self.every_seconds - past)?, 0)
    }
}

#[cfg(test)]
#[path = "preview_tests.rs"]
mod tests;
