//! Where a start goes, and whether it may: type, search attributes, input, task queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::IndexedRandom;
use serde_json::Value;
use temporalio_common::protos::temporal::api::common::v1::SearchAttributes;
use tokio::time::Instant;

use super::{Dispatch, attributes, misfit};
use crate::{
    clock,
    registry::{Served, Target, TypeEntry, WorkerState, choose_queue, spec_hold},
    schema::Violation,
    seams::{Aim, RunId, StartError, StartRequest},
    temporal::connection::RegistryNames,
    view::{Member, View},
};

/// How long a start waits for search attributes that are being provisioned.
const ATTRIBUTES_WITHIN: Duration = Duration::from_secs(3);
/// How long a wait for a change lasts before the view is looked at again: heartbeats do not count as changes.
const TICK: Duration = Duration::from_millis(250);

/// What a start needs beside its request.
pub(super) struct Resolved {
    /// Where it goes.
    pub task_queue: String,
    /// Its search attributes, encoded.
    pub search_attributes: SearchAttributes,
}

impl Dispatch {
    /// Finds out where a start goes, waiting for a healthy worker as long as the request says.
    pub(super) async fn resolve(&self, request: &StartRequest) -> Result<Resolved, StartError> {
        self.resolve_checked(request, true).await
    }

    /// The same with a word on whether there is an input that can be checked.
    pub(super) async fn resolve_checked(
        &self,
        request: &StartRequest,
        is_checked: bool,
    ) -> Result<Resolved, StartError> {
        let deadline = Instant::now() + request.wait_for_worker;
        let mut checked: Option<(String, SearchAttributes)> = None;
        loop {
            let (view, entry) = self.ready_type(&request.workflow_type).await?;
            let fits = checked.take().filter(|(hash, _)| *hash == entry.current.hash);
            let (hash, search_attributes) = match fits {
                Some(fits) => fits,
                None => (entry.current.hash.clone(), self.check(request, is_checked, &entry, &view)?),
            };
            match self.queue(&view, &entry, request) {
                Ok(task_queue) => return Ok(Resolved { task_queue, search_attributes }),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
            checked = Some((hash, search_attributes));
            self.changed(&view, deadline).await;
        }
    }

    /// The type, when it may be started; waits a little for search attributes that are on their way.
    async fn ready_type(&self, name: &str) -> Result<(Arc<View>, Arc<TypeEntry>), StartError> {
        let deadline = Instant::now() + ATTRIBUTES_WITHIN;
        loop {
            let view = self.reads.view();
            let entry = view.types.get(name).filter(|entry| entry.enabled).cloned();
            let entry = entry.ok_or_else(|| StartError::Unavailable(name.to_owned()))?;
            match spec_hold(&entry.current.spec, |name| view.attributes.get(name)) {
                None => return Ok((view, entry)),
                Some((true, _)) if Instant::now() < deadline => self.changed(&view, deadline).await,
                Some((_, reason)) => return Err(StartError::AttributesUnavailable(reason)),
            }
        }
    }

    /// Waits until the view has moved, for a tick at most.
    async fn changed(&self, view: &View, deadline: Instant) {
        let within = TICK.min(deadline.saturating_duration_since(Instant::now()));
        match self.reads.reached(view.revision + 1, within).await {
            Ok(()) | Err(_) => {}
        }
    }

    /// Checks everything that the spec says about a request.
    fn check(
        &self,
        request: &StartRequest,
        is_checked: bool,
        entry: &TypeEntry,
        view: &View,
    ) -> Result<SearchAttributes, StartError> {
        let RegistryNames { workflow_id: own_id, task_queue: own_queue, .. } = &self.link.registry;
        if matches!(&request.run_id, RunId::Given(id) if id == own_id) {
            // It would be signalled, ended or replaced by whoever may start anything.
            let wrong = misfit(&["workflow_id"], "is the id of the registry itself", "value_error");
            return Err(StartError::Invalid(vec![wrong]));
        }
        if request.task_queue.as_ref() == Some(own_queue) {
            return Err(StartError::RegistryQueue(own_queue.clone()));
        }
        let spec = &entry.current.spec;
        let search_attributes = attributes::encode(&request.search_attributes, spec, &view.attributes)?;
        if is_checked {
            let hash = &entry.current.hash;
            let violations =
                self.violations(hash, "input_schema", &spec.input_schema, request.arguments.first())?;
            if !violations.is_empty() {
                return Err(StartError::InvalidInput(violations));
            }
        }
        if let Some(signal) = &request.signal
            && let Some(schema) = spec.signals.get(&signal.name)
        {
            let part = format!("signals/{}", signal.name);
            let hash = &entry.current.hash;
            let mut violations = self.violations(hash, &part, schema, signal.arguments.first())?;
            for violation in &mut violations {
                violation.loc.splice(0..0, ["signal".into(), "input".into()]);
                violation.pointer.insert_str(0, "/signal/input");
            }
            if !violations.is_empty() {
                return Err(StartError::Invalid(violations));
            }
        }
        Ok(search_attributes)
    }

    /// What an argument breaks of a schema; no argument is checked as an empty object.
    pub(super) fn violations(
        &self,
        spec_hash: &str,
        part: &str,
        schema: &Value,
        argument: Option<&Value>,
    ) -> Result<Vec<Violation>, StartError> {
        let nothing = Value::Object(serde_json::Map::new());
        if *schema == nothing {
            return Ok(Vec::new());
        }
        let inadmissible = |why: crate::schema::Inadmissible| StartError::InvalidSchema(why.msg);
        let validator = self.validators.of_spec(spec_hash, part, schema).map_err(inadmissible)?;
        Ok(validator.check(argument.unwrap_or(&nothing)))
    }

    /// The queue to start on. One that the caller names is the caller's own affair unless it also names workers.
    fn queue(&self, view: &View, entry: &TypeEntry, request: &StartRequest) -> Result<String, StartError> {
        if let (Some(task_queue), None) = (&request.task_queue, &request.aim) {
            return Ok(task_queue.clone());
        }
        let now_ms = clock::now_ms();
        let judge = self.fleet.judge(view, now_ms);
        let workflow_type = entry.workflow_type();
        let wanted = |member: &&Member| request.aim.as_ref().is_none_or(|aim| matches(aim, member));
        let on_queue = |served: &&Served| {
            request.task_queue.as_ref().is_none_or(|task_queue| *task_queue == served.task_queue)
        };
        let mut last_seen_ms = None;
        let mut usable = Vec::new();
        // Queues from which somebody may take the start for whom it is not meant.
        let mut shared = BTreeSet::new();
        for member in view.workers_of(workflow_type) {
            let Some(served) = member.worker.queue_for(workflow_type).filter(on_queue) else { continue };
            if !wanted(&member) {
                if judge.health(member).is_usable() {
                    shared.insert(served.task_queue.as_str());
                }
                continue;
            }
            last_seen_ms = last_seen_ms.max(Some(member.last_seen_ms()));
            if member.worker.state == WorkerState::Active && judge.health(member).is_usable() {
                let current = served.hash == entry.current.hash;
                usable.push((Target { task_queue: &served.task_queue, current }, member));
            }
        }
        let own_queue = &entry.current.spec.task_queue;
        let apart =
            usable.iter().map(|(target, _)| *target).filter(|target| !shared.contains(target.task_queue));
        let any = usable.iter().map(|(target, _)| *target);
        let chosen = match &request.aim {
            None => choose_queue(own_queue, any),
            Some(Aim::Worker(_) | Aim::Host(_)) => {
                self.alone(&usable, request).or_else(|| choose_queue(own_queue, any))
            }
            // Whoever is on a queue with nobody else may take over from one another.
            Some(Aim::Labels(_)) => choose_queue(own_queue, apart)
                .or_else(|| self.alone(&usable, request))
                .or_else(|| choose_queue(own_queue, any)),
        };
        chosen.map(str::to_owned).ok_or_else(|| {
            let stale_for_seconds =
                last_seen_ms.map(|seen_ms| u64::try_from((now_ms - seen_ms) / 1000).unwrap_or(0));
            StartError::NoHealthyWorker {
                detail: nobody(workflow_type, request, stale_for_seconds),
                stale_for_seconds,
            }
        })
    }
}

impl Dispatch {
    /// The queue that one of these workers alone polls; of one with the current revision, when there is one.
    fn alone<'a>(&self, usable: &[(Target<'_>, &'a Member)], request: &StartRequest) -> Option<&'a str> {
        if request.task_queue.is_some() {
            return None;
        }
        let own =
            |&(target, member): &(Target<'_>, &'a Member)| Some((target.current, member.worker.own_queue()?));
        let mut queues: Vec<(bool, &str)> = usable.iter().filter_map(own).collect();
        queues.retain(|(_, task_queue)| *task_queue != self.link.registry.task_queue);
        if queues.iter().any(|(current, _)| *current) {
            queues.retain(|(current, _)| *current);
        }
        queues.choose(&mut rand::rng()).map(|(_, task_queue)| *task_queue)
    }
}

fn matches(aim: &Aim, member: &Member) -> bool {
    match aim {
        Aim::Worker(worker_id) => member.worker.worker_id == *worker_id,
        Aim::Host(host) => member.worker.host == *host,
        Aim::Labels(labels) => {
            labels.iter().all(|(name, value)| member.worker.labels.get(name) == Some(value))
        }
    }
}

fn nobody(workflow_type: &str, request: &StartRequest, stale_for_seconds: Option<u64>) -> String {
    let which = if request.aim.is_some() { "no matching worker" } else { "no worker" };
    match stale_for_seconds {
        Some(seconds) => {
            format!("{which} that serves {workflow_type} takes starts; the last was heard {seconds} s ago")
        }
        None => format!("{which} serves {workflow_type}"),
    }
}
