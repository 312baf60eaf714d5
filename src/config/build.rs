//! From layered values to typed settings: every key with its range, in the order of `config.yaml`.

use std::path::PathBuf;

use super::{
    check,
    layers::Layers,
    problem::ConfigError,
    read::Reader,
    settings::{
        AuditSettings, AuthSettings, HealthSettings, LimitSettings, LogFormat, LogLevel, LoggingSettings,
        MetricsSettings, ObservabilitySettings, OtelSettings, RegistrySettings, RetentionSettings, Secret,
        ServerSettings, ServerTls, Settings, TemporalSettings, TemporalTls, TlsIdentity,
    },
};

/// Log levels, the names Python programs use included.
const LEVELS: &[(&str, LogLevel)] = &[
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("warning", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("critical", LogLevel::Error),
];

const FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];

/// Reads and checks everything.
pub(super) fn settings(layers: Layers) -> Result<Settings, ConfigError> {
    let sources = layers.leaves.iter().map(|(key, leaf)| (key.clone(), leaf.source.clone())).collect();
    let mut r = Reader::new(layers);
    let settings = Settings {
        temporal: temporal(&mut r),
        server: server(&mut r),
        auth: auth(&mut r),
        registry: RegistrySettings {
            workflow_id: r.name("registry.workflow_id"),
            workflow_type: r.name("registry.workflow_type"),
            task_queue: r.name("registry.task_queue"),
            static_workers: check::static_workers(&mut r),
        },
        slugs: RetentionSettings {
            ttl_seconds: r.number("slugs.ttl_seconds", 1..=315_360_000),
            max_entries: r.number("slugs.max_entries", 1..=1_000_000),
        },
        idempotency: RetentionSettings {
            ttl_seconds: r.number("idempotency.ttl_seconds", 1..=2_592_000),
            max_entries: r.number("idempotency.max_entries", 1..=1_000_000),
        },
        limits: LimitSettings {
            requests_per_minute: Some(r.number("limits.requests_per_minute", 0..=1_000_000))
                .filter(|limit| *limit != 0),
            concurrent_writes: r.number("limits.concurrent_writes", 1..=65_536),
            write_deadline_seconds: r.number("limits.write_deadline_seconds", 1..=300),
            types_max: r.number("limits.types_max", 1..=100_000),
            workers_max: r.number("limits.workers_max", 1..=1_000_000),
            revisions_kept: r.number("limits.revisions_kept", 1..=1_000),
        },
        health: HealthSettings {
            self_preservation: r.flag("health.self_preservation"),
            self_preservation_min_workers: r.number("health.self_preservation_min_workers", 2..=1_000_000),
            self_preservation_window_seconds: r.number("health.self_preservation_window_seconds", 1..=3_600),
            self_preservation_max_seconds: r.number("health.self_preservation_max_seconds", 1..=86_400),
        },
        observability: observability(&mut r),
        sources,
    };
    check::exposure(&mut r, &settings);
    let problems = r.into_problems();
    if problems.is_empty() { Ok(settings) } else { Err(ConfigError { problems }) }
}

fn temporal(r: &mut Reader) -> TemporalSettings {
    let settings = TemporalSettings {
        address: check::address(r, "temporal.address"),
        namespace: r.name("temporal.namespace"),
        namespace_retention_days: r.number("temporal.namespace_retention_days", 1..=3_650),
        tls: None,
    };
    let with_tls = r.flag("temporal.tls");
    let tls = TemporalTls {
        api_key: r.optional("temporal.api_key").map(Secret::new),
        ca: check::pem(r, "temporal.tls_ca"),
        identity: both(r, ("temporal.tls_cert", "temporal.tls_key"), check::pem),
        domain: r.optional("temporal.tls_domain"),
    };
    if with_tls {
        return TemporalSettings { tls: Some(tls), ..settings };
    }
    let TemporalTls { api_key, ca, identity, domain } = tls;
    for (key, is_set) in [
        ("temporal.api_key", api_key.is_some()),
        ("temporal.tls_ca", ca.is_some()),
        ("temporal.tls_cert", identity.is_some()),
        ("temporal.tls_domain", domain.is_some()),
    ] {
        if is_set {
            r.refuse(
                key,
                "is set while temporal.tls is off",
                "set temporal.tls to true, or leave this empty",
            );
        }
    }
    settings
}

fn server(r: &mut Reader) -> ServerSettings {
    let host = check::host(r, "server.host");
    let port = r.number("server.port", 0..=u16::MAX);
    let max_request_body_bytes = r.number("server.max_request_body_bytes", 1_024..=67_108_864);
    let request_timeout_seconds = r.number("server.request_timeout_seconds", 1..=3_600);
    let shutdown_grace_seconds = r.number("server.shutdown_grace_seconds", 0..=600);
    let identity = both(r, ("server.tls.cert", "server.tls.key"), check::file);
    let identity = identity.map(|(cert, key)| TlsIdentity { cert, key });
    let client_ca = check::file(r, "server.tls.client_ca");
    if client_ca.is_some() && identity.is_none() {
        r.refuse(
            "server.tls.client_ca",
            "is set without server.tls.cert",
            "set cert and key, or leave this empty",
        );
    }
    let tls = identity.map(|identity| ServerTls { identity, client_ca });
    ServerSettings {
        host,
        port,
        max_request_body_bytes,
        request_timeout_seconds,
        shutdown_grace_seconds,
        tls,
    }
}

/// Two keys of which none goes without the other.
fn both<T>(
    r: &mut Reader,
    (first, second): (&str, &str),
    read: impl Fn(&mut Reader, &str) -> Option<T>,
) -> Option<(T, T)> {
    let (alone, missing) = match (read(r, first), read(r, second)) {
        (Some(one), Some(other)) => return Some((one, other)),
        (None, None) => return None,
        (Some(_), None) => (first, second),
        (None, Some(_)) => (second, first),
    };
    r.refuse(alone, format!("is set without {missing}"), "both, or none");
    None
}

fn auth(r: &mut Reader) -> AuthSettings {
    AuthSettings {
        enabled: r.flag("auth.enabled"),
        token: r.optional("auth.token").map(Secret::new),
        tokens: check::tokens(r, "auth.tokens"),
        read_public: r.flag("auth.read_public"),
        allow_unauthenticated: r.flag("auth.allow_unauthenticated"),
    }
}

fn observability(r: &mut Reader) -> ObservabilitySettings {
    ObservabilitySettings {
        logging: LoggingSettings {
            level: r.word("observability.logging.level", LEVELS, "trace, debug, info, warn or error"),
            access: r.flag("observability.logging.access"),
            format: r.word("observability.logging.format", FORMATS, "auto, json or text"),
        },
        metrics: MetricsSettings {
            enabled: r.flag("observability.metrics.enabled"),
            path: check::path(r, "observability.metrics.path"),
        },
        otel: otel(r),
        docs_public: r.flag("observability.docs_public"),
        audit: AuditSettings {
            enabled: r.flag("observability.audit.enabled"),
            file: r.optional("observability.audit.file").map(PathBuf::from),
        },
    }
}

fn otel(r: &mut Reader) -> OtelSettings {
    let settings = OtelSettings {
        enabled: r.flag("observability.otel.enabled"),
        service_name: r.name("observability.otel.service_name"),
        endpoint: check::url(r, "observability.otel.endpoint"),
        insecure: r.flag("observability.otel.insecure"),
    };
    let plain = !settings.endpoint.as_deref().is_some_and(|url| url.starts_with("https:"));
    if settings.enabled && plain && !settings.insecure {
        r.refuse(
            "observability.otel.endpoint",
            "is not https, so traces would be sent without TLS",
            "a URL beginning with https://; or set observability.otel.insecure to true",
        );
    }
    settings
}
