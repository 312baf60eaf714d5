//! How much callers may ask at once: requests per minute and caller, requests in hand, bytes per body.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures::{FutureExt, StreamExt};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::code::Code;
use super::problem::Problem;

/// Bounds on requests.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Requests per minute of one token (and of all callers without one); `None` means no bound.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Writes in hand at once.
    pub concurrent_writes: usize,
    /// Requests at once that wait for something to happen (`execute`, `result`, events).
    pub concurrent_waits: usize,
    /// How long a request may take, unless its route sets its own pace.
    pub deadline: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            requests_per_minute: None,
            concurrent_writes: 1024,
            concurrent_waits: 4096,
            deadline: Duration::from_secs(30),
        }
    }
}

/// The live counters behind [`LimitSettings`].
pub struct Limits {
    /// The bounds themselves.
    pub settings: LimitSettings,
    rates: BTreeMap<Arc<str>, DefaultDirectRateLimiter>,
    writes: Arc<Semaphore>,
    waits: Arc<Semaphore>,
}

impl Limits {
    /// Fresh counters for these callers.
    pub fn new(settings: LimitSettings, callers: impl Iterator<Item = Arc<str>>) -> Self {
        let rates = match settings.requests_per_minute {
            Some(rate) => callers.map(|name| (name, RateLimiter::direct(Quota::per_minute(rate)))).collect(),
            None => BTreeMap::new(),
        };
        let bounded = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let (writes, waits) = (bounded(settings.concurrent_writes), bounded(settings.concurrent_waits));
        Self { settings, rates, writes, waits }
    }

    /// Counts one request of this caller; 429 when it came too early.
    pub fn count(&self, caller: &str) -> Result<(), Problem> {
        let Some(rate) = self.rates.get(caller) else { return Ok(()) };
        rate.check().map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            Problem::new(Code::TooManyRequests, "too many requests per minute for this token")
                .retry_after(seconds)
        })
    }

    /// A place among the writes in hand, held until dropped; 429 when all are taken.
    pub fn write_slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.writes, "too many writes at once")
    }

    /// A place among the requests that wait, held until dropped; 429 when all are taken.
    pub fn wait_slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.waits, "too many waiting requests at once")
    }

    /// Reads a whole body before anything runs; 413 when it is over the limit, however it is sent.
    pub async fn read_body(&self, mut body: Body, expects_continue: bool) -> Result<Bytes, Problem> {
        let (limit, deadline) = (self.settings.max_body_bytes, self.settings.deadline);
        let declared = body.size_hint().lower();
        if declared > limit as u64 {
            // A client that asked first has sent nothing, and reading would tell it to.
            if !expects_continue {
                linger(body, limit).await;
            }
            return Err(too_large(limit));
        }
        let mut whole = pin!(Limited::new(&mut body, limit).collect());
        // Most bodies are there with their headers.
        let whole = match whole.as_mut().now_or_never() {
            Some(whole) => Ok(whole),
            None => tokio::time::timeout(deadline, whole).await,
        };
        match whole {
            Ok(Ok(whole)) => Ok(whole.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                linger(body, limit).await;
                Err(too_large(limit))
            }
            Ok(Err(_)) => Err(Problem::invalid_at(&["body"], "the body ended early", "incomplete")),
            Err(_) => {
                let msg = format!("the body did not arrive within {} s", deadline.as_secs_f32());
                Err(Problem::invalid_at(&["body"], msg, "incomplete"))
            }
        }
    }
}

fn take(slots: &Arc<Semaphore>, detail: &str) -> Result<OwnedSemaphorePermit, Problem> {
    slots.clone().try_acquire_owned().map_err(|_| Problem::new(Code::TooManyRequests, detail))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("the body is larger than {limit} bytes; nothing was executed"))
        .with("limit_bytes", limit)
}

/// Throws away what is still on its way, for a bounded while: closing at once resets the connection of
/// a client that is still sending, and it would never see the answer.
async fn linger(body: Body, limit: usize) {
    let bytes_max = limit.saturating_mul(8).max(16 * 1024 * 1024);
    let drained = async {
        let (mut body, mut seen) = (body.into_data_stream(), 0_usize);
        while let Some(Ok(chunk)) = body.next().await {
            seen = seen.saturating_add(chunk.len());
            if seen > bytes_max {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), drained).await;
}
