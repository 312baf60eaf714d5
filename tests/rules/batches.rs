use temporal_registry::registry::{Batch, BatchReply, Command, Outcome};

use crate::world::{World, claim, create, replace};

impl World {
    fn batch(&mut self, replica: &str, sequence: u64, commands: Vec<Command>) -> BatchReply {
        let replica = replica.to_owned();
        let batch = Batch { replica, sequence, known_revision: 0, known_born: 0, commands };
        self.registry.apply_batch(&batch, self.now_ms, u64::MAX)
    }
}

fn claims(names: &[&str]) -> Vec<Command> {
    names.iter().map(|name| Command::Claim { name: (*name).to_owned() }).collect()
}

fn counters(reply: &BatchReply) -> Vec<u64> {
    let counter = |outcome: &Outcome| match outcome {
        Outcome::Claimed { counter, .. } => *counter,
        other => panic!("{other:?}"),
    };
    reply.outcomes.iter().map(counter).collect()
}

#[test]
fn a_retry_is_answered_and_not_applied() {
    let mut w = World::new();
    let first = w.batch("r", 1, claims(&["a", "a", "b"]));
    assert_eq!(counters(&first), [1, 2, 1]);
    for _ in 0..2 {
        let before = w.text();
        w.tick(1);
        let again = w.batch("r", 1, claims(&["a", "a", "b"]));
        assert_eq!(again.outcomes, first.outcomes);
        assert_eq!(w.text(), before);
        w.hand_over();
    }
    assert_eq!(counters(&w.batch("r", 2, claims(&["a"]))), [3]);
    assert_eq!(counters(&w.batch("s", 1, claims(&["a"]))), [4], "replicas are apart");
}

#[test]
fn a_straggler_is_not_applied() {
    let mut w = World::new();
    w.batch("r", 1, claims(&["a"]));
    w.batch("r", 2, claims(&["a"]));
    let before = w.text();
    assert!(w.batch("r", 1, claims(&["a"])).outcomes.is_empty());
    assert_eq!(w.text(), before);
    assert_eq!(counters(&w.batch("r", 2, claims(&["a"]))), [2], "the last one is still answered for");
}

#[test]
fn commands_take_effect_in_order_and_refusals_stop_nothing() {
    let mut w = World::new();
    let commands = vec![
        create(claim("t", "1")),
        create(claim("t", "2")),
        replace(claim("t", "2"), Some(1)),
        replace(claim("t", "3"), Some(1)),
        replace(claim("t", "4"), Some(2)),
    ];
    let reply = w.batch("r", 1, commands);
    let refused: Vec<bool> = reply.outcomes.iter().map(|o| matches!(o, Outcome::Refused(_))).collect();
    assert_eq!(refused, [false, true, false, true, false]);
    assert_eq!(w.stands("t"), (3, "4"));
    assert_eq!(reply.changes.types[0].current.number, 3, "the reply holds what the batch did");
}

#[test]
fn replicas_remembered_are_bounded() {
    let mut w = World::new();
    for replica in 0..100 {
        w.tick(1);
        w.batch(&format!("replica-{replica:03}"), 1, claims(&["a"]));
    }
    assert_eq!(w.state().applied.len(), 64);
    assert!(!w.state().applied.contains_key("replica-035"), "the least recently heard go");
    assert!(w.state().applied.contains_key("replica-036"));
    // In the same moment: whoever comes is remembered, whatever its name.
    for replica in 0..100 {
        let replica = format!("replica-{:03}", 99 - replica);
        w.batch(&replica, 2, claims(&["a"]));
        assert!(w.state().applied.contains_key(&replica));
    }
    w.tick(15 * 60 + 1);
    w.batch("late", 1, Vec::new());
    assert_eq!(w.state().applied.keys().collect::<Vec<_>>(), ["late"], "others are past any retry");
}
