//! The settings as typed values. `config.yaml` says what each one means; here are the types.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{Problem, Source};

/// Text that must not be shown: `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connection to Temporal.
    pub temporal: TemporalSettings,
    /// The HTTP server.
    pub server: ServerSettings,
    /// Who may do what.
    pub auth: AuthSettings,
    /// The registry workflow.
    pub registry: RegistrySettings,
    /// Workflow id counters.
    pub slugs: RetentionSettings,
    /// `Idempotency-Key` records.
    pub idempotency: RetentionSettings,
    /// Limits on requests and state.
    pub limits: LimitSettings,
    /// How worker health is judged.
    pub health: HealthSettings,
    /// Logs, metrics, traces, audit.
    pub observability: ObservabilitySettings,
    /// Where the value of each key came from.
    pub sources: BTreeMap<String, Source>,
}

impl Settings {
    /// What another room finds wrong with the value of `key`, at `path`: the key, or a place inside it.
    pub fn problem(
        &self,
        key: &str,
        path: &str,
        message: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Problem {
        let source = self.sources.get(key).unwrap_or(&Source::Default).to_string();
        Problem { key: path.to_owned(), source, message: message.into(), allowed: allowed.into() }
    }
}

/// Connection to Temporal.
#[derive(Debug, Clone)]
pub struct TemporalSettings {
    /// Frontend as host:port.
    pub address: String,
    /// Namespace.
    pub namespace: String,
    /// Retention of a namespace created here, in days.
    pub namespace_retention_days: u32,
    /// TLS, and API key and mutual TLS inside it; `None` for plain text.
    pub tls: Option<TemporalTls>,
}

impl TemporalSettings {
    /// The address as a URL: `https` with TLS, else `http`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }
}

/// TLS towards Temporal.
#[derive(Debug, Clone)]
pub struct TemporalTls {
    /// API key.
    pub api_key: Option<Secret>,
    /// The authority that signed Temporal's certificate; `None` for the public ones.
    pub ca: Option<Pem>,
    /// Certificate and key for mutual TLS.
    pub identity: Option<(Pem, Pem)>,
    /// Name expected in the certificate; `None` for the host of the address.
    pub domain: Option<String>,
}

/// PEM.
#[derive(Debug, Clone)]
pub enum Pem {
    /// In this file.
    File(PathBuf),
    /// This text.
    Text(Secret),
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The HTTP server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Host name or IP address to listen on.
    pub host: String,
    /// Port; 0 for any free one.
    pub port: u16,
    /// Largest request body in bytes.
    pub max_request_body_bytes: usize,
    /// Longest a request may take, in seconds.
    pub request_timeout_seconds: u64,
    /// Time for open requests on shutdown, in seconds.
    pub shutdown_grace_seconds: u64,
    /// HTTPS; `None` for plain HTTP.
    pub tls: Option<ServerTls>,
}

impl ServerSettings {
    /// Whether only this machine can reach the server.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// HTTPS.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The server's certificate and key.
    pub identity: TlsIdentity,
    /// PEM file of the authority clients need a certificate from; `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Whether requests need a token.
    pub enabled: bool,
    /// The one token that may do everything.
    pub token: Option<Secret>,
    /// Further tokens.
    pub tokens: Vec<TokenSettings>,
    /// Whether reading needs no token.
    pub read_public: bool,
    /// Whether other machines may reach the server with auth off.
    pub allow_unauthenticated: bool,
}

/// One entry of `auth.tokens`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Name in logs and audit lines; unique.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it may do; not empty.
    pub roles: Vec<Role>,
    /// Globs of the workflow types it may touch; `None` for all.
    pub workflow_types: Option<Vec<String>>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Every GET.
    Read,
    /// Starts, run actions, tasks, schedules, id claims.
    Dispatch,
    /// Workers and heartbeats.
    Register,
    /// Everything.
    Admin,
}

/// The registry workflow.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its workflow type.
    pub workflow_type: String,
    /// Its task queue.
    pub task_queue: String,
    /// Workers that never heartbeat: objects shaped like a registration body.
    pub static_workers: Vec<serde_json::Value>,
}

/// How long, and how many of something are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Seconds one is kept.
    pub ttl_seconds: u64,
    /// Most that are kept.
    pub max_entries: usize,
}

/// Limits on requests and state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests a minute for each token; `None` for no limit.
    pub requests_per_minute: Option<u32>,
    /// Writes waiting or running at once.
    pub concurrent_writes: usize,
    /// Seconds until the outcome of a write counts as unknown.
    pub write_deadline_seconds: u64,
    /// Most workflow types.
    pub types_max: usize,
    /// Most workers.
    pub workers_max: usize,
    /// Revisions kept of each workflow type.
    pub revisions_kept: usize,
}

/// How worker health is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthSettings {
    /// Whether self-preservation is on.
    pub self_preservation: bool,
    /// Live workers it takes.
    pub self_preservation_min_workers: usize,
    /// Seconds within which half of them lapse.
    pub self_preservation_window_seconds: u64,
    /// Longest time in seconds workers stay unknown.
    pub self_preservation_max_seconds: u64,
}

/// Logs, metrics, traces, audit.
#[derive(Debug, Clone)]
pub struct ObservabilitySettings {
    /// Logs.
    pub logging: LoggingSettings,
    /// Prometheus metrics.
    pub metrics: MetricsSettings,
    /// Traces.
    pub otel: OtelSettings,
    /// Whether `/docs` and `/openapi.json` need no token.
    pub docs_public: bool,
    /// Audit lines.
    pub audit: AuditSettings,
}

/// Logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggingSettings {
    /// Least severe level that is logged.
    pub level: LogLevel,
    /// Whether each request is logged.
    pub access: bool,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Severity of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the levels")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Prometheus metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Whether they are served.
    pub enabled: bool,
    /// Path, beginning with `/`.
    pub path: String,
}

/// Traces over OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtelSettings {
    /// Whether they are sent.
    pub enabled: bool,
    /// Service name.
    pub service_name: String,
    /// Collector URL; `None` for `http://localhost:4317`.
    pub endpoint: Option<String>,
    /// Whether plain text is allowed.
    pub insecure: bool,
}

/// Audit lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether they are written.
    pub enabled: bool,
    /// File they are appended to; `None` for the log.
    pub file: Option<PathBuf>,
}
