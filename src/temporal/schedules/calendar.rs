//! Times by the calendar: which local times match, and when the next one comes.

use super::field::{Field, Unit};
use chrono::{DateTime, Datelike, Days, Duration, NaiveDate, NaiveTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use std::fmt;

/// The last year in which a calendar matches; the server looks no further either.
const LAST_YEAR: i32 = 2100;

/// A calendar as text, one cron expression a field.
#[derive(Debug, Clone, Copy)]
pub struct CalendarText<'a> {
    /// Default 0.
    pub second: &'a str,
    /// Default 0.
    pub minute: &'a str,
    /// Default 0.
    pub hour: &'a str,
    /// Default every day.
    pub day_of_month: &'a str,
    /// Default every month.
    pub month: &'a str,
    /// Default every day; 0 and 7 are Sunday.
    pub day_of_week: &'a str,
    /// Default every year.
    pub year: &'a str,
}

/// A set of local times: those at which every field matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Seconds.
    pub second: Field,
    /// Minutes.
    pub minute: Field,
    /// Hours.
    pub hour: Field,
    /// Days of the month.
    pub day_of_month: Field,
    /// Months.
    pub month: Field,
    /// Days of the week, 0 is Sunday.
    pub day_of_week: Field,
    /// Years.
    pub year: Field,
}

/// A bound on the work of looking for fires, so that a calendar that never matches ends too.
#[derive(Debug)]
pub struct Steps {
    left: u32,
}

impl Steps {
    /// Allows that many steps.
    pub fn at_most(steps: u32) -> Self {
        Self { left: steps }
    }

    /// Takes one step; `None` when none is left.
    pub fn take(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}

impl Calendar {
    /// Reads the fields.
    ///
    /// # Errors
    /// Every field that cannot be read, with the reason.
    pub fn parse(text: &CalendarText<'_>) -> Result<Self, Vec<(Unit, String)>> {
        let mut errors = Vec::new();
        let mut field = |unit, text| match Field::parse(unit, text) {
            Ok(field) => field,
            Err(reason) => {
                errors.push((unit, reason));
                Field::only(unit, 1)
            }
        };
        let calendar = Self {
            second: field(Unit::Second, text.second),
            minute: field(Unit::Minute, text.minute),
            hour: field(Unit::Hour, text.hour),
            day_of_month: field(Unit::DayOfMonth, text.day_of_month),
            month: field(Unit::Month, text.month),
            day_of_week: field(Unit::DayOfWeek, text.day_of_week),
            year: field(Unit::Year, text.year),
        };
        if errors.is_empty() { Ok(calendar) } else { Err(errors) }
    }

    /// The one second of UTC that `at` falls in. `None` beyond the years a calendar can name.
    pub fn once(at: DateTime<Utc>) -> Option<Self> {
        let year = u32::try_from(at.year()).ok().filter(|year| (2000..=2100).contains(year))?;
        Some(Self {
            second: Field::only(Unit::Second, at.second()),
            minute: Field::only(Unit::Minute, at.minute()),
            hour: Field::only(Unit::Hour, at.hour()),
            day_of_month: Field::only(Unit::DayOfMonth, at.day()),
            month: Field::only(Unit::Month, at.month()),
            day_of_week: Field::parse(Unit::DayOfWeek, "*").ok()?,
            year: Field::only(Unit::Year, year),
        })
    }

    /// The first fire after `after` that the server will make of this calendar in `zone`, or `None` when there is
    /// none up to the year 2100 or the steps run out.
    ///
    /// A local time that is skipped when clocks go forward does not fire. Around the hour that is repeated when they
    /// go back the server has ways of its own (west of Greenwich both copies fire; east of it the copies overlap and
    /// the first is partly missed), and since this foretells the server it has them too.
    pub fn next(&self, after: DateTime<Utc>, zone: Tz, steps: &mut Steps) -> Option<DateTime<Utc>> {
        let local = after.with_timezone(&zone);
        let mut day = local.date_naive();
        // Where on that day to begin: the second after `after`, in the second copy of the hour if `after` is in it.
        let late = (after - Duration::hours(1)).with_timezone(&zone).hour() == local.hour();
        let mut from = Start { hour: local.hour(), late, minute: local.minute(), second: local.second() + 1 };
        loop {
            steps.take()?;
            if day.year() > LAST_YEAR {
                return None;
            }
            if self.matches_date(day, from, zone)
                && let Some(fire) = self.next_on(day, from, zone, steps)?
            {
                return Some(fire);
            }
            day = self.following_day(day)?;
            from = Start::default();
        }
    }

    /// The next day worth a look: tomorrow, or the first of the next month or year when this one does not match.
    fn following_day(&self, day: NaiveDate) -> Option<NaiveDate> {
        if !self.year.matches(u32::try_from(day.year()).ok()?) {
            return NaiveDate::from_ymd_opt(day.year() + 1, 1, 1);
        }
        if !self.month.matches(day.month()) {
            let (year, month) =
                if day.month() == 12 { (day.year() + 1, 1) } else { (day.year(), day.month() + 1) };
            return NaiveDate::from_ymd_opt(year, month, 1);
        }
        day.checked_add_days(Days::new(1))
    }

    /// The server asks for the weekday of the time at which it enters the day, and where clocks go forward at
    /// midnight west of Greenwich that is still the day before.
    fn matches_date(&self, day: NaiveDate, from: Start, zone: Tz) -> bool {
        let weekday = || {
            let entered = instant(day, from.hour, from.minute, from.second.min(59), zone);
            entered.with_timezone(&zone).weekday().num_days_from_sunday()
        };
        u32::try_from(day.year()).is_ok_and(|year| self.year.matches(year))
            && self.month.matches(day.month())
            && self.day_of_month.matches(day.day())
            && self.day_of_week.matches(weekday())
    }

    /// The first fire of one day not before `from`. The outer `None` says that the steps ran out.
    fn next_on(
        &self,
        day: NaiveDate,
        mut from: Start,
        zone: Tz,
        steps: &mut Steps,
    ) -> Option<Option<DateTime<Utc>>> {
        while let Some(hour) = self.hour.next_from(from.hour) {
            steps.take()?;
            if hour != from.hour {
                from = Start { hour, ..Start::default() };
            }
            if let Some((minute, second)) = self.next_in_hour(from.minute, from.second) {
                let fire = instant(day, hour, minute, second, zone);
                // Not the hour that was asked for: clocks skip it.
                if fire.with_timezone(&zone).hour() == hour {
                    return Some(Some(if from.late { fire + Duration::hours(1) } else { fire }));
                }
            } else if !from.late && is_repeated(day, hour, zone) {
                from = Start { hour, late: true, minute: 0, second: 0 };
                continue;
            }
            from = Start { hour: hour + 1, ..Start::default() };
            if from.hour < 24 && !self.matches_date(day, from, zone) {
                break;
            }
        }
        Some(None)
    }

    /// The first matching minute and second of an hour, not before the given ones.
    fn next_in_hour(&self, minute: u32, second: u32) -> Option<(u32, u32)> {
        let first = self.minute.next_from(minute)?;
        let second = if first == minute { second } else { 0 };
        match self.second.next_from(second) {
            Some(second) => Some((first, second)),
            None => Some((self.minute.next_from(first + 1)?, self.second.next_from(0)?)),
        }
    }
}

/// The seven fields in the order of a seven-field cron string.
impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { second, minute, hour, day_of_month, month, day_of_week, year } = self;
        write!(f, "{second} {minute} {hour} {day_of_month} {month} {day_of_week} {year}")
    }
}

/// A place within a day. `late` is the second copy of an hour that is repeated.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    hour: u32,
    late: bool,
    minute: u32,
    second: u32,
}

/// Whether the server takes the hour for a repeated one: the next begins more than an hour later.
fn is_repeated(day: NaiveDate, hour: u32, zone: Tz) -> bool {
    instant(day, hour + 1, 0, 0, zone) - instant(day, hour, 0, 0, zone) > Duration::hours(1)
}

/// The instant the server takes a local time for: by the offset in force when UTC clocks show that time, unless this
/// leads to where another offset is in force, then by that one. Minutes, seconds and hours may be past their end.
fn instant(day: NaiveDate, hour: u32, minute: u32, second: u32, zone: Tz) -> DateTime<Utc> {
    let past_midnight = i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
    let as_utc = day.and_time(NaiveTime::MIN).and_utc() + Duration::seconds(past_midnight);
    let offset = |at: DateTime<Utc>| {
        let seconds = zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
        Duration::seconds(i64::from(seconds))
    };
    let first = offset(as_utc);
    as_utc - offset(as_utc - first)
}
