//! A registry with a clock that only moves when told, and short ways to say the commands.

use std::sync::Arc;

use proptest::test_runner::Config as ProptestConfig;
use serde_json::json;
use temporal_registry::{
    registry::{
        AttributeStatus, AttributeType, Command, Compared, Limits, Outcome, Provisioned, Refusal,
        Registration, Registry, Renewal, Reservation, SearchAttribute, Spec, SpecClaim, Standing, State,
        Verdict, VerdictKind, Worker, compat::Broken,
    },
    schema::content_hash,
};

/// Where the clocks of all tests begin, milliseconds since the Unix epoch.
pub const BEGIN_MS: i64 = 1_800_000_000_000;

/// A registry at a moment.
pub struct World {
    pub registry: Registry,
    pub now_ms: i64,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A registry whose bounds are the defaults as changed.
    pub fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut world = Self { registry: Registry::new(State::default()), now_ms: BEGIN_MS };
        world.registry.begin_run(BEGIN_MS);
        world.bound(change);
        world
    }

    /// Changes the bounds, as a replica that comes up with another configuration does.
    pub fn bound(&mut self, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.state().limits.clone();
        change(&mut limits);
        self.run(Command::ServiceStarted { process_id: "replica-1".to_owned(), limits });
    }

    pub fn tick(&mut self, seconds: i64) {
        self.now_ms += seconds * 1000;
    }

    /// Applies a command; a refusal must leave the state as it was, to the byte.
    pub fn run(&mut self, command: Command) -> Outcome {
        let before = self.text();
        let outcome = self.registry.apply(&command, self.now_ms);
        if matches!(outcome, Outcome::Refused(_)) {
            assert_eq!(before, self.text(), "refused and yet changed: {command:?}");
        }
        outcome
    }

    /// Applies a command that must be refused, and gives why.
    pub fn refusal(&mut self, command: Command) -> Refusal {
        match self.run(command) {
            Outcome::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn state(&self) -> &State {
        self.registry.state()
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self.state()).unwrap()
    }

    pub fn worker(&self, id: &str) -> &Worker {
        &self.state().workers[id]
    }

    pub fn has_worker(&self, id: &str) -> bool {
        self.state().workers.contains_key(id)
    }

    /// `(revision number, version of the spec)` that stands.
    pub fn stands(&self, name: &str) -> (u32, &str) {
        let current = &self.state().types[name].current;
        (current.number, &current.spec.version)
    }

    /// Registers and gives epoch, whether anything changed, and the verdicts.
    pub fn register(&mut self, wanted: Registration) -> (u64, bool, Vec<Verdict>) {
        match self.run(Command::Register(wanted)) {
            Outcome::Registered { epoch, changed, verdicts } => (epoch, changed, verdicts),
            other => panic!("not registered: {other:?}"),
        }
    }

    /// Registers a worker with one spec and gives the verdict on it.
    pub fn offer(&mut self, id: &str, spec: SpecClaim) -> Verdict {
        self.register(worker(id, [spec])).2.remove(0)
    }

    pub fn epoch(&mut self, wanted: Registration) -> u64 {
        self.register(wanted).0
    }

    pub fn renew(&mut self, id: &str, epoch: u64) {
        self.run(renew(id, epoch, 0));
    }

    pub fn sweep(&mut self) {
        self.run(Command::Sweep);
    }

    /// Claims a number.
    pub fn claim(&mut self, name: &str) -> u64 {
        match self.run(Command::Claim { name: name.to_owned() }) {
            Outcome::Claimed { counter, .. } => counter,
            other => panic!("not claimed: {other:?}"),
        }
    }

    /// Tells how provisioning of an attribute went.
    pub fn provisioned(&mut self, name: &str, kind: AttributeType, status: AttributeStatus) {
        self.run(Command::Provisioned(vec![Provisioned { name: name.to_owned(), kind, status }]));
    }

    /// Hands the state over to the next run.
    pub fn hand_over(&mut self) {
        let state: State = serde_json::from_str(&self.text()).unwrap();
        self.registry = Registry::new(state);
    }
}

/// A spec of a type; `version` makes its content.
pub fn spec(name: &str, version: &str) -> Spec {
    let minimal = json!({"workflow_type": name, "task_queue": "work", "version": version});
    serde_json::from_value(minimal).unwrap()
}

/// A claim of a spec.
pub fn of(spec: Spec) -> SpecClaim {
    let hash = content_hash(&spec.content());
    SpecClaim { spec: Arc::new(spec), hash, standing: Standing::Uncompared }
}

/// A claim of `spec(name, version)`.
pub fn claim(name: &str, version: &str) -> SpecClaim {
    of(spec(name, version))
}

/// A claim of a spec that declares attributes.
pub fn with_attributes(name: &str, version: &str, attributes: &[(&str, AttributeType)]) -> SpecClaim {
    let attribute = |(name, kind): &(&str, AttributeType)| SearchAttribute {
        name: (*name).to_owned(),
        kind: *kind,
        description: String::new(),
    };
    of(Spec { search_attributes: attributes.iter().map(attribute).collect(), ..spec(name, version) })
}

/// A claim compared with `base` and found compatible.
pub fn compatible(claim: SpecClaim, base: &SpecClaim) -> SpecClaim {
    compared(claim, base, Vec::new())
}

/// A claim compared with `base` and found to break it in one place.
pub fn breaking(claim: SpecClaim, base: &SpecClaim, pointer: &str) -> SpecClaim {
    let broken = Broken { pointer: pointer.to_owned(), msg: "no longer accepted".to_owned() };
    compared(claim, base, vec![broken])
}

fn compared(claim: SpecClaim, base: &SpecClaim, broken: Vec<Broken>) -> SpecClaim {
    SpecClaim { standing: Standing::Compared(Compared { base_hash: base.hash.clone(), broken }), ..claim }
}

/// A claim that stands as told beside others.
pub fn standing(claim: SpecClaim, standing: Standing) -> SpecClaim {
    SpecClaim { standing, ..claim }
}

/// A registration with a lease of a minute.
pub fn worker<const N: usize>(id: &str, workflows: [SpecClaim; N]) -> Registration {
    Registration {
        worker_id: id.to_owned(),
        task_queue: "work".to_owned(),
        workflows: workflows.into(),
        ttl_seconds: 60,
        environment: "local".to_owned(),
        labels: Default::default(),
        host: String::new(),
        version: String::new(),
        metadata: Default::default(),
        incarnation: None,
        is_static: false,
    }
}

/// A registration of another incarnation.
pub fn incarnation(registration: Registration, incarnation: &str) -> Registration {
    Registration { incarnation: Some(incarnation.to_owned()), ..registration }
}

pub fn create(claim: SpecClaim) -> Command {
    Command::CreateType(claim)
}

pub fn replace(claim: SpecClaim, base: Option<u32>) -> Command {
    Command::ReplaceType { claim, base, base_changed: None, keeps_enabled: false }
}

/// A change of the spec that leaves the switch as it is.
pub fn amend(claim: SpecClaim, base: Option<u32>) -> Command {
    Command::ReplaceType { claim, base, base_changed: None, keeps_enabled: true }
}

pub fn delete(name: &str, base: Option<u32>) -> Command {
    Command::DeleteType { workflow_type: name.to_owned(), base, base_changed: None }
}

pub fn enabled(name: &str, enabled: bool) -> Command {
    Command::SetEnabled { workflow_type: name.to_owned(), enabled }
}

pub fn drain(id: &str, epoch: Option<u64>) -> Command {
    Command::Drain { worker_id: id.to_owned(), epoch }
}

pub fn deregister(id: &str, epoch: Option<u64>) -> Command {
    Command::Deregister { worker_id: id.to_owned(), epoch }
}

pub fn renew(id: &str, epoch: u64, age_ms: i64) -> Command {
    Command::Renew(vec![Renewal { worker_id: id.to_owned(), epoch, age_ms }])
}

/// A reservation of an id that is given.
pub fn reserve(key: &str, fingerprint: &str, workflow_id: &str) -> Reservation {
    Reservation {
        key: key.to_owned(),
        fingerprint: fingerprint.to_owned(),
        workflow_id: workflow_id.to_owned(),
        name: None,
        instead_of: None,
    }
}

pub fn settle(key: &str, workflow_id: &str, run_id: &str) -> Command {
    Command::Settle {
        key: key.to_owned(),
        workflow_id: workflow_id.to_owned(),
        run: (run_id.to_owned(), "work".to_owned()),
    }
}

pub fn put(number: u32, created: bool, changed: bool) -> Outcome {
    Outcome::Put { number, created, changed }
}

pub fn told(verdict: &Verdict) -> (VerdictKind, u32) {
    (verdict.kind, verdict.revision)
}

/// So many random cases, or as many as `PROPTEST_CASES` says.
pub fn cases(usual: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(usual),
    }
}
