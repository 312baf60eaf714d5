use std::{collections::BTreeMap, io::Write};

use super::*;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads `yaml` as a file (none when empty); messages show the file as `FILE`.
fn load(yaml: &str, env: &[(&str, &str)], flags: &[Flag]) -> Result<Settings, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let path = (!yaml.is_empty()).then(|| file.path());
    Settings::load(path, &environment(env), flags).map_err(|error| {
        let text = error.to_string().replace(&file.path().display().to_string(), "FILE");
        text.strip_prefix("bad configuration\n  ").unwrap().replace("\n  ", "\n")
    })
}

#[test]
fn defaults_load_and_use_every_key() {
    let settings = load("", &[], &[]).unwrap();
    assert_eq!(settings.temporal.url(), "http://localhost:7233");
    assert_eq!((settings.server.host.as_str(), settings.server.port), ("127.0.0.1", 8080));
    assert!(settings.auth.enabled && settings.server.is_loopback());
    assert_eq!(settings.limits.requests_per_minute, None);
    assert_eq!(settings.slugs, RetentionSettings { ttl_seconds: 30 * 24 * 3600, max_entries: 10_000 });
    assert_eq!(settings.observability.metrics.path, "/metrics");

    // Every key of the file is read: a sequence inside a sequence fits none, so each must be reported.
    let mut layers = Layers::from_defaults(DEFAULTS).unwrap();
    let keys: Vec<String> = layers.leaves.keys().cloned().collect();
    for leaf in layers.leaves.values_mut() {
        leaf.value = serde_yaml::from_str("[[1]]").unwrap();
    }
    let reported: Vec<String> = build::settings(layers)
        .unwrap_err()
        .problems
        .into_iter()
        .map(|problem| problem.key.trim_end_matches("[0]").to_owned())
        .collect();
    for key in keys {
        assert!(reported.contains(&key), "{key} is in config.yaml but nothing reads it");
    }
}

#[test]
fn every_key_has_a_comment() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let is_nested_key = pair[1].starts_with("  ") && !pair[1].trim_start().starts_with('#');
        let is_section = pair[1].ends_with(':');
        if is_nested_key && !is_section {
            assert!(pair[0].trim_start().starts_with('#'), "no comment above {:?}", pair[1]);
        }
    }
}

#[test]
fn later_layers_win() {
    let yaml = "server: {port: 1000}\ntemporal:\n  address: file:1\n";
    let env = [("TEMPORAL_REGISTRY_PORT", "2000"), ("TEMPORAL_ADDRESS", "env:2")];
    let long = [env[0], env[1], ("TEMPORAL_REGISTRY__SERVER__PORT", "3000")];
    let flag = [Flag { name: "--port", key: "server.port", value: "4000".into() }];
    for (yaml, env, flags, port, address) in [
        ("", &[][..], &[][..], 8080, "localhost:7233"),
        (yaml, &[], &[], 1000, "file:1"),
        (yaml, &env, &[], 2000, "env:2"),
        (yaml, &long, &[], 3000, "env:2"),
        (yaml, &long, &flag, 4000, "env:2"),
    ] {
        let settings = load(yaml, env, flags).unwrap();
        assert_eq!((settings.server.port, settings.temporal.address.as_str()), (port, address));
    }
}

#[test]
fn named_variables_reach_their_keys() {
    let s = load(
        "",
        &[
            ("TEMPORAL_ADDRESS", "t.example:7233"),
            ("TEMPORAL_NAMESPACE", "ns"),
            ("TEMPORAL_TLS", "YES"),
            ("TEMPORAL_API_KEY", "key"),
            ("TEMPORAL_REGISTRY_HOST", "0.0.0.0"),
            ("TEMPORAL_REGISTRY_PORT", "0"),
            ("TEMPORAL_REGISTRY_AUTH_ENABLED", "1"),
            ("TEMPORAL_REGISTRY_TOKEN", "a ${B} c"),
            ("TEMPORAL_REGISTRY_LOG_LEVEL", "WARNING"),
            ("TEMPORAL_REGISTRY_ACCESS_LOG", "off"),
            ("TEMPORAL_REGISTRY_METRICS_ENABLED", "no"),
            ("TEMPORAL_REGISTRY_METRICS_PATH", "/m"),
            ("TEMPORAL_REGISTRY_OTEL_ENABLED", "on"),
            ("TEMPORAL_REGISTRY_OTEL_SERVICE_NAME", "svc"),
            ("TEMPORAL_REGISTRY_OTEL_ENDPOINT", "http://otel:4317"),
            ("TEMPORAL_REGISTRY_OTEL_INSECURE", "true"),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(s.temporal.url(), "https://t.example:7233");
    assert_eq!(s.temporal.namespace, "ns");
    assert_eq!(s.temporal.tls.unwrap().api_key.unwrap().expose(), "key");
    assert_eq!((s.server.host.as_str(), s.server.port), ("0.0.0.0", 0));
    assert_eq!(s.auth.token.unwrap().expose(), "a ${B} c", "variables are taken as they are");
    let o = s.observability;
    assert_eq!((o.logging.level, o.logging.access), (LogLevel::Warn, false));
    assert_eq!((o.metrics.enabled, o.metrics.path.as_str()), (false, "/m"));
    let otel = OtelSettings {
        enabled: true,
        service_name: "svc".into(),
        endpoint: Some("http://otel:4317".into()),
        insecure: true,
    };
    assert_eq!(o.otel, otel);
}

#[test]
fn lists_come_from_files_and_variables() {
    let digest = "AB".repeat(32);
    let yaml = format!(
        "auth:\n  tokens:\n    - {{name: '${{WHO:-ci}}', sha256: {digest}, roles: [read, admin]}}\nregistry:\n  \
         static_workers: [{{worker_id: w, task_queue: q}}]\n"
    );
    let s = load(&yaml, &[], &[]).unwrap();
    let token = TokenSettings {
        name: "ci".into(),
        sha256: [0xAB; 32],
        roles: vec![Role::Read, Role::Admin],
        workflow_types: None,
    };
    assert_eq!(s.auth.tokens, [token]);
    assert_eq!(s.registry.static_workers, [serde_json::json!({"worker_id": "w", "task_queue": "q"})]);

    let json = format!(r#"[{{"name":"a","sha256":"{digest}","roles":["read"],"workflow_types":["x.*"]}}]"#);
    let s = load("", &[("TEMPORAL_REGISTRY__AUTH__TOKENS", &json)], &[]).unwrap();
    assert_eq!(s.auth.tokens[0].workflow_types, Some(vec!["x.*".to_owned()]));
}

#[test]
fn accepted_on_purpose() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("# nothing\n", &[]),
        ("auth:\n", &[]),
        ("auth:\n  tokens:\n", &[]),
        ("server: {port: \"${PORT:-81}\"}\n", &[]),
        ("auth: {enabled: \"${X:-no}\"}\n", &[("X", "")]),
        ("auth: {enabled: off}\nserver: {host: '::1'}\n", &[]),
        ("auth: {enabled: off, allow_unauthenticated: on}\nserver: {host: 0.0.0.0}\n", &[]),
        // Set by Kubernetes beside a Service of this name.
        ("server: {port: 81}\n", &[("TEMPORAL_REGISTRY_PORT", "tcp://10.0.0.1:8080")]),
    ];
    for (yaml, env) in cases {
        if let Err(error) = load(yaml, env, &[]) {
            panic!("{yaml}: {error}");
        }
    }
    let yaml = "auth: {token: \"$${A} ${B:-x}${C}\"}";
    let token = load(yaml, &[("C", "$")], &[]).unwrap().auth.token.unwrap();
    assert_eq!(token.expose(), "${A} x$");
}

/// A file, the environment, and the whole message.
type Mistake<'a> = (&'a str, &'a [(&'a str, &'a str)], String);

#[test]
fn every_mistake_names_key_source_and_what_is_allowed() {
    const BOOLEAN: &str = "true, false, yes, no, on, off, 1 or 0";
    const TLS_OFF: &str =
        "is set while temporal.tls is off (FILE); allowed: set temporal.tls to true, or leave this empty";
    const ROLES: &str =
        "is not a list of roles (FILE); allowed: a list of one or more of read, dispatch, register, admin";
    const GLOBS: &str = "is not a list of globs (FILE); allowed: a list of one or more globs, for example [\"report.*\"]; \
        left out for all types";
    let hex = "0".repeat(64);
    let token = |rest: &str| format!("auth: {{tokens: [{{sha256: '{hex}', {rest}}}]}}");
    let cases: &[Mistake] = &[
        // Names of keys.
        ("sever: {port: 1}", &[], "sever: unknown key (FILE); allowed: the keys of the top level are auth, health, idempotency, limits, observability, registry, server, slugs, temporal".into()),
        ("slugs: {ttl: 1}", &[], "slugs.ttl: unknown key (FILE); allowed: the keys of slugs are max_entries, ttl_seconds".into()),
        ("slugs: {max_entries: {a: 1}}", &[], "slugs.max_entries: is a mapping (FILE); allowed: a whole number from 1 to 1000000".into()),
        ("slugs: 5", &[], "slugs: is a section, not a value (FILE); allowed: a section with the keys max_entries, ttl_seconds".into()),
        ("", &[("TEMPORAL_REGISTRY__SLUGS__TTL", "1")], "slugs.ttl: unknown key (environment variable TEMPORAL_REGISTRY__SLUGS__TTL); allowed: the keys of slugs are max_entries, ttl_seconds".into()),
        ("[1]", &[], "is not a mapping of sections (FILE); allowed: a readable YAML file with sections as in config.yaml".into()),
        // `${NAME}`.
        ("temporal: {namespace: '${NOPE}'}", &[], "temporal.namespace: `${NOPE}` is not set (FILE); allowed: set the environment variable NOPE, or write `${NOPE:-default}`".into()),
        ("auth: {tokens: [{name: '${NOPE}'}]}", &[], "auth.tokens: `${NOPE}` is not set (FILE); allowed: set the environment variable NOPE, or write `${NOPE:-default}`".into()),
        ("temporal: {namespace: '${A'}", &[], "temporal.namespace: has a `${` without a closing `}` (FILE); allowed: `${NAME}`, `${NAME:-default}`, or `$${` for a plain `${`".into()),
        ("temporal: {namespace: '${1}'}", &[], "temporal.namespace: `${1}` does not name a variable (FILE); allowed: `${NAME}`, `${NAME:-default}`, or `$${` for a plain `${`".into()),
        ("server: {port: '${P}'}", &[("P", "x")], "server.port: is \"x\" (FILE, filled from environment variable P); allowed: a whole number from 0 to 65535".into()),
        // Types and ranges.
        ("server: {port: 65536}", &[], "server.port: is 65536 (FILE); allowed: a whole number from 0 to 65535".into()),
        ("server: {port: 80.5}", &[], "server.port: is 80.5 (FILE); allowed: a whole number from 0 to 65535".into()),
        ("", &[("TEMPORAL_REGISTRY_PORT", "-1")], "server.port: is \"-1\" (environment variable TEMPORAL_REGISTRY_PORT); allowed: a whole number from 0 to 65535".into()),
        ("slugs: {ttl_seconds: 0}", &[], "slugs.ttl_seconds: is 0 (FILE); allowed: a whole number from 1 to 315360000".into()),
        ("idempotency: {ttl_seconds: 2592001}", &[], "idempotency.ttl_seconds: is 2592001 (FILE); allowed: a whole number from 1 to 2592000".into()),
        ("temporal: {namespace_retention_days: 0}", &[], "temporal.namespace_retention_days: is 0 (FILE); allowed: a whole number from 1 to 3650".into()),
        ("server: {max_request_body_bytes: 10}", &[], "server.max_request_body_bytes: is 10 (FILE); allowed: a whole number from 1024 to 67108864".into()),
        ("registry: {workflow_id: 7}", &[], "registry.workflow_id: is 7 (FILE); allowed: a string (put it in quotes)\nregistry.workflow_id: is \"\" (FILE); allowed: a name that is not empty, without spaces around it".into()),
        ("registry: {task_queue: ' q'}", &[], "registry.task_queue: is \" q\" (FILE); allowed: a name that is not empty, without spaces around it".into()),
        ("", &[("TEMPORAL_REGISTRY_AUTH_ENABLED", "maybe")], format!("auth.enabled: is \"maybe\" (environment variable TEMPORAL_REGISTRY_AUTH_ENABLED); allowed: {BOOLEAN}")),
        ("auth: {enabled: 2}", &[], format!("auth.enabled: is 2 (FILE); allowed: {BOOLEAN}")),
        ("", &[("TEMPORAL_REGISTRY_LOG_LEVEL", "loud")], "observability.logging.level: is \"loud\" (environment variable TEMPORAL_REGISTRY_LOG_LEVEL); allowed: trace, debug, info, warn or error".into()),
        ("observability: {logging: {format: xml}}", &[], "observability.logging.format: is \"xml\" (FILE); allowed: auto, json or text".into()),
        ("auth: {token: 12345}", &[], "auth.token: has the wrong shape (FILE); allowed: a string (put it in quotes)".into()),
        ("auth: {tokens: a}", &[], "auth.tokens: is not a list (FILE); allowed: a list, [] for none".into()),
        // Meaning.
        ("temporal: {address: 'http://x:1'}", &[], "temporal.address: is \"http://x:1\" (FILE); allowed: host:port, without http://".into()),
        ("", &[("TEMPORAL_ADDRESS", "temporal")], "temporal.address: is \"temporal\" (environment variable TEMPORAL_ADDRESS); allowed: host:port, without http://".into()),
        ("", &[("TEMPORAL_API_KEY", "hush")], "temporal.api_key: is set while temporal.tls is off (environment variable TEMPORAL_API_KEY); allowed: set temporal.tls to true, or leave this empty".into()),
        ("temporal: {tls_domain: d}", &[], format!("temporal.tls_domain: {TLS_OFF}")),
        ("temporal: {tls_ca: /dev/null/no, tls: on}", &[], "temporal.tls_ca: is \"/dev/null/no\", and Not a directory (os error 20) (FILE); allowed: a file that can be read, or empty".into()),
        ("server: {tls: {cert: Cargo.toml}}", &[], "server.tls.cert: is set without server.tls.key (FILE); allowed: both, or none".into()),
        ("temporal: {tls: on, tls_key: Cargo.toml}", &[], "temporal.tls_key: is set without temporal.tls_cert (FILE); allowed: both, or none".into()),
        ("server: {tls: {client_ca: Cargo.toml}}", &[], "server.tls.client_ca: is set without server.tls.cert (FILE); allowed: set cert and key, or leave this empty".into()),
        ("server: {tls: {client_ca: src}}", &[], "server.tls.client_ca: is \"src\", and it is not a file (FILE); allowed: a file that can be read, or empty\nserver.tls.client_ca: is set without server.tls.cert (FILE); allowed: set cert and key, or leave this empty".into()),
        ("server: {host: 'a b'}", &[], "server.host: is \"a b\" (FILE); allowed: an IP address or a host name".into()),
        ("auth: {enabled: off}", &[("TEMPORAL_REGISTRY_HOST", "0.0.0.0")], "server.host: is \"0.0.0.0\", which other machines can reach, while auth.enabled is false (environment variable TEMPORAL_REGISTRY_HOST); allowed: 127.0.0.1, ::1 or localhost; or set auth.enabled or auth.allow_unauthenticated to true".into()),
        ("", &[("TEMPORAL_REGISTRY_METRICS_PATH", "metrics")], "observability.metrics.path: is \"metrics\" (environment variable TEMPORAL_REGISTRY_METRICS_PATH); allowed: a path that begins with '/', of letters, digits, '-', '_', '.', '~', '/'".into()),
        ("observability: {otel: {endpoint: 'otel:4317'}}", &[], "observability.otel.endpoint: is \"otel:4317\" (FILE); allowed: a URL beginning with http:// or https://, or empty".into()),
        ("registry: {static_workers: [3]}", &[], "registry.static_workers[0]: is not such a mapping (FILE); allowed: a mapping with text keys, as in POST /registry/workers".into()),
        // Tokens.
        ("auth: {tokens: [x]}", &[], "auth.tokens[0]: is not a mapping (FILE); allowed: a mapping with the keys name, sha256, roles, workflow_types".into()),
        (&token("name: '', roles: [read]"), &[], "auth.tokens[0].name: is missing or blank (FILE); allowed: a name that is not empty".into()),
        (&token("name: a, roles: [root]"), &[], format!("auth.tokens[0].roles: {ROLES}")),
        (&token("name: a, roles: []"), &[], format!("auth.tokens[0].roles: {ROLES}")),
        (&token("name: a"), &[], format!("auth.tokens[0].roles: {ROLES}")),
        (&token("name: a, roles: [read], role: x"), &[], "auth.tokens[0].role: unknown key (FILE); allowed: the keys are name, sha256, roles, workflow_types".into()),
        (&token("name: a, roles: [read], workflow_types: ['[']"), &[], format!("auth.tokens[0].workflow_types: {GLOBS}")),
        (&token("name: a, roles: [read], workflow_types: []"), &[], format!("auth.tokens[0].workflow_types: {GLOBS}")),
        (&token("name: a, roles: [read], workflow_types: null"), &[], format!("auth.tokens[0].workflow_types: {GLOBS}")),
        ("auth: {tokens: [{name: a, roles: [read], sha256: hush}]}", &[], "auth.tokens[0].sha256: is not a SHA-256 in hexadecimal (FILE); allowed: 64 hex digits, as sha256sum prints them".into()),
        (&format!("auth: {{tokens: [{{name: a, roles: [read], sha256: '{hex}'}}, {{name: a, roles: [read], sha256: '{hex}'}}]}}"), &[], "auth.tokens[1].name: \"a\" is given twice (FILE); allowed: a name of its own for each token".into()),
    ];
    for (yaml, env, expected) in cases {
        let message = load(yaml, env, &[]).expect_err(yaml).replace("file FILE", "FILE");
        assert_eq!(message, *expected, "for {yaml:?} with {env:?}");
    }
}

#[test]
fn flags_are_named_and_all_mistakes_come_at_once() {
    let flags = [Flag { name: "--port", key: "server.port", value: "no".into() }];
    let message = load("slugs: {nope: 1}", &[("TEMPORAL_TLS", "x")], &flags).unwrap_err();
    let keys: Vec<&str> = message.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["slugs.nope", "temporal.tls", "server.port"]);
    assert!(
        message.ends_with("server.port: is \"no\" (flag --port); allowed: a whole number from 0 to 65535")
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let error = Settings::load(Some(Path::new("/no/such.yaml")), &BTreeMap::new(), &[]).unwrap_err();
    assert!(error.to_string().contains("(file /no/such.yaml)"), "{error}");
    for yaml in ["a: [", "slugs: {max_entries: 1, max_entries: 2}"] {
        let message = load(yaml, &[], &[]).unwrap_err();
        assert!(message.contains("is not YAML") && message.contains("FILE"), "{message}");
    }
}

#[test]
fn secrets_stay_out_of_debug() {
    let env = [("TEMPORAL_REGISTRY_TOKEN", "hush"), ("TEMPORAL_API_KEY", "hush"), ("TEMPORAL_TLS", "1")];
    let debug = format!("{:?}", load("", &env, &[]).unwrap());
    assert!(debug.contains("***") && !debug.contains("hush"), "{debug}");
}
