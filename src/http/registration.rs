//! A worker's registration: checked here, compared with what stands, then put to the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::admission::{Grounds, Offered, admit, require_foreign_queue};
use super::auth::Identity;
use super::code::Code;
use super::problem::Problem;
use super::refusal::unexpected;
use super::shapes::OfferedSpec;
use super::state::AppState;
use crate::{
    registry::{
        Command, Compared, Outcome, Refusal, Registration, Spec, SpecClaim, Standing, TypeEntry, Verdict,
        VerdictKind, compat, spec_hold,
    },
    schema::{Violation, content_hash},
    view::{Member, View},
};

/// How often a comparison that somebody outran is made again: of many who change a type at once, one each time is not outrun.
const COMPARISONS_MAX: usize = 200;
/// How long an answer is held back for search attributes that are being provisioned.
const PROVISIONED_WITHIN: Duration = Duration::from_secs(3);

/// A worker registers, or registers again.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = WorkerRegistration)]
#[serde(deny_unknown_fields)]
pub struct RegistrationShape {
    /// Chosen by the worker; unique.
    #[schema(min_length = 1, example = "w1")]
    worker_id: String,
    /// Its main task queue.
    #[schema(min_length = 1, example = "reports")]
    task_queue: String,
    /// The types it serves.
    #[serde(default)]
    workflows: Vec<OfferedSpec>,
    /// Length of its lease in seconds: it heartbeats within that time, or is unhealthy.
    #[serde(default = "minute")]
    #[schema(default = 60, minimum = 5, maximum = 3600)]
    ttl_seconds: u32,
    /// Free text; a deployment stage, say.
    #[serde(default = "local")]
    #[schema(default = "local")]
    environment: String,
    /// Free key-value pairs to filter by.
    #[serde(default)]
    #[schema(example = json!({}))]
    labels: BTreeMap<String, String>,
    /// Machine it runs on.
    #[serde(default)]
    host: String,
    /// Free text.
    #[serde(default)]
    version: String,
    /// Anything else, kept as given.
    #[serde(default)]
    #[schema(example = json!({}))]
    metadata: Map<String, Value>,
    /// Names this life of the worker, a process id and start time, say: a new value asks for a new epoch.
    incarnation: Option<String>,
}

fn minute() -> u32 {
    60
}

fn local() -> String {
    "local".to_owned()
}

/// A registration that can be put to the rules, apart from the comparison with what stands.
#[derive(Clone)]
pub struct Checked {
    registration: Registration,
    offered: Arc<[(Arc<Spec>, String)]>,
    force: bool,
}

/// What became of a registration.
pub struct Registered {
    /// The worker as it is now.
    pub member: Member,
    /// Whether anything about it or its types changed.
    pub changed: bool,
    /// What became of each type, in the order given.
    pub verdicts: Vec<Verdict>,
}

impl Checked {
    /// Checks a body; `force` replaces what stands without comparing.
    pub async fn new(
        grounds: Grounds<'_>,
        who: &Identity,
        body: RegistrationShape,
        force: bool,
    ) -> Result<Self, Problem> {
        let trimmed = |text: &str| text.trim().to_owned();
        let (worker_id, task_queue) = (trimmed(&body.worker_id), trimmed(&body.task_queue));
        require_names(&worker_id, &task_queue)?;
        require_foreign_queue(grounds, &task_queue)?;
        let each = body.workflows.into_iter().enumerate().map(|(at, OfferedSpec(mut shape))| {
            if shape.task_queue.is_empty() {
                shape.task_queue.clone_from(&task_queue);
            }
            Offered { spec: Arc::new(shape.into()), place: vec!["workflows".into(), at.into()] }
        });
        let offered: Vec<Offered> = each.collect();
        require_distinct(&offered)?;
        admit(grounds, who, &offered).await?;
        let hashed = |offer: Offered| {
            let hash = content_hash(&offer.spec.content());
            (offer.spec, hash)
        };
        let registration = Registration {
            worker_id,
            task_queue,
            workflows: Vec::new(),
            ttl_seconds: body.ttl_seconds,
            environment: body.environment,
            labels: body.labels,
            host: body.host,
            version: body.version,
            metadata: body.metadata,
            incarnation: body.incarnation,
            is_static: false,
        };
        Ok(Self { registration, offered: offered.into_iter().map(hashed).collect(), force })
    }

    /// The same of a worker that never heartbeats.
    pub fn without_heartbeats(mut self) -> Self {
        self.registration.is_static = true;
        self
    }

    /// The worker's id.
    pub fn worker_id(&self) -> &str {
        &self.registration.worker_id
    }

    /// Puts it to the rules, comparing again for as long as somebody else changes a type meanwhile.
    pub async fn submit(mut self, state: &AppState) -> Result<Registered, Problem> {
        let mut comparisons = 0;
        let (before, epoch, changed, mut verdicts) = loop {
            let view = state.reads.view();
            self.registration.workflows = self.claims(&view).await?;
            let command = Command::Register(self.registration);
            let outcome = state.writes.submit(&command).await?;
            let Command::Register(back) = command else { return Err(unexpected(&outcome)) };
            self.registration = back;
            comparisons += 1;
            match outcome {
                Outcome::Registered { epoch, changed, verdicts } => break (view, epoch, changed, verdicts),
                // The view has what outran it: it came with the answer.
                Outcome::Refused(Refusal::CompareAgain { .. }) if comparisons < COMPARISONS_MAX => {}
                Outcome::Refused(refusal) => return Err(refusal.into()),
                other => return Err(unexpected(&other)),
            }
        };
        settle(state, &before, &mut verdicts).await;
        let member = member(state, &self.registration.worker_id, epoch).await?;
        Ok(Registered { member, changed, verdicts })
    }

    /// Each spec with what it breaks of the one that stands in this view.
    async fn claims(&self, view: &Arc<View>) -> Result<Vec<SpecClaim>, Problem> {
        let compares =
            self.offered.iter().any(|(spec, hash)| standing_entry(view, spec, hash).is_some()) && !self.force;
        let (view, offered, force) = (view.clone(), self.offered.clone(), self.force);
        let all = move || {
            let claim = |(spec, hash): &(Arc<Spec>, String)| {
                let standing = if force { Standing::Force } else { compared(&view, spec, hash) };
                SpecClaim { spec: spec.clone(), hash: hash.clone(), standing }
            };
            offered.iter().map(claim).collect()
        };
        if !compares {
            return Ok(all());
        }
        let compared = tokio::task::spawn_blocking(all).await;
        compared.map_err(|_| Problem::new(Code::Internal, "the schemas could not be compared"))
    }
}

/// The type a spec would have to be compared with: one that stands and does not know this content.
fn standing_entry<'a>(view: &'a View, spec: &Spec, hash: &str) -> Option<&'a Arc<TypeEntry>> {
    view.types.get(&spec.workflow_type).filter(|entry| !entry.knows(hash))
}

fn compared(view: &View, spec: &Spec, hash: &str) -> Standing {
    let Some(entry) = standing_entry(view, spec, hash) else { return Standing::Uncompared };
    let broken = compat::broken_by(&entry.current.spec.input_schema, &spec.input_schema);
    Standing::Compared(Compared { base_hash: entry.current.hash.clone(), broken })
}

fn require_names(worker_id: &str, task_queue: &str) -> Result<(), Problem> {
    let names = [("worker_id", worker_id), ("task_queue", task_queue)];
    let empty = names.iter().filter(|(_, name)| name.is_empty()).map(|(field, _)| Violation {
        loc: vec!["body".into(), (*field).into()],
        pointer: format!("/{field}"),
        msg: "must not be empty".to_owned(),
        kind: "minLength".to_owned(),
    });
    let empty: Vec<Violation> = empty.collect();
    if empty.is_empty() { Ok(()) } else { Err(Problem::invalid_request(empty)) }
}

fn require_distinct(offered: &[Offered]) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    let again = offered.iter().filter(|offer| !names.insert(&offer.spec.workflow_type));
    let again: Vec<Violation> =
        again.map(|offer| offer.violation("/workflow_type", "is listed twice", "duplicate_name")).collect();
    if again.is_empty() { Ok(()) } else { Err(Problem::invalid_request(again)) }
}

/// `forbidden` unless the caller may touch every type that this worker, should it exist, serves.
pub fn require_reach(view: &View, who: &Identity, worker_id: &str) -> Result<(), Problem> {
    let mut served = view.workers.get(worker_id).into_iter().flat_map(|member| &member.worker.workflows);
    served.try_for_each(|served| who.require_type(&served.workflow_type))
}

/// The worker as it stands after the outcome was told.
async fn member(state: &AppState, worker_id: &str, epoch: u64) -> Result<Member, Problem> {
    let here = || state.reads.view().workers.get(worker_id).filter(|m| m.worker.epoch == epoch).cloned();
    if let Some(member) = here() {
        return Ok(member);
    }
    state.reads.catch_up().await?;
    let gone = || Problem::new(Code::StaleEpoch, "registered, but removed or replaced by another since");
    here().ok_or_else(gone)
}

/// Waits a while for search attributes that are being provisioned, then says what came of them. `before` is the view
/// the registration was compared with.
async fn settle(state: &AppState, before: &View, verdicts: &mut [Verdict]) {
    let until = Instant::now() + PROVISIONED_WITHIN;
    loop {
        let view = state.reads.view();
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.kind == VerdictKind::Pending) {
            settle_one(before, &view, verdict);
        }
        let left = until.saturating_duration_since(Instant::now());
        let settled = verdicts.iter().all(|verdict| verdict.kind != VerdictKind::Pending);
        if settled || state.reads.reached(view.revision + 1, left).await.is_err() {
            return;
        }
    }
}

fn settle_one(before: &View, view: &View, verdict: &mut Verdict) {
    let Some(entry) = view.types.get(&verdict.workflow_type) else { return };
    match spec_hold(&entry.current.spec, |name| view.attributes.get(name)) {
        Some((true, _)) => {}
        Some((false, reason)) => {
            (verdict.kind, verdict.reason) = (VerdictKind::Unavailable, Some(reason));
        }
        None => {
            let number = before.types.get(&verdict.workflow_type).map(|entry| entry.current.number);
            verdict.kind = match number {
                None => VerdictKind::Created,
                Some(number) if number < verdict.revision => VerdictKind::Revised,
                Some(_) => VerdictKind::Unchanged,
            };
            verdict.reason = None;
        }
    }
}
