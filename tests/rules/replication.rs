//! A replica's view follows the registry by pages, and ends as if it had been read in one go.

use temporal_registry::{
    registry::{Batch, Command, Registry, State},
    view::View,
};

use crate::world::{BEGIN_MS, World, claim, create, delete, deregister, replace, reserve, worker};

/// Follows by pages of about so many bytes until there are no more.
pub fn catch_up(view: &mut View, registry: &Registry, bytes: u64) {
    for _ in 0..100_000 {
        let (since, born) = view.reached();
        let page = registry.changes_since(since, born, bytes);
        let Some(next) = view.after(&page) else { panic!("{since} does not lead to {}", page.from) };
        *view = next;
        if page.to >= page.head {
            return;
        }
    }
    panic!("no end of pages");
}

/// Whether the view holds what the registry holds, and nothing else.
pub fn assert_follows(view: &View, registry: &Registry) {
    let state = registry.state();
    assert_eq!(view.revision, state.revision);
    let types: Vec<_> = view.types.values().map(|entry| (**entry).clone()).collect();
    assert_eq!(types, state.types.values().cloned().collect::<Vec<_>>());
    let workers: Vec<_> = view.workers.values().map(|member| (*member.worker).clone()).collect();
    assert_eq!(workers, state.workers.values().cloned().collect::<Vec<_>>());
    assert!(view.workers.values().all(|member| member.last_seen_ms() >= member.worker.last_seen_ms));
    assert_eq!(view.slugs.values().collect::<Vec<_>>(), state.slugs.values().collect::<Vec<_>>());
    assert_eq!(view.attributes.values().collect::<Vec<_>>(), state.attributes.values().collect::<Vec<_>>());
    assert_eq!(
        view.reservations.values().collect::<Vec<_>>(),
        state.reservations.values().collect::<Vec<_>>()
    );
    for (name, ids) in &view.serving {
        assert!(!ids.is_empty());
        let serving = state.workers.values().filter(|worker| worker.queue_for(name).is_some());
        let serving: Vec<_> = serving.map(|worker| &worker.worker_id).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), serving);
    }
    for worker in state.workers.values() {
        let serves = |name: &str| view.workers_of(name).any(|m| m.worker.worker_id == worker.worker_id);
        assert!(worker.workflows.iter().all(|served| serves(&served.workflow_type)));
    }
}

fn filled() -> World {
    let mut w = World::new();
    for number in 0..20 {
        w.run(create(claim(&format!("t{number}"), "1")));
        w.register(worker(&format!("w{number}"), [claim(&format!("t{number}"), "1")]));
        w.claim(&format!("n{number}"));
        w.run(Command::Reserve(reserve(&format!("k{number}"), "body", "id")));
    }
    w
}

/// Deletes more than is remembered.
fn delete_many(w: &mut World) {
    let before = w.state().revision;
    while w.state().tombstone_floor <= before {
        for command in [Command::Claim { name: "x".to_owned() }, Command::ResetSlug { name: "x".to_owned() }]
        {
            w.registry.apply(&command, w.now_ms);
        }
    }
}

#[test]
fn pages_of_any_size() {
    let mut w = filled();
    for bytes in [0, 1, 500, 5_000, u64::MAX] {
        let mut view = View::default();
        catch_up(&mut view, &w.registry, bytes);
        assert_follows(&view, &w.registry);
        w.run(replace(claim("t3", &bytes.to_string()), None));
        w.run(deregister("w4", None));
        w.run(delete("t5", None));
        w.register(worker("w4", [claim("t4", "1"), claim("t5", "1")]));
        catch_up(&mut view, &w.registry, bytes);
        assert_follows(&view, &w.registry);
    }
}

#[test]
fn a_new_replica_reads_all_after_deletions_were_dropped() {
    let mut w = filled();
    delete_many(&mut w);
    let mut view = View::default();
    catch_up(&mut view, &w.registry, 500);
    assert_follows(&view, &w.registry);
    assert_eq!(view.types.len(), 20);
}

#[test]
fn deletions_while_a_new_replica_reads() {
    let mut w = filled();
    let mut view = View::default();
    for number in 0..20 {
        let (since, born) = view.reached();
        view = view.after(&w.registry.changes_since(since, born, 500)).unwrap();
        w.run(delete(&format!("t{number}"), None));
        if number == 10 {
            // More than is remembered: what it has read so far may be gone, so it must start over.
            delete_many(&mut w);
        }
    }
    catch_up(&mut view, &w.registry, 500);
    assert_follows(&view, &w.registry);
}

#[test]
fn a_late_replica_starts_over_out_of_sight() {
    let mut w = filled();
    let mut view = View::default();
    catch_up(&mut view, &w.registry, u64::MAX);
    view.workers["w1"].heartbeat(BEGIN_MS + 5_000);
    w.run(delete("t1", None));
    w.run(deregister("w2", None));
    delete_many(&mut w);
    let (since, born) = view.reached();
    let first = w.registry.changes_since(since, born, 500);
    assert!(first.reset && first.to < first.head);
    for _ in 0..3 {
        let (since, born) = view.reached();
        view = view.after(&w.registry.changes_since(since, born, 500)).unwrap();
        assert_eq!((view.types.len(), view.workers.len()), (20, 20), "it goes on answering as it was");
        assert!(view.after(&first).is_none(), "an answer to a question of before");
    }
    catch_up(&mut view, &w.registry, 500);
    assert_follows(&view, &w.registry);
    assert_eq!((view.types.len(), view.workers.len()), (19, 19));
    assert_eq!(view.workers["w1"].last_seen_ms(), BEGIN_MS + 5_000, "heartbeats in memory are kept");
    assert!(view.after(&first).is_none());
}

#[test]
fn a_page_that_comes_late_brings_nothing_back() {
    let mut w = filled();
    let mut view = View::default();
    catch_up(&mut view, &w.registry, u64::MAX);
    let since = view.revision;
    w.run(create(claim("new", "1")));
    w.register(worker("new", [claim("t1", "1")]));
    w.claim("new");
    let early = w.registry.changes_since(since, 0, u64::MAX);
    w.run(delete("new", None));
    w.run(deregister("new", None));
    w.run(Command::ResetSlug { name: "new".to_owned() });
    let late = w.registry.changes_since(since, 0, u64::MAX);
    let orders = [[&late, &early, &late], [&early, &late, &early], [&early, &early, &late]];
    for order in orders {
        let mut reader = view.clone();
        for page in order {
            reader = reader.after(page).unwrap();
        }
        assert_follows(&reader, &w.registry);
    }
}

#[test]
fn pages_do_not_skip() {
    let mut w = filled();
    let page = w.registry.changes_since(10, 0, u64::MAX);
    assert!(View::default().after(&page).is_none());
    w.claim("n1");
    let mut view = View::default();
    catch_up(&mut view, &w.registry, u64::MAX);
    assert!(view.after(&page).is_some(), "what overlaps does");
}

#[test]
fn replies_to_batches_are_pages_too() {
    let mut w = filled();
    let mut view = View::default();
    catch_up(&mut view, &w.registry, u64::MAX);
    for sequence in 1..10 {
        let (known_revision, known_born) = view.reached();
        let commands = vec![
            Command::Claim { name: format!("s{sequence}") },
            create(claim(&format!("s{sequence}"), "1")),
            delete(&format!("t{sequence}"), None),
        ];
        let batch = Batch { replica: "r".to_owned(), sequence, known_revision, known_born, commands };
        let first = w.registry.apply_batch(&batch, w.now_ms, u64::MAX);
        let again = w.registry.apply_batch(&batch, w.now_ms, u64::MAX);
        view = view.after(&again.changes).unwrap().after(&first.changes).unwrap();
        assert_follows(&view, &w.registry);
    }
}

#[test]
fn a_registry_that_lost_its_state() {
    let w = filled();
    let mut view = View::default();
    catch_up(&mut view, &w.registry, u64::MAX);
    let mut young = World::new();
    young.run(create(claim("t", "1")));
    catch_up(&mut view, &young.registry, 10);
    assert_follows(&view, &young.registry);
    catch_up(&mut view, &Registry::new(State::default()), 10);
    assert_follows(&view, &Registry::new(State::default()));
}

#[test]
fn the_status_is_the_newest() {
    let mut w = filled();
    let mut view = View::default();
    let early = w.registry.changes_since(0, 0, u64::MAX);
    w.claim("n1");
    w.registry.reject_signal("because");
    catch_up(&mut view, &w.registry, u64::MAX);
    let view = view.after(&early).unwrap_or(view);
    assert_eq!(view.status, w.registry.status());
}
