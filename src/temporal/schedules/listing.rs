//! Many schedules at once, by the server's index: one call a page, none a schedule.
//!
//! The index lags behind the schedules by up to some seconds.

use super::calls::Schedules;
use super::description::recent;
use super::error::ScheduleError;
use super::stamp::{Dispatch, Stamp};
use super::state::{RecentAction, SpecEcho};
use super::times::{self, datetime};
use crate::seams::schedules::Listing;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::schedule::v1::ScheduleListEntry;
use temporalio_common::protos::temporal::api::workflowservice::v1::ListSchedulesRequest;

/// Which schedules to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only ids that begin with this.
    pub id_prefix: Option<String>,
    /// Only paused ones, or only others.
    pub paused: Option<bool>,
    /// Only those that start this type. The index does not know types: pages get shorter, even empty, before the end.
    pub workflow_type: Option<String>,
    /// The `next_page_token` of the page before; `None` for the first page.
    pub page_token: Option<String>,
    /// At most so many looked at for a page.
    pub page_size: i32,
}

/// One page of schedules.
#[derive(Debug, Clone, Default)]
pub struct SchedulePage {
    /// The schedules.
    pub schedules: Vec<Listed>,
    /// Where the next page begins; `None` at the end.
    pub next_page_token: Option<String>,
}

/// A schedule in a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// The type it starts.
    pub workflow_type: String,
    /// Whether it is paused.
    pub paused: bool,
    /// Its note.
    pub note: String,
    /// Its times.
    pub spec: SpecEcho,
    /// The next fires, at most five.
    pub next_fires: Vec<DateTime<Utc>>,
    /// The last fires, at most five.
    pub recent: Vec<RecentAction>,
    /// The registry's mark as of the creation; `None` on a schedule that is not the registry's.
    pub created_stamp: Option<Stamp>,
}

impl Listed {
    /// Whether it is the registry's and seems to have no fire left, so that a closer look
    /// ([`Schedules::confirm_and_remove`]) is worth a call.
    pub fn seems_finished(&self) -> bool {
        self.created_stamp.is_some()
            && self.next_fires.is_empty()
            && self.spec.intervals.is_empty()
            && self.spec.cron.is_empty()
            && self.spec.calendars.is_empty()
    }
}

impl Schedules {
    /// One page of schedules, newest first.
    ///
    /// # Errors
    /// [`ScheduleError::Invalid`] for a page token that is none.
    pub async fn list(&self, query: &ListQuery) -> Result<SchedulePage, ScheduleError> {
        let next_page_token = match &query.page_token {
            Some(token) => {
                open_token(token).ok_or_else(|| ScheduleError::Invalid("not a page token".to_owned()))?
            }
            None => Vec::new(),
        };
        let request = ListSchedulesRequest {
            namespace: self.namespace(),
            maximum_page_size: query.page_size,
            next_page_token,
            query: filter(query),
        };
        let mut service = self.service();
        let response = service.list_schedules(Self::request(request)).await?.into_inner();
        let wanted = |listed: &Listed| {
            query.workflow_type.as_ref().is_none_or(|wanted| *wanted == listed.workflow_type)
        };
        let schedules = response.schedules.into_iter().map(listed).filter(wanted).collect();
        let next = response.next_page_token;
        Ok(SchedulePage { schedules, next_page_token: (!next.is_empty()).then(|| seal_token(&next)) })
    }
}

/// Schedules looked at in one call of the index.
const LOOKED_AT: i32 = 500;
/// Calls of the index for one page, so that a rare type does not use up what all share.
const CALLS_MAX: u32 = 20;

/// One page of at most `limit` schedules, whatever the index takes for it. A page may be shorter, even empty, with more
/// to come.
///
/// # Errors
/// [`ScheduleError::Invalid`] for a page token that is none.
pub async fn page(
    calls: &Schedules,
    wanted: &Listing,
) -> Result<(Vec<Listed>, Option<String>), ScheduleError> {
    let bad = || ScheduleError::Invalid("not a page token".to_owned());
    let (mut server_token, mut skip) = match wanted.page_token.as_deref().map(|token| token.split_once('.')) {
        None => (None, 0),
        Some(None) => return Err(bad()),
        Some(Some((skip, token))) => {
            let token = Some(token).filter(|token| !token.is_empty()).map(str::to_owned);
            (token, skip.parse::<usize>().map_err(|_| bad())?)
        }
    };
    let mut found = Vec::new();
    for _ in 0..CALLS_MAX {
        let query = ListQuery {
            id_prefix: wanted.id_prefix.clone(),
            paused: wanted.paused,
            workflow_type: None,
            page_token: server_token.clone(),
            page_size: LOOKED_AT,
        };
        let answer = calls.list(&query).await?;
        for (index, listed) in answer.schedules.into_iter().enumerate().skip(skip) {
            let is_wanted =
                wanted.workflow_type.as_ref().is_none_or(|wanted| *wanted == listed.workflow_type);
            if is_wanted && found.len() == wanted.limit {
                return Ok((found, Some(format!("{index}.{}", server_token.unwrap_or_default()))));
            }
            if is_wanted {
                found.push(listed);
            }
        }
        skip = 0;
        server_token = answer.next_page_token;
        if server_token.is_none() {
            return Ok((found, None));
        }
    }
    Ok((found, server_token.map(|token| format!("0.{token}"))))
}

/// How much of its hash goes before a token. It is no secret: the server takes a token that is none for a failure of
/// its own, so what was mistyped or cut short has to be told apart here.
const TOKEN_CHECK_BYTES: usize = 6;

fn seal_token(token: &[u8]) -> String {
    let mut sealed = Sha256::digest(token)[..TOKEN_CHECK_BYTES].to_vec();
    sealed.extend_from_slice(token);
    URL_SAFE_NO_PAD.encode(sealed)
}

fn open_token(text: &str) -> Option<Vec<u8>> {
    let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (check, token) = sealed.split_at_checked(TOKEN_CHECK_BYTES)?;
    Sha256::digest(token).starts_with(check).then(|| token.to_vec())
}

fn filter(query: &ListQuery) -> String {
    let mut terms = Vec::new();
    if let Some(prefix) = query.id_prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        let escaped = prefix.replace('\\', "\\\\").replace('\'', "\\'");
        terms.push(format!("ScheduleId STARTS_WITH '{escaped}'"));
    }
    if let Some(paused) = query.paused {
        terms.push(format!("TemporalSchedulePaused = {paused}"));
    }
    terms.join(" AND ")
}

fn listed(entry: ScheduleListEntry) -> Listed {
    let info = entry.info.unwrap_or_default();
    let created_stamp = Stamp::of_memo(entry.memo.as_ref());
    let workflow_type = match &created_stamp {
        // The index knows the workflow that resolves the target; what that is made for never changes.
        Some(stamp) if stamp.dispatch == Dispatch::AtFire => stamp.workflow_type.clone(),
        Some(_) | None => info.workflow_type.unwrap_or_default().name,
    };
    Listed {
        id: entry.schedule_id,
        workflow_type,
        paused: info.paused,
        note: info.notes,
        spec: info.spec.as_ref().map(times::of_proto).unwrap_or_default(),
        next_fires: info.future_action_times.into_iter().filter_map(datetime).collect(),
        recent: info.recent_actions.into_iter().map(recent).collect(),
        created_stamp,
    }
}
