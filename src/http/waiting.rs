//! How long a request is willing to wait: `?wait=N`, or `Prefer: wait=N` (RFC 7240).

use std::time::Duration;

use axum::http::HeaderMap;

/// The longest wait, in seconds.
pub(super) const WAIT_SECONDS_MAX: f64 = 300.0;
/// The wait of requests that are made to wait, in seconds.
pub(super) const WAIT_SECONDS: f64 = 30.0;

/// The wait asked for, the parameter before the header, at most 300 s; else `default` seconds.
pub(super) fn wait(parameter: Option<f64>, headers: &HeaderMap, default: f64) -> Duration {
    let seconds = parameter.or_else(|| preferred(headers)).unwrap_or(default);
    Duration::try_from_secs_f64(seconds.clamp(0.0, WAIT_SECONDS_MAX)).unwrap_or_default()
}

/// A preference that cannot be read is none: that is what a preference is.
fn preferred(headers: &HeaderMap) -> Option<f64> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let wait = |item: &str| {
        let (name, value) = item.split(';').next()?.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok()).flatten()
    };
    values.flat_map(|value| value.split(',')).find_map(wait).filter(|seconds: &f64| seconds.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_bounded() {
        let table = [
            (None, "", 30.0),
            (Some(2.0), "", 2.0),
            (Some(2.5), "wait=7", 2.5),
            (None, "wait=7", 7.0),
            (None, "respond-async, Wait=\"7\"; x", 7.0),
            (None, "wait", 30.0),
            (None, "wait=soon", 30.0),
            (None, "wait=NaN", 30.0),
            (None, "wait=-1", 0.0),
            (None, "wait=9999", 300.0),
            (Some(9999.0), "", 300.0),
        ];
        for (parameter, prefer, expected) in table {
            let mut headers = HeaderMap::new();
            if !prefer.is_empty() {
                headers.insert("prefer", prefer.parse().unwrap());
            }
            assert_eq!(
                wait(parameter, &headers, WAIT_SECONDS).as_secs_f64(),
                expected,
                "{parameter:?} {prefer}"
            );
        }
    }
}
