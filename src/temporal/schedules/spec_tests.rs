use super::*;
use crate::temporal::schedules::request::{RetryPolicy, Timeouts};

fn now() -> DateTime<Utc> {
    "2027-01-01T12:00:00.25Z".parse().expect("a time")
}

fn request(change: impl FnOnce(&mut ScheduleRequest)) -> ScheduleRequest {
    let mut request = ScheduleRequest::new("report.v1");
    change(&mut request);
    request
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// Field and kind of every complaint, in order.
fn complaints(request: &ScheduleRequest) -> Vec<(String, &'static str)> {
    compile(request, now()).expect_err("unsound").into_iter().map(|e| (e.field.join("."), e.kind)).collect()
}

#[test]
fn says_what_is_wrong() {
    type Change = fn(&mut ScheduleRequest);
    let soon = || Some("2027-02-01T00:00:00Z".parse().expect("a time"));
    let table: Vec<(Change, &str, &str)> = vec![
        (|_| (), "", "missing"),
        (|r| r.interval_seconds = Some(0), "interval_seconds", "greater_than_equal"),
        (|r| r.interval_seconds = Some(-5), "interval_seconds", "greater_than_equal"),
        (|r| r.interval_seconds = Some(i64::MAX), "interval_seconds", "less_than_equal"),
        (|r| (r.interval_seconds, r.offset_seconds) = (Some(60), Some(60)), "offset_seconds", "less_than"),
        (
            |r| (r.interval_seconds, r.offset_seconds) = (Some(60), Some(-1)),
            "offset_seconds",
            "greater_than_equal",
        ),
        (|r| r.fire_offsets_seconds = vec![5, -1], "fire_offsets_seconds.1", "greater_than_equal"),
        (|r| r.fire_offsets_seconds = vec![315_360_001], "fire_offsets_seconds.0", "less_than_equal"),
        (|r| r.fire_offsets_seconds = vec![i64::MAX], "fire_offsets_seconds.0", "less_than_equal"),
        (|r| r.fire_offsets_seconds = vec![1; 201], "fire_offsets_seconds", "too_long"),
        (|r| r.cron = strings(&["0 9 * * *", "61 * * * *"]), "cron.1", "cron"),
        (|r| r.cron = strings(&["@every 5m/5m"]), "cron.0", "cron"),
        (|r| r.cron = strings(&["@every 0s"]), "cron.0", "greater_than_equal"),
        (|r| r.cron = strings(&["CRON_TZ=Mars/Olympus 0 9 * * *"]), "cron.0", "time_zone"),
        (|r| r.cron = strings(&["TZ=UTC 0 9 * * *", "0 9 * * *"]), "cron.1", "conflict"),
        (
            |r| {
                r.cron = strings(&["TZ=Europe/Berlin 0 9 * * *"]);
                r.time_zone = Some("Europe/Paris".to_owned());
            },
            "cron.0",
            "conflict",
        ),
        (
            |r| {
                r.cron = strings(&["0 9 * * *"]);
                r.time_zone = Some("Europe/Atlantis".to_owned());
            },
            "time_zone",
            "time_zone",
        ),
        (
            |r| {
                r.calendars = vec![
                    CalendarRequest::default(),
                    CalendarRequest { hour: Some("24".to_owned()), ..CalendarRequest::default() },
                ];
            },
            "calendars.1.hour",
            "calendar",
        ),
    ];
    for (change, field, kind) in table {
        let request = request(change);
        assert_eq!(complaints(&request), [(field.to_owned(), kind)], "{request:?}");
    }
    let late = request(|r| {
        r.interval_seconds = Some(60);
        r.start_at = soon();
        r.end_at = soon();
    });
    assert_eq!(complaints(&late), [("end_at".to_owned(), "greater_than")]);
    let mixed = request(|r| {
        r.fire_offsets_seconds = vec![0];
        r.start_at = soon();
        r.cron = strings(&["@daily"]);
    });
    assert_eq!(complaints(&mixed), [("start_at".to_owned(), "conflict"), ("cron".to_owned(), "conflict")]);
}

#[test]
fn says_everything_at_once() {
    let request = request(|r| {
        r.workflow_type = " ".to_owned();
        r.timeouts = Timeouts { run_seconds: Some(0.0), task_seconds: Some(f64::NAN), ..Timeouts::default() };
        r.retry_policy = Some(RetryPolicy {
            backoff_coefficient: Some(0.5),
            maximum_attempts: Some(-1),
            initial_interval_seconds: Some(10.0),
            maximum_interval_seconds: Some(1.0),
            ..RetryPolicy::default()
        });
        r.jitter_seconds = Some(-1);
        r.catchup_window_seconds = 9;
        r.limited_actions = Some(0);
        r.offset_seconds = Some(5);
    });
    let fields: Vec<String> = complaints(&request).into_iter().map(|(field, _)| field).collect();
    let expected = [
        "workflow_type",
        "run_timeout_seconds",
        "task_timeout_seconds",
        "retry_policy.backoff_coefficient",
        "retry_policy.maximum_attempts",
        "retry_policy.maximum_interval_seconds",
        "jitter_seconds",
        "catchup_window_seconds",
        "limited_actions",
        "offset_seconds",
        "",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn offsets_become_single_fires_in_utc() {
    let request = request(|r| {
        r.fire_offsets_seconds = vec![0, 3_600, 10, 10];
        r.interval_seconds = Some(60);
        r.time_zone = Some("Europe/Berlin".to_owned());
    });
    let spec = compile(&request, now()).expect("sound");
    assert_eq!(spec.zone, Tz::UTC);
    assert_eq!(spec.immediate, "2027-01-01T12:00:00Z".parse().ok());
    let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
    assert_eq!(spec.one_shots, [at("2027-01-01T12:00:11Z"), at("2027-01-01T13:00:01Z")]);
    assert_eq!(spec.one_shot_fires(), Some(3));
    assert!(spec.intervals.is_empty());
    assert_eq!(spec.warnings.iter().map(|w| w.field.as_str()).collect::<Vec<_>>(), ["interval_seconds"]);
}

#[test]
fn warns_of_a_schedule_that_never_fires() {
    let never = request(|r| r.cron = strings(&["0 0 30 2 *"]));
    let spec = compile(&never, now()).expect("sound");
    assert_eq!(spec.warnings.iter().map(|w| w.field.as_str()).collect::<Vec<_>>(), ["schedule"]);
    let often = request(|r| r.interval_seconds = Some(60));
    assert!(compile(&often, now()).expect("sound").warnings.is_empty());
}
