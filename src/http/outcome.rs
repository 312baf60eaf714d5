//! How a run ended, in JSON.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::shapes::{FailureShape, RunStatusWord};
use super::state::AppState;
use crate::seams::{Ended, RunInfo};

/// How a run ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeBody {
    /// Its workflow id.
    pub workflow_id: String,
    /// The last run of its chain.
    pub run_id: String,
    /// Its type.
    pub workflow_type: String,
    #[serde(flatten)]
    #[schema(inline)]
    pub ending: Ending,
}

/// What came of a run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ending {
    /// How it ended.
    pub status: RunStatusWord,
    /// What it returned, when it completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed, when it did not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<FailureShape>,
    /// Where the result breaks the output schema of the type; absent when it fits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub result_errors: Vec<ResultError>,
}

/// Where a result breaks the output schema.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResultError {
    /// JSON pointer into the result.
    pub pointer: String,
    /// What is wrong, for people.
    pub msg: String,
    /// What is wrong, for programs.
    pub r#type: String,
}

/// How a run ended.
pub(super) fn outcome(state: &AppState, run: RunInfo, ended: Ended) -> OutcomeBody {
    let ending = ending(state, &run, ended);
    let RunInfo { workflow_id, run_id, workflow_type, .. } = run;
    OutcomeBody { workflow_id, run_id, workflow_type, ending }
}

/// What came of a run, its result checked against what the type promises.
pub(super) fn ending(state: &AppState, run: &RunInfo, ended: Ended) -> Ending {
    let status = run.status.into();
    match ended {
        Ended::Completed(result) => {
            let result_errors = broken(state, &run.workflow_type, &result);
            Ending { status, result: Some(result), failure: None, result_errors }
        }
        Ended::Failed(failure) => {
            Ending { status, result: None, failure: Some(failure.into()), result_errors: Vec::new() }
        }
    }
}

fn broken(state: &AppState, workflow_type: &str, result: &Value) -> Vec<ResultError> {
    let view = state.reads.view();
    let Some(entry) = view.types.get(workflow_type) else { return Vec::new() };
    let schema = &entry.current.spec.output_schema;
    // Admitted when it was registered; a schema that cannot be compiled any more promises nothing.
    let validator = state.validators.of_spec(&entry.current.hash, "output_schema", schema);
    let Ok(validator) = validator else { return Vec::new() };
    let violations = validator.check(result).into_iter();
    violations.map(|v| ResultError { pointer: v.pointer, msg: v.msg, r#type: v.kind }).collect()
}
