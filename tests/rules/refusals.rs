use temporal_registry::registry::{
    AttributeStatus,
    AttributeType::{Int, Keyword},
    Command, Refusal,
};

use crate::world::{
    World, claim, compatible, create, delete, deregister, drain, enabled, incarnation, replace, reserve,
    with_attributes, worker,
};

/// Every kind of refusal, in a registry where time has made everything due that can be.
#[test]
fn no_refusal_changes_anything() {
    let mut w = World::with(|limits| {
        limits.workers_max = 2;
        limits.slug_ttl_ms = Some(1_000);
        limits.reservation_ttl_ms = 60_000;
    });
    w.run(create(with_attributes("t", "1", &[("Stage", Keyword)])));
    w.provisioned("Stage", Keyword, AttributeStatus::Ready);
    w.register(worker("w", [claim("u", "1")]));
    w.register(incarnation(worker("w", [claim("u", "1")]), "2"));
    w.register(worker("v", []));
    w.claim("name");
    w.run(Command::Reserve(reserve("old", "body", "id")));
    w.tick(7 * 60);
    w.run(Command::Reserve(reserve("k", "body", "id")));
    w.tick(2);
    let elsewhere = |id: &str| {
        let mut wanted = worker(id, []);
        wanted.task_queue = "registry-service".to_owned();
        wanted
    };
    let stale = compatible(claim("u", "3"), &claim("u", "2"));
    let named = {
        let mut wanted = reserve("fresh", "body", "id");
        wanted.name = Some("!".to_owned());
        wanted
    };
    let table = [
        ("bad name", Command::Claim { name: "!".to_owned() }),
        ("bad name", Command::ResetSlug { name: "!".to_owned() }),
        ("bad name", Command::Reserve(named)),
        ("bad name", Command::Register(worker("w", [claim("x", "1"), claim("x", "1")]))),
        ("already registered", create(claim("t", "1"))),
        ("type not found", delete("x", None)),
        ("type not found", enabled("x", false)),
        ("worker not found", drain("x", None)),
        ("worker not found", deregister("x", None)),
        ("stale epoch", drain("w", Some(1))),
        ("stale epoch", deregister("w", Some(1))),
        ("revision mismatch", replace(claim("t", "2"), Some(9))),
        ("revision mismatch", delete("t", Some(9))),
        // The worker is long due to be forgotten, and stays until something is done.
        ("compare again", Command::Register(worker("w", [claim("x", "1"), stale]))),
        ("attribute conflict", create(with_attributes("x", "1", &[("Stage", Int)]))),
        ("registry queue", Command::Register(elsewhere("w"))),
        ("key reused", Command::Reserve(reserve("k", "other", "id"))),
        ("full", Command::Register(worker("x", [claim("x", "1")]))),
    ];
    for (kind, command) in table {
        let refusal = w.refusal(command.clone());
        assert_eq!(kind_of(&refusal), kind, "{command:?}");
    }
}

pub fn kind_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::BadName { .. } => "bad name",
        Refusal::AlreadyRegistered { .. } => "already registered",
        Refusal::TypeNotFound { .. } => "type not found",
        Refusal::WorkerNotFound { .. } => "worker not found",
        Refusal::StaleEpoch { .. } => "stale epoch",
        Refusal::RevisionMismatch { .. } => "revision mismatch",
        Refusal::CompareAgain { .. } => "compare again",
        Refusal::AttributeConflict { .. } => "attribute conflict",
        Refusal::RegistryQueue { .. } => "registry queue",
        Refusal::KeyReused => "key reused",
        Refusal::Full { .. } => "full",
    }
}
