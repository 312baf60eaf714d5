//! `/workflow-ids`: numbered workflow ids out of human names.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::ApiJson;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::idempotency;
use super::page::Page;
use super::params::ApiQuery;
use super::problem::Problem;
use super::refusal::unexpected;
use super::shapes::epoch_seconds;
use super::state::AppState;
use crate::{
    clock,
    registry::{Command, Outcome, Reservation, run_name},
    seams::IdempotencyKey,
};

pub(super) fn routes() -> Routes {
    const WRITING: &[Code] =
        &[Code::QueueFull, Code::RegistryFull, Code::TemporalUnavailable, Code::OutcomeUnknown];
    const CLAIMING: &[Code] = &[
        Code::IdempotencyKeyReused,
        Code::QueueFull,
        Code::RegistryFull,
        Code::TemporalUnavailable,
        Code::OutcomeUnknown,
    ];
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(list_workflow_ids)).from_view())
        .with(Endpoint::needs(Role::Dispatch, routes!(claim_workflow_id)).from_view().problems(CLAIMING))
        .with(Endpoint::needs(Role::Admin, routes!(reset_workflow_id)).from_view().problems(WRITING))
}

/// A human name.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SlugRequest {
    /// Lower-cased; every run of characters other than `a-z`, `0-9` and `-` becomes one `-`.
    #[schema(min_length = 1, max_length = 128, example = "Nightly build")]
    name: String,
}

/// A number that nobody else was given.
#[derive(Serialize, ToSchema)]
struct SlugClaimed {
    #[schema(example = "nightly-build")]
    slug: String,
    #[schema(example = 7)]
    counter: u64,
    #[schema(example = "nightly-build-r7")]
    workflow_id: String,
}

/// A counter that starts over.
#[derive(Serialize, ToSchema)]
struct SlugWasReset {
    #[schema(example = "nightly-build")]
    slug: String,
    /// The last number given before; 0 when there was none.
    #[schema(example = 7)]
    previous_counter: u64,
    /// The next number given is one more.
    #[schema(example = 0)]
    reset_to: u64,
}

/// Which counters to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SlugPage {
    /// Items at most, 1 to 1000; all of them when absent.
    limit: Option<u32>,
    /// Where the last page ended.
    page_token: Option<String>,
}

/// Counters, by slug.
#[derive(Serialize, ToSchema)]
struct SlugCounterList {
    slug_counters: Vec<SlugCounterShape>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_token: Option<String>,
}

/// The last number given for a slug.
#[derive(Serialize, ToSchema)]
#[schema(as = SlugCounter)]
struct SlugCounterShape {
    #[schema(example = "nightly-build")]
    slug: String,
    #[schema(example = 7)]
    counter: u64,
    /// Seconds since the Unix epoch.
    #[schema(example = 1777636800.0)]
    last_claimed_epoch: f64,
}

/// Claims the next number of a name.
///
/// With an `Idempotency-Key` the same request gets the same number however often it is sent, for 24 hours unless configured
/// otherwise.
#[utoipa::path(
    post, path = "/workflow-ids/claim", tag = "workflow ids",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    request_body(content = SlugRequest, example = json!({"name": "Nightly build"})),
    responses((status = 200, body = SlugClaimed))
)]
async fn claim_workflow_id(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<SlugRequest>,
) -> Result<Json<SlugClaimed>, Problem> {
    let key = idempotency::keyed(&headers, "/workflow-ids/claim", &body)?;
    let outcome = state.write(&claim(body, key, &who)).await?;
    let claimed = match &outcome {
        Outcome::Claimed { slug, counter } => Some((slug.clone(), *counter)),
        Outcome::Reserved { reserved, .. } => {
            let parts = reserved.workflow_id.rsplit_once("-r");
            parts.and_then(|(slug, counter)| Some((slug.to_owned(), counter.parse().ok()?)))
        }
        _ => None,
    };
    let (slug, counter) = claimed.ok_or_else(|| unexpected(&outcome))?;
    Ok(Json(SlugClaimed { workflow_id: run_name(&slug, counter), slug, counter }))
}

/// A claim; one with a key is remembered like the id of a start, in the same scope.
fn claim(SlugRequest { name }: SlugRequest, key: Option<IdempotencyKey>, who: &Identity) -> Command {
    let Some(key) = key else { return Command::Claim { name } };
    Command::Reserve(Reservation {
        key: key.scoped(&who.name),
        fingerprint: key.fingerprint,
        workflow_id: String::new(),
        name: Some(name),
        instead_of: None,
    })
}

/// Starts the numbers of a name over.
#[utoipa::path(
    post, path = "/workflow-ids/reset", tag = "workflow ids",
    request_body(content = SlugRequest, example = json!({"name": "Nightly build"})),
    responses((status = 200, body = SlugWasReset))
)]
async fn reset_workflow_id(
    State(state): State<AppState>,
    ApiJson(SlugRequest { name }): ApiJson<SlugRequest>,
) -> Result<Json<SlugWasReset>, Problem> {
    match state.write(&Command::ResetSlug { name }).await? {
        Outcome::SlugReset { slug, previous_counter } => {
            Ok(Json(SlugWasReset { slug, previous_counter, reset_to: 0 }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Lists the counters.
#[utoipa::path(
    get, path = "/workflow-ids", tag = "workflow ids", params(SlugPage),
    responses((status = 200, body = SlugCounterList))
)]
async fn list_workflow_ids(
    State(state): State<AppState>,
    ApiQuery(page): ApiQuery<SlugPage>,
) -> Result<Json<SlugCounterList>, Problem> {
    let page = Page::new(page.limit, page.page_token.as_deref())?;
    let (view, now_ms) = (state.reads.view(), clock::now_ms());
    // The registry drops them with the next claim, which may be long in coming.
    let kept = view.slugs.values().filter(|counter| !counter.has_lapsed(state.slug_ttl_ms, now_ms));
    let all = kept.map(|counter| SlugCounterShape {
        slug: counter.slug.clone(),
        counter: counter.counter,
        last_claimed_epoch: epoch_seconds(counter.last_claimed_ms),
    });
    let (slug_counters, next_page_token) = page.cut(all, |counter| &counter.slug);
    Ok(Json(SlugCounterList { slug_counters, next_page_token }))
}
