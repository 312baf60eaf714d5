//! Holds schedules against their types: which queue, whether the input fits, what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use temporalio_common::protos::temporal::api::common::v1::SearchAttributes;

use super::state::{Problem, ProblemCode};
use crate::{
    clock,
    fleet::Fleet,
    registry::{AttributeStatus, Target, TypeEntry, WorkerState, choose_queue},
    schema::{ValidatorCache, Violation},
    seams::{Reads, StartError},
    temporal::dispatch::attributes,
    view::View,
};

/// The types as this replica sees them.
#[derive(Clone)]
pub struct Types {
    /// This replica's view.
    pub reads: Arc<dyn Reads>,
    /// Judges workers.
    pub fleet: Arc<Fleet>,
    /// Compiled schemas.
    pub validators: Arc<ValidatorCache>,
    /// The registry's own task queue.
    pub own_queue: String,
}

/// The queue of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether a usable worker serves the type on it.
    pub is_served: bool,
}

/// The part of a schedule that its type has a say in.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The type.
    pub workflow_type: &'a str,
    /// The argument; `None` when it is not one JSON value.
    pub input: Option<&'a Value>,
    /// Search attributes of the runs.
    pub search_attributes: &'a BTreeMap<String, Value>,
    /// The queue, when it has to be the type's.
    pub follows: Option<&'a str>,
}

impl Types {
    /// The view as it is now.
    pub fn view(&self) -> Arc<View> {
        self.reads.view()
    }

    /// Where runs of a type go: as for a start, and to the type's own queue while nobody usable serves it.
    pub fn queue(&self, view: &View, entry: &TypeEntry) -> Queue {
        let judge = self.fleet.judge(view, clock::now_ms());
        let name = entry.workflow_type();
        let usable = view
            .workers_of(name)
            .filter(|member| member.worker.state == WorkerState::Active && judge.health(member).is_usable());
        let targets = usable.filter_map(|member| {
            let served = member.worker.queue_for(name)?;
            Some(Target { task_queue: &served.task_queue, current: served.hash == entry.current.hash })
        });
        let own = &entry.current.spec.task_queue;
        match choose_queue(own, targets) {
            Some(queue) => Queue { name: queue.to_owned(), is_served: true },
            None => Queue { name: own.clone(), is_served: false },
        }
    }

    /// What an input breaks of the type's schema; why that schema cannot be used, if it cannot.
    pub fn violations(&self, entry: &TypeEntry, input: &Value) -> Result<Vec<Violation>, String> {
        let schema = &entry.current.spec.input_schema;
        let validator =
            self.validators.of_spec(&entry.current.hash, "input_schema", schema).map_err(|why| why.msg)?;
        Ok(validator.check(input))
    }

    /// Search attributes as Temporal takes them.
    pub fn encode(
        &self,
        view: &View,
        entry: &TypeEntry,
        values: &BTreeMap<String, Value>,
    ) -> Result<SearchAttributes, StartError> {
        let values: Map<String, Value> = values.iter().map(|(name, v)| (name.clone(), v.clone())).collect();
        attributes::encode(&values, &entry.current.spec, &view.attributes)
    }

    /// Why one of these attributes cannot be used now, and whether that is about to change.
    pub fn attributes_hold(&self, view: &View, values: &BTreeMap<String, Value>) -> Option<(bool, String)> {
        values.keys().find_map(|name| match &view.attributes.get(name)?.status {
            AttributeStatus::Ready => None,
            AttributeStatus::Pending => Some((true, format!("search attribute {name}: being provisioned"))),
            AttributeStatus::Conflict(reason) => Some((false, format!("search attribute {name}: {reason}"))),
        })
    }

    /// Everything wrong with a schedule.
    pub fn problems(&self, view: &View, stored: &Stored<'_>) -> Vec<Problem> {
        let name = stored.workflow_type;
        let plain = |code, message: String| Problem { code, message, details: Vec::new() };
        let Some(entry) = view.types.get(name) else {
            return vec![plain(ProblemCode::TypeMissing, format!("workflow type {name} is not registered"))];
        };
        let mut problems = Vec::new();
        if !entry.enabled {
            problems.push(plain(ProblemCode::TypeDisabled, format!("workflow type {name} is switched off")));
        }
        let nothing = Value::Object(Map::new());
        // A schema that cannot be used was refused at registration; here it says nothing about the schedule.
        let broken = self.violations(entry, stored.input.unwrap_or(&nothing)).unwrap_or_default();
        if !broken.is_empty() {
            let message = format!("the stored input no longer fits the schema of {name}");
            problems.push(Problem { code: ProblemCode::InputInvalid, message, details: broken });
        }
        match self.encode(view, entry, stored.search_attributes) {
            Err(StartError::Invalid(details)) => {
                let message = format!("the stored search attributes no longer fit what {name} declares");
                problems.push(Problem { code: ProblemCode::SearchAttributesInvalid, message, details });
            }
            Err(StartError::AttributesUnavailable(message)) => {
                problems.push(plain(ProblemCode::SearchAttributesInvalid, message));
            }
            Ok(_) | Err(_) => {}
        }
        if let Some(queue) = stored.follows {
            let wanted = self.queue(view, entry).name;
            if wanted != queue {
                let message = format!("starts on {queue}, but {name} is on {wanted} now; it will be moved");
                problems.push(plain(ProblemCode::QueueMoved, message));
            }
        }
        problems
    }
}
