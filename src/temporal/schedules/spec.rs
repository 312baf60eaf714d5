//! From a request to the exact set of times it stands for, with everything wrong with it said at once.

use super::calendar::{Calendar, CalendarText};
use super::check::Complaints;
use super::cron::{self, CronTimes};
use super::preview;
use super::request::{CalendarRequest, FieldError, FieldWarning, ScheduleRequest};
use chrono::{DateTime, Duration, SubsecRound, Utc};
use chrono_tz::Tz;

/// The longest time, in seconds, that anything may be told to wait: ten years.
pub const WAIT_SECONDS_MAX: i64 = 3_650 * 86_400;
/// The shortest catch-up window the server honours, in seconds.
pub const CATCHUP_WINDOW_SECONDS_MIN: i64 = 10;
/// The most cron strings, calendars or offsets in one schedule, each.
pub const TIMES_MAX: usize = 200;

/// `phase_seconds` after every multiple of `every_seconds` since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// At least 1.
    pub every_seconds: i64,
    /// At least 0 and less than `every_seconds`.
    pub phase_seconds: i64,
}

/// A calendar and the caller's own words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCalendar {
    /// The local times.
    pub calendar: Calendar,
    /// The cron string it was written as, if it was.
    pub cron: Option<String>,
}

/// The times of a schedule, checked and ready for the server and for [`preview::fires`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledSpec {
    /// The zone that calendars are read in.
    pub zone: Tz,
    /// Regular fires.
    pub intervals: Vec<Interval>,
    /// Fires by the calendar.
    pub calendars: Vec<NamedCalendar>,
    /// Single fires, whole seconds, in order and without duplicates; all after the moment of compilation.
    pub one_shots: Vec<DateTime<Utc>>,
    /// Set when one fire is due at once: the second it was asked for in.
    pub immediate: Option<DateTime<Utc>>,
    /// The first second that may fire.
    pub start_at: Option<DateTime<Utc>>,
    /// The last second that may fire.
    pub end_at: Option<DateTime<Utc>>,
    /// How much a fire may be delayed at random.
    pub jitter_seconds: i64,
    /// How many fires there may be, the immediate one included.
    pub limited_actions: Option<i64>,
    /// What to tell the caller all the same.
    pub warnings: Vec<FieldWarning>,
}

impl CompiledSpec {
    /// For a schedule of single fires only, how many there will be; `None` for one that goes on.
    pub fn one_shot_fires(&self) -> Option<i64> {
        if !self.intervals.is_empty() || !self.calendars.is_empty() {
            return None;
        }
        let fires = i64::try_from(self.one_shots.len()).ok()? + i64::from(self.immediate.is_some());
        Some(self.limited_actions.map_or(fires, |limit| limit.min(fires)))
    }
}

/// Checks a request and works out its times; `now` is what offsets are counted from.
///
/// # Errors
/// Everything that is wrong, in the order of the fields.
pub fn compile(request: &ScheduleRequest, now: DateTime<Utc>) -> Result<CompiledSpec, Vec<FieldError>> {
    let mut complaints = Complaints::default();
    complaints.about_action(request);
    complaints.about_policies(request);
    let mut spec = CompiledSpec {
        zone: Tz::UTC,
        intervals: Vec::new(),
        calendars: Vec::new(),
        one_shots: Vec::new(),
        immediate: None,
        start_at: request.start_at.map(|at| first_second(at.to_utc())),
        end_at: request.end_at.map(|at| at.to_utc().trunc_subsecs(0)),
        jitter_seconds: request.jitter_seconds.unwrap_or(0),
        limited_actions: request.limited_actions,
        warnings: Vec::new(),
    };
    add_interval(request, &mut spec, &mut complaints);
    add_calendars(request, &mut spec, &mut complaints);
    add_offsets(request, now, &mut spec, &mut complaints);
    let none = request.interval_seconds.is_none() && request.fire_offsets_seconds.is_empty();
    if none && request.cron.is_empty() && request.calendars.is_empty() {
        let msg = "one of interval_seconds, cron, calendars or fire_offsets_seconds is required";
        complaints.add::<&str>(&[], "missing", msg);
    }
    if let (Some(start), Some(end)) = (spec.start_at, spec.end_at)
        && end <= start
    {
        complaints.add(&["end_at"], "greater_than", "must be after start_at");
    }
    complaints.into_result()?;
    if preview::fires(&spec, now, 1).is_empty() {
        let message = "no time matches: this schedule will never fire".to_owned();
        spec.warnings.push(FieldWarning { field: "schedule".to_owned(), message });
    }
    Ok(spec)
}

fn add_interval(request: &ScheduleRequest, spec: &mut CompiledSpec, complaints: &mut Complaints) {
    let phase_seconds = request.offset_seconds.unwrap_or(0);
    let Some(every_seconds) = request.interval_seconds else {
        if request.offset_seconds.is_some() {
            complaints.add(&["offset_seconds"], "conflict", "needs interval_seconds");
        }
        return;
    };
    let sound = complaints.within(&["interval_seconds"], every_seconds, 1, WAIT_SECONDS_MAX);
    if phase_seconds < 0 {
        complaints.add(&["offset_seconds"], "greater_than_equal", "must be 0 or more");
    } else if sound && phase_seconds >= every_seconds {
        complaints.add(&["offset_seconds"], "less_than", "must be less than interval_seconds");
    }
    if request.fire_offsets_seconds.is_empty() {
        spec.intervals.push(Interval { every_seconds, phase_seconds });
    } else {
        let message = "ignored: fire_offsets_seconds says when to fire".to_owned();
        spec.warnings.push(FieldWarning { field: "interval_seconds".to_owned(), message });
    }
}

fn add_calendars(request: &ScheduleRequest, spec: &mut CompiledSpec, complaints: &mut Complaints) {
    complaints.at_most(&["cron"], request.cron.len(), TIMES_MAX);
    complaints.at_most(&["calendars"], request.calendars.len(), TIMES_MAX);
    let asked_zone = request.time_zone.as_deref().filter(|zone| !zone.is_empty());
    let mut zones = Vec::new();
    for (index, text) in request.cron.iter().enumerate().take(TIMES_MAX) {
        let field = ["cron".to_owned(), index.to_string()];
        match cron::parse(text) {
            Ok(parsed) => {
                zones.push((index, parsed.time_zone));
                match parsed.times {
                    CronTimes::Calendar(calendar) => {
                        spec.calendars
                            .push(NamedCalendar { calendar: *calendar, cron: Some(text.trim().to_owned()) });
                    }
                    CronTimes::Every { interval_seconds, phase_seconds } => {
                        let sound = complaints.within(&field, interval_seconds, 1, WAIT_SECONDS_MAX);
                        if sound && phase_seconds >= interval_seconds {
                            complaints.add(&field, "cron", "the phase must be less than the interval");
                        }
                        spec.intervals.push(Interval { every_seconds: interval_seconds, phase_seconds });
                    }
                }
            }
            Err(reason) => complaints.add(&field, "cron", &reason),
        }
    }
    for (index, text) in request.calendars.iter().enumerate().take(TIMES_MAX) {
        match parse_calendar(text) {
            Ok(calendar) => spec.calendars.push(NamedCalendar { calendar, cron: None }),
            Err(errors) => {
                for (unit, reason) in errors {
                    complaints.add(&["calendars", &index.to_string(), unit.name()], "calendar", &reason);
                }
            }
        }
    }
    // One zone serves the whole schedule, so the cron strings have to agree with each other and with time_zone.
    let mut zone = asked_zone.map(str::to_owned);
    let first = zones.first().and_then(|(_, zone)| zone.clone());
    for (index, cron_zone) in zones {
        let field = ["cron".to_owned(), index.to_string()];
        if cron_zone != first {
            complaints.add(&field, "conflict", "all cron strings must name the same time zone, or none");
        } else if let (Some(asked), Some(named)) = (asked_zone, &cron_zone)
            && asked != named
        {
            complaints.add(&field, "conflict", "names a time zone other than time_zone");
        }
        if let (None, Some(named)) = (&zone, cron_zone) {
            if named.parse::<Tz>().is_err() {
                complaints.add(&field, "time_zone", &format!("\"{named}\" is not an IANA time zone"));
            }
            zone = Some(named);
        }
    }
    match zone.as_deref().unwrap_or("UTC").parse::<Tz>() {
        Ok(zone) => spec.zone = zone,
        Err(_) if asked_zone.is_some() => {
            complaints.add(&["time_zone"], "time_zone", "not an IANA time zone like Europe/Berlin");
        }
        // Said above, of the cron string that names it.
        Err(_) => {}
    }
}

fn parse_calendar(text: &CalendarRequest) -> Result<Calendar, Vec<(super::field::Unit, String)>> {
    fn or_blank(field: &Option<String>) -> &str {
        field.as_deref().unwrap_or("")
    }
    Calendar::parse(&CalendarText {
        second: or_blank(&text.second),
        minute: or_blank(&text.minute),
        hour: or_blank(&text.hour),
        day_of_month: or_blank(&text.day_of_month),
        month: or_blank(&text.month),
        day_of_week: or_blank(&text.day_of_week),
        year: or_blank(&text.year),
    })
}

fn add_offsets(
    request: &ScheduleRequest,
    now: DateTime<Utc>,
    spec: &mut CompiledSpec,
    complaints: &mut Complaints,
) {
    let offsets = &request.fire_offsets_seconds;
    if offsets.is_empty() {
        return;
    }
    complaints.at_most(&["fire_offsets_seconds"], offsets.len(), TIMES_MAX);
    for (field, given) in [
        ("start_at", request.start_at.is_some()),
        ("end_at", request.end_at.is_some()),
        ("cron", !request.cron.is_empty()),
        ("calendars", !request.calendars.is_empty()),
    ] {
        if given {
            complaints.add(&[field], "conflict", "cannot be combined with fire_offsets_seconds");
        }
    }
    let base = first_second(now);
    for (index, offset) in offsets.iter().enumerate().take(TIMES_MAX) {
        let field = ["fire_offsets_seconds".to_owned(), index.to_string()];
        if !complaints.within(&field, *offset, 0, WAIT_SECONDS_MAX) {
            continue;
        }
        if *offset == 0 {
            spec.immediate = Some(now.trunc_subsecs(0));
        } else {
            spec.one_shots.push(base + Duration::seconds(*offset));
        }
    }
    // The instants are absolute: whatever zone was named has nothing to say about them.
    spec.zone = Tz::UTC;
    spec.one_shots.sort_unstable();
    spec.one_shots.dedup();
}

/// The first whole second that is not before `at`.
fn first_second(at: DateTime<Utc>) -> DateTime<Utc> {
    let second = at.trunc_subsecs(0);
    if second < at { second + Duration::seconds(1) } else { second }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
