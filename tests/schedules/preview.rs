//! What we foretell is what the server does.

use crate::{at, compiled, dev_server, prepared, request, strings};
use chrono::{DateTime, Utc};
use temporal_registry::temporal::schedules::calls::Schedules;
use temporal_registry::temporal::schedules::preview::fires;
use temporal_registry::temporal::schedules::request::{CalendarRequest, ScheduleRequest};
use temporalio_client::Client;
use temporalio_client::tonic::Request;
use temporalio_common::protos::temporal::api::workflowservice::v1::ListScheduleMatchingTimesRequest;

struct Case {
    name: &'static str,
    request: ScheduleRequest,
    /// Neither may be a fire itself.
    between: (&'static str, &'static str),
    /// Fires there must be at least, lest two empty answers agree.
    at_least: usize,
}

fn case(
    name: &'static str,
    between: (&'static str, &'static str),
    at_least: usize,
    change: impl FnOnce(&mut ScheduleRequest),
) -> Case {
    Case { name, request: request(change), between, at_least }
}

fn crons(texts: &[&str], zone: &str) -> impl FnOnce(&mut ScheduleRequest) {
    let (cron, time_zone) = (strings(texts), Some(zone.to_owned()));
    move |r| (r.cron, r.time_zone) = (cron, time_zone)
}

fn table() -> Vec<Case> {
    const SPRING: (&str, &str) = ("2027-03-26T22:47:11Z", "2027-03-30T03:11:47Z");
    const AUTUMN: (&str, &str) = ("2027-10-29T22:47:11Z", "2027-11-02T03:11:47Z");
    const YEARS: (&str, &str) = ("2027-01-01T00:00:07Z", "2060-01-01T00:00:07Z");
    vec![
        case("interval", ("2027-01-01T00:00:30Z", "2027-01-01T02:00:30Z"), 120, |r| {
            r.interval_seconds = Some(60);
        }),
        case("interval with offset", ("2027-01-01T00:00:07Z", "2027-01-09T00:00:07Z"), 26, |r| {
            (r.interval_seconds, r.offset_seconds) = (Some(25_200), Some(4_321));
        }),
        case("interval within start and end", ("2026-12-30T00:00:07Z", "2027-01-09T00:00:07Z"), 49, |r| {
            r.interval_seconds = Some(900);
            r.start_at = Some(at("2027-01-01T00:00:00Z").fixed_offset());
            r.end_at = Some(at("2027-01-01T12:00:00Z").fixed_offset());
        }),
        case("fractional start and end", ("2026-12-30T00:00:07Z", "2027-01-09T00:00:07Z"), 19, |r| {
            r.interval_seconds = Some(1);
            r.start_at = Some("2027-01-01T00:00:00.5+01:00".parse().expect("a time"));
            r.end_at = Some("2027-01-01T00:00:20.5+01:00".parse().expect("a time"));
        }),
        case(
            "every",
            ("2027-01-01T00:00:07Z", "2027-01-03T00:00:07Z"),
            30,
            crons(&["@every 1h30m/7m"], "UTC"),
        ),
        case("shorthands", ("2027-01-01T00:00:07Z", "2027-03-01T00:00:07Z"), 59, crons(&["@daily"], "UTC")),
        case("yearly", YEARS, 33, crons(&["@yearly # fireworks", "0 0 1 7 *"], "Asia/Kolkata")),
        case(
            "cron list with names and steps",
            ("2027-01-01T00:00:07Z", "2027-04-01T00:00:07Z"),
            100,
            crons(&["*/20 8-10/2 * jan-mar mon,WED", "7 23 1,15 * *"], "UTC"),
        ),
        case("both day fields", YEARS, 50, crons(&["0 0 13 * fri"], "UTC")),
        case("sunday as seven", SPRING, 1, crons(&["30 6 * * 7"], "UTC")),
        case("seconds and years", YEARS, 8, crons(&["5/20 0 0 1 1 * 2028-2034/3"], "UTC")),
        case("leap days", YEARS, 8, crons(&["0 0 29 2 *"], "UTC")),
        case(
            "leap days, far",
            ("2092-01-01T00:00:07Z", "2100-12-30T00:00:07Z"),
            2,
            crons(&["0 0 29 2 *"], "UTC"),
        ),
        case("calendars", ("2027-01-01T00:00:07Z", "2027-03-01T00:00:07Z"), 50, |r| {
            let text = |text: &str| Some(text.to_owned());
            r.calendars = vec![
                CalendarRequest {
                    second: text("15,45"),
                    minute: text("0-30/10"),
                    hour: text("9-17/4"),
                    day_of_month: text("1-7"),
                    day_of_week: text("mon-fri"),
                    ..CalendarRequest::default()
                },
                CalendarRequest { hour: text("3"), month: text("2"), ..CalendarRequest::default() },
            ];
        }),
        case("single fires", ("2026-01-01T00:00:07Z", "2099-01-01T00:00:07Z"), 3, |r| {
            r.fire_offsets_seconds = vec![86_400, 600, 31_536_000, 600];
        }),
        case("Berlin, nightly, spring", SPRING, 2, crons(&["30 2 * * *"], "Europe/Berlin")),
        case("Berlin, nightly, autumn", AUTUMN, 3, crons(&["30 2 * * *"], "Europe/Berlin")),
        case("Berlin, an hour before, autumn", AUTUMN, 3, crons(&["30 1 * * *"], "Europe/Berlin")),
        case("Berlin, often, spring", SPRING, 300, crons(&["*/15 * * * *"], "Europe/Berlin")),
        case("Berlin, often, autumn", AUTUMN, 290, crons(&["*/15 * * * *"], "Europe/Berlin")),
        case(
            "Berlin, two at once, autumn",
            AUTUMN,
            90,
            crons(&["30 1 * * *", "*/50 * * * *"], "Europe/Berlin"),
        ),
        case("Berlin by start_at", ("2027-01-01T00:00:07Z", "2027-11-03T00:00:07Z"), 4, |r| {
            r.cron = strings(&["CRON_TZ=Europe/Berlin 30 2 * * *"]);
            r.start_at = Some("2027-10-30T02:30:00+02:00".parse().expect("a time"));
        }),
        case(
            "Berlin, in 60 years",
            ("2087-03-25T00:00:07Z", "2087-10-30T00:00:07Z"),
            210,
            crons(&["@daily"], "Europe/Berlin"),
        ),
        case(
            "New York, autumn",
            ("2027-11-06T00:00:07Z", "2027-11-09T00:00:07Z"),
            4,
            crons(&["30 1 * * *"], "America/New_York"),
        ),
        case(
            "New York, often, autumn",
            ("2027-11-06T00:00:07Z", "2027-11-09T00:00:07Z"),
            288,
            crons(&["*/15 * * * *"], "America/New_York"),
        ),
        case(
            "New York, often, spring",
            ("2027-03-13T00:00:07Z", "2027-03-16T00:00:07Z"),
            288,
            crons(&["*/15 * * * *"], "America/New_York"),
        ),
        case(
            "half an hour, autumn",
            ("2027-04-02T00:00:07Z", "2027-04-06T00:00:07Z"),
            370,
            crons(&["*/15 * * * *"], "Australia/Lord_Howe"),
        ),
        case(
            "half an hour, spring",
            ("2027-10-01T00:00:07Z", "2027-10-05T00:00:07Z"),
            370,
            crons(&["*/15 * * * *"], "Australia/Lord_Howe"),
        ),
        case(
            "no midnight, west",
            ("2027-09-01T00:00:07Z", "2027-09-20T00:00:07Z"),
            3,
            crons(&["0 0,5 * * sat,sun"], "America/Santiago"),
        ),
        case(
            "two midnights, west",
            ("2027-03-30T00:00:07Z", "2027-04-10T00:00:07Z"),
            10,
            crons(&["30 0,23 * * *"], "America/Santiago"),
        ),
        case(
            "no midnight, east",
            ("2027-04-25T00:00:07Z", "2027-05-10T00:00:07Z"),
            10,
            crons(&["30 0 * * *"], "Africa/Cairo"),
        ),
        case("never", YEARS, 0, crons(&["0 0 31 4 *"], "UTC")),
    ]
}

async fn matching_times(
    client: &Client,
    id: &str,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let timestamp = |at: DateTime<Utc>| Some(std::time::SystemTime::from(at).into());
    let request = ListScheduleMatchingTimesRequest {
        namespace: "default".to_owned(),
        schedule_id: id.to_owned(),
        start_time: timestamp(from),
        end_time: timestamp(to),
    };
    let mut service = client.connection().workflow_service();
    let response = service.list_schedule_matching_times(Request::new(request)).await.expect("matching times");
    let times = response.into_inner().start_time;
    times.iter().filter_map(|at| DateTime::from_timestamp(at.seconds, 0)).collect()
}

#[tokio::test]
async fn is_what_the_server_does() {
    let client = dev_server::client().await;
    let schedules = Schedules::new(client.clone());
    let mut wrong = Vec::new();
    for (index, Case { name, request, between, at_least }) in table().into_iter().enumerate() {
        let id = format!("preview-{index}");
        // Compiled once: offsets count from the moment of it.
        let spec = compiled(&request);
        let paused = temporal_registry::temporal::schedules::action::PreparedSchedule::new(
            &id,
            &request,
            &spec,
            "idle-queue",
        )
        .paused();
        schedules.create(&paused).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (from, to) = (at(between.0), at(between.1));
        let told: Vec<_> = fires(&spec, from, 1_000).into_iter().filter(|fire| *fire <= to).collect();
        let server = matching_times(&client, &id, from, to).await;
        if told != server || server.len() < at_least {
            let only_told: Vec<_> = told.iter().filter(|fire| !server.contains(fire)).take(5).collect();
            let only_server: Vec<_> = server.iter().filter(|fire| !told.contains(fire)).take(5).collect();
            wrong.push(format!(
                "{name}: {} told, {} on the server; only told {only_told:?}, only there {only_server:?}",
                told.len(),
                server.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn names_the_runs_the_server_starts() {
    let schedules = Schedules::new(dev_server::client().await);
    let every_second = request(|r| (r.interval_seconds, r.limited_actions) = (Some(1), Some(1)));
    schedules.create(&prepared("named", &every_second)).await.expect("created");
    let recent =
        crate::calls::described_until(&schedules, "named", |seen| !seen.recent.is_empty()).await.recent;
    let due = recent[0].scheduled_at.expect("a time");
    assert_eq!(
        recent[0].workflow_id,
        temporal_registry::temporal::schedules::preview::workflow_id("named", due)
    );
}
