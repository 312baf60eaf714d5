//! What a spec must be before the rules see it: names, queues, schemas, search attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::auth::Identity;
use super::code::Code;
use super::problem::{Problem, escape};
use super::refusal::attribute_conflict;
use super::state::AppState;
use crate::{
    registry::{AttributeStatus, AttributeType, Spec},
    schema::{Inadmissible, ValidatorCache, Violation, content_hash},
    view::View,
};

/// Bodies whose schemas are compiled at once; a compiler takes a core and, for moments, much stack.
static COMPILING: Semaphore = Semaphore::const_new(4);

/// What a spec is held against besides itself.
#[derive(Clone, Copy)]
pub struct Grounds<'a> {
    /// Compiled schemas, by content hash.
    pub validators: &'a Arc<ValidatorCache>,
    /// The registry's own task queue, refused for other work.
    pub own_queue: &'a str,
}

impl<'a> From<&'a AppState> for Grounds<'a> {
    fn from(state: &'a AppState) -> Self {
        Self { validators: &state.validators, own_queue: &state.own_queue }
    }
}

/// A spec a client sent.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The spec, its names trimmed.
    pub spec: Arc<Spec>,
    /// Where in the body it is: `[]`, or `["workflows", 2]`.
    pub place: Vec<Value>,
}

impl Offered {
    /// A spec that is the whole body.
    pub fn as_body(spec: Spec) -> Self {
        Self { spec: Arc::new(spec), place: Vec::new() }
    }

    /// A violation at a JSON pointer into the spec.
    pub fn violation(&self, pointer: &str, msg: impl Into<String>, kind: &str) -> Violation {
        let mut loc = vec![Value::from("body")];
        loc.extend(self.place.iter().cloned());
        let mut full: String = self.place.iter().map(|step| format!("/{}", token(step))).collect();
        full.push_str(pointer);
        loc.extend(pointer.split('/').skip(1).map(|step| {
            let name = step.replace("~1", "/").replace("~0", "~");
            name.parse::<usize>().map_or(Value::from(name), Value::from)
        }));
        Violation { loc, pointer: full, msg: msg.into(), kind: kind.to_owned() }
    }
}

fn token(step: &Value) -> String {
    step.as_str().map_or_else(|| step.to_string(), escape)
}

/// Checks everything that can be known without asking anybody: names (400), the caller's reach (403), the registry's
/// own queue (400), schemas (422). Every spec is checked, and nothing is changed.
pub async fn admit(grounds: Grounds<'_>, who: &Identity, offered: &[Offered]) -> Result<(), Problem> {
    let misnamed: Vec<Violation> = offered.iter().flat_map(misnamed).collect();
    if !misnamed.is_empty() {
        return Err(Problem::invalid_request(misnamed));
    }
    for offer in offered {
        who.require_type(&offer.spec.workflow_type)?;
        require_foreign_queue(grounds, &offer.spec.task_queue)?;
    }
    compiled(grounds.validators, offered).await
}

/// 400 `registry_queue_refused` for the registry's own task queue.
pub fn require_foreign_queue(grounds: Grounds<'_>, task_queue: &str) -> Result<(), Problem> {
    if task_queue == grounds.own_queue {
        let task_queue = task_queue.to_owned();
        return Err(crate::registry::Refusal::RegistryQueue { task_queue }.into());
    }
    Ok(())
}

fn misnamed(offer: &Offered) -> Vec<Violation> {
    let spec = &*offer.spec;
    let mut named = vec![
        ("/workflow_type".to_owned(), &spec.workflow_type),
        ("/task_queue".to_owned(), &spec.task_queue),
    ];
    for (at, warning) in spec.schedule_input_warnings.iter().enumerate() {
        named.push((format!("/schedule_input_warnings/{at}/field"), &warning.field));
        named.push((format!("/schedule_input_warnings/{at}/message"), &warning.message));
    }
    for (at, attribute) in spec.search_attributes.iter().enumerate() {
        named.push((format!("/search_attributes/{at}/name"), &attribute.name));
    }
    let empty = named.iter().filter(|(_, name)| name.is_empty());
    let mut found: Vec<Violation> =
        empty.map(|(pointer, _)| offer.violation(pointer, "must not be empty", "minLength")).collect();
    let mut kinds: BTreeMap<&str, AttributeType> = BTreeMap::new();
    for (at, attribute) in spec.search_attributes.iter().enumerate() {
        let kind = *kinds.entry(&attribute.name).or_insert(attribute.kind);
        if kind != attribute.kind {
            let msg = format!("{:?} is {} further up", attribute.name, kind.name());
            let pointer = format!("/search_attributes/{at}/type");
            found.push(offer.violation(&pointer, msg, "duplicate_name"));
        }
    }
    found
}

/// Compiles every schema, off the async threads.
async fn compiled(validators: &Arc<ValidatorCache>, offered: &[Offered]) -> Result<(), Problem> {
    let trivial =
        |schema: &Value| schema == &Value::Bool(true) || schema.as_object().is_some_and(|map| map.is_empty());
    if offered.iter().all(|offer| offer.spec.schemas().iter().all(|(_, schema)| trivial(schema))) {
        return Ok(());
    }
    let (validators, offered) = (validators.clone(), offered.to_vec());
    let _place = COMPILING.acquire().await;
    let found = tokio::task::spawn_blocking(move || inadmissible(&validators, &offered)).await;
    let found = found.map_err(|_| Problem::new(Code::Internal, "the schemas could not be compiled"))?;
    let Some(first) = found.first() else { return Ok(()) };
    let detail = format!("the schema at {:?} is not admissible: {}", first.pointer, first.msg);
    Err(Problem::new(Code::InvalidSchema, detail).with_details(found))
}

fn inadmissible(validators: &ValidatorCache, offered: &[Offered]) -> Vec<Violation> {
    let mut found = Vec::new();
    for offer in offered {
        for (pointer, schema) in offer.spec.schemas() {
            if let Err(Inadmissible { pointer: inner, msg, code }) =
                validators.get(&content_hash(schema), schema)
            {
                found.push(offer.violation(&format!("{pointer}{inner}"), msg, code));
            }
        }
    }
    found
}

/// 409 when the namespace has a search attribute of the spec with another type. Asks Temporal only about attributes
/// that are not known to be ready.
pub async fn require_attributes(state: &AppState, view: &View, spec: &Spec) -> Result<(), Problem> {
    let known = |name: &str, kind: AttributeType| {
        view.attributes
            .get(name)
            .is_some_and(|known| known.kind == kind && known.status == AttributeStatus::Ready)
    };
    let open: Vec<_> = spec.search_attributes.iter().filter(|a| !known(&a.name, a.kind)).collect();
    if open.is_empty() {
        return Ok(());
    }
    let actual = state.attributes.actual().await?;
    for wanted in open {
        if let Some(found) = actual.get(&wanted.name).filter(|found| found.kind != Some(wanted.kind)) {
            let there = found.kind.map_or("another type", AttributeType::name);
            let reason =
                format!("exists in the namespace as {there}, declared as {} here", wanted.kind.name());
            return Err(attribute_conflict(&wanted.name, &reason));
        }
    }
    Ok(())
}
