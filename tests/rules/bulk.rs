//! As many as the default bounds allow: slow rules would be felt here.

use temporal_registry::registry::{Command, Outcome, Renewal};

use crate::world::{BEGIN_MS, World, claim, create, delete, worker};

impl World {
    /// Applies a command that must be taken, without looking at the whole state.
    fn take(&mut self, command: &Command) {
        let outcome = self.registry.apply(command, self.now_ms);
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    }
}

#[test]
fn ten_thousand_slugs() {
    let mut w = World::new();
    for round in 0..2 {
        for number in 0..10_000 {
            w.take(&Command::Claim { name: format!("Job {number}") });
        }
        assert_eq!(w.state().slugs["job-9999"].counter, round + 1);
    }
}

#[test]
fn five_thousand_types() {
    let mut w = World::with(|limits| limits.packed_bytes_max = u64::MAX);
    for number in 0..5_000 {
        w.take(&create(claim(&format!("type-{number}"), "1")));
    }
    for number in 0..50 {
        let served: [_; 100] = std::array::from_fn(|i| claim(&format!("type-{}", number * 100 + i), "1"));
        w.take(&Command::Register(worker(&format!("w{number}"), served)));
    }
    for number in (0..5_000).step_by(5) {
        w.take(&delete(&format!("type-{number}"), None));
    }
    assert_eq!(w.state().types.len(), 4_000);
}

#[test]
fn twenty_thousand_workers() {
    let mut w = World::with(|limits| limits.packed_bytes_max = u64::MAX);
    let mut renewals = Vec::new();
    for number in 0..20_000 {
        let worker_id = format!("worker-{number}");
        let (epoch, ..) = match w.registry.apply(&Command::Register(worker(&worker_id, [])), BEGIN_MS) {
            Outcome::Registered { epoch, changed, .. } => (epoch, changed),
            other => panic!("{other:?}"),
        };
        renewals.push(Renewal { worker_id, epoch, age_ms: 0 });
    }
    for _ in 0..3 {
        w.tick(20);
        w.take(&Command::Renew(renewals.clone()));
    }
    assert!(w.state().workers.values().all(|worker| worker.last_seen_ms == w.now_ms));
    w.tick(61);
    w.take(&Command::Sweep);
    assert!(w.state().workers.values().all(|worker| worker.lapsed));
    w.tick(300);
    w.take(&Command::Sweep);
    assert!(w.state().workers.is_empty());
}
