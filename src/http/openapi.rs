//! The OpenAPI document: built from the same routes that are served.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

use super::code::catalogue;
use super::problem::ProblemShape;
use super::resources;

/// The document with every route at its usual place; needs neither configuration nor Temporal.
pub fn document() -> OpenApi {
    resources().mount(OpenApiRouter::with_openapi(head()), None).into_openapi()
}

/// Everything but the paths.
pub(super) fn head() -> OpenApi {
    let mut info = InfoBuilder::new()
        .title("temporal-registry")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(format!(
            "{}.\n\nEvery error is `application/problem+json`; branch on its `code`.\n\n{}",
            env!("CARGO_PKG_DESCRIPTION"),
            catalogue()
        )))
        .build();
    info.license = Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build());
    let mut schemas = vec![(ProblemShape::name().into_owned(), ProblemShape::schema())];
    ProblemShape::schemas(&mut schemas);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
        .build();
    let here = ServerBuilder::new().url("/").description(Some("Where this document was read.")).build();
    OpenApiBuilder::new().info(info).components(Some(components)).servers(Some([here])).build()
}
