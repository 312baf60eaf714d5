//! GET /registry/workflows: the whole catalogue, or what one looks for in it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::answers::answer;
use super::auth::Role;
use super::endpoint::{Endpoint, Routes};
use super::etag::ETag;
use super::labels::Labels;
use super::page::Page;
use super::params::ApiQuery;
use super::problem::Problem;
use super::serving::Serving;
use super::shapes::WorkflowShape;
use super::state::AppState;
use crate::{
    registry::{Spec, TypeEntry},
    view::View,
};

pub(super) fn routes() -> Routes {
    Routes::default().with(Endpoint::needs(Role::Read, routes!(list_workflows)).from_view())
}

/// Which types to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WorkflowFilter {
    /// Text in the type, a tag or the description, in any case; the best matches come first.
    q: Option<String>,
    /// With this label, as `key=value`; repeatable, and all of them count.
    #[serde(default)]
    label: Vec<String>,
    /// With this tag.
    tag: Option<String>,
    /// With this task queue, the spec's own or one a worker serves it on.
    task_queue: Option<String>,
    /// With this owner.
    owner: Option<String>,
    /// Whether a worker serves it that is not unhealthy.
    healthy: Option<bool>,
    /// Whether it is enabled.
    enabled: Option<bool>,
    /// Items at most, 1 to 1000; all of them when absent.
    limit: Option<u32>,
    /// Where the last page ended.
    page_token: Option<String>,
}

/// Workflow types.
#[derive(Serialize, ToSchema)]
struct WorkflowList {
    /// By type; with `q` the best matches first.
    workflows: Vec<WorkflowShape>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// Lists workflow types with the workers that serve them.
#[utoipa::path(
    get, path = "/registry/workflows", tag = "workflows",
    params(
        WorkflowFilter,
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that is known already.")
    ),
    responses(
        (status = 200, body = WorkflowList, headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "Nothing but heartbeats since.")
    )
)]
async fn list_workflows(
    State(state): State<AppState>,
    ApiQuery(filter): ApiQuery<WorkflowFilter>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&state, &headers, |view, serving| list(&filter, view, serving))
}

fn list<'v>(
    filter: &WorkflowFilter,
    view: &'v View,
    serving: &Serving<'v>,
) -> Result<(ETag, WorkflowList), Problem> {
    let page = Page::new(filter.limit, filter.page_token.as_deref())?;
    let labels = Labels::read(&filter.label)?;
    let fits = |entry: &TypeEntry| {
        fits(filter, &labels, view, entry)
            && filter.healthy.is_none_or(|healthy| serving.is_served(entry) == healthy)
    };
    let entries = view.types.values().map(|entry| &**entry).filter(|entry| fits(entry));
    let mut found: Vec<(String, &TypeEntry)> = match &filter.q {
        None => entries.map(|entry| (entry.workflow_type().to_owned(), entry)).collect(),
        Some(q) => {
            let q = q.to_lowercase();
            let ranked = |entry: &TypeEntry| {
                Some(format!("{}{}", rank(&entry.current.spec, &q)?, entry.workflow_type()))
            };
            entries.filter_map(|entry| Some((ranked(entry)?, entry))).collect()
        }
    };
    found.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let (found, next_page_token) = page.cut(found, |(key, _)| key);
    let tag = serving.list_etag(found.iter().map(|(_, entry)| *entry), next_page_token.as_deref());
    let workflows = found.iter().map(|(_, entry)| serving.shape(entry)).collect();
    Ok((tag, WorkflowList { workflows, next_page_token }))
}

fn fits(filter: &WorkflowFilter, labels: &Labels<'_>, view: &View, entry: &TypeEntry) -> bool {
    let (spec, name) = (&entry.current.spec, entry.workflow_type());
    let on = |queue: &str| {
        let mut served = view.workers_of(name).filter_map(|member| member.worker.queue_for(name));
        spec.task_queue == queue || served.any(|served| served.task_queue == queue)
    };
    filter.enabled.is_none_or(|enabled| enabled == entry.enabled)
        && filter.owner.as_deref().is_none_or(|owner| owner == spec.owner)
        && filter.tag.as_deref().is_none_or(|tag| spec.tags.iter().any(|found| found == tag))
        && filter.task_queue.as_deref().is_none_or(on)
        && labels.all_in(&spec.labels)
}

/// How well a spec matches a lower-case text: 0 is best, none is not at all.
fn rank(spec: &Spec, q: &str) -> Option<u8> {
    let name = spec.workflow_type.to_lowercase();
    let has = |text: &String| text.to_lowercase().contains(q);
    match () {
        () if name == q => Some(0),
        () if name.starts_with(q) => Some(1),
        () if name.contains(q) => Some(2),
        () if spec.tags.iter().any(has) => Some(3),
        () if has(&spec.description) => Some(4),
        () => None,
    }
}
