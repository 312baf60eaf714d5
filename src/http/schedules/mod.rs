//! `/schedules`: work that starts by the clock.

mod answer;
mod body;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa_axum::routes;

use super::auth::{Identity, Role};
use super::body::{ApiJson, OptionalJson};
use super::code::Code;
use super::endpoint::{Endpoint, Routes};
use super::etag::{Demand, ETag, require_match};
use super::page::Page;
use super::params::{ApiPath, ApiQuery};
use super::problem::Problem;
use super::starts::{in_body, in_input};
use super::state::AppState;
use crate::seams::schedules::{Accepted, Listing, Put, ScheduleFailure, Stretch, request::parse_datetime};
use answer::{
    ListedSchedule, ScheduleAccepted, ScheduleList, SchedulePreview, ScheduleShape, ScheduleTouched, Touch,
};
use body::{BackfillBody, NoteBody, OverlapName, PreviewQuery, ScheduleBody, ScheduleFilter, TriggerBody};

/// Items of a page when no number is asked for.
const PAGE_DEFAULT: u32 = 100;
/// Fires foretold when no number is asked for.
const FIRES_DEFAULT: u32 = 10;

pub(super) fn routes() -> Routes {
    const MAKING: &[Code] = &[
        Code::InvalidInput,
        Code::RegistryQueueRefused,
        Code::WorkflowUnavailable,
        Code::ScheduleExists,
        Code::InvalidSchema,
        Code::SearchAttributesUnavailable,
        Code::TemporalUnavailable,
    ];
    const ONE: &[Code] = &[Code::ScheduleNotFound, Code::RevisionMismatch, Code::TemporalUnavailable];
    const PUTTING: &[Code] = &[
        Code::InvalidInput,
        Code::RegistryQueueRefused,
        Code::WorkflowUnavailable,
        Code::ScheduleNotFound,
        Code::ScheduleExists,
        Code::RevisionMismatch,
        Code::InvalidSchema,
        Code::SearchAttributesUnavailable,
        Code::TemporalUnavailable,
    ];
    Routes::default()
        .with(Endpoint::needs(Role::Read, routes!(list_schedules)).problems(&[Code::TemporalUnavailable]))
        .with(Endpoint::needs(Role::Dispatch, routes!(preview_schedule)).reads().problems(&[
            Code::InvalidInput,
            Code::RegistryQueueRefused,
            Code::WorkflowUnavailable,
            Code::InvalidSchema,
            Code::SearchAttributesUnavailable,
        ]))
        .with(Endpoint::needs(Role::Read, routes!(get_schedule)).problems(ONE))
        .with(Endpoint::needs(Role::Dispatch, routes!(post_schedule)).problems(MAKING))
        .with(Endpoint::needs(Role::Dispatch, routes!(put_schedule, delete_schedule)).problems(PUTTING))
        .with(Endpoint::needs(Role::Dispatch, routes!(pause_schedule)).problems(ONE))
        .with(Endpoint::needs(Role::Dispatch, routes!(unpause_schedule)).problems(ONE))
        .with(Endpoint::needs(Role::Dispatch, routes!(trigger_schedule)).problems(ONE))
        .with(Endpoint::needs(Role::Dispatch, routes!(backfill_schedule)).problems(ONE))
}

impl From<ScheduleFailure> for Problem {
    fn from(failure: ScheduleFailure) -> Self {
        match failure {
            ScheduleFailure::TypeUnavailable(name) => Problem::new(
                Code::WorkflowUnavailable,
                format!("workflow type {name} is unknown or disabled"),
            ),
            ScheduleFailure::NotFound => Problem::new(Code::ScheduleNotFound, "no schedule has this id"),
            ScheduleFailure::Exists => {
                Problem::new(Code::ScheduleExists, "a different schedule has this id; PUT replaces one")
            }
            ScheduleFailure::Foreign => Problem::new(
                Code::ScheduleExists,
                "a schedule that the registry did not make has this id; take another id, or delete it first",
            ),
            ScheduleFailure::Changed => {
                Problem::new(Code::RevisionMismatch, "the schedule is no longer as it was seen")
            }
            ScheduleFailure::Invalid(details) => Problem::invalid_request(in_body(details)),
            ScheduleFailure::InvalidInput(details) => {
                let detail = match details.len() {
                    1 => "the input does not fit its schema in one place".to_owned(),
                    count => format!("the input does not fit its schema in {count} places"),
                };
                Problem::new(Code::InvalidInput, detail).with_details(in_input(details, &["input"]))
            }
            ScheduleFailure::InvalidSchema(why) => Problem::new(Code::InvalidSchema, why),
            ScheduleFailure::RegistryQueue(queue) => {
                Problem::new(Code::RegistryQueueRefused, format!("{queue} is the registry's own task queue"))
            }
            ScheduleFailure::AttributesUnavailable(why) => {
                Problem::new(Code::SearchAttributesUnavailable, why)
            }
            ScheduleFailure::Refused(why) => {
                Problem::new(Code::InvalidRequest, format!("Temporal refuses it: {why}"))
            }
            ScheduleFailure::OverLimit(why) => Problem::new(Code::TooManyRequests, why),
            ScheduleFailure::TemporalUnavailable(why) => Problem::new(Code::TemporalUnavailable, why),
            ScheduleFailure::OutcomeUnknown(why) => Problem::new(
                Code::OutcomeUnknown,
                format!("it was sent, but Temporal gave no answer in time ({why}): it may have taken effect"),
            ),
            ScheduleFailure::Internal(why) => {
                tracing::error!(why, "a call about a schedule failed");
                Problem::new(Code::Internal, "Temporal failed in a way nobody expects; see the log")
            }
        }
    }
}

/// Makes a schedule.
///
/// The very same schedule again is 200 and changes nothing; a different one of this id is 409. Offset 0 fires once, at
/// once; a schedule of single fires is gone when the last one is confirmed. A type without a healthy worker, or
/// one that search attributes keep unavailable, may be scheduled, with a warning.
#[utoipa::path(
    post, path = "/schedules/{schedule_id}", tag = "schedules",
    params(("schedule_id" = String, Path, description = "Any text but `preview`.")),
    request_body(content = ScheduleBody, example = json!({
        "workflow_type": "report.v1", "input": {"day": "monday"},
        "cron": ["0 9 * * mon-fri"], "time_zone": "Europe/Berlin", "overlap_policy": "skip"
    })),
    responses(
        (status = 201, body = ScheduleAccepted, headers(("Location" = String, description = "The schedule."))),
        (status = 200, body = ScheduleAccepted, description = "The very same schedule is there already.")
    )
)]
async fn post_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    ApiJson(body): ApiJson<ScheduleBody>,
) -> Result<Response, Problem> {
    who.require_type(body.workflow_type())?;
    let request = body.request()?;
    let accepted = state.schedules.create(&id, &request).await?;
    Ok(accepted_response(&id, accepted))
}

/// Makes a schedule, or puts it in the place of the one of this id.
///
/// The very same schedule changes nothing. A paused schedule stays paused. With `If-Match` only the state that was seen
/// is replaced, with `If-None-Match: *` nothing is.
#[utoipa::path(
    put, path = "/schedules/{schedule_id}", tag = "schedules",
    params(
        ("schedule_id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be replaced.")
    ),
    request_body(content = ScheduleBody, example = json!({
        "workflow_type": "report.v1", "input": {"day": "monday"}, "interval_seconds": 3600, "jitter_seconds": 30
    })),
    responses(
        (status = 200, body = ScheduleAccepted, description = "Replaced, or there already."),
        (status = 201, body = ScheduleAccepted, headers(("Location" = String, description = "The schedule.")))
    )
)]
async fn put_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<ScheduleBody>,
) -> Result<Response, Problem> {
    who.require_type(body.workflow_type())?;
    let request = body.request()?;
    let version = match Demand::read(&headers)? {
        Demand::Nothing => None,
        Demand::Absence => {
            let accepted = state.schedules.create(&id, &request).await.map_err(|failure| match failure {
                ScheduleFailure::Exists | ScheduleFailure::Foreign => ScheduleFailure::Changed,
                failure => failure,
            })?;
            return Ok(accepted_response(&id, accepted));
        }
        Demand::Something | Demand::OneOf(_) => Some(demanded_version(&state, &id, &headers).await?),
    };
    if who.workflow_types.is_some() {
        match permit(&state, &who, &id).await {
            Err(problem) if problem.code != Code::ScheduleNotFound => return Err(problem),
            Ok(()) | Err(_) => {}
        }
    }
    let accepted = state.schedules.put(&id, &request, version.as_deref()).await?;
    Ok(accepted_response(&id, accepted))
}

/// The state a schedule is in, when that is what `If-Match` names; 412 otherwise.
async fn demanded_version(state: &AppState, id: &str, headers: &HeaderMap) -> Result<String, Problem> {
    match state.schedules.describe(id).await {
        Ok(seen) => {
            require_match(headers, Some(&ETag::new(&seen.version)))?;
            Ok(seen.version)
        }
        Err(ScheduleFailure::NotFound) => {
            require_match(headers, None)?;
            Err(ScheduleFailure::NotFound.into())
        }
        Err(failure) => Err(failure.into()),
    }
}

/// `forbidden` unless the caller may touch the type of a schedule.
async fn permit(state: &AppState, who: &Identity, id: &str) -> Result<(), Problem> {
    if who.workflow_types.is_none() {
        return Ok(());
    }
    who.require_type(&state.schedules.describe(id).await?.workflow_type)
}

fn accepted_response(id: &str, accepted: Accepted) -> Response {
    let created = accepted.outcome == Put::Created;
    let answer = Json(ScheduleAccepted::of(id, accepted));
    if !created {
        return answer.into_response();
    }
    let path = format!("/schedules/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    // Percent-encoded, so that it is always a header value.
    let place = HeaderValue::from_str(&path).unwrap_or(HeaderValue::from_static("/schedules"));
    (StatusCode::CREATED, [(header::LOCATION, place)], answer).into_response()
}

/// Foretells the fires of a schedule, before anything is made.
///
/// Everything is checked as for a creation.
#[utoipa::path(
    post, path = "/schedules/preview", tag = "schedules", params(PreviewQuery),
    request_body(content = ScheduleBody, example = json!({
        "workflow_type": "report.v1", "input": {"day": "monday"}, "cron": ["30 2 * * *"], "time_zone": "Europe/Berlin"
    })),
    responses((status = 200, body = SchedulePreview))
)]
async fn preview_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiQuery(query): ApiQuery<PreviewQuery>,
    ApiJson(body): ApiJson<ScheduleBody>,
) -> Result<Json<SchedulePreview>, Problem> {
    who.require_type(body.workflow_type())?;
    let limit = Page::new(Some(query.limit.unwrap_or(FIRES_DEFAULT)), None)?.limit.unwrap_or_default();
    let from = query
        .from
        .as_deref()
        .map(parse_datetime)
        .transpose()
        .map_err(|why| Problem::invalid_at(&["query", "from"], why.to_string(), "datetime"))?;
    let from = from.map(|from| from.to_utc());
    let id = query.schedule_id.as_deref().unwrap_or("schedule");
    let preview = state.schedules.preview(id, &body.request()?, from, limit).await?;
    Ok(Json(preview.into()))
}

/// Lists schedules, newest first.
///
/// Out of Temporal's index, up to some seconds behind; `next_fires` and `recent` are shorter than in a GET of one. A page
/// may be shorter than asked for with more to come.
#[utoipa::path(
    get, path = "/schedules", tag = "schedules", params(ScheduleFilter),
    responses((status = 200, body = ScheduleList))
)]
async fn list_schedules(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiQuery(filter): ApiQuery<ScheduleFilter>,
) -> Result<Json<ScheduleList>, Problem> {
    let limit = Page::new(Some(filter.limit.unwrap_or(PAGE_DEFAULT)), None)?.limit.unwrap_or_default();
    let listing = Listing {
        workflow_type: filter.workflow_type,
        paused: filter.paused,
        id_prefix: filter.id_prefix,
        limit,
        page_token: filter.page_token,
    };
    let (found, next_page_token) = state.schedules.list(&listing).await.map_err(|failure| match failure {
        ScheduleFailure::Invalid(_) => {
            Problem::invalid_at(&["query", "page_token"], "is not a token given by this list", "page_token")
        }
        failure => failure.into(),
    })?;
    let found = found.into_iter().filter(|schedule| who.may_touch(&schedule.workflow_type));
    let schedules = found.map(ListedSchedule::from).collect();
    Ok(Json(ScheduleList { schedules, next_page_token }))
}

/// Everything about one schedule.
#[utoipa::path(
    get, path = "/schedules/{schedule_id}", tag = "schedules", params(("schedule_id" = String, Path)),
    responses((
        status = 200, body = ScheduleShape,
        headers(("ETag" = String, description = "For `If-Match`; another one after every change, not after a fire."))
    ))
)]
async fn get_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
) -> Result<Response, Problem> {
    let detail = state.schedules.describe(&id).await?;
    who.require_type(&detail.workflow_type)?;
    let tag = ETag::new(&detail.version);
    Ok(([(header::ETAG, tag.header())], Json(ScheduleShape::from(detail))).into_response())
}

/// Removes a schedule. Runs it started go on.
#[utoipa::path(
    delete, path = "/schedules/{schedule_id}", tag = "schedules",
    params(
        ("schedule_id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be removed.")
    ),
    responses((status = 204, description = "Gone."))
)]
async fn delete_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    permit(&state, &who, &id).await?;
    match Demand::read(&headers)? {
        Demand::Something | Demand::OneOf(_) => drop(demanded_version(&state, &id, &headers).await?),
        Demand::Nothing | Demand::Absence => {}
    }
    state.schedules.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a schedule: it does not fire until it is unpaused.
#[utoipa::path(
    post, path = "/schedules/{schedule_id}/pause", tag = "schedules", params(("schedule_id" = String, Path)),
    request_body(content = Option<NoteBody>, example = json!({"note": "holiday"})),
    responses((status = 200, body = ScheduleTouched))
)]
async fn pause_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    OptionalJson(body): OptionalJson<NoteBody>,
) -> Result<Json<ScheduleTouched>, Problem> {
    permit(&state, &who, &id).await?;
    state.schedules.pause(&id, &body.note).await?;
    Ok(Json(ScheduleTouched { id, status: Touch::Paused }))
}

/// Lets a paused schedule go on. Fires missed while it was paused are not made up for.
#[utoipa::path(
    post, path = "/schedules/{schedule_id}/unpause", tag = "schedules", params(("schedule_id" = String, Path)),
    request_body(content = Option<NoteBody>, example = json!({"note": "back again"})),
    responses((status = 200, body = ScheduleTouched))
)]
async fn unpause_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    OptionalJson(body): OptionalJson<NoteBody>,
) -> Result<Json<ScheduleTouched>, Problem> {
    permit(&state, &who, &id).await?;
    state.schedules.unpause(&id, &body.note).await?;
    Ok(Json(ScheduleTouched { id, status: Touch::Unpaused }))
}

/// Fires once, now, paused or not.
///
/// 202 when it has fired, or the overlap policy made it wait or give way. Changes to one schedule are made one after the
/// other; 429 when too many wait. A run is named by the second of its fire: of triggers in the same second all but one are
/// dated back, each to a second of its own. After 504 look at the schedule before you trigger it again.
#[utoipa::path(
    post, path = "/schedules/{schedule_id}/trigger", tag = "schedules", params(("schedule_id" = String, Path)),
    request_body(content = Option<TriggerBody>, example = json!({"overlap_policy": "allow_all"})),
    responses((status = 202, body = ScheduleTouched))
)]
async fn trigger_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    OptionalJson(body): OptionalJson<TriggerBody>,
) -> Result<(StatusCode, Json<ScheduleTouched>), Problem> {
    permit(&state, &who, &id).await?;
    state.schedules.trigger(&id, body.overlap_policy.map(OverlapName::policy)).await?;
    Ok((StatusCode::ACCEPTED, Json(ScheduleTouched { id, status: Touch::Triggered })))
}

/// Fires for a stretch of time as if it passed now.
///
/// 202 when Temporal has taken the order; a long stretch takes its time.
#[utoipa::path(
    post, path = "/schedules/{schedule_id}/backfill", tag = "schedules", params(("schedule_id" = String, Path)),
    request_body(content = BackfillBody, example = json!({
        "start_at": "2027-03-01T00:00:00Z", "end_at": "2027-03-04T00:00:00Z", "overlap_policy": "allow_all"
    })),
    responses((status = 202, body = ScheduleTouched))
)]
async fn backfill_schedule(
    State(state): State<AppState>,
    Extension(who): Extension<Identity>,
    ApiPath(id): ApiPath<String>,
    ApiJson(body): ApiJson<BackfillBody>,
) -> Result<(StatusCode, Json<ScheduleTouched>), Problem> {
    permit(&state, &who, &id).await?;
    let mut details = Vec::new();
    let start_at = body::moment("start_at", Some(&body.start_at), &mut details);
    let end_at = body::moment("end_at", Some(&body.end_at), &mut details);
    let (Some(start_at), Some(end_at)) = (start_at, end_at) else {
        if details.is_empty() {
            details =
                Problem::invalid_at(&["body"], "start_at and end_at must not be empty", "missing").details;
        }
        return Err(Problem::invalid_request(details));
    };
    if end_at < start_at {
        return Err(Problem::invalid_at(
            &["body", "end_at"],
            "must not be before start_at",
            "greater_than_equal",
        ));
    }
    let overlap_policy = body.overlap_policy.map(OverlapName::policy);
    let stretch = Stretch { start_at: start_at.to_utc(), end_at: end_at.to_utc(), overlap_policy };
    state.schedules.backfill(&id, stretch).await?;
    Ok((StatusCode::ACCEPTED, Json(ScheduleTouched { id, status: Touch::Backfilled })))
}
