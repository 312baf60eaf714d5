//! Cron strings, read the way Temporal reads them.

use super::calendar::{Calendar, CalendarText};

/// The longest cron string, in bytes. It fits a calendar's comment on the server, which keeps the user's own words.
const CRON_BYTES_MAX: usize = 200;

/// What a cron string asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CronTimes {
    /// Times by the calendar.
    Calendar(Box<Calendar>),
    /// `@every`: an interval and its phase, in seconds.
    Every {
        /// Distance between fires.
        interval_seconds: i64,
        /// Distance of the first fire from the epoch.
        phase_seconds: i64,
    },
}

/// One cron string, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// The time zone named in the string (`CRON_TZ=` or `TZ=`).
    pub time_zone: Option<String>,
    /// The times it stands for.
    pub times: CronTimes,
}

/// Reads 5 fields (minute, hour, day of month, month, day of week), 6 (a year after them) or 7 (a second before, a
/// year after), `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`, or `@every 1h30m/5m`;
/// before it optionally `CRON_TZ=<zone>`, after it optionally `# a comment`.
///
/// A time must match day of month *and* day of week.
///
/// # Errors
/// The reason in one sentence.
pub fn parse(text: &str) -> Result<Cron, String> {
    if text.len() > CRON_BYTES_MAX {
        return Err(format!("longer than {CRON_BYTES_MAX} bytes"));
    }
    let text = text.split_once('#').map_or(text, |(cron, _)| cron).trim();
    let (time_zone, text) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
        Some(rest) => {
            let (zone, rest) = rest.split_once(char::is_whitespace).ok_or("nothing follows the time zone")?;
            (Some(zone.to_owned()), rest.trim())
        }
        None => (None, text),
    };
    if let Some(every) = text.strip_prefix("@every") {
        let times = parse_every(every.trim())?;
        return Ok(Cron { time_zone, times });
    }
    let text = match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other if other.starts_with('@') => return Err(format!("\"{other}\" is not a known shorthand")),
        other => other,
    };
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (second, [minute, hour, day_of_month, month, day_of_week], year) = match fields.as_slice() {
        [a, b, c, d, e] => ("0", [*a, *b, *c, *d, *e], "*"),
        [a, b, c, d, e, year] => ("0", [*a, *b, *c, *d, *e], *year),
        [second, a, b, c, d, e, year] => (*second, [*a, *b, *c, *d, *e], *year),
        other => return Err(format!("has {} fields, expected 5, 6 or 7", other.len())),
    };
    let text = CalendarText { second, minute, hour, day_of_month, month, day_of_week, year };
    let calendar = Calendar::parse(&text).map_err(|errors| {
        let named = errors.into_iter().map(|(unit, reason)| format!("{}: {reason}", unit.name()));
        named.collect::<Vec<_>>().join("; ")
    })?;
    Ok(Cron { time_zone, times: CronTimes::Calendar(Box::new(calendar)) })
}

fn parse_every(text: &str) -> Result<CronTimes, String> {
    let (interval, phase) =
        text.split_once('/').map_or((text, None), |(interval, phase)| (interval, Some(phase)));
    let interval_seconds = parse_duration(interval)?;
    let phase_seconds = phase.map_or(Ok(0), parse_duration)?;
    Ok(CronTimes::Every { interval_seconds, phase_seconds })
}

/// Seconds of a duration like `90s`, `1h30m` or `2d`.
fn parse_duration(text: &str) -> Result<i64, String> {
    let malformed = || format!("\"{text}\" is not a duration like 90s, 1h30m or 2d");
    let mut total: i64 = 0;
    let mut number: Option<i64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let grown = number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(i64::from(digit)));
            number = Some(grown.ok_or_else(malformed)?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(malformed()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(malformed)?;
        total = total.checked_add(part).ok_or_else(malformed)?;
    }
    if text.is_empty() || number.is_some() {
        return Err(malformed());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_text(cron: &str) -> String {
        match parse(cron).unwrap_or_else(|error| panic!("{cron}: {error}")) {
            Cron { time_zone, times: CronTimes::Calendar(calendar) } => {
                format!("{} {calendar}", time_zone.unwrap_or_default()).trim().to_owned()
            }
            Cron { time_zone, times: CronTimes::Every { interval_seconds, phase_seconds } } => {
                format!("{} {interval_seconds}/{phase_seconds}", time_zone.unwrap_or_default())
                    .trim()
                    .to_owned()
            }
        }
    }

    #[test]
    fn reads_every_form() {
        let table = [
            ("0 9 * * mon-fri", "0 0 9 * * 1-5 *"),
            ("0 9 1,15 jan * 2030", "0 0 9 1,15 1 * 2030"),
            ("30 0 9 * * 7 2030/2", "30 0 9 * * 0 2030-2100/2"),
            ("@daily", "0 0 0 * * * *"),
            ("@weekly # quiet hours", "0 0 0 * * 0 *"),
            ("@yearly", "0 0 0 1 1 * *"),
            ("@hourly", "0 0 * * * * *"),
            ("CRON_TZ=Europe/Berlin 30 2 * * *", "Europe/Berlin 0 30 2 * * * *"),
            ("TZ=UTC   @monthly", "UTC 0 0 0 1 * * *"),
            ("@every 5m", "300/0"),
            ("@every 1h30m/90s", "5400/90"),
            ("@every 2d", "172800/0"),
        ];
        for (cron, expected) in table {
            assert_eq!(as_text(cron), expected, "{cron}");
        }
    }

    #[test]
    fn refuses_what_is_not_cron() {
        let long = format!("0 9 * * * {}", " ".repeat(200));
        for cron in [
            "",
            "* * * *",
            "* * * * * * * *",
            "60 * * * *",
            "@fortnightly",
            "CRON_TZ=Europe/Berlin",
            "@every",
            "@every 5",
            "@every m",
            "@every 5x",
            "@every 99999999999999999999s",
            "@every 106751991167301d",
            long.as_str(),
        ] {
            assert!(parse(cron).is_err(), "{cron}");
        }
    }
}
