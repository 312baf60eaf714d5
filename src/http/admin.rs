//! Ending the registry workflow.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::auth::Role;
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::problem::Problem;
use super::state::AppState;

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(Endpoint::needs(Role::Admin, routes!(shut_down)).problems(&[Code::TemporalUnavailable]))
}

/// What became of a shutdown.
#[derive(Serialize, ToSchema)]
struct ShutdownAnswer {
    #[schema(example = "shutdown signaled")]
    status: &'static str,
}

/// Ends the registry workflow; its state goes to the next start.
///
/// This process goes on: the next write brings the registry back.
#[utoipa::path(
    post, path = "/registry/shutdown", tag = "registry", responses((status = 202, body = ShutdownAnswer))
)]
async fn shut_down(State(state): State<AppState>) -> Result<(StatusCode, Json<ShutdownAnswer>), Problem> {
    state.shutdown.shut_down().await?;
    Ok((StatusCode::ACCEPTED, Json(ShutdownAnswer { status: "shutdown signaled" })))
}
