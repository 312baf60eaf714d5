//! Each call does what it says, and says so when it cannot.

use crate::{at, dev_server, prepared, request, strings};
use serde_json::json;
use std::time::{Duration, Instant};
use temporal_registry::temporal::schedules::calls::{Backfill, Schedules};
use temporal_registry::temporal::schedules::description::ScheduleDescription;
use temporal_registry::temporal::schedules::error::ScheduleError;
use temporal_registry::temporal::schedules::listing::ListQuery;
use temporal_registry::temporal::schedules::request::{OverlapPolicy, RetryPolicy, Timeouts};
use temporal_registry::temporal::schedules::stamp::Dispatch;

/// Describes until the condition holds.
pub async fn described_until(
    schedules: &Schedules,
    id: &str,
    condition: impl Fn(&ScheduleDescription) -> bool,
) -> ScheduleDescription {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = schedules.describe(id).await.unwrap_or_else(|error| panic!("{id}: {error}"));
        if condition(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{id} stays as it is: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn says_what_was_asked_for() {
    let schedules = Schedules::new(dev_server::client().await);
    let asked = request(|r| {
        r.input = json!({"day": "monday", "depth": [1, {"a": null}]});
        r.workflow_id = Some("echo-run".to_owned());
        r.task_queue = Some("own-queue".to_owned());
        r.cron = strings(&["CRON_TZ=Europe/Berlin 0 9 * * mon-fri"]);
        r.overlap_policy = OverlapPolicy::BufferOne;
        r.search_attributes.insert("Customer".to_owned(), json!("acme"));
        r.memo.insert("why".to_owned(), json!({"x": 1}));
        r.note = "for the echo".to_owned();
        r.jitter_seconds = Some(3);
        r.catchup_window_seconds = 90;
        r.pause_on_failure = true;
        r.limited_actions = Some(7);
        r.timeouts = Timeouts { run_seconds: Some(1.5), ..Timeouts::default() };
        r.retry_policy = Some(RetryPolicy { maximum_attempts: Some(3), ..RetryPolicy::default() });
    });
    let sent = prepared("echo", &asked);
    schedules.create(&sent).await.expect("created");
    let seen = schedules.describe("echo").await.expect("described");
    assert_eq!((seen.workflow_type.as_str(), seen.workflow_id.as_str()), ("idle.v1", "echo-run"));
    assert_eq!(seen.task_queue, "idle-queue");
    assert_eq!(seen.input.as_ref(), Some(&asked.input));
    assert_eq!((&seen.memo, &seen.search_attributes), (&asked.memo, &asked.search_attributes));
    assert_eq!(seen.spec.cron, asked.cron);
    assert_eq!((seen.spec.time_zone.as_str(), seen.spec.jitter_seconds), ("Europe/Berlin", 3));
    assert_eq!((seen.overlap_policy, seen.catchup_window_seconds), (OverlapPolicy::BufferOne, 90));
    assert_eq!((seen.pause_on_failure, seen.remaining_actions), (true, Some(7)));
    assert_eq!((seen.paused, seen.note.as_str()), (false, "for the echo"));
    assert_eq!(seen.next_fires.len(), 7, "no more than there will be");
    let stamp = seen.stamp.expect("our mark");
    assert_eq!((&stamp, stamp.dispatch), (sent.stamp(), Dispatch::Pinned));
    assert_eq!(stamp.spec_hash, asked.hash());
}

#[tokio::test]
async fn refuses_and_says_why() {
    let schedules = Schedules::new(dev_server::client().await);
    let id = "absent";
    let hourly = request(|r| r.interval_seconds = Some(3_600));
    let outcomes = [
        ("describe", schedules.describe(id).await.map(|_| ())),
        ("delete", schedules.delete(id).await),
        ("pause", schedules.pause(id, "").await),
        ("unpause", schedules.unpause(id, "").await),
        ("trigger", schedules.trigger(id, None).await),
        ("backfill", schedules.backfill(id, &[]).await),
        ("replace", schedules.replace(&prepared(id, &hourly), None).await),
    ];
    for (call, outcome) in outcomes {
        assert_eq!(outcome, Err(ScheduleError::NotFound), "{call}");
    }
    schedules.create(&prepared("taken", &hourly)).await.expect("created");
    assert_eq!(schedules.create(&prepared("taken", &hourly)).await, Err(ScheduleError::AlreadyExists));
    let unknown = request(|r| {
        r.interval_seconds = Some(3_600);
        r.search_attributes.insert("Nobody".to_owned(), json!("knows"));
    });
    let refused = schedules.create(&prepared("unknown", &unknown)).await.expect_err("refused");
    assert!(matches!(&refused, ScheduleError::Invalid(why) if why.contains("Nobody")), "{refused:?}");
    schedules.delete("taken").await.expect("deleted");
    assert_eq!(schedules.delete("taken").await, Err(ScheduleError::NotFound));
    assert_eq!(schedules.describe("taken").await.map(|_| ()), Err(ScheduleError::NotFound));
}

#[tokio::test]
async fn a_repeated_creation_is_one() {
    let schedules = Schedules::new(dev_server::client().await);
    let sent = prepared("repeated", &request(|r| r.fire_offsets_seconds = vec![0, 3_600]));
    schedules.create(&sent).await.expect("created");
    schedules.create(&sent).await.expect("the same creation");
    let seen = described_until(&schedules, "repeated", |seen| seen.counts.fired > 0).await;
    assert_eq!(seen.counts.fired, 1);
}

#[tokio::test]
async fn updates_are_seen_to_take_effect_or_to_conflict() {
    let schedules = Schedules::new(dev_server::client().await);
    let hourly = request(|r| r.interval_seconds = Some(3_600));
    let daily = request(|r| r.cron = strings(&["@daily"]));
    schedules.create(&prepared("updated", &hourly)).await.expect("created");
    let first = schedules.describe("updated").await.expect("described");

    schedules.replace(&prepared("updated", &daily), Some(&first.conflict_token)).await.expect("replaced");
    let second = schedules.describe("updated").await.expect("described");
    assert_eq!((second.spec.cron.clone(), second.spec.intervals.len()), (daily.cron.clone(), 0));
    assert_eq!(second.stamp.as_ref().map(|stamp| &stamp.spec_hash), Some(&daily.hash()));

    let stale = schedules.replace(&prepared("updated", &hourly), Some(&first.conflict_token)).await;
    assert_eq!(stale, Err(ScheduleError::Conflict));
    let stale = schedules.retarget(&first, "elsewhere").await;
    assert_eq!(stale, Err(ScheduleError::Conflict));

    schedules.retarget(&second, "elsewhere").await.expect("moved");
    let moved = schedules.describe("updated").await.expect("described");
    assert_eq!((moved.task_queue.as_str(), &moved.spec), ("elsewhere", &second.spec));
    assert_eq!(moved.stamp.map(|stamp| stamp.spec_hash), second.stamp.map(|stamp| stamp.spec_hash));

    schedules.pause("updated", "holiday").await.expect("paused");
    schedules.replace(&prepared("updated", &hourly), None).await.expect("replaced");
    let paused = schedules.describe("updated").await.expect("described");
    assert!(paused.paused, "a replacement does not wake a paused schedule");
    assert_eq!(paused.spec.intervals, [(3_600, 0)]);
}

#[tokio::test]
async fn of_concurrent_updates_on_one_state_one_wins() {
    let schedules = Schedules::new(dev_server::client().await);
    schedules
        .create(&prepared("raced", &request(|r| r.interval_seconds = Some(3_600))))
        .await
        .expect("created");
    let token = schedules.describe("raced").await.expect("described").conflict_token;
    let racers = (1..=8).map(|n| {
        let (schedules, token) = (schedules.clone(), token.clone());
        let sent = prepared("raced", &request(|r| r.interval_seconds = Some(3_600 + n)));
        async move { schedules.replace(&sent, Some(&token)).await }
    });
    let outcomes = futures::future::join_all(racers).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|o| matches!(o, Ok(()) | Err(ScheduleError::Conflict))), "{outcomes:?}");
}

#[tokio::test]
async fn pauses_goes_on_triggers_and_backfills() {
    let schedules = Schedules::new(dev_server::client().await);
    let daily = request(|r| (r.cron, r.overlap_policy) = (strings(&["@daily"]), OverlapPolicy::AllowAll));
    schedules.create(&prepared("moved", &daily)).await.expect("created");
    for (note, expected) in [("holiday", "holiday"), ("", "paused")] {
        schedules.pause("moved", note).await.expect("paused");
        let seen = schedules.describe("moved").await.expect("described");
        assert_eq!((seen.paused, seen.note.as_str()), (true, expected));
    }
    schedules.trigger("moved", None).await.expect("triggered");
    described_until(&schedules, "moved", |seen| seen.counts.fired == 1).await;
    schedules.unpause("moved", "").await.expect("unpaused");
    let seen = schedules.describe("moved").await.expect("described");
    assert_eq!((seen.paused, seen.note.as_str()), (false, "unpaused"));
    let stretch = Backfill {
        start_at: at("2025-03-01T12:00:00Z"),
        end_at: at("2025-03-04T12:00:00Z"),
        overlap_policy: None,
    };
    schedules.backfill("moved", &[stretch]).await.expect("backfilled");
    let seen = described_until(&schedules, "moved", |seen| seen.counts.fired == 4).await;
    let ids: Vec<&str> = seen.recent[1..].iter().map(|recent| recent.workflow_id.as_str()).collect();
    assert_eq!(
        ids,
        ["moved-2025-03-02T00:00:00Z", "moved-2025-03-03T00:00:00Z", "moved-2025-03-04T00:00:00Z"]
    );
}

#[tokio::test]
async fn lists_by_prefix_state_and_type_in_pages() {
    let schedules = Schedules::new(dev_server::client().await);
    let daily = request(|r| r.cron = strings(&["@daily"]));
    let mut other = daily.clone();
    other.workflow_type = "other.v1".to_owned();
    for n in 0..5 {
        let sent = prepared(&format!("list'ed-{n}"), if n == 4 { &other } else { &daily });
        schedules.create(&if n < 2 { sent.paused() } else { sent }).await.expect("created");
    }
    let prefix = || Some("list'ed-".to_owned());
    let table = [
        (ListQuery { id_prefix: prefix(), ..ListQuery::default() }, 5),
        (ListQuery { id_prefix: prefix(), paused: Some(true), ..ListQuery::default() }, 2),
        (ListQuery { id_prefix: prefix(), paused: Some(false), ..ListQuery::default() }, 3),
        (
            ListQuery { id_prefix: prefix(), workflow_type: Some("other.v1".into()), ..ListQuery::default() },
            1,
        ),
        (ListQuery { id_prefix: Some("nothing-like-it".to_owned()), ..ListQuery::default() }, 0),
    ];
    for (query, expected) in table {
        let deadline = Instant::now() + Duration::from_secs(30);
        let found = loop {
            let mut found = Vec::new();
            let mut page = ListQuery { page_size: 2, ..query.clone() };
            loop {
                let answer = schedules.list(&page).await.expect("listed");
                found.extend(answer.schedules);
                page.page_token = answer.next_page_token;
                if page.page_token.is_none() {
                    break;
                }
            }
            if found.len() == expected || Instant::now() > deadline {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        assert_eq!(found.len(), expected, "{query:?}");
        for listed in found {
            assert_eq!(listed.spec.cron, daily.cron);
            assert!(listed.created_stamp.is_some_and(|stamp| stamp.workflow_type == listed.workflow_type));
            assert!(!listed.next_fires.is_empty());
        }
    }
    for token in ["", "nonsense", "!", "AAAAAAAAAAAA"] {
        let bad = ListQuery { page_token: Some(token.to_owned()), ..ListQuery::default() };
        let refused = schedules.list(&bad).await.expect_err("refused");
        assert!(matches!(refused, ScheduleError::Invalid(_)), "{token}: {refused:?}");
    }
}

#[tokio::test]
async fn triggers_of_one_replica_are_a_run_each() {
    let schedules = Schedules::new(dev_server::client().await);
    let hourly = request(|r| {
        (r.interval_seconds, r.overlap_policy) = (Some(3_600), OverlapPolicy::AllowAll);
    });
    schedules.create(&prepared("triggered", &hourly)).await.expect("created");
    // Pauses among them swallow none either.
    let changes = (0..30).map(|n| {
        let schedules = schedules.clone();
        async move {
            schedules.trigger("triggered", None).await?;
            if n % 3 == 0 { schedules.pause("triggered", &format!("pause {n}")).await } else { Ok(()) }
        }
    });
    let outcomes = futures::future::join_all(changes).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let seen = schedules.describe("triggered").await.expect("described");
    assert_eq!((seen.counts.fired, seen.paused), (30, true));
}

#[tokio::test]
async fn triggers_of_two_replicas_are_a_run_each() {
    let client = dev_server::client().await;
    let replicas = [Schedules::new(client.clone()), Schedules::new(client)];
    let hourly = request(|r| {
        (r.interval_seconds, r.overlap_policy) = (Some(3_600), OverlapPolicy::AllowAll);
    });
    replicas[0].create(&prepared("shared", &hourly)).await.expect("created");
    let triggers = (0..12).map(|n| {
        let schedules = replicas[n % 2].clone();
        async move { schedules.trigger("shared", None).await }
    });
    let outcomes = futures::future::join_all(triggers).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let seen = replicas[0].describe("shared").await.expect("described");
    assert_eq!(seen.counts.fired, 12);
}

#[tokio::test]
async fn backfills_that_come_together_are_all_carried_out() {
    let schedules = Schedules::new(dev_server::client().await);
    let daily = request(|r| (r.cron, r.overlap_policy) = (strings(&["@daily"]), OverlapPolicy::AllowAll));
    schedules.create(&prepared("filled", &daily)).await.expect("created");
    let day = |n: i64| at("2025-03-01T00:00:00Z") + chrono::Duration::days(n);
    let backfills = (0..8).map(|n| {
        let schedules = schedules.clone();
        // The last one has no times.
        let start_at = if n == 7 { day(n) + chrono::Duration::hours(1) } else { day(n) };
        let stretch =
            Backfill { start_at, end_at: start_at + chrono::Duration::hours(1), overlap_policy: None };
        async move { schedules.backfill("filled", &[stretch]).await }
    });
    let outcomes = futures::future::join_all(backfills).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    described_until(&schedules, "filled", |seen| seen.counts.fired == 7).await;
}
