//! `POST /run`: starts an agent run with less to say than a start.

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::ApiJson;
use super::endpoint::{Endpoint, Routes};
use super::idempotency;
use super::problem::Problem;
use super::start_body::StartBody;
use super::starts::{START_PROBLEMS, StartedBody, start_problem};
use super::state::AppState;
use crate::seams::{RunId, StartRequest};
use crate::view::View;

/// Directories that are no place to work in.
const SYSTEM_ROOTS: &[&str] = &[
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/proc", "/root", "/sbin",
    "/sys", "/usr", "/var",
];

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Dispatch, routes!(run)).problems(START_PROBLEMS).waits())
}

/// An agent run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentRun {
    /// The type to start.
    #[serde(default = "agent_run")]
    #[schema(min_length = 1, default = agent_run)]
    workflow_type: String,
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,63}$")]
    agent_id: String,
    /// An absolute path that is not a system directory.
    #[schema(min_length = 1)]
    workspace: String,
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    agent_acp_provider: String,
    /// Further agents to run; needs `chain_mode`.
    #[serde(default)]
    chain: Vec<ChainStep>,
    #[serde(default)]
    chain_mode: ChainMode,
    /// A human name; the run gets the next `<slug>-r<N>` that is not in use.
    #[serde(default)]
    #[schema(max_length = 128)]
    name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChainStep {
    #[serde(default)]
    #[schema(pattern = "^([a-z0-9][a-z0-9._-]{0,63})?$")]
    agent_id: String,
    #[serde(default)]
    prompt: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ChainMode {
    #[default]
    #[serde(rename = "")]
    Unset,
    Override,
    Append,
}

fn agent_run() -> String {
    "agent.run.v1".to_owned()
}

/// Starts an agent run.
///
/// The body without `workflow_type` and `name`, all defaults filled in, is the input.
#[utoipa::path(
    post,
    path = "/run",
    tag = "runs",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body = AgentRun,
    responses((status = 200, body = StartedBody, headers(("Location" = String, description = "The run."))))
)]
async fn run(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<AgentRun>,
) -> Result<StartedBody, Problem> {
    who.require_type(&body.workflow_type)?;
    let idempotency = idempotency::keyed(&headers, "/run", &body)?;
    let request = StartRequest { idempotency, ..body.request(&state.reads.view(), &who.name)? };
    let started = state.starts.start(request).await.map_err(|error| start_problem(error, &[]))?;
    Ok(started.into())
}

impl AgentRun {
    fn request(mut self, view: &View, caller: &str) -> Result<StartRequest, Problem> {
        let mut details = Vec::new();
        match workspace(&self.workspace) {
            Ok(workspace) => self.workspace = workspace,
            Err(msg) => {
                details.extend(Problem::invalid_at(&["body", "workspace"], msg, "value_error").details);
            }
        }
        if !self.chain.is_empty() && self.chain_mode == ChainMode::Unset {
            let msg = "is needed with a chain: \"override\" or \"append\"";
            details.extend(Problem::invalid_at(&["body", "chain_mode"], msg, "value_error").details);
        }
        if !details.is_empty() {
            return Err(Problem::invalid_request(details));
        }
        let search_attributes = self.search_attributes(view);
        let run_id = if self.name.is_empty() {
            RunId::Prefixed(format!("run-agent-{}", self.agent_id))
        } else {
            RunId::Named(self.name.clone())
        };
        let mut input = serde_json::to_value(&self).unwrap_or_default();
        if let Some(object) = input.as_object_mut() {
            object.remove("workflow_type");
            object.remove("name");
        }
        let body = StartBody { input: Some(input), ..StartBody::default() };
        Ok(StartRequest { run_id, search_attributes, ..body.request(&self.workflow_type, caller)? })
    }

    /// The attributes that go with a run, as far as the type declares them.
    fn search_attributes(&self, view: &View) -> Map<String, Value> {
        let Some(entry) = view.types.get(&self.workflow_type) else { return Map::new() };
        let declared = &entry.current.spec.search_attributes;
        let known = [("agent_id", &self.agent_id), ("agent_acp_provider", &self.agent_acp_provider)];
        known
            .into_iter()
            .filter(|(name, value)| !value.is_empty() && declared.iter().any(|known| known.name == *name))
            .map(|(name, value)| (name.to_owned(), Value::from(value.as_str())))
            .collect()
    }
}

/// The path without `.`, `..` and repeated slashes (a leading pair included), unless it is not absolute or a system
/// directory.
fn workspace(path: &str) -> Result<String, String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(format!("{path:?} is not an absolute path"));
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    let normal = format!("/{}", parts.join("/"));
    if SYSTEM_ROOTS.contains(&normal.as_str()) {
        return Err(format!("{path:?} is a system directory"));
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspaces_are_normalised_or_refused() {
        let table = [
            ("/srv/work", Some("/srv/work")),
            ("/srv//work/./a/../", Some("/srv/work")),
            ("//srv/work", Some("/srv/work")),
            ("/etc/agent", Some("/etc/agent")),
            ("/home/me", Some("/home/me")),
            ("/etc", None),
            ("//etc", None),
            ("///etc/", None),
            ("/srv/../etc/.", None),
            ("/", None),
            ("//", None),
            ("/..", None),
            ("/root", None),
            ("srv", None),
            ("./srv", None),
            ("~/srv", None),
        ];
        for (path, expected) in table {
            assert_eq!(workspace(path).ok().as_deref(), expected, "{path}");
        }
    }
}
