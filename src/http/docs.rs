//! `/openapi.json`, and Swagger UI at `/docs/` from files inside the binary.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use utoipa_axum::routes;
use utoipa_swagger_ui::Config;

use super::auth::Role;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::params::ApiPath;
use super::problem::Problem;

/// The document served, as JSON.
#[derive(Clone)]
pub(super) struct Document(pub Bytes);

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(openapi_json)).documents())
        .with(Endpoint::needs(Role::Read, routes!(docs)).documents())
        .with(Endpoint::needs(Role::Read, routes!(docs_index)).documents())
        .with(Endpoint::needs(Role::Read, routes!(docs_file)).documents().problems(&[Code::RouteNotFound]))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "service", responses((status = 200, body = serde_json::Value)))]
async fn openapi_json(Extension(Document(json)): Extension<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], json)
}

/// Leads to the documentation.
#[utoipa::path(get, path = "/docs", tag = "service", responses((status = 307, description = "To `/docs/`.")))]
async fn docs() -> Redirect {
    // Relative, so that it holds behind a proxy that serves this under a prefix.
    Redirect::temporary("docs/")
}

/// Documentation to read and try.
#[utoipa::path(
    get, path = "/docs/", tag = "service", responses((status = 200, body = String, content_type = "text/html"))
)]
async fn docs_index() -> Result<Response, Problem> {
    file("index.html")
}

/// A file of the documentation page.
#[utoipa::path(
    get, path = "/docs/{file}", tag = "service", params(("file" = String, Path)),
    responses((status = 200, description = "The file."))
)]
async fn docs_file(ApiPath(name): ApiPath<String>) -> Result<Response, Problem> {
    file(&name)
}

fn file(name: &str) -> Result<Response, Problem> {
    // Swagger UI would otherwise ask a validator on the network about this document.
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        Arc::new(Config::new(["../openapi.json"]).validator_url("none").persist_authorization(true))
    });
    let file = utoipa_swagger_ui::serve(name, CONFIG.clone()).map_err(|error| {
        tracing::error!(%error, name, "a documentation file could not be made");
        Problem::new(Code::Internal, "the file could not be made")
    })?;
    let file = file.ok_or_else(|| Problem::new(Code::RouteNotFound, "the documentation has no such file"))?;
    let mut response = ([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response();
    if file.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
