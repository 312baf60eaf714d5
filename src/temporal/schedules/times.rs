//! The times of a schedule in Temporal's words, and back.

use super::calendar::Calendar;
use super::cron::{self, CronTimes};
use super::field::{Field, Span, Unit};
use super::request::CalendarRequest;
use super::spec::{CompiledSpec, Interval, NamedCalendar};
use super::state::SpecEcho;
use chrono::{DateTime, TimeZone, Utc};
use prost_wkt_types::{Duration, Timestamp};
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Range, ScheduleSpec, StructuredCalendarSpec,
};

/// What the comment of a calendar that was written as a cron string begins with.
const CRON_COMMENT: &str = "cron: ";
/// The comment of a single fire.
const ONE_SHOT_COMMENT: &str = "once";

/// Puts the times into the server's words.
pub fn to_proto(spec: &CompiledSpec) -> ScheduleSpec {
    let once = |at: &DateTime<Utc>| {
        Calendar::once(*at).map(|calendar| structured(&calendar, ONE_SHOT_COMMENT.into()))
    };
    let named = |NamedCalendar { calendar, cron }: &NamedCalendar| {
        structured(calendar, cron.as_ref().map(|cron| format!("{CRON_COMMENT}{cron}")).unwrap_or_default())
    };
    // An end lets the server forget the schedule some days after its last fire, should nobody have removed it.
    let end_at = spec.end_at.or_else(|| spec.one_shot_fires().and(spec.one_shots.last().copied()));
    ScheduleSpec {
        structured_calendar: spec
            .calendars
            .iter()
            .map(named)
            .chain(spec.one_shots.iter().filter_map(once))
            .collect(),
        interval: spec.intervals.iter().map(interval).collect(),
        start_time: spec.start_at.map(timestamp),
        end_time: end_at.map(timestamp),
        jitter: (spec.jitter_seconds > 0).then(|| seconds(spec.jitter_seconds)),
        timezone_name: spec.zone.name().to_owned(),
        ..ScheduleSpec::default()
    }
}

/// Reads the server's words.
pub fn of_proto(spec: &ScheduleSpec) -> SpecEcho {
    let mut echo = SpecEcho {
        intervals: spec
            .interval
            .iter()
            .map(|i| (duration_seconds(i.interval), duration_seconds(i.phase)))
            .collect(),
        start_at: spec.start_time.and_then(datetime),
        end_at: spec.end_time.and_then(datetime),
        time_zone: spec.timezone_name.clone(),
        jitter_seconds: duration_seconds(spec.jitter),
        ..SpecEcho::default()
    };
    for structured in &spec.structured_calendar {
        let Some(calendar) = calendar_of(structured) else { continue };
        if structured.comment == ONE_SHOT_COMMENT
            && let Some(at) = only_second(&calendar)
        {
            echo.one_shots.push(at);
        } else if let Some(cron) = structured.comment.strip_prefix(CRON_COMMENT)
            && cron::parse(cron).is_ok_and(|cron| same_times(&cron.times, &calendar))
        {
            echo.cron.push(cron.to_owned());
        } else {
            echo.calendars.push(calendar_text(&calendar));
        }
    }
    if !echo.one_shots.is_empty() {
        echo.end_at = None;
    }
    echo
}

/// The comment is only words: somebody may have changed the times and left it.
fn same_times(times: &CronTimes, calendar: &Calendar) -> bool {
    matches!(times, CronTimes::Calendar(told) if told.to_string() == calendar.to_string())
}

fn calendar_text(calendar: &Calendar) -> CalendarRequest {
    let text = |field: &Field| Some(field.to_string());
    CalendarRequest {
        second: text(&calendar.second),
        minute: text(&calendar.minute),
        hour: text(&calendar.hour),
        day_of_month: text(&calendar.day_of_month),
        month: text(&calendar.month),
        day_of_week: text(&calendar.day_of_week),
        year: text(&calendar.year),
    }
}

fn only_second(calendar: &Calendar) -> Option<DateTime<Utc>> {
    let first = |field: &Field| field.next_from(0);
    let year = i32::try_from(first(&calendar.year)?).ok()?;
    let (month, day) = (first(&calendar.month)?, first(&calendar.day_of_month)?);
    let (hour, minute, second) = (first(&calendar.hour)?, first(&calendar.minute)?, first(&calendar.second)?);
    Utc.with_ymd_and_hms(year, month, day, hour, minute, second).single()
}

fn structured(calendar: &Calendar, comment: String) -> StructuredCalendarSpec {
    let ranges = |field: &Field| field.spans().iter().map(range).collect::<Vec<_>>();
    StructuredCalendarSpec {
        second: ranges(&calendar.second),
        minute: ranges(&calendar.minute),
        hour: ranges(&calendar.hour),
        day_of_month: ranges(&calendar.day_of_month),
        month: ranges(&calendar.month),
        // The server's word for every year is none at all.
        year: if calendar.year.is_open() { Vec::new() } else { ranges(&calendar.year) },
        day_of_week: ranges(&calendar.day_of_week),
        comment,
    }
}

fn calendar_of(structured: &StructuredCalendarSpec) -> Option<Calendar> {
    let field = |unit, ranges: &[Range]| Field::of_spans(unit, ranges.iter().filter_map(span).collect());
    let year = match structured.year.as_slice() {
        [] => Field::parse(Unit::Year, "*").ok(),
        years => field(Unit::Year, years),
    };
    Some(Calendar {
        second: field(Unit::Second, &structured.second)?,
        minute: field(Unit::Minute, &structured.minute)?,
        hour: field(Unit::Hour, &structured.hour)?,
        day_of_month: field(Unit::DayOfMonth, &structured.day_of_month)?,
        month: field(Unit::Month, &structured.month)?,
        day_of_week: field(Unit::DayOfWeek, &structured.day_of_week)?,
        year: year?,
    })
}

fn range(span: &Span) -> Range {
    let int = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    Range { start: int(span.start), end: int(span.end), step: int(span.step) }
}

/// An absent end is the start, an absent step is 1.
fn span(range: &Range) -> Option<Span> {
    let start = u32::try_from(range.start).ok()?;
    let end = u32::try_from(range.end).ok()?.max(start);
    Some(Span { start, end, step: u32::try_from(range.step).ok()?.max(1) })
}

fn interval(interval: &Interval) -> IntervalSpec {
    IntervalSpec {
        interval: Some(seconds(interval.every_seconds)),
        phase: Some(seconds(interval.phase_seconds)),
    }
}

/// A duration of whole seconds.
pub(super) fn seconds(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

/// The whole seconds of a duration; none is zero.
pub(super) fn duration_seconds(duration: Option<Duration>) -> i64 {
    duration.map_or(0, |duration| duration.seconds)
}

/// A point in time in the server's words.
pub(super) fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0) }
}

/// Reads a point in time; `None` when it is none.
pub(super) fn datetime(timestamp: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(timestamp.seconds, u32::try_from(timestamp.nanos).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporal::schedules::request::ScheduleRequest;
    use crate::temporal::schedules::spec::compile;

    fn now() -> DateTime<Utc> {
        "2027-01-01T00:00:00Z".parse().expect("a time")
    }

    fn echo(change: impl FnOnce(&mut ScheduleRequest)) -> (ScheduleSpec, SpecEcho) {
        let mut request = ScheduleRequest::new("report.v1");
        change(&mut request);
        let proto = to_proto(&compile(&request, now()).expect("sound"));
        let echo = of_proto(&proto);
        (proto, echo)
    }

    #[test]
    fn says_the_times_in_the_words_they_were_asked_for() {
        let crons = ["CRON_TZ=Europe/Berlin 0 9 * * mon-fri".to_owned()];
        let (_, told) = echo(|r| {
            r.cron = crons.to_vec();
            (r.interval_seconds, r.offset_seconds, r.jitter_seconds) = (Some(3_600), Some(60), Some(5));
            r.calendars =
                vec![CalendarRequest { hour: Some("8-18/2".to_owned()), ..CalendarRequest::default() }];
            r.end_at = Some("2028-01-01T00:00:00+01:00".parse().expect("a time"));
        });
        assert_eq!(told.cron, crons);
        assert_eq!(told.intervals, [(3_600, 60)]);
        assert_eq!(told.calendars[0].hour.as_deref(), Some("8-18/2"));
        assert_eq!(told.calendars[0].day_of_week.as_deref(), Some("*"));
        assert_eq!((told.time_zone.as_str(), told.jitter_seconds), ("Europe/Berlin", 5));
        assert_eq!(told.end_at, "2027-12-31T23:00:00Z".parse().ok());
    }

    #[test]
    fn does_not_believe_a_comment_that_no_longer_holds() {
        let (mut proto, _) = echo(|r| r.cron = vec!["0 9 * * *".to_owned()]);
        proto.structured_calendar[0].hour = vec![Range { start: 10, end: 0, step: 0 }];
        let told = of_proto(&proto);
        assert!(told.cron.is_empty());
        assert_eq!(told.calendars[0].hour.as_deref(), Some("10"));
    }

    #[test]
    fn single_fires_keep_their_instants_and_end_the_schedule() {
        let (proto, told) = echo(|r| r.fire_offsets_seconds = vec![0, 86_399, 5]);
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        assert_eq!(told.one_shots, [at("2027-01-01T00:00:05Z"), at("2027-01-01T23:59:59Z")]);
        assert_eq!(told.end_at, None);
        assert_eq!(proto.end_time.and_then(datetime), Some(at("2027-01-01T23:59:59Z")));
    }
}
