//! `GET /runs/{workflow_id}/events`: the history of a run as it happens.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::gate::Slot;
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::runs::{RunParams, run_ref};
use super::shapes::MilestoneShape;
use super::state::AppState;
use crate::seams::{Cursor, Milestone, Runs};

const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn routes() -> Routes {
    let problems = &[Code::RunNotFound, Code::TemporalUnavailable];
    Routes::default().with(Endpoint::needs(Role::Read, routes!(run_events)).problems(problems).waits())
}

/// What happens in a run, as server-sent events.
///
/// `status` events say where the run stands, `milestone` events what it did; the data of both is a `MilestoneShape`. The
/// stream follows continuations and ends with the last run. A client that sends the last id it saw as `Last-Event-ID` goes
/// on from there; 204 says that nothing comes any more.
#[utoipa::path(
    get, path = "/runs/{workflow_id}/events", tag = "runs",
    params(("workflow_id" = String, Path), RunParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen.")),
    responses((status = 200, body = MilestoneShape, content_type = "text/event-stream"), (status = 204))
)]
async fn run_events(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    Extension(slot): Extension<Slot>,
    Extension(stop): Extension<CancellationToken>,
    ApiPath(workflow_id): ApiPath<String>,
    ApiQuery(params): ApiQuery<RunParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (seen_run, after) = last_seen(&headers)?;
    let run = state.runs.describe(&run_ref(workflow_id, seen_run.or(params.run_id))).await?;
    who.require_type(&run.workflow_type)?;
    if !run.status.is_open() && after >= run.history_events {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let cursor = Cursor { workflow_id: run.workflow_id, run_id: run.run_id, after, page: Vec::new() };
    let source = Source { runs: state.runs.clone(), next: Some(cursor), ready: VecDeque::new(), _slot: slot };
    let events = stream::unfold(source, async |mut source| source.next().await.map(|event| (event, source)));
    // A client goes on from the last event at another replica.
    let events = events.take_until(stop.cancelled_owned());
    let buffering = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(([buffering], Sse::new(events).keep_alive(KeepAlive::default())).into_response())
}

/// `<run id>:<event id>`, or the event id alone.
fn last_seen(headers: &HeaderMap) -> Result<(Option<String>, i64), Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok((None, 0)) };
    let text = value.to_str().unwrap_or("?");
    let (run_id, number) = match text.split_once(':') {
        Some((run_id, number)) => (Some(run_id.to_owned()), number),
        None => (None, text),
    };
    match number.parse() {
        Ok(number) if number >= 0 => Ok((run_id, number)),
        Ok(_) | Err(_) => {
            Err(Problem::invalid_at(&["header", LAST_EVENT_ID], "is no id of these events", "value_error"))
        }
    }
}

/// Where the events come from.
struct Source {
    runs: Arc<dyn Runs>,
    next: Option<Cursor>,
    ready: VecDeque<Milestone>,
    /// Counts this stream among the waiting requests for as long as it lasts.
    _slot: Slot,
}

impl Source {
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        loop {
            if let Some(milestone) = self.ready.pop_front() {
                return Some(Ok(event(milestone)));
            }
            let cursor = self.next.take()?;
            match self.runs.milestones(&cursor).await {
                Ok(page) => {
                    self.ready.extend(page.milestones);
                    self.next = page.next;
                }
                Err(error) => {
                    let problem = Problem::from(error);
                    let data = json!({"code": problem.code, "detail": problem.detail});
                    return Some(Ok(Event::default().event("error").data(data.to_string())));
                }
            }
        }
    }
}

fn event(milestone: Milestone) -> Event {
    let name = if milestone.status.is_some() { "status" } else { "milestone" };
    let id = format!("{}:{}", milestone.run_id, milestone.event_id);
    let data = json!(MilestoneShape::from(milestone));
    Event::default().event(name).id(id).data(data.to_string())
}
