//! Dispatch: from a request to a run. Resolves the queue from this replica's view, checks the input with a compiled
//! schema, claims an id where one is needed, and makes one call to Temporal.

pub(super) mod attributes;
mod call;
mod keyed;
mod message;
mod recent;
mod resolve;
mod restart;

use std::sync::Arc;
use std::time::Duration;

use super::connection::Link;
use crate::{
    fleet::Fleet,
    registry::{Attribute, AttributeStatus, Command, Outcome, Provisioned, Refusal, run_name},
    schema::{ValidatorCache, Violation},
    seams::{Reads, RunId, StartError, StartRequest, Started, Starts, WriteError, Writes},
};
use message::Message;
pub(in crate::temporal) use message::payloads;
pub use recent::RecentTasks;

/// Ids in use that are stepped over before a start is given up.
const IDS_TRIED_MAX: usize = 50;

/// Starts runs.
pub struct Dispatch {
    link: Arc<Link>,
    reads: Arc<dyn Reads>,
    writes: Arc<dyn Writes>,
    fleet: Arc<Fleet>,
    validators: Arc<ValidatorCache>,
    key_ttl: Duration,
    tasks: Arc<RecentTasks>,
}

impl Dispatch {
    /// Starts runs on this connection, by this view of the registry. `key_ttl`: how long an idempotency key is good for.
    pub fn new(
        link: Arc<Link>,
        reads: Arc<dyn Reads>,
        writes: Arc<dyn Writes>,
        fleet: Arc<Fleet>,
        validators: Arc<ValidatorCache>,
        key_ttl: Duration,
    ) -> Self {
        Self { link, reads, writes, fleet, validators, key_ttl, tasks: Arc::default() }
    }

    /// The tasks started here a moment ago.
    pub fn recent_tasks(&self) -> Arc<RecentTasks> {
        self.tasks.clone()
    }

    fn remember(&self, run: &Started) {
        let view = self.reads.view();
        if view.types.get(&run.workflow_type).is_some_and(|entry| entry.current.spec.is_manual()) {
            self.tasks.add(run);
        }
    }

    async fn launch(&self, request: &StartRequest, message: &Message) -> Result<Started, StartError> {
        let request_id = uuid::Uuid::new_v4().to_string();
        for _ in 0..IDS_TRIED_MAX {
            let workflow_id = match &request.run_id {
                RunId::Given(workflow_id) => workflow_id.clone(),
                RunId::Named(name) => self.claim(name).await?,
                RunId::Prefixed(prefix) => made_up(prefix),
            };
            match self.send(message, &workflow_id, &request_id).await {
                Err(StartError::AlreadyStarted { .. }) if is_ours_to_choose(&request.run_id) => {}
                settled => return settled,
            }
        }
        Err(ids_taken())
    }

    /// What it means that Temporal refuses a start. Somebody may have removed an attribute that it sets: that one is
    /// provisioned again.
    async fn refusal(&self, request: &StartRequest, why: String) -> StartError {
        if request.search_attributes.is_empty() {
            return StartError::Refused(why);
        }
        let Ok(actual) = self.link.search_attributes().await else { return StartError::Refused(why) };
        let view = self.reads.view();
        let declared = request.search_attributes.keys().filter_map(|name| view.attributes.get(name));
        let is_there =
            |known: &Attribute| actual.get(&known.name).is_some_and(|a| a.kind == Some(known.kind));
        let gone: Vec<Provisioned> = declared
            .filter(|known| !is_there(known))
            .map(|known| Provisioned {
                name: known.name.clone(),
                kind: known.kind,
                status: AttributeStatus::Pending,
            })
            .collect();
        let Some(first) = gone.first() else { return StartError::Refused(why) };
        let told =
            format!("search attribute {}: gone from the namespace, being provisioned again", first.name);
        match self.writes.submit(&Command::Provisioned(gone)).await {
            Ok(_) => StartError::AttributesUnavailable(told),
            Err(error) => error.into(),
        }
    }

    async fn claim(&self, name: &str) -> Result<String, StartError> {
        let command = Command::Claim { name: name.to_owned() };
        match self.writes.submit(&command).await? {
            Outcome::Claimed { slug, counter } => Ok(run_name(&slug, counter)),
            Outcome::Refused(refusal) => Err(refused(refusal)),
            other => Err(StartError::Internal(format!("a claim was answered with {other:?}"))),
        }
    }
}

#[async_trait::async_trait]
impl Starts for Dispatch {
    async fn start(&self, request: StartRequest) -> Result<Started, StartError> {
        if let Some(found) = self.known_run(&request).await? {
            return Ok(found);
        }
        let resolved = self.resolve(&request).await?;
        let message = Message::new(&self.link, &request, &resolved);
        let started = match &request.idempotency {
            None => self.launch(&request, &message).await,
            Some(key) => self.launch_once(&request, key, &message).await,
        };
        let started = match started {
            Err(StartError::Refused(why)) => return Err(self.refusal(&request, why).await),
            started => started?,
        };
        self.remember(&started);
        Ok(started)
    }
}

/// Whether the workflow id is chosen here, so that another one will do when it is in use.
fn is_ours_to_choose(run_id: &RunId) -> bool {
    match run_id {
        RunId::Given(_) => false,
        RunId::Named(_) | RunId::Prefixed(_) => true,
    }
}

fn made_up(prefix: &str) -> String {
    format!("{prefix}-{:08x}", rand::random::<u32>())
}

fn ids_taken() -> StartError {
    StartError::OverLimit(format!("the next {IDS_TRIED_MAX} workflow ids are all in use"))
}

/// A violation at a place in the body.
fn misfit(place: &[&str], msg: impl Into<String>, kind: &str) -> Violation {
    let loc = place.iter().map(|part| (*part).into()).collect();
    let token = |part: &&str| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
    let pointer = place.iter().map(token).collect();
    Violation { loc, pointer, msg: msg.into(), kind: kind.to_owned() }
}

impl From<WriteError> for StartError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

fn refused(refusal: Refusal) -> StartError {
    match refusal {
        Refusal::BadName { reason } => StartError::Invalid(vec![misfit(&["name"], reason, "value_error")]),
        Refusal::KeyReused => StartError::KeyReused,
        Refusal::Full { what, limit } => StartError::Full { what, limit },
        Refusal::RegistryQueue { task_queue } => StartError::RegistryQueue(task_queue),
        Refusal::AlreadyRegistered { .. }
        | Refusal::TypeNotFound { .. }
        | Refusal::WorkerNotFound { .. }
        | Refusal::StaleEpoch { .. }
        | Refusal::RevisionMismatch { .. }
        | Refusal::CompareAgain { .. }
        | Refusal::AttributeConflict { .. } => {
            StartError::Internal(format!("the registry refused an id with {refusal:?}"))
        }
    }
}
