//! From an entry's templates to a request.

use std::{collections::BTreeMap, time::Duration};

use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use url::Url;

use super::{
    Execution,
    exchange::{Request, Rules},
    guard::HostList,
};
use crate::runner::{
    config::{Http, HttpAsync},
    template::{Body, Template, url_part},
};

/// The header by which a service may recognise a request it has had already.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How much of a body is kept in a file at most, in bytes.
pub const BODY_FILE_MAX: u64 = 100 * 1_024 * 1_024;

impl Http {
    /// The request for this run.
    ///
    /// # Errors
    /// What is missing or cannot be sent.
    pub fn request(&self, exec: &Execution<'_>) -> Result<Request, String> {
        build(exec, &self.method, &self.url, &self.headers, self.body.as_ref())
    }

    /// How it is sent.
    ///
    /// # Errors
    /// When the host list cannot be read.
    pub fn rules(&self) -> Result<Rules, String> {
        rules(&self.allowed_hosts, self.connect_timeout_seconds, self.timeout_seconds, self.max_redirects)
    }
}

impl HttpAsync {
    /// The request that starts the job.
    ///
    /// # Errors
    /// What is missing or cannot be sent.
    pub fn kickoff(&self, exec: &Execution<'_>) -> Result<Request, String> {
        build(exec, &self.method, &self.url, &self.headers, self.body.as_ref())
    }

    /// A request about the job `run_id`.
    ///
    /// # Errors
    /// What is missing or cannot be sent.
    pub fn about(
        &self,
        exec: &Execution<'_>,
        template: &Template,
        method: &str,
        run_id: &str,
    ) -> Result<Request, String> {
        // Values that were filled in are percent-encoded, so no input can bring a `{run_id}` of its own.
        let url = template.render_url(exec.values())?.replace("{run_id}", &url_part(run_id)?);
        Ok(Request {
            method: parse_method(method)?,
            url: Url::parse(&url).map_err(|error| format!("`{url}` is not a URL: {error}"))?,
            headers: headers(exec, &self.headers)?,
            body: None,
        })
    }

    /// How all of them are sent.
    ///
    /// # Errors
    /// When the host list cannot be read.
    pub fn rules(&self) -> Result<Rules, String> {
        rules(
            &self.allowed_hosts,
            self.connect_timeout_seconds,
            self.request_timeout_seconds,
            self.max_redirects,
        )
    }
}

fn rules(hosts: &[String], connect: u64, total: u64, max_redirects: u32) -> Result<Rules, String> {
    Ok(Rules {
        hosts: HostList::parse(hosts).map_err(|(_, reason)| reason)?,
        connect: Duration::from_secs(connect),
        total: Duration::from_secs(total),
        max_redirects,
    })
}

fn build(
    exec: &Execution<'_>,
    method: &str,
    url: &Template,
    names: &BTreeMap<String, Template>,
    body: Option<&Body>,
) -> Result<Request, String> {
    let method = parse_method(method)?;
    let url = url.render_url(exec.values())?;
    let url = Url::parse(&url).map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let mut headers = headers(exec, names)?;
    let carries_body = !matches!(method, Method::GET | Method::HEAD | Method::DELETE);
    let (body, is_json) = match body {
        Some(Body::Text(text)) => (Some(text.render(exec.values())?.into_bytes()), false),
        Some(Body::Json(json)) => (Some(json.render(exec.values())?.to_string().into_bytes()), true),
        None if carries_body => (Some(exec.input.to_string().into_bytes()), true),
        None => (None, false),
    };
    if is_json && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if carries_body && !headers.contains_key(IDEMPOTENCY_KEY) {
        let key = HeaderValue::from_str(exec.run_id).map_err(|error| error.to_string())?;
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    Ok(Request { method, url, headers, body })
}

fn parse_method(method: &str) -> Result<Method, String> {
    Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is not a method"))
}

fn headers(exec: &Execution<'_>, names: &BTreeMap<String, Template>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, template) in names {
        let value = template.render(exec.values())?;
        // The value may be a secret: it is not repeated in the message.
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| format!("the value of header `{name}` cannot be sent in a header"))?;
        value.set_sensitive(true);
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header"))?;
        headers.insert(name, value);
    }
    Ok(headers)
}
