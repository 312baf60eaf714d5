//! Bad configurations and what is said about them.

use super::*;

const WORKER: &str = "worker: {id: w}\n";

/// The keys that messages about unknown ones list.
const SUBPROCESS: &str = "`argv`, `env`, `env_allow`, `cwd`, `stdin`, `timeout_seconds`, `grace_seconds`, \
                          `max_output_bytes`, `max_artifact_bytes`, `output_format`, `limits`";
const MANUAL: &str = "`title`, `instructions`, `timeout_seconds`, `lease_seconds`";
const ALL: &str = "or for every kind `workflow_type`, `version`, `description`, `owner`, `tags`, `labels`, `examples`, \
                   `deprecated`, `search_attributes`, `metadata`, `input_schema`, `output_schema`, `idempotent`, \
                   `max_attempts`, `secrets`";

fn problems(yaml: &str) -> Vec<String> {
    match RunnerConfig::parse(yaml, "runner.yaml") {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

fn entry(yaml: &str) -> Vec<String> {
    problems(&format!("{WORKER}entries:\n  - {{workflow_type: a.v1, {yaml}}}\n"))
}

/// The first column goes into the only entry; the second is all that is said.
#[test]
fn bad_entries_are_refused_at_their_key() {
    let sub = "kind: subprocess, argv: [/bin/true]";
    let http = "kind: http, url: 'https://h.test/x', allowed_hosts: [h.test]";
    let job = "kind: http_async, url: 'https://h.test/k', allowed_hosts: [h.test], run_id_path: id, \
               poll_url_template: 'https://h.test/p/{run_id}', poll_status_path: s, \
               poll_terminal_states: [done, bad], poll_success_states: [done]";
    let table: Vec<(String, &str)> = vec![
        ("kind: shell".into(), "entries[0].kind: must be one of subprocess, http, http_async, manual"),
        ("input_schema: {}".into(), "entries[0].kind: must be one of subprocess, http, http_async, manual"),
        (
            format!("{sub}, tiemout: 3"),
            "entries[0].tiemout: unknown field `tiemout`, expected one of <keys of subprocess>, <keys of all>",
        ),
        (
            format!("{sub}, url: x"),
            "entries[0].url: unknown field `url`, expected one of <keys of subprocess>, <keys of all>",
        ),
        (
            format!("{sub}, timeout_seconds: soon"),
            "entries[0].timeout_seconds: invalid type: string \"soon\", expected u64",
        ),
        (format!("{sub}, timeout_seconds: 0"), "entries[0].timeout_seconds: must be 1..2678400, is 0"),
        (format!("{sub}, grace_seconds: 601"), "entries[0].grace_seconds: must be 0..600, is 601"),
        (
            format!("{sub}, max_output_bytes: 300000"),
            "entries[0].max_output_bytes: must be 1..262144, is 300000",
        ),
        (format!("{sub}, max_attempts: 0"), "entries[0].max_attempts: must be 1..100, is 0"),
        (
            format!("{sub}, limits: {{memory: 1}}"),
            "entries[0].limits.memory: unknown field `memory`, expected one of `memory_bytes`, `cpu_seconds`, `open_files`, `file_bytes`",
        ),
        (
            format!("{sub}, limits: {{memory_bytes: 1}}"),
            "entries[0].limits.memory_bytes: must be 1048576..9223372036854775807, is 1",
        ),
        (format!("{sub}, cwd: here"), "entries[0].cwd: must be an absolute path"),
        (
            format!("{sub}, env: {{'A=B': x}}"),
            "entries[0].env.A=B: is not the name of an environment variable",
        ),
        (
            format!("{sub}, env: {{A: '{{{{secret.K}}}}'}}"),
            "entries[0].env.A: secret `K` is not declared under `secrets`",
        ),
        (
            format!("{sub}, env: {{A: '{{{{input.x'}}"),
            "entries[0].env.A: `{{` is never closed in `{{input.x`",
        ),
        (
            format!("{sub}, stdin: '{{{{env.X}}}}'"),
            "entries[0].stdin: `{{env.X}}` is not a variable; use input, input.FIELD or secret.NAME",
        ),
        (
            format!("{sub}, secrets: {{K: {{vault: x}}}}"),
            "entries[0].secrets.K: must be {env: VARIABLE} or {file: PATH}, never the secret itself",
        ),
        (
            format!("{sub}, secrets: {{K: plain}}"),
            "entries[0].secrets.K: must be {env: VARIABLE} or {file: PATH}, never the secret itself",
        ),
        (
            format!("{sub}, output_format: xml"),
            "entries[0].output_format: unknown variant `xml`, expected `text` or `json`",
        ),
        ("kind: subprocess, argv: []".into(), "entries[0].argv: must name an executable"),
        (
            "kind: subprocess, argv: ['{{input.x}}']".into(),
            "entries[0].argv[0]: the executable must be literal: no input may choose what is run",
        ),
        (
            "kind: subprocess, argv: [/bin/true, '{{secret.K}}'], secrets: {K: {env: K}}".into(),
            "entries[0].argv[1]: a secret may only be used in env, headers and body",
        ),
        (
            format!("{sub}, input_schema: {{type: 5}}"),
            "entries[0].input_schema: not a valid JSON Schema: 5 is not valid under any of the schemas listed in the 'anyOf' keyword",
        ),
        (format!("{sub}, input_schema: 5"), "entries[0].input_schema: must be a JSON Schema"),
        (
            format!("{sub}, output_schema: {{$ref: 'https://h.test/s'}}"),
            "entries[0].output_schema: not a valid JSON Schema: it refers to https://h.test/s, and nothing is fetched",
        ),
        ("kind: http, url: 'https://h.test/'".into(), "entries[0]: missing field `allowed_hosts`"),
        (
            "kind: http, url: 'https://h.test/', allowed_hosts: []".into(),
            "entries[0].allowed_hosts: must name at least one host\nentries[0].url: host `h.test` is not among allowed_hosts",
        ),
        (
            "kind: http, url: 'https://h.test/', allowed_hosts: [h.test, 'a/b']".into(),
            "entries[0].allowed_hosts[1]: `a/b` is not a host; write host, host:port or *.domain",
        ),
        (
            "kind: http, url: 'https://h.test/', allowed_hosts: [other.test]".into(),
            "entries[0].url: host `h.test` is not among allowed_hosts",
        ),
        (
            "kind: http, url: 'ftp://h.test/', allowed_hosts: [h.test]".into(),
            "entries[0].url: must begin with http:// or https://",
        ),
        (
            "kind: http, url: '{{input.url}}', allowed_hosts: [h.test]".into(),
            "entries[0].url: must begin with http:// or https://",
        ),
        (
            "kind: http, url: 'https://h.test/{{secret.K}}', allowed_hosts: [h.test], secrets: {K: {env: K}}"
                .into(),
            "entries[0].url: a secret may only be used in env, headers and body",
        ),
        (
            format!("{http}, method: FETCH"),
            "entries[0].method: must be one of GET, POST, PUT, PATCH, DELETE, HEAD",
        ),
        (format!("{http}, headers: {{'a b': c}}"), "entries[0].headers.a b: is not the name of a header"),
        (
            format!("{http}, body: {{a: ['{{{{secret.K}}}}']}}"),
            "entries[0].body: secret `K` is not declared under `secrets`",
        ),
        (format!("{http}, max_redirects: 11"), "entries[0].max_redirects: must be 0..10, is 11"),
        (format!("{http}, timeout_seconds: 0"), "entries[0].timeout_seconds: must be 1..3600, is 0"),
        (
            format!("{job}, poll_interval_seconds: 0"),
            "entries[0].poll_interval_seconds: must be 1..86400, is 0",
        ),
        (
            format!("{job}, poll_interval_seconds: 60, timeout_seconds: 60"),
            "entries[0].poll_interval_seconds: must be shorter than timeout_seconds, or there is only one poll",
        ),
        (
            job.replace("{run_id}", "x"),
            "entries[0].poll_url_template: must hold {run_id}: without it, one job cannot be told from another",
        ),
        (
            format!("{job}, cancel_url_template: 'https://evil.test/{{run_id}}'"),
            "entries[0].cancel_url_template: host `evil.test` is not among allowed_hosts",
        ),
        (
            job.replace("[done, bad]", "[]"),
            "entries[0].poll_terminal_states: must name at least one state: without one, no poll could ever be the last\nentries[0].poll_success_states[0]: `done` is not among poll_terminal_states, so it would never be seen",
        ),
        (
            job.replace("poll_success_states: [done]", "poll_success_states: [ok]"),
            "entries[0].poll_success_states[0]: `ok` is not among poll_terminal_states, so it would never be seen",
        ),
        (
            job.replace("poll_success_states: [done]", "poll_success_states: []"),
            "entries[0].poll_success_states: must name at least one state: without one, no run could ever succeed",
        ),
        (
            job.replace("run_id_path: id", "run_id_path: a..b"),
            "entries[0].run_id_path: must be a path such as `id` or `data.state`",
        ),
        ("kind: manual, lease_seconds: 0".into(), "entries[0].lease_seconds: must be 1..604800, is 0"),
        (
            "kind: manual, title: '{{secret.K}}', secrets: {K: {env: K}}".into(),
            "entries[0].title: a secret may only be used in env, headers and body",
        ),
        (
            "kind: manual, argv: [x]".into(),
            "entries[0].argv: unknown field `argv`, expected one of <keys of manual>, <keys of all>",
        ),
    ];
    for (yaml, expected) in table {
        let found = entry(&yaml);
        let wanted = expected.replace("<keys of subprocess>", SUBPROCESS).replace("<keys of manual>", MANUAL);
        assert_eq!(found.join("\n"), wanted.replace("<keys of all>", ALL), "{yaml}");
    }
    for good in [sub, http, job, "kind: manual"] {
        assert_eq!(entry(good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn bad_files_are_refused_at_their_key() {
    let one = "entries: [{workflow_type: a.v1, kind: manual}]\n";
    let table = [
        ("[]".to_owned(), "must be a mapping with registry, worker and entries"),
        (
            "a: [".to_owned(),
            "not readable as YAML: did not find expected node content at line 2 column 1, while parsing a flow node",
        ),
        (one.to_owned(), "worker: is required: at least `worker.id`"),
        (WORKER.to_owned(), "entries: must be a list with at least one entry"),
        (format!("{WORKER}entries: []"), "entries: must be a list with at least one entry"),
        (format!("{WORKER}entries: [3]"), "entries[0]: must be a mapping"),
        (format!("{WORKER}{one}extra: 1"), "extra: unknown key; allowed: registry, worker, entries"),
        (format!("worker: {{}}\n{one}"), "worker: missing field `id`"),
        (
            format!("worker: {{id: ' '}}\n{one}"),
            "worker.id: must be 1..200 characters without spaces around them",
        ),
        (format!("worker: {{id: w, ttl_seconds: 4}}\n{one}"), "worker.ttl_seconds: must be 5..3600, is 4"),
        (
            format!("worker: {{id: w, queue: q}}\n{one}"),
            "worker.queue: unknown field `queue`, expected one of `id`, `task_queue`, `ttl_seconds`, `environment`, `host`, `version`, `labels`, `metadata`, `max_concurrent`, `drain_seconds`, `artifact_dir`, `artifact_days`",
        ),
        (
            format!("worker: {{id: '${{SURELY_NOT_SET}}'}}\n{one}"),
            "worker.id: environment variable SURELY_NOT_SET is not set; write ${SURELY_NOT_SET:-…} for a default, $${SURELY_NOT_SET} for the text",
        ),
        (
            format!("registry: {{url: nowhere}}\n{WORKER}{one}"),
            "registry.url: `nowhere` is not a URL: relative URL without a base",
        ),
        (
            format!("registry: {{url: 'ftp://x'}}\n{WORKER}{one}"),
            "registry.url: must be an http or https URL",
        ),
        (
            format!("registry: {{tokn: x}}\n{WORKER}{one}"),
            "registry.tokn: unknown field `tokn`, expected `url` or `token`",
        ),
        (
            format!(
                "{WORKER}entries: [{{workflow_type: a, kind: manual}}, {{workflow_type: a, kind: manual}}]"
            ),
            "entries: workflow type `a` is there twice",
        ),
    ];
    for (yaml, expected) in table {
        let found = problems(&yaml);
        assert_eq!(found.join("\n"), expected, "{yaml}");
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let yaml = "registry: {url: 3}\nworker: {id: w, ttl_seconds: 1}\nentries:\n  - {workflow_type: a, kind: x}\n  \
                - {workflow_type: b, kind: subprocess, argv: []}\n";
    assert_eq!(problems(yaml).len(), 4, "{:#?}", problems(yaml));
}

#[test]
fn what_may_still_come_is_a_warning() {
    let yaml = format!(
        "{WORKER}entries:\n  - workflow_type: a\n    kind: subprocess\n    argv: [/not/there/yet]\n    \
         secrets: {{K: {{env: SURELY_NOT_SET}}}}\n"
    );
    let warnings = RunnerConfig::parse(&yaml, "runner.yaml").unwrap().warnings();
    let paths: Vec<&str> = warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["entries[0].argv[0]", "entries[0].secrets.K"]);
}

#[test]
fn a_token_is_not_shown() {
    let yaml =
        format!("registry: {{token: topsecret}}\n{WORKER}entries: [{{workflow_type: a, kind: manual}}]");
    let config = RunnerConfig::parse(&yaml, "runner.yaml").unwrap();
    assert!(!format!("{config:?}").contains("topsecret"));
}

#[test]
fn the_example_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/runner.yaml");
    let config = RunnerConfig::load(&path).unwrap();
    let kinds: Vec<&str> = config.entries.iter().map(|entry| entry.kind.name()).collect();
    for kind in ["subprocess", "http", "http_async", "manual"] {
        assert!(kinds.contains(&kind), "{kind} is missing among {kinds:?}");
    }
}

/// Every kind in its shortest form, with a reference inside a flow mapping.
#[test]
fn ten_lines_are_enough() {
    let yaml = r#"
registry: {url: http://127.0.0.1:8080, token: ${SURELY_NOT_SET:-}}
worker: {id: build-host-1, task_queue: runner, ttl_seconds: 30, host: build-host-1, labels: {}}
entries:
  - workflow_type: report.v1
    kind: subprocess
    input_schema: {type: object, properties: {day: {type: string}}, required: [day]}
    argv: [/usr/local/bin/report, --day, "{{input.day}}"]
    env: {MODE: nightly}
    env_allow: [PATH, HOME]
    timeout_seconds: 600
    grace_seconds: 10
    max_output_bytes: 65536
    idempotent: true
  - workflow_type: notify.v1
    kind: http
    url: https://hooks.example.com/{{input.channel}}
    allowed_hosts: [hooks.example.com]
  - workflow_type: train.v1
    kind: http_async
    url: https://jobs.example.com/kick
    run_id_path: id
    poll_url_template: https://jobs.example.com/poll/{run_id}
    poll_status_path: state
    poll_terminal_states: [done, broken]
    poll_success_states: [done]
    cancel_url_template: https://jobs.example.com/cancel/{run_id}
    allowed_hosts: [jobs.example.com]
  - workflow_type: approve.v1
    kind: manual
"#;
    assert_eq!(problems(yaml), Vec::<String>::new());
}
