//! Moments, as text for people and as numbers for programs.

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since the Unix epoch as RFC 3339 in UTC, for example `2026-05-01T12:00:00.000Z`.
pub fn rfc3339(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since the Unix epoch as seconds.
#[allow(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
pub fn epoch_seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
