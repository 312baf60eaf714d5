//! `/registry/hosts`: the machines workers say they run on, also as an inventory for other tools.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::Role;
use super::endpoint::{Endpoint, Routes};
use super::inventory;
use super::page::Page;
use super::params::ApiQuery;
use super::problem::Problem;
use super::shapes::WorkerHealth;
use super::state::AppState;
use super::task_queues::{WorkerThere, best};
use crate::{
    clock,
    fleet::Judge,
    registry::Health,
    view::{Member, View},
};

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Read, routes!(list_hosts)).from_view())
}

/// How to list hosts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HostQuery {
    /// `json`, `csv`, `ansible` or `ssh_config`.
    #[serde(default)]
    #[param(inline)]
    format: HostFormat,
    /// Items at most, 1 to 1000; all of them when absent.
    limit: Option<u32>,
    /// Where the last page ended.
    page_token: Option<String>,
}

/// What an inventory is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HostFormat {
    #[default]
    Json,
    Csv,
    Ansible,
    SshConfig,
}

/// Hosts, by name.
#[derive(Serialize, ToSchema)]
struct HostList {
    hosts: Vec<HostShape>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// A machine that workers run on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Host)]
pub(super) struct HostShape {
    /// As its workers name it.
    #[schema(example = "build-host-1")]
    pub host: String,
    /// The best health among its workers.
    pub health: WorkerHealth,
    /// Its workers, by id.
    pub workers: Vec<WorkerThere>,
    /// The types served on it.
    #[schema(example = json!(["report.v1"]))]
    pub workflows: Vec<String>,
    /// The queues served on it.
    #[schema(example = json!(["reports"]))]
    pub task_queues: Vec<String>,
    /// Labels of its workers; where they differ, that of a healthy one, then that of the first by id.
    #[schema(example = json!({}))]
    pub labels: BTreeMap<String, String>,
    /// Metadata of its workers, in the same order of preference.
    #[schema(example = json!({}))]
    pub metadata: Map<String, Value>,
}

/// Lists the hosts that workers run on.
///
/// Workers that name no host are left out. `csv` is for spreadsheets, `ansible` is an inventory in YAML, `ssh_config` has
/// one `Host` block each. The latter two take `host_name`, `user` and `port` from `metadata.ssh`, and leave out
/// hosts whose name is neither a host name nor an address; the first line says how many.
#[utoipa::path(
    get, path = "/registry/hosts", tag = "registry", params(HostQuery),
    responses((status = 200, content(
        (HostList = "application/json"),
        (String = "text/csv", example = "\"host\",\"health\",\"workers\",\"workflows\",\"task_queues\",\"labels\",\"metadata\"\r\n"),
        (String = "application/yaml"),
        (String = "text/plain", example = "Host \"build-host-1\"\n    User \"deploy\"\n")
    )))
)]
async fn list_hosts(
    State(state): State<AppState>,
    ApiQuery(query): ApiQuery<HostQuery>,
) -> Result<Response, Problem> {
    let page = Page::new(query.limit, query.page_token.as_deref())?;
    let view = state.reads.view();
    let judge = state.fleet.judge(&view, clock::now_ms());
    let (hosts, next_page_token) = page.cut(hosts(&view, &judge), |host| &host.host);
    let text = |kind: &'static str, body: String| {
        let nosniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        ([(header::CONTENT_TYPE, kind), nosniff], body).into_response()
    };
    Ok(match query.format {
        HostFormat::Json => Json(HostList { hosts, next_page_token }).into_response(),
        HostFormat::Csv => text("text/csv; charset=utf-8; header=present", inventory::csv(&hosts)),
        HostFormat::Ansible => text("application/yaml", inventory::ansible(&hosts)),
        HostFormat::SshConfig => text("text/plain; charset=utf-8", inventory::ssh_config(&hosts)),
    })
}

fn hosts(view: &View, judge: &Judge) -> Vec<HostShape> {
    let mut found: BTreeMap<&str, Vec<&Member>> = BTreeMap::new();
    for member in view.workers.values().filter(|member| !member.worker.host.is_empty()) {
        found.entry(&member.worker.host).or_default().push(member);
    }
    found.into_iter().map(|(host, members)| shape(host, &members, judge)).collect()
}

fn shape(host: &str, members: &[&Member], judge: &Judge) -> HostShape {
    let served = |name: fn(&crate::registry::Served) -> &String| -> Vec<String> {
        let all = members.iter().flat_map(|member| member.worker.workflows.iter().map(name).cloned());
        all.collect::<BTreeSet<_>>().into_iter().collect()
    };
    let workers = members.iter().map(|member| WorkerThere {
        worker_id: member.worker.worker_id.clone(),
        health: judge.health(member).into(),
        host: host.to_owned(),
    });
    let mut preferred = members.to_vec();
    preferred.sort_by_key(|member| judge.health(member) != Health::Healthy);
    let (mut labels, mut metadata) = (BTreeMap::new(), Map::new());
    for member in preferred {
        for (key, value) in &member.worker.labels {
            labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &member.worker.metadata {
            metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    HostShape {
        host: host.to_owned(),
        health: best(members.iter().map(|member| judge.health(member))),
        workers: workers.collect(),
        workflows: served(|served| &served.workflow_type),
        task_queues: served(|served| &served.task_queue),
        labels,
        metadata,
    }
}
