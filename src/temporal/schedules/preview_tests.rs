use super::*;
use crate::temporal::schedules::request::{CalendarRequest, ScheduleRequest};
use crate::temporal::schedules::spec::compile;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn request(change: impl FnOnce(&mut ScheduleRequest)) -> ScheduleRequest {
    let mut request = ScheduleRequest::new("report.v1");
    change(&mut request);
    request
}

fn cron(text: &str) -> ScheduleRequest {
    request(|r| r.cron = vec![text.to_owned()])
}

/// Fires of the request after `from`, as text without the century and the zone.
fn told(request: &ScheduleRequest, from: &str, n: usize) -> Vec<String> {
    let spec = compile(request, at(from)).unwrap_or_else(|errors| panic!("{errors:?}"));
    fires(&spec, at(from), n).iter().map(|fire| fire.format("%y-%m-%d %H:%M:%S").to_string()).collect()
}

#[test]
fn foretells_regular_and_calendar_fires() {
    let table: &[(ScheduleRequest, &str, &[&str])] = &[
        (
            request(|r| (r.interval_seconds, r.offset_seconds) = (Some(3_600), Some(90))),
            "2027-01-01T00:01:30Z",
            &["27-01-01 01:01:30", "27-01-01 02:01:30"],
        ),
        (
            request(|r| {
                r.interval_seconds = Some(1_800);
                r.start_at = Some(at("2027-01-01T01:00:00Z").fixed_offset());
                r.end_at = Some(at("2027-01-01T02:00:00.5Z").fixed_offset());
            }),
            "2026-12-01T00:00:00Z",
            &["27-01-01 01:00:00", "27-01-01 01:30:00", "27-01-01 02:00:00"],
        ),
        // A start between two seconds begins with the later one.
        (
            request(|r| {
                r.interval_seconds = Some(1);
                r.start_at = Some(at("2027-01-01T01:00:00.001Z").fixed_offset());
                r.limited_actions = Some(2);
            }),
            "2026-12-01T00:00:00Z",
            &["27-01-01 01:00:01", "27-01-01 01:00:02"],
        ),
        (cron("0 0 29 2 *"), "2027-01-01T00:00:00Z", &["28-02-29 00:00:00", "32-02-29 00:00:00"]),
        // Both the day of the month and the day of the week have to match.
        (cron("0 0 13 * fri"), "2027-01-01T00:00:00Z", &["27-08-13 00:00:00", "28-10-13 00:00:00"]),
        // The same instant is one fire, however many specs name it.
        (
            request(|r| {
                r.cron = vec!["0 * * * *".to_owned(), "*/30 * * * *".to_owned()];
                r.interval_seconds = Some(3_600);
            }),
            "2027-01-01T00:00:00Z",
            &["27-01-01 00:30:00", "27-01-01 01:00:00", "27-01-01 01:30:00"],
        ),
        (cron("0 0 31 4 *"), "2027-01-01T00:00:00Z", &[]),
        (
            request(|r| {
                r.calendars =
                    vec![CalendarRequest { year: Some("2100".to_owned()), ..CalendarRequest::default() }];
                r.time_zone = Some("Europe/Berlin".to_owned());
            }),
            "2100-12-29T23:00:00Z",
            &["00-12-30 23:00:00"],
        ),
    ];
    for (request, from, expected) in table {
        let n = expected.len().clamp(2, 3);
        assert_eq!(told(request, from, n), *expected, "{request:?}");
    }
}

#[test]
fn clocks_that_change_are_followed() {
    let berlin = |text: &str| cron(&format!("CRON_TZ=Europe/Berlin {text}"));
    let new_york = |text: &str| cron(&format!("CRON_TZ=America/New_York {text}"));
    let table: &[(ScheduleRequest, &str, &[&str])] = &[
        // 02:30 does not exist on the 28th.
        (berlin("30 2 * * *"), "2027-03-27T00:00:00Z", &["27-03-27 01:30:00", "27-03-29 00:30:00"]),
        (berlin("0 9 * * *"), "2027-03-27T12:00:00Z", &["27-03-28 07:00:00", "27-03-29 07:00:00"]),
        // 01:30 exists twice.
        (new_york("30 1 * * *"), "2027-11-07T00:00:00Z", &["27-11-07 05:30:00", "27-11-07 06:30:00"]),
        (berlin("0 9 * * *"), "2027-10-30T12:00:00Z", &["27-10-31 08:00:00", "27-11-01 08:00:00"]),
    ];
    for (request, from, expected) in table {
        assert_eq!(told(request, from, 2), *expected, "{:?}", request.cron);
    }
}

#[test]
fn offsets_fire_once_each_and_an_immediate_one_first() {
    let request = request(|r| r.fire_offsets_seconds = vec![90, 0, 30, 90, 0]);
    assert_eq!(
        told(&request, "2027-01-01T00:00:00.2Z", 9),
        ["27-01-01 00:00:00", "27-01-01 00:00:31", "27-01-01 00:01:31"],
        "offsets count from the next whole second"
    );
}

#[test]
fn a_fire_names_its_workflow() {
    let spec = compile(&cron("0 1 * * *"), at("2026-03-28T12:00:00Z")).expect("sound");
    let fires = preview(&spec, "nightly", at("2026-03-28T12:00:00Z"), 1);
    assert_eq!(fires[0].workflow_id, "nightly-2026-03-29T01:00:00Z");
}

#[test]
fn work_is_bounded() {
    let started = std::time::Instant::now();
    let mut worst = cron("0 0 30 2 *");
    worst.interval_seconds = Some(1);
    worst.cron = vec!["0 0 30 2 *".to_owned(); 200];
    let spec = compile(&worst, at("2027-01-01T00:00:00Z")).expect("sound");
    let found = fires(&spec, at("2027-01-01T00:00:00Z"), usize::MAX);
    assert!(!found.is_empty() && found.len() <= 1_000_000, "{} fires", found.len());
    assert!(started.elapsed().as_secs() < 60, "took {:?}", started.elapsed());
}
