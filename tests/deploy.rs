//! The files in deploy/: readable, consistent with each other and with the program. No container runs here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;
use temporal_registry::{cli::Cli, config::Settings, http::openapi, telemetry::Metrics};

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    let mut value: serde_yaml::Value =
        serde_yaml::from_str(&text(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    value.apply_merge().unwrap();
    serde_json::to_value(value).unwrap()
}

/// A value by pointer; it must be there.
#[track_caller]
fn get<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Samples of every family there is, by name with their labels.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let metrics = Metrics::new();
    metrics.http_requests_total.with_label_values(&["GET", "/health", "200"]).inc();
    metrics.http_request_duration_seconds.with_label_values(&["GET", "/health"]).observe(1.0);
    metrics.http_problems_total.with_label_values(&["unauthorized"]).inc();
    metrics.temporal_calls_total.with_label_values(&["StartWorkflowExecution"]).inc();
    metrics.temporal_call_failures_total.with_label_values(&["StartWorkflowExecution", "unavailable"]).inc();
    metrics.temporal_call_seconds.with_label_values(&["StartWorkflowExecution"]).observe(1.0);
    metrics.workers.with_label_values(&["healthy"]).set(1);
    metrics.healthy_workers.with_label_values(&["report.v1", "reports"]).set(1);
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.render().lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap().to_owned();
        let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(l, _)| l);
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        all.entry(name).or_default().extend(labels);
    }
    all
}

/// The metrics an expression names, with the labels it selects by.
fn named(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (start, _) in expression.match_indices("temporal_registry_") {
        let rest = &expression[start..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        let selector = rest[end..].strip_prefix('{').and_then(|s| s.split_once('}')).map_or("", |(s, _)| s);
        let labels = selector.split("\",").filter_map(|matcher| {
            let label = matcher.split(['=', '!']).next()?.trim();
            (!label.is_empty()).then(|| label.to_owned())
        });
        found.push((rest[..end].to_owned(), labels.collect()));
    }
    found
}

#[track_caller]
fn assert_known(place: &str, expression: &str, seen: &mut BTreeSet<String>) {
    let known = metrics();
    let count = |c: char| expression.matches(c).count();
    assert_eq!((count('('), count('{')), (count(')'), count('}')), "{place}: {expression}");
    let used = named(expression);
    assert!(!used.is_empty(), "{place} asks about nothing of ours: {expression}");
    for (metric, labels) in used {
        let has = known.get(&metric).unwrap_or_else(|| panic!("{place}: there is no metric {metric}"));
        for label in labels {
            assert!(has.contains(&label), "{place}: {metric} has no label {label}");
        }
        seen.insert(metric);
    }
}

#[test]
fn the_dashboard_asks_about_metrics_there_are_and_about_all_of_them() {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/dashboard.json")).unwrap();
    let mut seen = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in list(get(&dashboard, "/panels")) {
        let title = panel["title"].as_str().unwrap();
        assert!(places.insert(panel["gridPos"].to_string()), "{title} lies on another panel");
        assert_eq!(panel["type"] == "row", list(&panel["targets"]).is_empty(), "{title}");
        for target in list(&panel["targets"]) {
            assert_known(title, target["expr"].as_str().unwrap(), &mut seen);
        }
    }
    let base = |name: &String| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let seen: BTreeSet<String> = seen.iter().map(base).collect();
    let all: BTreeSet<String> = metrics().keys().map(base).collect();
    assert_eq!(all.difference(&seen).collect::<Vec<_>>(), Vec::<&String>::new(), "not on the dashboard");
}

#[test]
fn alerts_ask_about_metrics_there_are_and_are_explained() {
    let file = yaml("deploy/prometheus/alerts.yaml");
    let explained = text("docs/operations.md");
    let mut names = BTreeSet::new();
    for rule in list(get(&file, "/groups")).iter().flat_map(|group| list(&group["rules"])) {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        assert_known(name, rule["expr"].as_str().unwrap(), &mut BTreeSet::new());
        assert!(["warning", "critical"].contains(&get(rule, "/labels/severity").as_str().unwrap()), "{name}");
        for text in ["/annotations/summary", "/annotations/description"] {
            assert!(get(rule, text).as_str().is_some_and(|text| !text.is_empty()), "{name}: {text}");
        }
        assert!(explained.contains(&format!("`{name}`")), "docs/operations.md does not explain {name}");
    }
    assert!(names.len() >= 10);
}

/// One instruction of the Dockerfile's last stage, and of the whole file.
struct Dockerfile(Vec<(String, String)>);

impl Dockerfile {
    fn read() -> Self {
        let text = text("deploy/docker/Dockerfile").replace("\\\n", " ");
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let split = |line: &str| {
            let (word, rest) = line.split_once(' ').expect("an instruction with an argument");
            (word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        Self(lines.map(split).collect())
    }

    fn all<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == word).map(|(_, rest)| rest.as_str())
    }

    /// Of the stage that becomes the image.
    fn last(&self, word: &str) -> &str {
        let stage = self.0.iter().rposition(|(name, _)| name == "FROM").unwrap();
        let found = self.0[stage..].iter().rfind(|(name, _)| name == word);
        &found.unwrap_or_else(|| panic!("no {word} in the last stage")).1
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let pairs = self.last("ENV").split(' ').map(|pair| pair.split_once('=').expect("NAME=value"));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Fails unless this is a command line of ours.
#[track_caller]
fn assert_command(words: &[&str]) {
    if let Err(error) = Cli::try_parse_from(words) {
        panic!("{words:?} is no command line of ours: {error}");
    }
}

#[test]
fn the_image_runs_our_commands_as_nobody_in_particular() {
    let file = Dockerfile::read();
    assert_eq!(file.all("FROM").count(), 2, "one stage to build, one to run");
    let words = |json: &str| serde_json::from_str::<Vec<String>>(json).unwrap();
    let program = words(file.last("ENTRYPOINT"));
    let (_, check) = file.last("HEALTHCHECK").split_once("CMD ").unwrap();
    assert_eq!(words(check)[..1], program);
    for command in [words(file.last("CMD")), words(check)[1..].to_vec()] {
        let line: Vec<&str> = program.iter().chain(&command).map(String::as_str).collect();
        assert_command(&line);
    }
    assert!(file.last("COPY").ends_with(&program[0]));

    let (user, group) = file.last("USER").split_once(':').unwrap();
    assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0);
    let settings = Settings::load(None, &file.environment(), &[]).unwrap();
    assert!(settings.auth.enabled && !settings.server.is_loopback());
    assert_eq!(file.last("EXPOSE"), settings.server.port.to_string());

    // What is copied in is there, and is let through to the build.
    let ignored = text(".dockerignore");
    for source in file.all("COPY").filter(|copy| !copy.starts_with("--from")) {
        let (sources, _) = source.rsplit_once(' ').unwrap();
        for source in sources.split(' ') {
            assert!(at(source).exists(), "{source} is not there");
            assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is ignored");
        }
    }
}

#[test]
fn compose_runs_two_replicas_behind_the_proxy() {
    let file = yaml("deploy/compose.yaml");
    let services = get(&file, "/services").as_object().unwrap();
    let port = Dockerfile::read().environment()["TEMPORAL_REGISTRY_PORT"].clone();
    let replicas: Vec<String> = services
        .iter()
        .filter(|(_, service)| service["build"]["dockerfile"] == "deploy/docker/Dockerfile")
        .map(|(name, _)| format!("{name}:{port}"))
        .collect();
    assert_eq!(replicas.len(), 2);
    let proxy = text("deploy/caddy/Caddyfile");
    let upstreams = proxy.lines().find_map(|line| line.trim().strip_prefix("reverse_proxy ")).unwrap();
    assert_eq!(upstreams.trim_end_matches([' ', '{']).split(' ').collect::<Vec<_>>(), replicas);
    assert_eq!(proxy.matches('{').count(), proxy.matches('}').count());
    let asked = proxy.lines().find_map(|line| line.trim().strip_prefix("health_uri ")).unwrap();
    assert_route(asked);

    for (name, service) in services {
        let wanted = match &service["depends_on"] {
            Value::Object(wanted) => wanted.keys().cloned().collect(),
            other => list(other).iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>(),
        };
        for other in wanted {
            let needs_health = service["depends_on"][&other]["condition"] == "service_healthy";
            let other =
                services.get(&other).unwrap_or_else(|| panic!("{name} needs {other}, which is not there"));
            assert!(
                !needs_health || other["healthcheck"].is_object(),
                "{name} waits for a health nobody checks"
            );
        }
        for volume in list(&service["volumes"]) {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let is_there = match source.strip_prefix("./") {
                Some(path) => at("deploy").join(path).exists(),
                None => file["volumes"].get(source).is_some(),
            };
            assert!(is_there, "{name}: {source} is not there");
        }
    }
    let registry = &services["registry-1"];
    assert!(at("deploy").join(get(registry, "/build/context").as_str().unwrap()).join("Cargo.toml").exists());
    let given = get(registry, "/environment").as_object().unwrap();
    let mut environment = Dockerfile::read().environment();
    environment.extend(given.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    let settings = Settings::load(None, &environment, &[]).unwrap();
    let (temporal, _) = settings.temporal.address.split_once(':').unwrap();
    assert!(services.contains_key(temporal) && settings.auth.token.is_some());
}

#[track_caller]
fn assert_route(path: &str) {
    let document = serde_json::to_value(openapi::document()).unwrap();
    assert!(document["paths"][path]["get"].is_object(), "there is no GET {path}");
}

#[test]
fn kubernetes_manifests_go_together() {
    let mut files: Vec<_> =
        fs::read_dir(at("deploy/kubernetes")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let object = yaml(file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap());
        assert_eq!(get(&object, "/metadata/name"), "temporal-registry", "{}", file.display());
        assert!(object["apiVersion"].is_string() && object["kind"].is_string(), "{}", file.display());
    }
    let [deployment, service, budget, monitor] =
        ["deployment", "service", "poddisruptionbudget", "servicemonitor"]
            .map(|name| yaml(&format!("deploy/kubernetes/{name}.yaml")));

    let labels = get(&deployment, "/spec/template/metadata/labels");
    for (what, selector) in [
        ("the deployment", get(&deployment, "/spec/selector/matchLabels")),
        ("the service", get(&service, "/spec/selector")),
        ("the budget", get(&budget, "/spec/selector/matchLabels")),
    ] {
        assert_eq!(selector, labels, "{what} selects other pods");
    }
    assert_eq!(get(&monitor, "/spec/selector/matchLabels"), get(&service, "/metadata/labels"));
    assert!(get(&budget, "/spec/minAvailable").as_u64() < get(&deployment, "/spec/replicas").as_u64());

    let pod = get(&deployment, "/spec/template/spec");
    let container = get(pod, "/containers/0");
    let variables = list(get(container, "/env")).iter();
    let given =
        variables.filter_map(|v| Some((v["name"].as_str()?.to_owned(), v["value"].as_str()?.to_owned())));
    let mut environment = Dockerfile::read().environment();
    environment.extend(given);
    let settings = Settings::load(None, &environment, &[]).unwrap();

    let port = get(container, "/ports/0");
    assert_eq!(port["containerPort"], settings.server.port);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let probe = get(&container[probe], "/httpGet");
        assert_eq!(probe["port"], port["name"]);
        assert_route(probe["path"].as_str().unwrap());
    }
    assert_eq!(get(&service, "/spec/ports/0/targetPort"), &port["name"]);
    assert_eq!(get(&monitor, "/spec/endpoints/0/port"), get(&service, "/spec/ports/0/name"));
    assert_eq!(get(&monitor, "/spec/endpoints/0/path"), settings.observability.metrics.path.as_str());

    let words: Vec<&str> = ["temporal-registry"]
        .into_iter()
        .chain(list(&container["args"]).iter().filter_map(Value::as_str))
        .collect();
    assert_command(&words);
    let token = list(get(container, "/env")).iter().find(|v| v["name"] == "TEMPORAL_REGISTRY_TOKEN").unwrap();
    assert_eq!(get(token, "/valueFrom/secretKeyRef/name"), "temporal-registry");
    assert!(token["value"].is_null(), "a token in a manifest is no secret");

    let user = Dockerfile::read().last("USER").split(':').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(get(pod, "/securityContext/runAsNonRoot"), true);
    assert_eq!(get(pod, "/securityContext/runAsUser").as_u64(), Some(user));
    assert_eq!(get(container, "/securityContext/allowPrivilegeEscalation"), false);
    assert_eq!(get(container, "/securityContext/readOnlyRootFilesystem"), true);
    let pause = get(container, "/lifecycle/preStop/sleep/seconds").as_u64().unwrap();
    let grace = get(pod, "/terminationGracePeriodSeconds").as_u64().unwrap();
    assert!(grace > pause + settings.server.shutdown_grace_seconds);
}
