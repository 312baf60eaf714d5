//! Random commands against the naive rules, with hand-overs in between and a replica that follows by pages.

use proptest::{collection::vec, option, prelude::*};
use temporal_registry::{
    registry::{AttributeStatus, AttributeType, Changes, Command, Outcome, Standing, WorkerState},
    view::View,
};

use crate::{
    naive::{self, Naive, Said, Stand, attributes_of},
    refusals::kind_of,
    replication::{assert_follows, catch_up},
    world::{
        World, breaking, cases, compatible, deregister, drain, enabled, renew, reserve, settle, standing,
        with_attributes, worker,
    },
};

#[derive(Clone, Debug)]
enum Step {
    Create(usize, u8),
    Replace(usize, u8, bool, Option<u32>),
    Enable(usize, bool),
    Delete(usize),
    Register(usize, Vec<(usize, u8, Stand)>, Option<u8>),
    /// Worker, how far its epoch is off, age.
    Renew(usize, u64, i64),
    /// Worker, how far its epoch is off when given, whether it drains only.
    Leave(usize, Option<u64>, bool),
    Claim(usize),
    Reset(usize),
    Reserve {
        key: usize,
        fingerprint: bool,
        id: u8,
        name: Option<usize>,
        instead: bool,
    },
    Settle(usize, u8),
    Sweep,
    Provisioned(usize, AttributeType, bool),
    Tick(i64),
    HandOver,
    /// Reads a page of about so many bytes, to be taken at some time.
    Read(u64),
    /// Takes one of the pages read so far, perhaps again.
    Take(usize),
}

const TYPES: [&str; 4] = ["t0", "t1", "t2", "t3"];
const WORKERS: [&str; 3] = ["w0", "w1", "w2"];
const NAMES: [&str; 3] = ["n0", "n1", "n2"];
const KEYS: [&str; 3] = ["k0", "k1", "k2"];
const ATTRIBUTES: [&str; 2] = ["Stage", "Other"];

fn step() -> impl Strategy<Value = Step> {
    let version = 0..4_u8;
    let stand = prop_oneof![
        Just(Stand::Uncompared),
        version.clone().prop_map(Stand::Compatible),
        version.clone().prop_map(Stand::Breaking),
        Just(Stand::Never),
        Just(Stand::Force),
    ];
    let off = prop_oneof![3 => Just(0_u64), 1 => Just(1)];
    let kind = prop_oneof![Just(AttributeType::Keyword), Just(AttributeType::Int), Just(AttributeType::Text)];
    prop_oneof![
        2 => (0..4_usize, version.clone()).prop_map(|(t, v)| Step::Create(t, v)),
        3 => (0..4_usize, version.clone(), any::<bool>(), option::weighted(0.3, 0..4_u32))
            .prop_map(|(t, v, on, base)| Step::Replace(t, v, on, base)),
        1 => (0..4_usize, any::<bool>()).prop_map(|(t, on)| Step::Enable(t, on)),
        2 => (0..4_usize).prop_map(Step::Delete),
        5 => (0..3_usize, vec((0..4_usize, version, stand), 0..3), option::of(0..2_u8))
            .prop_map(|(w, served, incarnation)| Step::Register(w, served, incarnation)),
        3 => (0..3_usize, off.clone(), 0..15_000_i64).prop_map(|(w, off, age)| Step::Renew(w, off, age)),
        2 => (0..3_usize, option::of(off), any::<bool>()).prop_map(|(w, off, d)| Step::Leave(w, off, d)),
        3 => (0..3_usize).prop_map(Step::Claim),
        1 => (0..3_usize).prop_map(Step::Reset),
        4 => (0..3_usize, prop::bool::weighted(0.9), 0..3_u8, option::of(0..3_usize), prop::bool::weighted(0.3))
            .prop_map(|(key, fingerprint, id, name, instead)| Step::Reserve { key, fingerprint, id, name, instead }),
        2 => (0..3_usize, 0..3_u8).prop_map(|(k, id)| Step::Settle(k, id)),
        2 => Just(Step::Sweep),
        2 => (0..2_usize, kind, any::<bool>()).prop_map(|(a, kind, ready)| Step::Provisioned(a, kind, ready)),
        4 => (0..40_i64).prop_map(Step::Tick),
        1 => Just(Step::HandOver),
        4 => (0..1_500_u64).prop_map(Step::Read),
        5 => any::<usize>().prop_map(Step::Take),
    ]
}

fn spec_claim(t: usize, v: u8) -> temporal_registry::registry::SpecClaim {
    with_attributes(TYPES[t], &v.to_string(), attributes_of(v))
}

struct Both {
    world: World,
    naive: Naive,
    view: View,
    pages: Vec<Changes>,
}

impl Both {
    fn new() -> Self {
        let world = World::with(|limits| {
            limits.types_max = naive::TYPES_MAX;
            limits.workers_max = naive::WORKERS_MAX;
            limits.slugs_max = naive::SLUGS_MAX;
            limits.reservations_max = naive::RESERVATIONS_MAX;
            limits.revisions_kept = naive::REVISIONS_KEPT;
            limits.slug_ttl_ms = Some(naive::SLUG_TTL_MS);
            limits.reservation_ttl_ms = naive::RESERVATION_TTL_MS;
        });
        let naive = Naive { now_ms: world.now_ms, ..Naive::default() };
        Self { world, naive, view: View::default(), pages: Vec::new() }
    }

    fn epoch(&self, worker: &str) -> u64 {
        self.naive.workers.get(worker).map_or(1, |worker| worker.epoch)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Tick(seconds) => {
                self.world.tick(*seconds);
                self.naive.now_ms = self.world.now_ms;
            }
            Step::HandOver => self.world.hand_over(),
            Step::Read(bytes) => {
                let (since, born) = self.view.reached();
                self.pages.push(self.world.registry.changes_since(since, born, *bytes));
            }
            Step::Take(which) => {
                let page = self.pages.get(which.checked_rem(self.pages.len()).unwrap_or(0));
                if let Some(next) = page.and_then(|page| self.view.after(page)) {
                    self.view = next;
                }
            }
            Step::Register(w, served, incarnation) => self.register(WORKERS[*w], served, *incarnation),
            Step::Create(..) | Step::Replace(..) | Step::Enable(..) | Step::Delete(_) => self.types(step),
            _ => self.others(step),
        }
    }

    fn types(&mut self, step: &Step) {
        let (command, expected) = match *step {
            Step::Create(t, v) => (Command::CreateType(spec_claim(t, v)), self.naive.create(TYPES[t], v)),
            Step::Replace(t, v, on, base) => {
                let mut claim = spec_claim(t, v);
                std::sync::Arc::make_mut(&mut claim.spec).enabled = on;
                (crate::world::replace(claim, base), self.naive.replace(TYPES[t], v, on, base))
            }
            Step::Enable(t, on) => (enabled(TYPES[t], on), self.naive.enable(TYPES[t], on)),
            Step::Delete(t) => (crate::world::delete(TYPES[t], None), self.naive.delete(TYPES[t])),
            _ => unreachable!("no command about a type: {step:?}"),
        };
        self.compare(command, expected);
    }

    fn others(&mut self, step: &Step) {
        let naive = &mut self.naive;
        let (command, expected) = match *step {
            Step::Renew(w, off, age_ms) => {
                let epoch = naive.workers.get(WORKERS[w]).map_or(1, |worker| worker.epoch) - off;
                (renew(WORKERS[w], epoch, age_ms), naive.renew(WORKERS[w], epoch, age_ms))
            }
            Step::Leave(w, off, only_drain) => {
                let epoch = off.map(|off| self.epoch(WORKERS[w]) - off);
                let command =
                    if only_drain { drain(WORKERS[w], epoch) } else { deregister(WORKERS[w], epoch) };
                (command, self.naive.leave(WORKERS[w], epoch, only_drain))
            }
            Step::Claim(n) => (Command::Claim { name: NAMES[n].to_owned() }, naive.claim(NAMES[n])),
            Step::Reset(n) => (Command::ResetSlug { name: NAMES[n].to_owned() }, naive.reset(NAMES[n])),
            Step::Reserve { key, fingerprint, id, name, instead } => {
                let (key, name) = (KEYS[key], name.map(|name| NAMES[name]));
                let (fingerprint, id) = (if fingerprint { "body" } else { "other" }, format!("id-{id}"));
                let mut wanted = reserve(key, fingerprint, &id);
                wanted.name = name.map(str::to_owned);
                let found = naive.records.get(key).map(|found| found.workflow_id.clone());
                wanted.instead_of = if instead { found } else { None };
                (Command::Reserve(wanted), naive.reserve(key, fingerprint, &id, name, instead))
            }
            Step::Settle(k, id) => {
                let id = naive.records.get(KEYS[k]).map_or(format!("id-{id}"), |r| r.workflow_id.clone());
                (settle(KEYS[k], &id, "run"), naive.settle(KEYS[k], &id, "run"))
            }
            Step::Sweep => (Command::Sweep, naive.sweep()),
            Step::Provisioned(a, kind, ready) => {
                let status = match ready {
                    true => AttributeStatus::Ready,
                    false => AttributeStatus::Conflict("taken".to_owned()),
                };
                self.world.provisioned(ATTRIBUTES[a], kind, status.clone());
                naive.provisioned(ATTRIBUTES[a], kind, status);
                return;
            }
            _ => unreachable!("no command: {step:?}"),
        };
        self.compare(command, expected);
    }

    fn register(&mut self, id: &str, served: &[(usize, u8, Stand)], incarnation: Option<u8>) {
        let claims = served.iter().map(|(t, v, stand)| {
            let claim = spec_claim(*t, *v);
            match *stand {
                Stand::Uncompared => claim,
                Stand::Compatible(base) => compatible(claim, &spec_claim(*t, base)),
                Stand::Breaking(base) => breaking(claim, &spec_claim(*t, base), "/x"),
                Stand::Never => standing(claim, Standing::Never),
                Stand::Force => standing(claim, Standing::Force),
            }
        });
        let mut wanted = worker(id, []);
        wanted.workflows = claims.collect();
        wanted.ttl_seconds = u32::try_from(naive::TTL_MS / 1000).unwrap();
        wanted.incarnation = incarnation.map(|incarnation| incarnation.to_string());
        let before = self.naive.workers.get(id).map(|worker| worker.epoch);
        let highest = self.world.registry.revision();
        let offered: Vec<_> = served.iter().map(|(t, v, stand)| (TYPES[*t].to_owned(), *v, *stand)).collect();
        let expected = self.naive.register(id, &offered, wanted.incarnation.clone());
        let outcome = self.world.run(Command::Register(wanted));
        if let Outcome::Registered { epoch, .. } = outcome {
            let kept = before == Some(epoch);
            assert!(kept || epoch > highest, "an epoch that was given before");
            assert_eq!(said(&outcome, kept), expected);
            self.naive.workers.get_mut(id).unwrap().epoch = epoch;
        } else {
            assert_eq!(said(&outcome, false), expected);
        }
    }

    fn compare(&mut self, command: Command, expected: Said) {
        let outcome = self.world.run(command.clone());
        assert_eq!(said(&outcome, false), expected, "{command:?}");
    }

    /// The state of both, and what must hold of any state.
    fn check(&self) {
        assert_eq!(as_naive(&self.world), self.naive);
        let counted = self.world.state().status.raw_bytes;
        let again = temporal_registry::registry::Registry::new(self.world.state().clone());
        assert_eq!(again.state().status.raw_bytes, counted, "bytes drift");
    }
}

fn said(outcome: &Outcome, kept: bool) -> Said {
    match outcome.clone() {
        Outcome::Registered { changed, verdicts, .. } => {
            let verdicts = verdicts.iter().map(crate::world::told).collect();
            Said::Registered { kept, changed, verdicts }
        }
        Outcome::Put { number, created, changed } => Said::Put(number, created, changed),
        Outcome::Claimed { slug, counter } => Said::Claimed(slug, counter),
        Outcome::SlugReset { slug, previous_counter } => Said::SlugReset(slug, previous_counter),
        Outcome::Reserved { reserved, created } => {
            let run = reserved.run.map(|(run, _)| run);
            Said::Reserved { workflow_id: reserved.workflow_id, run, created }
        }
        Outcome::Done => Said::Done,
        Outcome::Refused(refusal) => Said::Refused(kind_of(&refusal)),
    }
}

fn as_naive(world: &World) -> Naive {
    let state = world.state();
    let version = |hash: &str, name: &str| {
        let of = |v: u8| with_attributes(name, &v.to_string(), attributes_of(v)).hash;
        (0..4).find(|v| of(*v) == hash).unwrap()
    };
    let of_type = |(name, entry): (&String, &temporal_registry::registry::TypeEntry)| {
        let revisions = entry.revisions().map(|r| (r.number, version(&r.hash, name))).collect();
        let known = entry.known.iter().map(|hash| version(hash, name)).collect();
        (name.clone(), naive::Type { enabled: entry.enabled, revisions, known })
    };
    let of_worker = |(id, worker): (&String, &temporal_registry::registry::Worker)| {
        let served = worker.workflows.iter();
        let worker = naive::Worker {
            epoch: worker.epoch,
            incarnation: worker.incarnation.clone(),
            served: served.map(|s| (s.workflow_type.clone(), version(&s.hash, &s.workflow_type))).collect(),
            seen_ms: worker.last_seen_ms,
            draining: worker.state == WorkerState::Draining,
            lapsed: worker.lapsed,
        };
        (id.clone(), worker)
    };
    let of_record = |(key, record): (&String, &temporal_registry::registry::Reserved)| {
        let record = naive::Record {
            fingerprint: record.fingerprint.clone(),
            workflow_id: record.workflow_id.clone(),
            run: record.run.as_ref().map(|(run, _)| run.clone()),
            at_ms: record.at_ms,
        };
        (key.clone(), record)
    };
    let mut claimed: Vec<_> = state.slugs.values().map(|s| (s.changed, s.slug.clone())).collect();
    claimed.sort();
    Naive {
        now_ms: world.now_ms,
        claimed: claimed.into_iter().map(|(_, slug)| slug).collect(),
        types: state.types.iter().map(of_type).collect(),
        workers: state.workers.iter().map(of_worker).collect(),
        slugs: state.slugs.iter().map(|(s, c)| (s.clone(), (c.counter, c.last_claimed_ms))).collect(),
        records: state.reservations.iter().map(of_record).collect(),
        attributes: state.attributes.iter().map(|(n, a)| (n.clone(), (a.kind, a.status.clone()))).collect(),
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_rules_are_the_naive_rules(steps in vec(step(), 1..100)) {
        let mut both = Both::new();
        for step in &steps {
            both.step(step);
            both.check();
        }
        // Whatever was taken, in whatever order: once caught up, the view is the registry.
        catch_up(&mut both.view, &both.world.registry, 300);
        assert_follows(&both.view, &both.world.registry);
        for page in &both.pages {
            if let Some(next) = both.view.after(page) {
                both.view = next;
            }
        }
        assert_follows(&both.view, &both.world.registry);
    }
}
