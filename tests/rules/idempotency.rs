use temporal_registry::registry::{Command, Outcome, Refusal, Reservation, Reserved};

use crate::world::{World, reserve, settle};

impl World {
    fn reserve(&mut self, wanted: Reservation) -> (Reserved, bool) {
        match self.run(Command::Reserve(wanted)) {
            Outcome::Reserved { reserved, created } => (reserved, created),
            other => panic!("not reserved: {other:?}"),
        }
    }
}

fn named(key: &str, name: &str) -> Reservation {
    Reservation { name: Some(name.to_owned()), ..reserve(key, "body", "unused") }
}

fn instead(wanted: Reservation, of: &str) -> Reservation {
    Reservation { instead_of: Some(of.to_owned()), ..wanted }
}

#[test]
fn one_key_one_run() {
    let mut w = World::new();
    let (first, created) = w.reserve(reserve("k", "body", "id-1"));
    assert!(created);
    assert_eq!((first.workflow_id.as_str(), &first.run), ("id-1", &None));
    // A retry brings its own id along; the first one counts.
    assert_eq!(w.reserve(reserve("k", "body", "id-2")), (first, false));
    assert_eq!(w.refusal(Command::Reserve(reserve("k", "other body", "id-1"))), Refusal::KeyReused);
    w.run(settle("k", "id-1", "run-1"));
    let (settled, created) = w.reserve(reserve("k", "body", "id-3"));
    assert_eq!((settled.run, created), (Some(("run-1".to_owned(), "work".to_owned())), false));
    assert!(w.reserve(reserve("other", "other body", "id-1")).1, "keys are apart");
}

#[test]
fn what_does_not_settle() {
    let mut w = World::new();
    w.reserve(reserve("k", "body", "id-1"));
    let before = w.text();
    for command in [settle("k", "id-2", "run"), settle("x", "id-1", "run")] {
        assert_eq!(w.run(command), Outcome::Done);
        assert_eq!(w.text(), before);
    }
    w.run(settle("k", "id-1", "run-1"));
    let before = w.text();
    w.run(settle("k", "id-1", "run-2"));
    assert_eq!(w.text(), before, "the first run stays");
}

#[test]
fn names_are_claimed_once() {
    let mut w = World::new();
    let table = [
        (named("k", "Report"), "report-r1", true),
        (named("k", "Report"), "report-r1", false),
        (named("l", "report"), "report-r2", true),
        (instead(named("k", "Report"), "report-r1"), "report-r3", true),
        // The same request again: its number is taken already.
        (instead(named("k", "Report"), "report-r1"), "report-r3", false),
        (instead(named("k", "Report"), "report-r3"), "report-r4", true),
    ];
    for (wanted, workflow_id, created) in table {
        let (reserved, made) = w.reserve(wanted.clone());
        assert_eq!((reserved.workflow_id.as_str(), made), (workflow_id, created), "{wanted:?}");
    }
    w.run(settle("k", "report-r4", "run"));
    let (reserved, created) = w.reserve(instead(named("k", "Report"), "report-r4"));
    assert_eq!((reserved.workflow_id.as_str(), created), ("report-r4", false), "settled is settled");
    assert_eq!(w.claim("report"), 5);
}

#[test]
fn records_expire() {
    let mut w = World::new();
    w.reserve(reserve("k", "body", "id-1"));
    w.tick(24 * 3600);
    assert!(!w.reserve(reserve("k", "body", "id-2")).1, "24 hours to the millisecond");
    w.tick(1);
    let (reserved, created) = w.reserve(reserve("k", "other body", "id-3"));
    assert_eq!((reserved.workflow_id.as_str(), created), ("id-3", true));
    w.tick(24 * 3600 + 1);
    w.sweep();
    assert!(w.state().reservations.is_empty());
}

/// A refusal leaves even what is overdue where it is.
#[test]
fn refusals_tidy_nothing() {
    let mut w = World::new();
    w.reserve(reserve("old", "body", "id-1"));
    w.tick(24 * 3600);
    w.reserve(reserve("new", "body", "id-1"));
    w.tick(1);
    assert_eq!(w.refusal(Command::Reserve(reserve("new", "x", "id-1"))), Refusal::KeyReused);
    assert!(matches!(w.refusal(Command::Reserve(named("third", "!"))), Refusal::BadName { .. }));
}

#[test]
fn records_are_bounded() {
    let mut w = World::with(|limits| limits.reservations_max = 3);
    for key in ["a", "b", "c", "a", "d"] {
        w.tick(1);
        w.reserve(reserve(key, "body", key));
    }
    let kept = |w: &World| -> String { w.state().reservations.keys().cloned().collect() };
    assert_eq!(kept(&w), "bcd", "looking one up does not make it younger");
    w.hand_over();
    w.tick(1);
    w.reserve(reserve("e", "body", "e"));
    assert_eq!(kept(&w), "cde");
    w.bound(|limits| limits.reservations_max = 1);
    w.run(settle("c", "c", "run"));
    assert_eq!(kept(&w), "cde");
    w.reserve(reserve("a", "body", "a"));
    assert_eq!(
        kept(&w),
        "a",
        "the one just made stays, though others of this millisecond come after it by name"
    );
}
