//! A resource as any other, which counts what reaches its handlers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::http::auth::{Identity, Role};
use crate::http::body::{ApiJson, OptionalJson};
use crate::http::code::Code;
use crate::http::endpoint::{Endpoint, Routes};
use crate::http::params::{ApiPath, ApiQuery};
use crate::http::problem::Problem;

pub struct Probe {
    pub executed: AtomicUsize,
    /// Handlers of `/probe/stuck` and `/probe/wait` that have begun.
    pub begun: Semaphore,
    /// Handlers of `/probe/wait` that may end.
    pub release: Semaphore,
}

impl Default for Probe {
    fn default() -> Self {
        Self { executed: AtomicUsize::new(0), begun: Semaphore::new(0), release: Semaphore::new(0) }
    }
}

type Seen = Extension<Arc<Probe>>;

pub fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(probe_list)))
        .with(Endpoint::needs(Role::Register, routes!(probe_create)).problems(&[Code::InvalidSchema]))
        .with(Endpoint::needs(Role::Admin, routes!(probe_get_numbered, probe_remove)))
        .with(Endpoint::needs(Role::Dispatch, routes!(probe_touch)))
        .with(Endpoint::needs(Role::Dispatch, routes!(probe_compute)).reads())
        .with(Endpoint::needs(Role::Read, routes!(probe_stuck_read, probe_stuck)))
        .with(Endpoint::needs(Role::Read, routes!(probe_wait)).waits())
        .with(Endpoint::needs(Role::Read, routes!(probe_panic)))
        .with(Endpoint::needs(Role::Read, routes!(probe_fail)))
        .with(Endpoint::needs(Role::Dispatch, routes!(probe_typed)))
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    size: u8,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Thing {
    #[schema(min_length = 1)]
    name: String,
    note: Option<String>,
    #[serde(default)]
    parts: Vec<Part>,
    main: Option<Part>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    #[serde(default)]
    kind: Kind,
}

#[derive(Serialize, Deserialize, ToSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Plain,
    Fancy,
}

#[derive(Serialize, Deserialize, ToSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct Touch {
    reason: String,
}

#[derive(Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    limit: Option<u32>,
    /// Repeatable.
    #[serde(default)]
    label: Vec<String>,
    healthy: Option<bool>,
    q: Option<String>,
}

#[utoipa::path(get, path = "/probe/things", params(Filter), responses((status = 200)))]
async fn probe_list(ApiQuery(filter): ApiQuery<Filter>) -> Json<Filter> {
    Json(filter)
}

#[utoipa::path(post, path = "/probe/things", request_body = Thing, responses((status = 201)))]
async fn probe_create(Extension(seen): Seen, ApiJson(thing): ApiJson<Thing>) -> Json<Value> {
    let executed = seen.executed.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({"thing": thing, "executed": executed}))
}

#[utoipa::path(get, path = "/probe/things/{number}", params(("number" = u32, Path)), responses((status = 200)))]
async fn probe_get_numbered(ApiPath(number): ApiPath<u32>) -> Json<u32> {
    Json(number)
}

#[utoipa::path(delete, path = "/probe/things/{number}", params(("number" = u32, Path)), responses((status = 204)))]
async fn probe_remove(ApiPath(_number): ApiPath<u32>) {}

/// Takes a body, or none.
#[utoipa::path(post, path = "/probe/touch", request_body = Option<Touch>, responses((status = 200)))]
async fn probe_touch(Extension(seen): Seen, OptionalJson(touch): OptionalJson<Touch>) -> Json<Touch> {
    seen.executed.fetch_add(1, Ordering::SeqCst);
    Json(touch)
}

/// Reads no body at all.
#[utoipa::path(post, path = "/probe/compute", responses((status = 200)))]
async fn probe_compute(Extension(seen): Seen) -> Json<usize> {
    Json(seen.executed.fetch_add(1, Ordering::SeqCst) + 1)
}

#[utoipa::path(get, path = "/probe/stuck", responses((status = 200)))]
async fn probe_stuck_read() {
    std::future::pending::<()>().await;
}

#[utoipa::path(post, path = "/probe/stuck", responses((status = 200)))]
async fn probe_stuck(Extension(seen): Seen) {
    seen.begun.add_permits(1);
    std::future::pending::<()>().await;
}

#[utoipa::path(get, path = "/probe/wait", responses((status = 200)))]
async fn probe_wait(Extension(seen): Seen) -> &'static str {
    seen.begun.add_permits(1);
    seen.release.acquire().await.unwrap().forget();
    "done"
}

#[utoipa::path(get, path = "/probe/panic", responses((status = 200)))]
async fn probe_panic() {
    panic!("the secret is hunter2");
}

/// Answers with the problem named.
#[utoipa::path(get, path = "/probe/fail/{code}", params(("code" = String, Path)), responses((status = 200)))]
async fn probe_fail(ApiPath(name): ApiPath<String>) -> Result<(), Problem> {
    let code = Code::ALL.iter().find(|code| code.as_str() == name).copied().unwrap();
    Err(Problem::new(code, "as told").with("extra", 7).with("status", 1))
}

#[utoipa::path(
    post, path = "/probe/typed/{workflow_type}", params(("workflow_type" = String, Path)), responses((status = 200))
)]
async fn probe_typed(
    Extension(who): Extension<Identity>,
    ApiPath(workflow_type): ApiPath<String>,
) -> Result<Json<Value>, Problem> {
    who.require_type(&workflow_type)?;
    Ok(Json(json!({"who": &*who.name})))
}
