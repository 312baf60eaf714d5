use temporal_registry::registry::{Command, Outcome, Refusal, Registration, WorkerState};

use crate::world::{BEGIN_MS, World, claim, deregister, drain, incarnation, renew, worker};

fn plain() -> Registration {
    worker("w", [claim("t", "1")])
}

#[test]
fn epochs() {
    let mut w = World::new();
    let first = w.epoch(plain());
    let kept = [
        ("the same body", plain()),
        ("another ttl", Registration { ttl_seconds: 30, ..plain() }),
        ("another host", Registration { host: "h".to_owned(), ..plain() }),
        ("other types", worker("w", [claim("u", "1")])),
        ("another queue", Registration { task_queue: "other".to_owned(), ..plain() }),
        ("as at first", plain()),
    ];
    for (case, body) in kept {
        w.tick(1);
        let registered_at_ms = w.worker("w").registered_at_ms;
        assert_eq!(w.epoch(body), first, "{case}");
        assert_eq!(w.worker("w").registered_at_ms, registered_at_ms, "{case}");
        assert_eq!(w.worker("w").last_seen_ms, w.now_ms, "{case}: a registration is a heartbeat");
    }
    let mut last = first;
    let new = [
        ("an incarnation", incarnation(plain(), "1")),
        ("another incarnation", incarnation(plain(), "2")),
        ("the first again", incarnation(plain(), "1")),
        ("no incarnation", plain()),
    ];
    for (case, body) in new {
        w.tick(1);
        let epoch = w.epoch(body);
        assert!(epoch > last, "{case}: {epoch} after {last}");
        assert_eq!(w.worker("w").registered_at_ms, w.now_ms, "{case}");
        last = epoch;
    }
    w.run(deregister("w", None));
    let after_delete = w.epoch(plain());
    assert!(after_delete > last);
    w.tick(6 * 60 + 1);
    let after_forgotten = w.epoch(plain());
    assert!(after_forgotten > after_delete, "forgotten though nobody swept");
    w.tick(6 * 60);
    assert_eq!(w.epoch(plain()), after_forgotten, "not forgotten at 6 leases to the millisecond");
}

#[test]
fn whether_anything_changed() {
    let mut w = World::new();
    let table = [
        ("first", plain(), true),
        ("again", plain(), false),
        ("another type", worker("w", [claim("u", "1")]), true),
        ("incarnation", incarnation(worker("w", [claim("u", "1")]), "1"), true),
        ("incarnation again", incarnation(worker("w", [claim("u", "1")]), "1"), false),
    ];
    for (case, body, changes) in table {
        w.tick(1);
        let revision = w.registry.revision();
        let (_, changed, _) = w.register(body);
        assert_eq!(changed, changes, "{case}");
        assert!(w.registry.revision() > revision, "{case}: at least the lease is new");
    }
}

#[test]
fn stale_epochs_are_fenced() {
    let mut w = World::new();
    let old = w.epoch(incarnation(plain(), "1"));
    let current = w.epoch(incarnation(plain(), "2"));
    for stale in [old, current + 1, 0] {
        assert_eq!(w.refusal(deregister("w", Some(stale))), Refusal::StaleEpoch { current });
        assert_eq!(w.refusal(drain("w", Some(stale))), Refusal::StaleEpoch { current });
    }
    let absent = Refusal::WorkerNotFound { worker_id: "x".to_owned() };
    assert_eq!(w.refusal(deregister("x", None)), absent);
    assert_eq!(w.refusal(drain("x", Some(1))), absent);
    let before = w.text();
    w.tick(1);
    w.renew("w", old);
    w.renew("x", current);
    assert_eq!(before, w.text(), "heartbeats of the older one change nothing");
    w.renew("w", current);
    assert_eq!(w.worker("w").last_seen_ms, w.now_ms);
    assert_eq!(w.run(drain("w", Some(current))), Outcome::Done);
    assert_eq!(w.run(deregister("w", Some(current))), Outcome::Done);
    assert!(!w.has_worker("w"));
}

#[test]
fn draining() {
    let mut w = World::new();
    let epoch = w.epoch(plain());
    w.run(drain("w", None));
    assert_eq!(w.worker("w").state, WorkerState::Draining);
    let revision = w.registry.revision();
    w.run(drain("w", Some(epoch)));
    assert_eq!(w.registry.revision(), revision, "twice is once");
    w.tick(1);
    w.renew("w", epoch);
    assert_eq!(w.worker("w").state, WorkerState::Draining, "a heartbeat does not end it");
    let (again, changed, _) = w.register(plain());
    assert_eq!((again, changed, w.worker("w").state), (epoch, true, WorkerState::Active));
}

#[test]
fn heartbeats_only_move_forward() {
    let mut w = World::new();
    let epoch = w.epoch(plain());
    w.tick(10);
    let table =
        [(4_000, 6_000), (5_000, 6_000), (20_000, 6_000), (6_000, 6_000), (0, 10_000), (-5_000, 10_000)];
    for (age_ms, seen_ms) in table {
        w.run(renew("w", epoch, age_ms));
        assert_eq!(w.worker("w").last_seen_ms, BEGIN_MS + seen_ms, "age {age_ms}");
    }
    w.run(renew("w", epoch, i64::MAX));
    w.run(renew("w", epoch, i64::MIN));
    assert_eq!(w.worker("w").last_seen_ms, BEGIN_MS + 10_000);
}

#[test]
fn lapses_and_forgetting() {
    let mut w = World::new();
    let epoch = w.epoch(plain());
    let table = [(60, false), (1, true), (298, true), (1, true)];
    for (seconds, lapsed) in table {
        w.tick(seconds);
        w.sweep();
        assert_eq!(w.worker("w").lapsed, lapsed, "at {}", w.now_ms - BEGIN_MS);
    }
    let revision = w.registry.revision();
    w.sweep();
    assert_eq!(w.registry.revision(), revision, "a sweep that finds nothing new changes nothing");
    w.tick(1);
    w.sweep();
    assert!(!w.has_worker("w"), "6 leases and a second");
    w.renew("w", epoch);
    assert!(!w.has_worker("w"), "a heartbeat brings nobody back");
    assert!(w.state().types.contains_key("t"), "types outlive their workers");
}

#[test]
fn a_lapsed_worker_comes_back_by_heartbeat_or_registration() {
    let comes: [fn(&mut World, u64); 2] = [|w, epoch| w.renew("w", epoch), |w, _| _ = w.register(plain())];
    for come in comes {
        let mut w = World::new();
        let epoch = w.epoch(plain());
        w.tick(61);
        w.sweep();
        let changed = w.worker("w").changed;
        come(&mut w, epoch);
        assert!(!w.worker("w").lapsed);
        assert_eq!((w.worker("w").epoch, w.worker("w").last_seen_ms), (epoch, w.now_ms));
        assert!(w.worker("w").changed > changed, "replicas must hear of it");
    }
}

#[test]
fn the_own_queue_is_refused() {
    let own = "registry-service";
    let of_type = || {
        let mut claim = claim("t", "1");
        std::sync::Arc::make_mut(&mut claim.spec).task_queue = own.to_owned();
        claim
    };
    let mut w = World::new();
    let refused = Refusal::RegistryQueue { task_queue: own.to_owned() };
    let table = [
        Command::Register(Registration { task_queue: own.to_owned(), ..plain() }),
        Command::Register(worker("w", [claim("u", "1"), of_type()])),
        Command::CreateType(of_type()),
        Command::ReplaceType { claim: of_type(), base: None, base_changed: None, keeps_enabled: false },
    ];
    for command in table {
        assert_eq!(w.refusal(command), refused);
    }
    w.bound(|limits| limits.own_queue = "elsewhere".to_owned());
    assert!(matches!(w.run(Command::CreateType(of_type())), Outcome::Put { created: true, .. }));
}
