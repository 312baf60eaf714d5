//! One field of a calendar ("the minutes", "the months") in cron notation.

use std::fmt;

/// The longest text of one field, in bytes.
const FIELD_BYTES_MAX: usize = 200;

/// Which part of a date or time a field speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 0..=59
    Second,
    /// 0..=59
    Minute,
    /// 0..=23
    Hour,
    /// 1..=31
    DayOfMonth,
    /// 1..=12, or a name of at least three letters
    Month,
    /// 0..=7 (0 and 7 are Sunday), or a name of at least two letters
    DayOfWeek,
    /// 2000..=2100
    Year,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

impl Unit {
    /// The name of the field in a calendar.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Second => "second",
            Unit::Minute => "minute",
            Unit::Hour => "hour",
            Unit::DayOfMonth => "day_of_month",
            Unit::Month => "month",
            Unit::DayOfWeek => "day_of_week",
            Unit::Year => "year",
        }
    }

    /// What an absent field means: the time of day starts at zero, dates are open.
    fn default_text(self) -> &'static str {
        match self {
            Unit::Second | Unit::Minute | Unit::Hour => "0",
            Unit::DayOfMonth | Unit::Month | Unit::DayOfWeek | Unit::Year => "*",
        }
    }

    fn bounds(self) -> (u32, u32) {
        match self {
            Unit::Second | Unit::Minute => (0, 59),
            Unit::Hour => (0, 23),
            Unit::DayOfMonth => (1, 31),
            Unit::Month => (1, 12),
            Unit::DayOfWeek => (0, 7),
            Unit::Year => (2000, 2100),
        }
    }

    /// A month or day by (the beginning of) its English name.
    fn named(self, text: &str) -> Option<u32> {
        let (names, shortest, first): (&[&str], usize, u32) = match self {
            Unit::Month => (&MONTHS, 3, 1),
            Unit::DayOfWeek => (&DAYS, 2, 0),
            Unit::Second | Unit::Minute | Unit::Hour | Unit::DayOfMonth | Unit::Year => return None,
        };
        let text = text.to_ascii_lowercase();
        if text.len() < shortest {
            return None;
        }
        (first..).zip(names).find(|(_, name)| name.starts_with(&text)).map(|(number, _)| number)
    }

    fn value(self, text: &str) -> Result<u32, String> {
        if let Some(number) = self.named(text) {
            return Ok(number);
        }
        let (min, max) = self.bounds();
        let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(number) if digits && (min..=max).contains(&number) => Ok(number),
            Ok(_) if digits => Err(format!("{text} is out of range for {}: {min} to {max}", self.name())),
            Ok(_) | Err(_) => Err(format!("\"{text}\" is not a value of {}: {min} to {max}", self.name())),
        }
    }
}

/// `start, start + step, …` up to and including `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first value.
    pub start: u32,
    /// The last possible value, inclusive.
    pub end: u32,
    /// The distance between values, at least 1.
    pub step: u32,
}

impl Span {
    fn next_from(self, value: u32) -> Option<u32> {
        let next = self.start + value.saturating_sub(self.start).div_ceil(self.step) * self.step;
        (next <= self.end).then_some(next)
    }
}

/// The values a field matches. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    unit: Unit,
    spans: Vec<Span>,
}

impl Field {
    /// Reads cron notation: `*`, `5`, `1-5`, `*/15`, `3/5` (from 3 to the end), `1-9/2`, names of months and days,
    /// and comma-separated lists of those. Blank text is the unit's default.
    ///
    /// # Errors
    /// The reason in one sentence, when the text is none of those or out of range.
    pub fn parse(unit: Unit, text: &str) -> Result<Self, String> {
        if text.len() > FIELD_BYTES_MAX {
            return Err(format!("longer than {FIELD_BYTES_MAX} bytes"));
        }
        let text = match text.trim() {
            "" => unit.default_text(),
            text => text,
        };
        let spans = text.split(',').map(|part| parse_span(unit, part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { unit, spans }.normalised())
    }

    /// A field of exactly one value, which must be within the unit's bounds.
    pub fn only(unit: Unit, value: u32) -> Self {
        Self { unit, spans: vec![Span { start: value, end: value, step: 1 }] }
    }

    /// Builds a field of spans that were read elsewhere; `None` when there are none, or one is out of bounds.
    pub fn of_spans(unit: Unit, spans: Vec<Span>) -> Option<Self> {
        let (min, max) = unit.bounds();
        let sane =
            |span: &Span| span.start >= min && span.end <= max && span.start <= span.end && span.step > 0;
        (!spans.is_empty() && spans.iter().all(sane)).then(|| Self { unit, spans }.normalised())
    }

    /// The smallest matching value that is not below `value`.
    pub fn next_from(&self, value: u32) -> Option<u32> {
        self.spans.iter().filter_map(|span| span.next_from(value)).min()
    }

    /// Whether the value matches.
    pub fn matches(&self, value: u32) -> bool {
        self.next_from(value) == Some(value)
    }

    /// Whether every value of the unit matches.
    pub fn is_open(&self) -> bool {
        let (min, max) = self.unit.bounds();
        let max = if self.unit == Unit::DayOfWeek { 6 } else { max };
        (min..=max).all(|value| self.matches(value))
    }

    /// The spans, for the server.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Sunday may be written 0 or 7, but the server stores 0 to 6 only: days of the week become runs of 0 to 6.
    fn normalised(self) -> Self {
        if self.unit != Unit::DayOfWeek || self.spans.iter().all(|span| span.end <= 6) {
            return self;
        }
        let mut spans: Vec<Span> = Vec::new();
        for day in (0..=6).filter(|day| self.matches(*day) || (*day == 0 && self.matches(7))) {
            match spans.last_mut() {
                Some(last) if last.end + 1 == day => last.end = day,
                Some(_) | None => spans.push(Span { start: day, end: day, step: 1 }),
            }
        }
        Self { unit: self.unit, spans }
    }
}

/// Cron notation again; an open field is `*`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_open() {
            return f.write_str("*");
        }
        for (index, Span { start, end, step }) in self.spans.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match (start == end, *step) {
                (true, _) => write!(f, "{comma}{start}")?,
                (false, 1) => write!(f, "{comma}{start}-{end}")?,
                (false, step) => write!(f, "{comma}{start}-{end}/{step}")?,
            }
        }
        Ok(())
    }
}

fn parse_span(unit: Unit, text: &str) -> Result<Span, String> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(parse_step(step)?)),
        None => (text, None),
    };
    let (min, max) = unit.bounds();
    let (start, end) = match range.split_once('-') {
        _ if range == "*" => (min, max),
        Some((start, end)) => (unit.value(start)?, unit.value(end)?),
        // "3/5" runs from 3 to the end, a plain "3" is only 3.
        None if step.is_some() => (unit.value(range)?, max),
        None => {
            let value = unit.value(range)?;
            (value, value)
        }
    };
    if end < start {
        return Err(format!("\"{range}\" ends before it starts"));
    }
    Ok(Span { start, end, step: step.unwrap_or(1) })
}

fn parse_step(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(step) if step > 0 && step <= 10_000 && !text.starts_with('+') => Ok(step),
        Ok(_) | Err(_) => Err(format!("\"{text}\" is not a step: a whole number from 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cron_notation() {
        let table: &[(Unit, &str, &[u32])] = &[
            (Unit::Minute, "*/15", &[0, 15, 30, 45]),
            (Unit::Minute, "50/3", &[50, 53, 56, 59]),
            (Unit::Minute, "1-5/2,8-16/3,2", &[1, 2, 3, 5, 8, 11, 14]),
            (Unit::Minute, "", &[0]),
            (Unit::Hour, "22-23, 4", &[4, 22, 23]),
            (Unit::Month, "jan,Aug-oct,december", &[1, 8, 9, 10, 12]),
            (Unit::DayOfWeek, "fr-7", &[0, 5, 6]),
            (Unit::DayOfWeek, "0-7/7", &[0]),
            (Unit::DayOfWeek, "mo,WED", &[1, 3]),
            (Unit::DayOfMonth, "31", &[31]),
        ];
        for (unit, text, expected) in table {
            let field = Field::parse(*unit, text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let found: Vec<u32> = (0..=59).filter(|value| field.matches(*value)).collect();
            assert_eq!(&found, expected, "{text}");
            let again = Field::parse(*unit, &field.to_string()).expect("its own notation");
            assert!((0..=59).all(|value| field.matches(value) == again.matches(value)), "{text} -> {field}");
        }
    }

    #[test]
    fn open_fields_are_written_as_a_star() {
        for unit in [Unit::Second, Unit::Hour, Unit::DayOfMonth, Unit::Month, Unit::DayOfWeek, Unit::Year] {
            assert_eq!(Field::parse(unit, "*").expect("star").to_string(), "*");
        }
        assert_eq!(Field::parse(Unit::DayOfWeek, "1-7").expect("range").to_string(), "*");
    }

    #[test]
    fn refuses_what_is_not_cron() {
        let long = "1,".repeat(101);
        let table = [
            (Unit::Minute, "60"),
            (Unit::Minute, "-1"),
            (Unit::Minute, "+1"),
            (Unit::Minute, "5-2"),
            (Unit::Minute, "*/0"),
            (Unit::Minute, "*/+3"),
            (Unit::Minute, "1/2/3"),
            (Unit::Minute, "1-2-3"),
            (Unit::Minute, "1,,2"),
            (Unit::Minute, "a"),
            (Unit::Minute, long.as_str()),
            (Unit::Month, "0"),
            (Unit::Month, "ma"),
            (Unit::DayOfWeek, "8"),
            (Unit::DayOfWeek, "m"),
            (Unit::DayOfMonth, "L"),
            (Unit::Year, "1999"),
            (Unit::Year, "99999999999999999999"),
        ];
        for (unit, text) in table {
            assert!(Field::parse(unit, text).is_err(), "{unit:?} {text}");
        }
    }
}
