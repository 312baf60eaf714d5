//! Staying registered: register, heartbeat, register again when told to, drain, leave.

use std::time::Duration;

use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{config::RunnerConfig, registration};

/// Longest pause between two attempts to reach the registry.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A client of the registry's HTTP API for one worker.
#[derive(Debug)]
pub struct RegistryClient {
    http: Client,
    workers: String,
    token: String,
    worker_id: String,
    registration: Value,
    usual_pause: Duration,
    epoch: Mutex<Option<i64>>,
}

/// What of the registration's answer counts here.
#[derive(Debug, Deserialize)]
struct Registered {
    #[serde(default)]
    epoch: Option<i64>,
    #[serde(default)]
    heartbeat_interval_seconds: Option<f64>,
    #[serde(default)]
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    workflow_type: String,
    verdict: String,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Heartbeat {
    status: String,
    #[serde(default)]
    heartbeat_interval_seconds: Option<f64>,
}

/// Why a call did not work.
#[derive(Debug)]
struct Trouble {
    text: String,
    retry_after: Option<Duration>,
    /// What was sent is wrong, and will be the next time.
    is_refused: bool,
}

impl RegistryClient {
    /// A client for this runner. Nothing is sent yet.
    ///
    /// # Errors
    /// When the system has no usable TLS set-up.
    pub fn new(config: &RunnerConfig) -> anyhow::Result<Self> {
        let incarnation = uuid::Uuid::new_v4().to_string();
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(20))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            workers: format!("{}/registry/workers", config.registry.url.as_str().trim_end_matches('/')),
            token: config.registry.token.clone(),
            worker_id: config.worker.id.clone(),
            registration: registration::body(config, &incarnation),
            usual_pause: Duration::from_secs(config.worker.ttl_seconds) / 3,
            epoch: Mutex::new(None),
        })
    }

    /// Registers once, before any work is taken. Answers the pause until the first heartbeat, when the registry was there
    /// to be asked.
    ///
    /// # Errors
    /// When the registry will never take what this runner offers.
    pub async fn offer(&self) -> anyhow::Result<Option<Duration>> {
        match self.register().await {
            Ok(answer) => Ok(Some(self.registered(&answer))),
            Err(trouble) if trouble.is_refused => {
                anyhow::bail!("the registry refuses what this runner offers: {}", trouble.text)
            }
            Err(trouble) => {
                tracing::warn!(error = %trouble.text, "not registered, work goes on");
                Ok(None)
            }
        }
    }

    /// Keeps this worker registered until `stop`; `offered`: what the first offer answered. A registry that cannot be reached
    /// is no reason to stop working: it is tried again, with a warning, for as long as it takes.
    pub async fn keep_registered(&self, offered: Option<Duration>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.register_and_heartbeat(offered) => match never {},
        }
    }

    async fn register_and_heartbeat(&self, offered: Option<Duration>) -> std::convert::Infallible {
        let mut pause = match offered {
            Some(pause) => pause,
            None => self.register_until_done().await,
        };
        let mut failures = 0_u32;
        loop {
            tokio::time::sleep(pause).await;
            match self.heartbeat().await {
                Ok(Heartbeat { status, .. }) if status == "reregister" => {
                    tracing::info!("the registry does not know this worker: registering again");
                    pause = self.register_until_done().await;
                    failures = 0;
                }
                Ok(answer) => {
                    pause = self.pause(answer.heartbeat_interval_seconds);
                    failures = 0;
                }
                Err(trouble) => {
                    tracing::warn!(error = %trouble.text, "the heartbeat did not get through");
                    // Sooner than usual: the lease is running out.
                    pause = trouble.retry_after.unwrap_or_else(|| backoff(failures).min(self.usual_pause));
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// Registers, however long it takes. Answers the pause until the first heartbeat.
    async fn register_until_done(&self) -> Duration {
        let mut failures = 0;
        loop {
            match self.register().await {
                Ok(answer) => return self.registered(&answer),
                Err(trouble) => {
                    let pause = trouble.retry_after.unwrap_or_else(|| backoff(failures));
                    tracing::warn!(error = %trouble.text, again_in = ?pause, "not registered, work goes on");
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Notes what the registry answered; the pause until the first heartbeat.
    fn registered(&self, answer: &Registered) -> Duration {
        *self.epoch.lock() = answer.epoch;
        tracing::info!(worker_id = %self.worker_id, "registered");
        for told in &answer.verdicts {
            if matches!(told.verdict.as_str(), "incompatible" | "unavailable") {
                tracing::warn!(
                    workflow_type = %told.workflow_type,
                    verdict = %told.verdict,
                    reason = told.reason.as_deref().unwrap_or_default(),
                    "the registry does not offer this entry as it is here"
                );
            }
        }
        self.pause(answer.heartbeat_interval_seconds)
    }

    async fn register(&self) -> Result<Registered, Trouble> {
        let sent = self.request(Method::POST, "").json(&self.registration);
        read(call(sent).await?)
    }

    async fn heartbeat(&self) -> Result<Heartbeat, Trouble> {
        let epoch = *self.epoch.lock();
        let body = epoch.map_or_else(|| json!({}), |epoch| json!({"epoch": epoch}));
        let sent = self.request(Method::POST, "/heartbeat").json(&body);
        match call(sent).await {
            // A registry that answers absence with an error instead of `reregister` is understood too.
            Err(trouble) if trouble.text.starts_with("404") => {
                Ok(Heartbeat { status: "reregister".to_owned(), heartbeat_interval_seconds: None })
            }
            other => read(other?),
        }
    }

    /// Asks for no new work.
    pub async fn drain(&self) {
        if self.epoch.lock().is_some()
            && let Err(trouble) = call(self.request(Method::POST, "/drain")).await
        {
            tracing::warn!(error = %trouble.text, "the registry was not told to drain this worker");
        }
    }

    /// Leaves the registry, unless a newer incarnation has taken this worker's place.
    pub async fn leave(&self) {
        let Some(epoch) = *self.epoch.lock() else { return };
        let sent = self.request(Method::DELETE, "").query(&[("epoch", epoch)]);
        if let Err(trouble) = call(sent).await {
            tracing::warn!(error = %trouble.text, "the registry was not told that this worker is gone");
        }
    }

    fn request(&self, method: Method, action: &str) -> RequestBuilder {
        let creates = method == Method::POST && action.is_empty();
        let id = utf8_percent_encode(&self.worker_id, NON_ALPHANUMERIC);
        let url = if creates { self.workers.clone() } else { format!("{}/{id}{action}", self.workers) };
        let request = self.http.request(method, url);
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    fn pause(&self, seconds: Option<f64>) -> Duration {
        let told = seconds.filter(|seconds| (0.1..86_400.0).contains(seconds)).map(Duration::from_secs_f64);
        told.unwrap_or(self.usual_pause)
    }
}

/// Twice as long with every failure, up to half a minute, and never the same for two workers.
fn backoff(failures: u32) -> Duration {
    let full = Duration::from_millis(500).saturating_mul(1 << failures.min(8)).min(LONGEST_PAUSE);
    full.mul_f64(rand::random_range(0.5..1.0))
}

async fn call(request: RequestBuilder) -> Result<Vec<u8>, Trouble> {
    let lost = |error: reqwest::Error| Trouble {
        text: std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": "),
        retry_after: None,
        is_refused: false,
    };
    let answer = request.send().await.map_err(lost)?;
    let status = answer.status();
    let told = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = answer.bytes().await.map_err(lost)?.to_vec();
    if status.is_success() {
        return Ok(body);
    }
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let retry_after = told.filter(|_| waits).map(|seconds: u64| Duration::from_secs(seconds.clamp(1, 300)));
    let detail: String = String::from_utf8_lossy(&body).chars().take(1_000).collect();
    let is_refused = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY);
    Err(Trouble { text: format!("{}: {detail}", status.as_u16()), retry_after, is_refused })
}

fn read<T: serde::de::DeserializeOwned>(body: Vec<u8>) -> Result<T, Trouble> {
    serde_json::from_slice(&body).map_err(|error| Trouble {
        text: format!("not an answer of a registry: {error}"),
        retry_after: None,
        is_refused: false,
    })
}

#[cfg(test)]
mod tests;
