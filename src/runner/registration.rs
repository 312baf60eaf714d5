//! What this runner tells the registry about itself.

use serde_json::{Map, Value, json};

use super::{
    config::{Entry, Kind, RunnerConfig},
    workflow::{PROGRESS_QUERY, RESULT_QUERY, TASK_QUERY},
};

/// The body of the registration; `incarnation` tells this process from an earlier one.
pub fn body(config: &RunnerConfig, incarnation: &str) -> Value {
    let worker = &config.worker;
    let mut metadata = worker.metadata.clone();
    metadata.insert("own_task_queue".to_owned(), worker.own_task_queue().into());
    let workflows: Vec<Value> = config.entries.iter().map(|entry| spec(entry, &worker.task_queue)).collect();
    json!({
        "worker_id": worker.id,
        "task_queue": worker.task_queue,
        "ttl_seconds": worker.ttl_seconds,
        "environment": worker.environment,
        "labels": worker.labels,
        "host": worker.host,
        "version": worker.version,
        "metadata": metadata,
        "incarnation": incarnation,
        "workflows": workflows,
    })
}

fn spec(entry: &Entry, task_queue: &str) -> Value {
    let common = &entry.common;
    let is_manual = matches!(entry.kind, Kind::Manual(_));
    let mut metadata = common.metadata.clone();
    metadata.insert("runner".to_owned(), json!({"kind": entry.kind.name(), "idempotent": common.idempotent}));
    let mut queries = Map::new();
    for name in [PROGRESS_QUERY, RESULT_QUERY] {
        queries.insert(name.to_owned(), json!({}));
    }
    if is_manual {
        queries.insert(TASK_QUERY.to_owned(), json!({}));
    }
    json!({
        "workflow_type": common.workflow_type,
        "task_queue": task_queue,
        "version": common.version,
        "description": common.description,
        "input_schema": common.input_schema,
        "output_schema": result_schema(&common.output_schema),
        "queries": queries,
        "updates": if is_manual { updates() } else { json!({}) },
        "search_attributes": common.search_attributes,
        "labels": common.labels,
        "tags": common.tags,
        "owner": common.owner,
        "examples": common.examples,
        "deprecated": common.deprecated,
        "metadata": metadata,
    })
}

/// The schema of a whole result. The entry's own schema for `output` counts for succeeded runs; one with references
/// is left out, since they would point into the wrong document here. The runner checks it either way.
fn result_schema(output: &Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["status", "exit_code", "started_at", "finished_at", "error_summary", "output", "artifacts"],
        "properties": {
            "status": {"enum": ["succeeded", "failed", "timed_out", "cancelled", "rejected"]},
            "exit_code": {"type": ["integer", "null"]},
            "started_at": {"type": ["string", "null"]},
            "finished_at": {"type": ["string", "null"]},
            "error_summary": {"type": ["string", "null"]},
            "artifacts": {"type": "array"},
            "outcome": {"enum": ["unknown"]},
        },
    });
    let text = output.to_string();
    let stands_alone =
        !["\"$ref\"", "\"$dynamicRef\"", "\"$id\"", "\"$schema\""].iter().any(|key| text.contains(key));
    if let Some(members) = schema.as_object_mut()
        && stands_alone
        && output.as_object().is_some_and(|schema| !schema.is_empty())
    {
        members.insert("if".to_owned(), json!({"properties": {"status": {"const": "succeeded"}}}));
        members.insert("then".to_owned(), json!({"properties": {"output": output}}));
    }
    schema
}

/// The updates of a task, with the schemas of their arguments.
fn updates() -> Value {
    let assignee = json!({"type": "string", "minLength": 1, "maxLength": 1000});
    let lease = json!({"type": "integer", "minimum": 1, "maximum": 604_800});
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let claim = object(json!({"assignee": assignee, "lease_seconds": lease}), &["assignee"]);
    json!({
        "task_claim": claim,
        "task_reassign": claim,
        "task_release": object(json!({"assignee": assignee}), &[]),
        "task_complete": object(json!({"output": {}, "assignee": assignee}), &[]),
        "task_fail": object(json!({"reason": {"type": "string"}, "assignee": assignee}), &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::validation;

    #[test]
    fn the_result_schema_accepts_results_and_checks_the_output_of_good_ones() {
        let schema = result_schema(&json!({"type": "object", "required": ["n"]}));
        let result = |status: &str, output: Value| {
            json!({"status": status, "exit_code": null, "started_at": null, "finished_at": null,
                "error_summary": null, "output": output, "artifacts": []})
        };
        let broken = |value: &Value| validation::violations(&schema, value).unwrap().len();
        assert_eq!(broken(&result("succeeded", json!({"n": 1}))), 0);
        assert_eq!(broken(&result("failed", Value::Null)), 0);
        assert_ne!(broken(&result("succeeded", json!({}))), 0);
        assert_ne!(broken(&result("done", json!({"n": 1}))), 0);
    }

    #[test]
    fn a_manual_entry_offers_its_updates() {
        let yaml =
            "{worker: {id: w}, entries: [{workflow_type: a.v1, kind: manual, metadata: {become: root}}]}";
        let config = RunnerConfig::parse(yaml, "test").unwrap();
        let spec = &body(&config, "x")["workflows"][0];
        assert_eq!(
            spec["metadata"],
            json!({"become": "root", "runner": {"kind": "manual", "idempotent": false}})
        );
        assert_eq!(spec["updates"].as_object().unwrap().len(), 5);
        for schema in spec["updates"].as_object().unwrap().values() {
            validation::compile(schema).unwrap();
        }
    }
}
