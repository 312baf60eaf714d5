use temporal_registry::registry::{Command, Outcome, Refusal, Source, Standing, VerdictKind};

use crate::world::{
    World, amend, breaking, claim, compatible, create, delete, enabled, of, put, replace, spec, standing,
    told, worker,
};

#[test]
fn create_and_replace() {
    let mut w = World::new();
    let already = Outcome::Refused(Refusal::AlreadyRegistered { workflow_type: "t".to_owned() });
    let mismatch = |current| Outcome::Refused(Refusal::RevisionMismatch { current });
    let table = [
        (replace(claim("t", "1"), Some(1)), mismatch(0)),
        (create(claim("t", "1")), put(1, true, true)),
        (create(claim("t", "1")), already.clone()),
        (create(claim("t", "2")), already),
        (replace(claim("t", "1"), None), put(1, false, false)),
        (replace(claim("t", "2"), Some(0)), mismatch(1)),
        (replace(claim("t", "2"), Some(1)), put(2, false, true)),
        (replace(claim("t", "3"), Some(1)), mismatch(2)),
        (replace(claim("t", "3"), None), put(3, false, true)),
        // Back to an older one: a revision like any other.
        (replace(claim("t", "1"), Some(3)), put(4, false, true)),
        (replace(claim("u", "1"), Some(0)), put(1, true, true)),
        (replace(claim("v", "1"), None), put(1, true, true)),
    ];
    for (command, outcome) in table {
        assert_eq!(w.run(command.clone()), outcome, "{command:?}");
    }
    assert_eq!(w.stands("t"), (4, "1"));
    let numbers = |w: &World| -> Vec<u32> { w.state().types["t"].revisions().map(|r| r.number).collect() };
    assert_eq!(numbers(&w), [4, 3, 2, 1]);
    assert!(w.state().types["t"].revisions().all(|revision| revision.source == Source::Admin));
}

#[test]
fn switching_makes_no_revision() {
    let mut w = World::new();
    w.run(create(claim("t", "1")));
    let off = |version| {
        let mut spec = spec("t", version);
        spec.enabled = false;
        of(spec)
    };
    assert_eq!(off("1").hash, claim("t", "1").hash);
    let table = [
        (enabled("t", true), put(1, false, false), true),
        (enabled("t", false), put(1, false, true), false),
        (enabled("t", false), put(1, false, false), false),
        (replace(claim("t", "1"), None), put(1, false, true), true),
        (replace(off("1"), None), put(1, false, true), false),
        (replace(off("1"), None), put(1, false, false), false),
        (replace(off("2"), None), put(2, false, true), false),
        (replace(claim("t", "3"), None), put(3, false, true), true),
        (amend(off("3"), None), put(3, false, false), true),
        (amend(off("4"), None), put(4, false, true), true),
        (enabled("t", false), put(4, false, true), false),
        (amend(claim("t", "4"), None), put(4, false, false), false),
        (amend(claim("t", "5"), None), put(5, false, true), false),
    ];
    for (command, outcome, on) in table {
        assert_eq!(w.run(command.clone()), outcome, "{command:?}");
        assert_eq!(w.state().types["t"].enabled, on, "{command:?}");
        assert_eq!(w.state().types["t"].spec().enabled, on, "{command:?}");
    }
    let absent = Refusal::TypeNotFound { workflow_type: "u".to_owned() };
    assert_eq!(w.refusal(enabled("u", true)), absent);
}

#[test]
fn what_stands_is_not_switched_by_a_worker() {
    let mut w = World::new();
    w.run(create(claim("t", "1")));
    w.run(enabled("t", false));
    w.offer("w", claim("t", "1"));
    assert!(!w.state().types["t"].enabled);
    w.offer("w", compatible(claim("t", "2"), &claim("t", "1")));
    assert_eq!((w.stands("t"), w.state().types["t"].enabled), ((2, "2"), false));
}

#[test]
fn delete_strips_workers() {
    let mut w = World::new();
    w.register(worker("a", [claim("t", "1"), claim("u", "1")]));
    w.register(worker("b", [claim("t", "1")]));
    let (epoch, changed) = (w.worker("a").epoch, w.worker("a").changed);
    assert_eq!(w.refusal(delete("t", Some(2))), Refusal::RevisionMismatch { current: 1 });
    assert_eq!(w.run(delete("t", Some(1))), Outcome::Done);
    let served = |w: &World, id: &str| -> Vec<String> {
        w.worker(id).workflows.iter().map(|served| served.workflow_type.clone()).collect()
    };
    assert_eq!((served(&w, "a"), served(&w, "b")), (vec!["u".to_owned()], vec![]));
    assert_eq!(w.worker("a").epoch, epoch);
    assert!(w.worker("a").changed > changed, "replicas must hear of it");
    assert_eq!(w.refusal(delete("t", None)), Refusal::TypeNotFound { workflow_type: "t".to_owned() });
    // The same body brings it back, from the beginning.
    let (again, changed, verdicts) = w.register(worker("b", [claim("t", "1")]));
    assert_eq!((again, changed), (w.worker("b").epoch, true));
    assert_eq!(told(&verdicts[0]), (VerdictKind::Created, 1));
    assert_eq!(served(&w, "b"), ["t"]);
}

#[test]
fn revisions_are_bounded() {
    let mut w = World::with(|limits| limits.revisions_kept = 2);
    for version in 1..=6 {
        w.run(replace(claim("t", &version.to_string()), None));
    }
    let numbers = |w: &World| -> Vec<u32> { w.state().types["t"].revisions().map(|r| r.number).collect() };
    assert_eq!(numbers(&w), [6, 5, 4]);
    w.bound(|limits| limits.revisions_kept = 0);
    w.run(replace(claim("t", "7"), None));
    assert_eq!(numbers(&w), [7]);
    for version in 8..=200 {
        w.run(replace(claim("t", &version.to_string()), None));
    }
    assert_eq!(w.state().types["t"].known.len(), 64);
    assert!(w.state().types["t"].knows(&claim("t", "199").hash));
    assert!(!w.state().types["t"].knows(&claim("t", "1").hash));
}

#[test]
fn flipping_back_and_forth_crowds_out_no_older_hash() {
    let mut w = World::with(|limits| limits.revisions_kept = 1);
    w.run(create(claim("t", "oldest")));
    for turn in 0..100 {
        w.run(replace(claim("t", if turn % 2 == 0 { "a" } else { "b" }), None));
    }
    assert_eq!(told(&w.offer("w", claim("t", "oldest"))), (VerdictKind::Unchanged, 101));
    assert_eq!(w.stands("t"), (101, "b"));
}

#[test]
fn specs_of_workers() {
    let (v1, v2, v3) = (claim("t", "1"), claim("t", "2"), claim("t", "3"));
    let mut w = World::new();
    let table = [
        ("first", v1.clone(), (VerdictKind::Created, 1), (1, "1")),
        ("the same", v1.clone(), (VerdictKind::Unchanged, 1), (1, "1")),
        ("breaking", breaking(v2.clone(), &v1, "/required/0"), (VerdictKind::Incompatible, 1), (1, "1")),
        ("by signal", standing(v2.clone(), Standing::Never), (VerdictKind::Incompatible, 1), (1, "1")),
        ("compatible", compatible(v2.clone(), &v1), (VerdictKind::Revised, 2), (2, "2")),
        ("an older worker", v1.clone(), (VerdictKind::Unchanged, 1), (2, "2")),
        ("compared with what stands", compatible(v1.clone(), &v2), (VerdictKind::Unchanged, 1), (2, "2")),
        ("older, by signal", standing(v1.clone(), Standing::Never), (VerdictKind::Unchanged, 1), (2, "2")),
        ("forced", standing(v3.clone(), Standing::Force), (VerdictKind::Revised, 3), (3, "3")),
        ("forced again", standing(v3.clone(), Standing::Force), (VerdictKind::Unchanged, 3), (3, "3")),
        ("forced back", standing(v1.clone(), Standing::Force), (VerdictKind::Revised, 4), (4, "1")),
    ];
    for (case, offered, verdict, stands) in table {
        let hash = offered.hash.clone();
        assert_eq!(told(&w.offer("w", offered)), verdict, "{case}");
        assert_eq!(w.stands("t"), stands, "{case}");
        assert_eq!(w.worker("w").workflows[0].hash, hash, "{case}: the worker keeps its own");
    }
    assert_eq!(w.state().types["t"].current.source, Source::Worker("w".to_owned()));
}

#[test]
fn incompatible_tells_where() {
    let mut w = World::new();
    w.offer("w", claim("t", "1"));
    let verdict = w.offer("w", breaking(claim("t", "2"), &claim("t", "1"), "/properties/day/type"));
    assert_eq!(verdict.kind, VerdictKind::Incompatible);
    assert_eq!(verdict.broken[0].pointer, "/properties/day/type");
    assert!(verdict.reason.is_some());
}

#[test]
fn hashes_beyond_the_kept_revisions_never_flip_back() {
    let mut w = World::with(|limits| limits.revisions_kept = 1);
    for version in ["1", "2", "3", "4"] {
        w.run(replace(claim("t", version), None));
    }
    // Told as the revision it was while that is kept, as the one that stands after.
    assert_eq!(
        told(&w.offer("w", compatible(claim("t", "3"), &claim("t", "4")))),
        (VerdictKind::Unchanged, 3)
    );
    assert_eq!(
        told(&w.offer("w", compatible(claim("t", "1"), &claim("t", "4")))),
        (VerdictKind::Unchanged, 4)
    );
    assert_eq!(w.stands("t"), (4, "4"));
}

#[test]
fn compare_again_when_the_base_moved() {
    let (v1, v2, v3) = (claim("t", "1"), claim("t", "2"), claim("t", "3"));
    let mut w = World::new();
    w.run(create(v1.clone()));
    w.run(replace(v2.clone(), None));
    let again = Refusal::CompareAgain { workflow_type: "t".to_owned() };
    for stale in [compatible(v3.clone(), &v1), breaking(v3.clone(), &v1, "/x"), v3.clone()] {
        // The first type must not be made when the second is not judged.
        let register = Command::Register(worker("w", [claim("new", "1"), stale]));
        assert_eq!(w.refusal(register), again);
    }
    assert!(!w.has_worker("w") && !w.state().types.contains_key("new"));
    assert_eq!(told(&w.offer("w", compatible(v3, &v2))), (VerdictKind::Revised, 3));
}

#[test]
fn a_type_listed_twice_is_refused() {
    let mut w = World::new();
    let register = Command::Register(worker("w", [claim("t", "1"), claim("t", "2")]));
    assert!(matches!(w.refusal(register), Refusal::BadName { reason } if reason.contains('t')));
}
