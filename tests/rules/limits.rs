use temporal_registry::registry::{
    Command, Limits, Outcome, Refusal, Registration, Registry, Spec, Standing, State,
};

use crate::world::{
    World, claim, create, delete, deregister, drain, enabled, incarnation, of, put, renew, replace, reserve,
    settle, spec, standing, worker,
};

fn full(what: &str, limit: u64) -> Refusal {
    Refusal::Full { what: what.to_owned(), limit }
}

#[test]
fn types_are_bounded() {
    let mut w = World::with(|limits| limits.types_max = 2);
    w.run(create(claim("a", "1")));
    let full = full("workflow types", 2);
    assert_eq!(w.refusal(Command::Register(worker("w", [claim("b", "1"), claim("c", "1")]))), full);
    w.run(create(claim("b", "1")));
    for command in [
        create(claim("c", "1")),
        replace(claim("c", "1"), None),
        Command::Register(worker("w", [claim("a", "1"), claim("c", "1")])),
    ] {
        assert_eq!(w.refusal(command), full);
    }
    assert_eq!(w.run(replace(claim("a", "2"), None)), put(2, false, true));
    w.register(worker("w", [claim("a", "2"), claim("b", "1")]));
    // A lower bound later takes nothing away.
    w.bound(|limits| limits.types_max = 1);
    w.register(worker("v", [claim("a", "2"), claim("b", "1")]));
    w.run(replace(claim("a", "3"), None));
    w.run(delete("a", None));
    assert!(matches!(w.refusal(create(claim("a", "1"))), Refusal::Full { .. }));
}

#[test]
fn workers_are_bounded() {
    let mut w = World::with(|limits| limits.workers_max = 2);
    w.register(worker("a", []));
    w.register(worker("b", []));
    let full = full("workers", 2);
    assert_eq!(w.refusal(Command::Register(worker("c", [claim("t", "1")]))), full);
    w.register(incarnation(worker("a", [claim("t", "1")]), "2"));
    w.run(deregister("b", None));
    w.register(worker("c", []));
    w.tick(6 * 60 + 1);
    assert_eq!(w.refusal(Command::Register(worker("d", []))), full, "room is made by a sweep");
    w.register(worker("c", []));
    w.sweep();
    w.register(worker("d", []));
}

fn large(name: &str, bytes: usize) -> Spec {
    Spec { description: "x".repeat(bytes), ..spec(name, "1") }
}

fn large_worker(id: &str, bytes: usize) -> Registration {
    Registration { host: "h".repeat(bytes), ..worker(id, []) }
}

#[test]
fn what_would_not_fit_is_refused_before_it_is_in() {
    let mut w = World::with(|limits| limits.packed_bytes_max = 10_000);
    let full = full("state bytes", 10_000);
    w.run(create(claim("t", "1")));
    w.register(worker("w", [claim("t", "1")]));
    let forced = |claim| standing(claim, Standing::Force);
    let table = [
        create(of(large("u", 10_000))),
        replace(of(large("u", 10_000)), None),
        replace(of(large("t", 10_000)), None),
        Command::Register(worker("v", [of(large("u", 10_000))])),
        Command::Register(worker("w", [forced(of(large("t", 10_000)))])),
        Command::Register(large_worker("v", 10_000)),
        Command::Register(large_worker("w", 10_000)),
    ];
    for command in table {
        assert_eq!(w.refusal(command), full);
    }
    // Never revised, hence never counted.
    w.register(worker("w", [standing(of(large("t", 10_000)), Standing::Never)]));
    assert!(w.registry.status().state_bytes <= 10_000);
}

#[test]
fn a_full_registry_still_works() {
    let mut w = World::new();
    w.run(create(claim("t", "1")));
    let epoch = w.epoch(worker("w", [claim("t", "1")]));
    w.register(worker("v", []));
    w.run(Command::Reserve(reserve("k", "body", "id")));
    w.bound(|limits| limits.packed_bytes_max = 100);
    assert!(w.registry.status().state_bytes > 100);
    w.tick(1);
    for refused in [
        create(claim("u", "1")),
        replace(claim("t", "2"), None),
        Command::Register(worker("x", [])),
        Command::Register(large_worker("w", 1_000)),
    ] {
        assert_eq!(w.refusal(refused), full("state bytes", 100));
    }
    for taken in [
        Command::Register(incarnation(worker("w", [claim("t", "1")]), "1")),
        Command::Register(worker("v", [])),
        replace(claim("t", "1"), None),
        enabled("t", false),
        renew("w", epoch, 0),
        Command::Claim { name: "n".to_owned() },
        Command::ResetSlug { name: "n".to_owned() },
        Command::Reserve(reserve("l", "body", "id")),
        settle("k", "id", "run"),
        drain("w", None),
        deregister("w", None),
        delete("t", None),
        Command::Sweep,
        Command::Measured { raw_bytes: 1, packed_bytes: 1 },
    ] {
        let outcome = w.run(taken.clone());
        assert!(!matches!(outcome, Outcome::Refused(_)), "{taken:?}: {outcome:?}");
    }
    assert!(!w.has_worker("w") && w.state().types.is_empty());
}

#[test]
fn a_measurement_makes_room() {
    let mut w = World::with(|limits| limits.packed_bytes_max = 20_000);
    for number in 0..5 {
        w.run(create(of(large(&format!("t{number}"), 3_000))));
    }
    let sixth = || create(of(large("sixth", 5_000)));
    assert!(matches!(w.refusal(sixth()), Refusal::Full { .. }));
    let raw_bytes = w.registry.status().raw_bytes;
    assert!((15_000..20_000).contains(&raw_bytes), "{raw_bytes}");
    w.run(Command::Measured { raw_bytes, packed_bytes: raw_bytes / 10 });
    assert_eq!(w.registry.status().state_bytes, raw_bytes / 10);
    assert_eq!(w.run(sixth()), put(1, true, true));
    let grown = w.registry.status().state_bytes - raw_bytes / 10;
    assert!((1_000..1_200).contains(&grown), "a fifth of what came since, twice the measured ratio: {grown}");
}

/// Deletions and the answers of batches are handed over too.
#[test]
fn deletions_take_room() {
    let mut w = World::new();
    let before = w.registry.status().state_bytes;
    for _ in 0..100 {
        w.claim("n");
        w.run(Command::ResetSlug { name: "n".to_owned() });
    }
    assert!(w.registry.status().state_bytes >= before + 100 * 20);
}

#[test]
fn status_and_rejections_are_bounded() {
    let mut w = World::new();
    for number in 0..50 {
        w.registry.reject_signal(&format!("{number} {}", "é".repeat(10_000)));
    }
    let status = w.registry.status();
    assert_eq!((status.rejected_signals, status.rejections.len()), (50, 20));
    assert!(status.rejections.iter().all(|reason| reason.chars().count() == 300));
    assert!(status.rejections[0].starts_with("30 ") && status.rejections[19].starts_with("49 "));

    w.tick(5);
    let limits = Limits { types_max: 7, ..Limits::default() };
    w.run(Command::ServiceStarted { process_id: "replica-2".to_owned(), limits: limits.clone() });
    let status = w.registry.status();
    assert_eq!((status.service_process_id.as_str(), status.service_started_ms), ("replica-2", w.now_ms));
    assert_eq!(w.state().limits, limits);

    let mut next = Registry::new(serde_json::from_str::<State>(&w.text()).unwrap());
    next.begin_run(w.now_ms);
    assert_eq!((next.status().runs, next.status().started_at_ms), (2, status.started_at_ms));
}
