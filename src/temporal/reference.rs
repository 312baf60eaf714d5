//! The wire shapes of the reference system: what workers and clients that speak Temporal send and read.
//! Fields are exact, since the reference's client refuses any it does not know.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::registry::{
    AttributeType, Command, InputWarning, Registration, Registry, Renewal, SearchAttribute, SlugCounter,
    Spec, SpecClaim, Standing, Target, Worker, choose_queue,
};
use crate::schema::{Validator, content_hash};

/// Largest signal that is looked at, in bytes of JSON.
pub const SIGNAL_BYTES_MAX: usize = 512 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecWire {
    workflow_type: String,
    #[serde(default)]
    version: String,
    task_queue: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    input_schema: serde_json::Map<String, Value>,
    #[serde(default)]
    schedule_input_warnings: Vec<WarningWire>,
    #[serde(default)]
    search_attributes: Vec<AttributeWire>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WarningWire {
    field: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeWire {
    name: String,
    #[serde(rename = "type")]
    kind: AttributeType,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterWire {
    worker_id: String,
    task_queue: String,
    #[serde(default)]
    workflows: Vec<SpecWire>,
    #[serde(default = "ttl")]
    ttl_seconds: u32,
    #[serde(default = "environment")]
    environment: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutWire {
    workflow: SpecWire,
    #[serde(default)]
    overwrite: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerIdWire {
    worker_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypeWire {
    workflow_type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnabledWire {
    workflow_type: String,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceWire {
    process_id: String,
    #[serde(default, rename = "event")]
    _event: String,
    #[serde(default, rename = "interval_seconds")]
    _interval_seconds: u64,
    #[serde(default, rename = "failed_attempts_since_last_success")]
    _failed_attempts: u64,
}

/// The body of `claim_slug_id` and `reset_slug`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameWire {
    /// A human name.
    pub name: String,
}

fn yes() -> bool {
    true
}

fn ttl() -> u32 {
    60
}

fn environment() -> String {
    "local".to_owned()
}

/// What a signal of the reference asks for. `Err` tells why it is not understood.
pub fn signal(name: &str, json: &[u8], registry: &Registry) -> Result<Vec<Command>, String> {
    if json.len() > SIGNAL_BYTES_MAX {
        return Err(format!("{} bytes, more than {SIGNAL_BYTES_MAX}", json.len()));
    }
    match name {
        "register_worker" => register(read(json)?, registry),
        "put_workflow" => put(read(json)?, registry),
        "heartbeat_worker" => {
            let worker_id = required(read::<WorkerIdWire>(json)?.worker_id, "worker_id")?;
            let known = registry.epoch_of(&worker_id);
            let renewal = known.map(|epoch| Renewal { worker_id, epoch, age_ms: 0 });
            Ok(vec![Command::Renew(renewal.into_iter().collect())])
        }
        "unregister_worker" => {
            let worker_id = required(read::<WorkerIdWire>(json)?.worker_id, "worker_id")?;
            Ok(vec![Command::Deregister { worker_id, epoch: None }])
        }
        "set_workflow_enabled" => {
            let EnabledWire { workflow_type, enabled } = read(json)?;
            let workflow_type = required(workflow_type, "workflow_type")?;
            Ok(vec![Command::SetEnabled { workflow_type, enabled }])
        }
        "unregister_workflow" => {
            let workflow_type = required(read::<TypeWire>(json)?.workflow_type, "workflow_type")?;
            Ok(vec![Command::DeleteType { workflow_type, base: None, base_changed: None }])
        }
        "registry_service_started" => {
            let process_id = required(read::<ServiceWire>(json)?.process_id, "process_id")?;
            let limits = registry.state().limits.clone();
            Ok(vec![Command::ServiceStarted { process_id, limits }])
        }
        other => Err(format!("no signal named {other}")),
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn required(value: String, field: &str) -> Result<String, String> {
    let trimmed = value.trim();
    if trimmed.is_empty() { Err(format!("{field} must not be empty")) } else { Ok(trimmed.to_owned()) }
}

fn register(wire: RegisterWire, registry: &Registry) -> Result<Vec<Command>, String> {
    if !(5..=3600).contains(&wire.ttl_seconds) {
        return Err(format!("ttl_seconds must be 5 to 3600, is {}", wire.ttl_seconds));
    }
    let workflows = wire.workflows.into_iter().map(|spec| claim(spec, Standing::Never, registry));
    Ok(vec![Command::Register(Registration {
        worker_id: required(wire.worker_id, "worker_id")?,
        task_queue: required(wire.task_queue, "task_queue")?,
        workflows: workflows.collect::<Result<_, _>>()?,
        ttl_seconds: wire.ttl_seconds,
        environment: wire.environment,
        labels: wire.labels,
        host: String::new(),
        version: String::new(),
        metadata: serde_json::Map::new(),
        incarnation: None,
        is_static: false,
    })])
}

fn put(wire: PutWire, registry: &Registry) -> Result<Vec<Command>, String> {
    let claim = claim(wire.workflow, Standing::Force, registry)?;
    if wire.overwrite {
        return Ok(vec![Command::ReplaceType {
            claim,
            base: None,
            base_changed: None,
            keeps_enabled: false,
        }]);
    }
    // Without `overwrite`, a type that stands is left as it is: no error in the reference, none here.
    let stands = registry.state().types.contains_key(&claim.spec.workflow_type);
    Ok(if stands { Vec::new() } else { vec![Command::CreateType(claim)] })
}

fn claim(wire: SpecWire, standing: Standing, registry: &Registry) -> Result<SpecClaim, String> {
    let warning = |w: WarningWire| {
        Ok(InputWarning { field: required(w.field, "field")?, message: required(w.message, "message")? })
    };
    let attribute = |a: AttributeWire| {
        let name = required(a.name, "search attribute name")?;
        Ok(SearchAttribute { name, kind: a.kind, description: a.description })
    };
    let warnings: Result<_, String> = wire.schedule_input_warnings.into_iter().map(warning).collect();
    let attributes: Result<_, String> = wire.search_attributes.into_iter().map(attribute).collect();
    let spec = Spec {
        workflow_type: required(wire.workflow_type, "workflow_type")?,
        task_queue: required(wire.task_queue, "task_queue")?,
        version: wire.version,
        description: wire.description,
        input_schema: Value::Object(wire.input_schema),
        output_schema: json!({}),
        signals: BTreeMap::new(),
        queries: BTreeMap::new(),
        updates: BTreeMap::new(),
        schedule_input_warnings: warnings?,
        search_attributes: attributes?,
        enabled: wire.enabled,
        labels: wire.labels,
        tags: Vec::new(),
        owner: String::new(),
        examples: Vec::new(),
        deprecated: None,
        metadata: serde_json::Map::new(),
    };
    let hash = content_hash(&spec.content());
    // What stands or stood was admitted before: a worker that comes again costs no compilation.
    let types = &registry.state().types;
    if !types.get(&spec.workflow_type).is_some_and(|entry| entry.knows(&hash)) {
        Validator::compile(&spec.input_schema).map_err(|refused| format!("input_schema: {refused}"))?;
    }
    Ok(SpecClaim { spec: Arc::new(spec), hash, standing })
}

/// The answer of a query of the reference. A query's time is the last workflow task's.
pub fn query(
    name: &str,
    argument: Option<&Value>,
    registry: &Registry,
    now_ms: i64,
) -> Result<Value, String> {
    let reader = Reader { registry, now_ms };
    match name {
        "list_workflows" => Ok(reader.workflows()),
        "get_workflow" => Ok(reader.workflow(text(argument)?)),
        "resolve_workflow" => Ok(reader.resolve(text(argument)?)),
        "list_search_attributes" => Ok(reader.search_attributes()),
        "list_workers" => Ok(registry.state().workers.values().map(|worker| reader.worker(worker)).collect()),
        "get_status" => Ok(reader.status()),
        "list_slug_counters" => Ok(reader.slugs()),
        other => Err(format!("no query named {other}")),
    }
}

fn text(argument: Option<&Value>) -> Result<&str, String> {
    argument.and_then(Value::as_str).ok_or_else(|| "expected a workflow type as the one argument".to_owned())
}

struct Reader<'a> {
    registry: &'a Registry,
    now_ms: i64,
}

impl Reader<'_> {
    fn workflows(&self) -> Value {
        self.registry.state().types.keys().map(|name| self.workflow(name)).collect()
    }

    fn workflow(&self, name: &str) -> Value {
        let Some(entry) = self.registry.state().types.get(name) else { return Value::Null };
        let spec = entry.spec();
        let serving =
            self.registry.state().workers.values().filter(|worker| worker.queue_for(name).is_some());
        let workers: Vec<Value> = serving.map(|worker| self.worker(worker)).collect();
        json!({
            "workflow_type": spec.workflow_type, "version": spec.version, "task_queue": spec.task_queue,
            "description": spec.description, "input_schema": spec.input_schema,
            "schedule_input_warnings": spec.schedule_input_warnings,
            "search_attributes": known_attributes(&spec), "enabled": spec.enabled, "labels": spec.labels,
            "workers": workers,
        })
    }

    fn worker(&self, worker: &Worker) -> Value {
        json!({
            "worker_id": worker.worker_id, "task_queue": worker.task_queue, "ttl_seconds": worker.ttl_seconds,
            "last_seen_epoch": seconds(worker.last_seen_ms), "environment": worker.environment,
            "labels": worker.labels,
            "workflows": worker.workflows.iter().map(|served| &served.workflow_type).collect::<Vec<_>>(),
            "healthy": self.healthy(worker),
        })
    }

    fn healthy(&self, worker: &Worker) -> bool {
        self.now_ms <= worker.lease_expires_ms(worker.last_seen_ms)
    }

    fn resolve(&self, name: &str) -> Value {
        let entry = self.registry.state().types.get(name);
        let Some(entry) = entry.filter(|entry| entry.enabled) else { return Value::Null };
        let spec = &entry.current.spec;
        if self.registry.attributes_hold(spec).is_some() {
            return Value::Null;
        }
        let healthy = self.registry.state().workers.values().filter(|worker| self.healthy(worker));
        let served = healthy.filter_map(|worker| worker.queue_for(name));
        let usable =
            served.map(|s| Target { task_queue: &s.task_queue, current: s.hash == entry.current.hash });
        let Some(task_queue) = choose_queue(&spec.task_queue, usable) else { return Value::Null };
        json!({
            "workflow_type": name, "task_queue": task_queue, "input_schema": spec.input_schema,
            "schedule_input_warnings": spec.schedule_input_warnings, "search_attributes": known_attributes(spec),
        })
    }

    fn search_attributes(&self) -> Value {
        let mut declared: BTreeMap<&str, (&SearchAttribute, Vec<&str>)> = BTreeMap::new();
        for entry in self.registry.state().types.values() {
            let attributes = entry.current.spec.search_attributes.iter();
            for attribute in attributes.filter(|attribute| is_known(attribute)) {
                let (_, types) = declared.entry(&attribute.name).or_insert((attribute, Vec::new()));
                types.push(entry.workflow_type());
            }
        }
        declared.values().map(|(attribute, types)| summary(attribute, types)).collect()
    }

    fn status(&self) -> Value {
        let state = self.registry.state();
        json!({
            "workflow_count": state.types.len(), "worker_count": state.workers.len(),
            "healthy_worker_count": state.workers.values().filter(|worker| self.healthy(worker)).count(),
            "started_at_epoch": seconds(state.status.started_at_ms),
            "last_registry_service_started_epoch": seconds(state.status.service_started_ms),
            "registry_service_process_id": state.status.service_process_id,
        })
    }

    fn slugs(&self) -> Value {
        let state = self.registry.state();
        let has_lapsed = |s: &SlugCounter| {
            state.limits.slug_ttl_ms.is_some_and(|ttl_ms| s.has_lapsed(ttl_ms, self.now_ms))
        };
        let counters = state.slugs.values().filter(|s| !has_lapsed(s));
        let one = |s: &SlugCounter| json!({"slug": s.slug, "counter": s.counter, "last_claimed_epoch": seconds(s.last_claimed_ms)});
        counters.map(one).collect()
    }
}

/// The reference's client knows two attribute types and refuses an answer that names another.
fn is_known(attribute: &SearchAttribute) -> bool {
    matches!(attribute.kind, AttributeType::Keyword | AttributeType::KeywordList)
}

fn known_attributes(spec: &Spec) -> Value {
    let known = spec.search_attributes.iter().filter(|attribute| is_known(attribute));
    known.map(|a| json!({"name": a.name, "type": a.kind, "description": a.description})).collect()
}

fn summary(attribute: &SearchAttribute, workflows: &[&str]) -> Value {
    json!({
        "name": attribute.name, "type": attribute.kind, "description": attribute.description, "workflows": workflows,
    })
}

/// Milliseconds since the Unix epoch as the reference's seconds.
pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The answer of the update `claim_slug_id`.
#[derive(Serialize)]
#[allow(missing_docs)]
pub struct ClaimedWire {
    pub slug: String,
    pub counter: u64,
    pub workflow_id: String,
}

/// The answer of the update `reset_slug`.
#[derive(Serialize)]
#[allow(missing_docs)]
pub struct ResetWire {
    pub slug: String,
    pub previous_counter: u64,
    pub reset_to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Limits, State};

    #[test]
    fn a_counter_that_lapsed_is_not_listed() {
        let limits = Limits { slug_ttl_ms: Some(1_000), ..Limits::default() };
        let mut registry = Registry::new(State { limits, ..State::default() });
        registry.apply(&Command::Claim { name: "nightly".to_owned() }, 0);
        let listed =
            |now_ms| query("list_slug_counters", None, &registry, now_ms).unwrap().as_array().map(Vec::len);
        assert_eq!((listed(1_000), listed(1_001)), (Some(1), Some(0)));
    }
}
