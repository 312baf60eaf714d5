use temporal_registry::registry::{
    AttributeStatus,
    AttributeType::{Int, Keyword, Text},
    Outcome, Refusal, SpecClaim, Standing, VerdictKind,
};

use crate::world::{
    World, compatible, create, delete, put, replace, standing, told, with_attributes as attributes, worker,
};

fn conflict(reason: &str) -> AttributeStatus {
    AttributeStatus::Conflict(reason.to_owned())
}

fn clash(outcome: Outcome) -> String {
    match outcome {
        Outcome::Refused(Refusal::AttributeConflict { attribute, reason }) => {
            format!("{attribute}: {reason}")
        }
        other => panic!("no clash: {other:?}"),
    }
}

impl World {
    fn pending(&self) -> String {
        let pending = self.registry.pending_attributes();
        pending.iter().map(|a| format!("{}:{} ", a.name, a.kind.name())).collect()
    }

    fn status_of(&self, name: &str) -> &AttributeStatus {
        &self.state().attributes[name].status
    }

    fn hold(&self, name: &str) -> Option<(bool, String)> {
        self.registry.attributes_hold(&self.state().types[name].current.spec)
    }
}

fn keyword(name: &str) -> SpecClaim {
    attributes(name, "1", &[("Stage", Keyword)])
}

fn int(name: &str) -> SpecClaim {
    attributes(name, "2", &[("Stage", Int)])
}

#[test]
fn from_pending_to_ready_or_conflict() {
    let mut w = World::new();
    assert_eq!(told(&w.offer("w", keyword("t"))), (VerdictKind::Pending, 1));
    assert_eq!(w.pending(), "Stage:Keyword ");
    assert!(w.hold("t").unwrap().0);
    // Results about something else change nothing.
    let before = w.text();
    w.provisioned("Stage", Int, AttributeStatus::Ready);
    w.provisioned("Other", Keyword, AttributeStatus::Ready);
    w.provisioned("Stage", Keyword, AttributeStatus::Pending);
    assert_eq!(w.text(), before);
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    assert!(!w.registry.has_pending() && w.hold("t").is_none());
    assert_eq!(told(&w.offer("w", keyword("t"))), (VerdictKind::Unchanged, 1));
    w.provisioned("Stage", Keyword, conflict("exists as Int"));
    let verdict = w.offer("w", keyword("t"));
    assert_eq!(told(&verdict), (VerdictKind::Unavailable, 1));
    assert!(verdict.reason.unwrap().contains("Stage: exists as Int"));
    assert!(!w.hold("t").unwrap().0);
    assert!(clash(w.run(create(keyword("u")))).contains("exists as Int"));
    // Put right in the namespace and reconciled.
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    assert_eq!(w.run(create(keyword("u"))), put(1, true, true));
}

#[test]
fn two_types_disagree() {
    let mut w = World::new();
    w.run(create(keyword("t")));
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    for command in [create(int("u")), replace(int("u"), None)] {
        let told = clash(w.run(command));
        assert_eq!(told, "Stage: declared as Keyword by t, as Int here");
    }
    // A worker's type is recorded and held, whichever way it comes in.
    assert_eq!(told(&w.offer("w", int("u"))), (VerdictKind::Unavailable, 1));
    assert_eq!(w.state().attributes["Stage"].kind, Keyword);
    w.run(create(attributes("v", "1", &[])));
    let worse = compatible(int("v"), &attributes("v", "1", &[]));
    assert_eq!(told(&w.offer("w", worse)), (VerdictKind::Unavailable, 1));
    assert_eq!(told(&w.offer("w", standing(int("v"), Standing::Force))), (VerdictKind::Unavailable, 1));
    assert_eq!(w.stands("v"), (1, "1"));
    // What stands can be put again all the same.
    assert_eq!(w.run(replace(int("u"), None)), put(1, false, false));
}

#[test]
fn a_type_may_change_its_own_mind() {
    let mut w = World::new();
    w.run(create(keyword("t")));
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    assert_eq!(w.run(replace(int("t"), None)), put(2, false, true));
    assert_eq!(w.pending(), "Stage:Int ");
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    assert_eq!(w.pending(), "Stage:Int ", "a late result about the kind it had");
    w.provisioned("Stage", Int, conflict("exists as Keyword"));
    assert_eq!(w.run(replace(keyword("t"), None)), put(3, false, true));
    assert_eq!(w.pending(), "Stage:Keyword ");
}

#[test]
fn one_spec_contradicts_itself() {
    let mut w = World::new();
    let both = attributes("t", "1", &[("Stage", Keyword), ("Stage", Int)]);
    assert_eq!(clash(w.run(create(both.clone()))), "Stage: declared both as Keyword and as Int");
    assert_eq!(told(&w.offer("w", both)), (VerdictKind::Unavailable, 1));
}

#[test]
fn attributes_go_with_their_last_declaration() {
    let mut w = World::new();
    w.run(create(keyword("t")));
    w.run(create(keyword("u")));
    w.provisioned("Stage", Keyword, conflict("exists as Int"));
    w.run(delete("t", None));
    assert_eq!(*w.status_of("Stage"), conflict("exists as Int"), "still declared");
    w.run(delete("u", None));
    assert!(w.state().attributes.is_empty());
    // Declared anew: looked at anew, as whatever.
    assert_eq!(w.run(create(int("t"))), put(1, true, true));
    assert_eq!(w.pending(), "Stage:Int ");
    assert_eq!(w.run(replace(attributes("t", "3", &[("Other", Text)]), None)), put(2, false, true));
    assert_eq!(w.pending(), "Other:Text ");
    assert_eq!(w.state().attributes.len(), 1);
}

#[test]
fn who_waited_gets_it_when_the_other_goes() {
    let mut w = World::new();
    w.run(create(keyword("t")));
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    w.register(worker("w", [int("u")]));
    assert!(!w.hold("u").unwrap().0);
    w.run(delete("t", None));
    assert_eq!(w.pending(), "Stage:Int ");
    w.provisioned("Stage", Int, AttributeStatus::Ready);
    assert_eq!(w.hold("u"), None);
}
