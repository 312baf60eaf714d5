use temporal_registry::registry::{
    Health::{self, Healthy, Unhealthy, Unknown},
    Preservation, PreservationRules,
};

/// Seconds as milliseconds.
const S: i64 = 1_000;

/// Health of every worker, by the second its lease ends.
fn judge(rules: &PreservationRules, ends: &[i64], now: i64) -> Vec<Health> {
    let preservation = Preservation::of(rules, ends.iter().map(|end| end * S), now * S);
    ends.iter().map(|end| Health::judge(end * S, None, &preservation, now * S)).collect()
}

fn count(health: &[Health]) -> (usize, usize, usize) {
    let of = |wanted| health.iter().filter(|one| **one == wanted).count();
    (of(Healthy), of(Unknown), of(Unhealthy))
}

#[test]
fn one_worker() {
    let none = Preservation::default();
    let table = [
        (99_999, None, Healthy),
        (100_000, None, Healthy),
        (100_001, None, Unhealthy),
        (100_001, Some(99_000), Unhealthy),
        (100_001, Some(100_000), Unhealthy),
        // No replica was there to see it; until one ttl after one is back.
        (100_001, Some(160_000), Unknown),
        (160_000, Some(160_000), Unknown),
        (160_001, Some(160_000), Unhealthy),
    ];
    for (now_ms, unseen_until_ms, health) in table {
        assert_eq!(Health::judge(100_000, unseen_until_ms, &none, now_ms), health, "at {now_ms}");
    }
    assert_eq!([Healthy, Unknown, Unhealthy].map(Health::is_usable), [true, true, false]);
}

#[test]
fn many_at_once() {
    let rules = PreservationRules::default();
    let late = 1_000;
    // (what, ends of leases, now, (healthy, unknown, unhealthy))
    let table = [
        ("half of 8", [vec![100; 4], vec![late; 4]].concat(), 101, (4, 4, 0)),
        ("spread over 30 s", [vec![100, 110, 120, 130], vec![late; 4]].concat(), 131, (4, 4, 0)),
        ("spread over more", [vec![100, 110, 120, 131], vec![late; 4]].concat(), 132, (4, 0, 4)),
        ("less than half of 8", [vec![100; 3], vec![late; 5]].concat(), 101, (5, 0, 3)),
        ("all of 8", vec![100; 8], 101, (0, 8, 0)),
        ("all of 7", vec![100; 7], 101, (0, 0, 7)),
        ("half of 9 is 5", [vec![100; 4], vec![late; 5]].concat(), 101, (5, 0, 4)),
        ("5 of 9", [vec![100; 5], vec![late; 4]].concat(), 101, (4, 5, 0)),
        ("5 minutes later", [vec![100; 4], vec![late; 4]].concat(), 400, (4, 4, 0)),
        ("and a second", [vec![100; 4], vec![late; 4]].concat(), 401, (4, 0, 4)),
        ("each for 5 minutes of its own", [vec![100, 100, 120, 120], vec![late; 4]].concat(), 410, (4, 2, 2)),
        ("one by one before", [vec![10], vec![100; 4], vec![late; 4]].concat(), 101, (4, 4, 1)),
        ("7 were left", [vec![10; 2], vec![100; 4], vec![late; 3]].concat(), 101, (3, 0, 6)),
        ("nobody lapsed", vec![late; 8], 101, (8, 0, 0)),
    ];
    for (case, ends, now, expected) in table {
        assert_eq!(count(&judge(&rules, &ends, now)), expected, "{case}");
    }
}

#[test]
fn rules_can_be_told_otherwise() {
    let ends = [vec![100; 2], vec![1_000; 2]].concat();
    let rules = PreservationRules::default();
    let off = PreservationRules { enabled: false, workers_min: 2, ..rules.clone() };
    let small = PreservationRules { workers_min: 4, ..rules.clone() };
    let brief = PreservationRules { workers_min: 4, unknown_max_ms: 10 * S, ..rules.clone() };
    let narrow = PreservationRules { workers_min: 4, window_ms: 0, ..rules.clone() };
    let table = [
        ("default", &rules, 101, (2, 0, 2)),
        ("off", &off, 101, (2, 0, 2)),
        ("from 4 on", &small, 101, (2, 2, 0)),
        ("for 10 s", &brief, 110, (2, 2, 0)),
        ("no longer", &brief, 111, (2, 0, 2)),
        ("in the same millisecond", &narrow, 101, (2, 2, 0)),
    ];
    for (case, rules, now, expected) in table {
        assert_eq!(count(&judge(rules, &ends, now)), expected, "{case}");
    }
}

#[test]
fn two_outages_are_two() {
    let ends = [vec![100; 8], vec![200; 4], vec![1_000; 4]].concat();
    let health = judge(&PreservationRules::default(), &ends, 201);
    assert_eq!(count(&health), (4, 12, 0));
    let between = [vec![100; 8], vec![150], vec![200; 4], vec![1_000; 4]].concat();
    assert_eq!(judge(&PreservationRules::default(), &between, 201)[8], Unhealthy, "lapsed alone in between");
}
