//! A registry that takes another state in place of its own.

use temporal_registry::{
    registry::{Batch, Command, Limits, Outcome, Registry, State},
    view::View,
};

use crate::{
    replication::{assert_follows, catch_up},
    world::{World, claim, create, deregister, worker},
};

fn with(types: &[&str], claims: u32) -> World {
    let mut w = World::new();
    for name in types {
        w.run(create(claim(name, "1")));
        w.register(worker(&format!("on-{name}"), [claim(name, "1")]));
    }
    for _ in 0..claims {
        w.claim("daily");
    }
    w
}

fn view_of(registry: &Registry) -> View {
    let mut view = View::default();
    catch_up(&mut view, registry, u64::MAX);
    view
}

#[test]
fn a_blank_registry_becomes_the_one_it_is_given() {
    let left = with(&["a", "b"], 7);
    let mut taken = Registry::new(State::default());
    assert!(taken.state().is_blank() && !left.state().is_blank());
    taken.take_over(left.state().clone());
    assert_eq!(taken.revision(), left.state().revision, "replicas that followed it before go on");
    let mut view = view_of(&left.registry);
    taken.apply(&Command::Claim { name: "daily".to_owned() }, left.now_ms);
    catch_up(&mut view, &taken, u64::MAX);
    assert_follows(&view, &taken);
    assert_eq!(view.slugs["daily"].counter, 8);
}

#[test]
fn whoever_followed_the_replaced_one_starts_over() {
    // The one that is put in its place is older or newer, in revisions.
    for (own, given) in [(3, 40), (40, 3)] {
        let mut w = with(&["a", "b"], own);
        let other = with(&["b", "c"], given);
        let mut early = view_of(&w.registry);
        w.run(deregister("on-a", None));
        let mut late = view_of(&w.registry);
        let before = w.state().revision;
        w.registry.take_over(other.state().clone());
        assert!(w.state().revision > before.max(other.state().revision));
        for view in [&mut early, &mut late, &mut View::default()] {
            catch_up(view, &w.registry, 300);
            assert_follows(view, &w.registry);
            assert_eq!(view.types.keys().collect::<Vec<_>>(), ["b", "c"]);
        }
        assert_eq!(w.claim("daily"), u64::from(given) + 1);
        let epoch = w.worker("on-c").epoch;
        w.renew("on-c", epoch);
        catch_up(&mut late, &w.registry, u64::MAX);
        assert_follows(&late, &w.registry);
    }
}

#[test]
fn batches_in_flight_and_the_bounds_of_the_place_are_kept() {
    let mut w = with(&["a"], 1);
    let limits = Limits { slugs_max: 77, ..Limits::default() };
    w.run(Command::ServiceStarted { process_id: "here".to_owned(), limits });
    let commands = vec![Command::Claim { name: "daily".to_owned() }];
    let (replica, sequence) = ("r".to_owned(), 9);
    let batch = Batch { replica, sequence, known_revision: 0, known_born: 0, commands };
    let told = w.registry.apply_batch(&batch, w.now_ms, u64::MAX).outcomes;
    w.registry.take_over(with(&["a"], 5).state().clone());
    assert_eq!(w.registry.apply_batch(&batch, w.now_ms, u64::MAX).outcomes, told, "applied once");
    assert_eq!(w.state().limits.slugs_max, 77);
    assert_eq!(w.state().status.service_process_id, "here");
    assert_eq!(told, [Outcome::Claimed { slug: "daily".to_owned(), counter: 2 }]);
}

/// A replica that restores what it has seen may be behind another that had seen more.
#[test]
fn a_state_that_may_be_behind_leaps_ahead() {
    let mut w = with(&["a"], 3);
    let behind = w.state().clone();
    w.claim("daily");
    w.run(create(claim("unseen", "1")));
    let mut ahead = view_of(&w.registry);
    let mut restored = Registry::new(behind.leapt());
    for number in 0..10 {
        restored.apply(&create(claim(&format!("t{number}"), "1")), w.now_ms);
    }
    catch_up(&mut ahead, &restored, u64::MAX);
    assert_follows(&ahead, &restored);
    assert!(!ahead.types.contains_key("unseen"));
}
