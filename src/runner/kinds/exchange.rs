//! One HTTP exchange: every address checked, every wait bounded, redirects only when asked for.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    Client, Method, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
    redirect,
};
use url::Url;

use super::{
    capture::{Capture, Captured},
    guard::{self, HostList},
};

/// What is sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Vec<u8>>,
}

/// How it is sent.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Hosts it may go to.
    pub hosts: HostList,
    /// Limit for each connection.
    pub connect: Duration,
    /// Limit for everything, redirects and body included.
    pub total: Duration,
    /// Redirects that are followed.
    pub max_redirects: u32,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent: the address is not allowed.
    Rejected(String),
    /// No answer within the limit.
    TimedOut(String),
    /// No connection, or it broke.
    Broken(String),
}

impl Failure {
    /// The reason, for a human.
    pub fn reason(&self) -> &str {
        match self {
            Self::Rejected(reason) | Self::TimedOut(reason) | Self::Broken(reason) => reason,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Headers; repeated ones joined with a comma.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Captured,
}

impl Answer {
    /// The body as JSON when it says it is, else as text; null when there is none.
    pub fn value(&self) -> serde_json::Value {
        let kind = self.headers.get(CONTENT_TYPE.as_str()).map_or("", String::as_str);
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let says_json = essence.is_empty() || essence.ends_with("/json") || essence.ends_with("+json");
        if self.body.text.is_empty() {
            return serde_json::Value::Null;
        }
        let parsed =
            (says_json && !self.body.is_truncated).then(|| serde_json::from_str(&self.body.text).ok());
        parsed.flatten().unwrap_or_else(|| self.body.text.clone().into())
    }
}

/// Sends the request and reads the answer into `capture`.
///
/// # Errors
/// See [`Failure`]. A status that is not 2xx is an answer, not a failure.
pub async fn exchange(request: Request, rules: &Rules, capture: Capture<'_>) -> Result<Answer, Failure> {
    let within = async {
        let mut response = follow(request, rules).await?;
        let status = response.status();
        let headers = readable(response.headers());
        let mut capture = capture;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            capture.push(&chunk).await;
        }
        Ok(Answer { status, headers, body: capture.finish().await })
    };
    tokio::time::timeout(rules.total, within)
        .await
        .unwrap_or_else(|_| Err(Failure::TimedOut(format!("no answer within {} s", rules.total.as_secs()))))
}

async fn follow(mut request: Request, rules: &Rules) -> Result<Response, Failure> {
    let mut left = rules.max_redirects;
    loop {
        let response = send(&request, rules).await?;
        let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| request.url.join(target).ok());
        let (true, Some(target)) = (response.status().is_redirection() && left > 0, target) else {
            return Ok(response);
        };
        left -= 1;
        let same_place = (target.scheme(), target.host_str(), target.port_or_known_default())
            == (request.url.scheme(), request.url.host_str(), request.url.port_or_known_default());
        if !same_place {
            // They may hold credentials that were meant for the first host.
            request.headers.clear();
        }
        let keeps_method =
            matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps_method && request.method != Method::HEAD {
            request.method = Method::GET;
            request.body = None;
            request.headers.remove(CONTENT_TYPE);
        }
        request.url = target;
    }
}

/// Sends one request to addresses that were looked up and checked here, so that no second look-up can differ.
async fn send(request: &Request, rules: &Rules) -> Result<Response, Failure> {
    let reach = rules.hosts.allows(&request.url).map_err(Failure::Rejected)?;
    let addresses =
        guard::resolve(&request.url, reach).await.map_err(Failure::Broken)?.map_err(Failure::Rejected)?;
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(rules.connect)
        .resolve_to_addrs(request.url.host_str().unwrap_or_default(), &addresses)
        .build()
        .map_err(|error| broken(&error))?;
    let mut sent =
        client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
    if let Some(body) = &request.body {
        sent = sent.body(body.clone());
    }
    sent.send().await.map_err(|error| broken(&error))
}

/// The error and its causes, which say more than it does, without the URL.
fn broken(error: &reqwest::Error) -> Failure {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    let what = if error.is_connect() { "the connection failed" } else { "the exchange broke off" };
    let text = causes.last().map_or_else(|| what.to_owned(), |last| format!("{what}: {last}"));
    if error.is_timeout() { Failure::TimedOut(text) } else { Failure::Broken(text) }
}

fn readable(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut readable: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().take(100) {
        let value: String = String::from_utf8_lossy(value.as_bytes()).chars().take(1_000).collect();
        readable
            .entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&value);
            })
            .or_insert(value);
    }
    readable
}
