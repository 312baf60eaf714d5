//! A release beside an earlier one on one Temporal, as in a rolling restart: each takes over runs of the registry workflow
//! that the other wrote, each hands over to the other, and clients notice nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clients::Claimers;
use crate::harness::{Registry, Temporal, program, until, worker};
use crate::load::{Counts, versions, workers};

/// Long enough for any machine; it takes seconds.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(300);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);
/// Workers that came before the first step and must never be asked to come again.
const KEPT: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Release {
    Old,
    New,
}
use Release::{New, Old};

#[derive(Clone, Copy)]
enum End {
    Stopped,
    Killed,
}
use End::{Killed, Stopped};

/// What comes before the steps, and leaves a new replica beside an old one.
const NEARLY_FULL: &str = "both killed, nearly full";

/// Which of the two replicas ends, how, and what is started in its place.
const STEPS: [(&str, usize, End, Release); 8] = [
    ("old killed beside new", 1, Killed, Old),
    ("new killed beside old", 0, Killed, New),
    ("new stopped beside old", 0, Stopped, New),
    ("stepped back", 0, Stopped, Old),
    ("first replaced again", 0, Stopped, New),
    ("second replaced", 1, Stopped, New),
    ("new killed beside new", 0, Killed, New),
    ("and the other", 1, Killed, New),
];

struct Fleet {
    temporal: String,
    old: PathBuf,
    log: PathBuf,
    /// Which release a process is of, by process id.
    releases: BTreeMap<u32, Release>,
}

impl Fleet {
    async fn start(&mut self, release: Release) -> Registry {
        let program = if release == Old { self.old.clone() } else { program() };
        let registry = Registry::start_program(&program, &self.temporal, &[], &self.log).await;
        self.releases.insert(registry.process_id(), release);
        registry
    }
}

async fn run_id(registry: &Registry) -> String {
    current_run(registry).await.0
}

/// The run of the registry workflow, and how many events it has.
async fn current_run(registry: &Registry) -> (String, u64) {
    let status = registry.get("/registry/status").await.body;
    let run_id = status["run_id"].as_str().unwrap_or_default().to_owned();
    (run_id, status["history_events"].as_u64().unwrap_or_default())
}

/// The run that a replica fills while it is written to, once it is nearly as long as the one before became: the longest
/// that another release can have to replay.
async fn nearly_full(registry: &Registry) -> String {
    let (mut last, mut length) = (current_run(registry).await, 0);
    until("a nearly full run", HANDED_OVER_WITHIN, async || {
        let now = current_run(registry).await;
        if now.0 != last.0 {
            length = last.1;
        }
        last = now;
        length > 0 && last.1 * 5 >= length * 4
    })
    .await;
    last.0
}

async fn epochs(registry: &Registry) -> BTreeMap<String, Value> {
    let listed = registry.get("/registry/workers?task_queue=kept&limit=200").await.body;
    let of = |worker: &Value| {
        (worker["worker_id"].as_str().unwrap_or_default().to_owned(), worker["epoch"].clone())
    };
    listed["workers"].as_array().into_iter().flatten().map(of).collect()
}

/// A start under a key.
async fn keyed_start(registry: &Registry, key: &str) -> anyhow::Result<Value> {
    let request = registry.http.post(format!("{}/workflows/kept.v1/start", registry.url));
    let body = json!({"name": "kept", "input": {}});
    let answer = request.header("idempotency-key", key).json(&body).send().await?;
    anyhow::ensure!(answer.status() == 200, "a start: {} {}", answer.status(), answer.text().await?);
    Ok(answer.json().await?)
}

/// What both replicas must go on telling.
struct Kept {
    epochs: BTreeMap<String, Value>,
    revisions: Value,
}

impl Kept {
    async fn make(registry: &Registry) -> anyhow::Result<Self> {
        for n in 0..KEPT {
            registry
                .must("/registry/workers", &worker(&format!("kept-{n}"), "kept", 3_600, &["kept.v1"]))
                .await;
        }
        for version in ["1", "2", "3"] {
            let body = json!({"workflow_type": "kept.v1", "task_queue": "kept", "version": version,
                "input_schema": {"type": "object"}, "search_attributes": []});
            let put = registry.call(reqwest::Method::PUT, "/registry/workflows/kept.v1", Some(&body)).await;
            anyhow::ensure!(put.status == 200, "a put: {}", put.body);
        }
        let daily = json!({"workflow_type": "kept.v1", "cron": ["0 3 * * *"], "input": {}});
        registry.must("/schedules/kept", &daily).await;
        let revisions = registry.get("/registry/workflows/kept.v1/revisions").await.body;
        Ok(Self { epochs: epochs(registry).await, revisions })
    }

    async fn check(&self, registry: &Registry) -> anyhow::Result<()> {
        // Its view has a second to get there, and more on a busy machine.
        until("all workers with their epochs", CAUGHT_UP_WITHIN, async || {
            epochs(registry).await == self.epochs
        })
        .await;
        let revisions = async || registry.get("/registry/workflows/kept.v1/revisions").await.body;
        until("all revisions", CAUGHT_UP_WITHIN, async || revisions().await == self.revisions).await;
        let schedule = registry.get("/schedules/kept").await;
        anyhow::ensure!(
            schedule.status == 200 && schedule.body["problems"] == json!([]),
            "schedule: {} {}",
            schedule.status,
            schedule.body
        );
        Ok(())
    }
}

/// Workflow tasks that each release completed, and what made one fail. Who cuts in while a task completes makes it fail
/// too, and nothing is wrong with that.
async fn tasks_of(fleet: &Fleet, run_id: &str) -> anyhow::Result<(BTreeMap<Release, u64>, Vec<String>)> {
    let cli = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    let arguments = ["workflow", "show", "--workflow-id", "workflow-registry", "--run-id", run_id];
    let rest = ["--address", &fleet.temporal, "--output", "json"];
    let output = tokio::process::Command::new(cli).args(arguments).args(rest).output().await?;
    let shown: Value = serde_json::from_slice(&output.stdout).context("a history")?;
    let (mut completed, mut failed) = (BTreeMap::new(), Vec::new());
    for event in shown["events"].as_array().context("events")? {
        if let Some(identity) = event["workflowTaskCompletedEventAttributes"]["identity"].as_str() {
            let process = identity.rsplit(':').next().and_then(|id| id.parse().ok());
            let release = process.and_then(|id: u32| fleet.releases.get(&id)).context(identity.to_owned())?;
            *completed.entry(*release).or_default() += 1;
        }
        let attributes = &event["workflowTaskFailedEventAttributes"];
        if let Some(cause) = attributes["cause"].as_str()
            && !cause.ends_with("UNHANDLED_COMMAND")
        {
            failed.push(format!("{run_id}: {attributes}"));
        }
    }
    Ok((completed, failed))
}

pub async fn run() -> anyhow::Result<()> {
    let old = PathBuf::from(std::env::var("OLD").context("OLD: the program of the earlier release")?);
    let folder = std::env::temp_dir().join(format!("upgrade-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let temporal = Temporal::start().await;
    let log = folder.join("log");
    let mut fleet = Fleet { temporal: temporal.address(), old, log: log.clone(), releases: BTreeMap::new() };
    let mut replicas = vec![fleet.start(Old).await, fleet.start(Old).await];
    let kept = Kept::make(&replicas[0]).await?;
    let urls = |replicas: &[Registry]| replicas.iter().map(|r| r.url.clone()).collect::<Vec<_>>();
    let places = Arc::new(watch::channel(urls(&replicas)).0);
    let counts = Arc::new(Counts::default());
    let working = tokio::spawn(workers(places.clone(), counts.clone()));
    let putting = [0, 1].map(|home| tokio::spawn(versions(places.clone(), counts.clone(), home)));
    let claimers = Claimers::start(&places, 8, 20);
    claimers.more(100).await;
    println!(
        "\n| {:24} | {:<9} | {:>15} | {:>14} | {:>9} |",
        "step", "then", "100 claims, ms", "hand-over, ms", "run"
    );
    println!("|{:-<26}|{:-<11}|{:->17}|{:->16}|{:->11}|", "", "", "", "", "");
    let filled = nearly_full(&replicas[0]).await;
    replicas.iter().for_each(Registry::kill_now);
    replicas = vec![fleet.start(New).await];
    places.send_replace(vec![replicas[0].url.clone(); 2]);
    let resumed = claimers.more(100).await;
    let by_new = tasks_of(&fleet, &filled).await?.0.get(&New).copied().unwrap_or(0);
    anyhow::ensure!(by_new > 0, "{NEARLY_FULL}: this release did nothing in the run {filled}");
    replicas.push(fleet.start(Old).await);
    places.send_replace(urls(&replicas));
    println!(
        "| {NEARLY_FULL:24} | new old   | {:>15} | {:>14} | {:>9} |",
        resumed.as_millis(),
        "",
        &filled[filled.len() - 8..]
    );
    let (mut now, mut runs) = ([New, Old], BTreeSet::from([filled]));
    for (step, which, end, release) in STEPS {
        let key = step.replace(' ', "-");
        let started = keyed_start(&replicas[which], &key).await?;
        anyhow::ensure!(started["created"] == true, "{step}: {started}");
        // The one that goes is gone before the next is there: whatever it held, the other must take over.
        let leaving = replicas.remove(which);
        match end {
            Stopped => anyhow::ensure!(leaving.stop().await.success(), "{step}: it does not stop properly"),
            Killed => leaving.kill().await,
        }
        let resumed = claimers.more(100).await;
        replicas.insert(which, fleet.start(release).await);
        places.send_replace(urls(&replicas));
        now[which] = release;
        let (before, began) = (run_id(&replicas[which]).await, Instant::now());
        until("a hand-over", HANDED_OVER_WITHIN, async || run_id(&replicas[which]).await != before).await;
        let handed = began.elapsed();
        claimers.more(100).await;
        for replica in &replicas {
            kept.check(replica).await.with_context(|| step.to_owned())?;
            let again = keyed_start(replica, &key).await?;
            let same = again["run_id"] == started["run_id"] && again["created"] == false;
            anyhow::ensure!(same, "{step}: {again}, but it was {started}");
        }
        runs.insert(before.clone());
        let now = format!("{:?} {:?}", now[0], now[1]).to_lowercase();
        println!(
            "| {step:24} | {now:9} | {:>15} | {:>14} | {:>9} |",
            resumed.as_millis(),
            handed.as_millis(),
            &before[before.len() - 8..]
        );
    }
    runs.insert(run_id(&replicas[0]).await);
    counts.stop.store(true, Relaxed);
    working.await?;
    let (mut puts, mut lost) = (0, 0);
    for writer in putting {
        let (put, missed) = writer.await?;
        (puts, lost) = (puts + put, lost + missed);
    }
    // Ends this process when a number is missing, given twice or out of order.
    let (claims, retries) = claimers.checked().await;
    let (mut tasks, mut failed) = (BTreeMap::new(), Vec::new());
    for run_id in &runs {
        let (completed, failures) = tasks_of(&fleet, run_id).await?;
        for (release, count) in completed {
            *tasks.entry(release).or_insert(0) += count;
        }
        failed.extend(failures);
    }
    let (by_old, by_new) = (tasks.get(&Old).unwrap_or(&0), tasks.get(&New).unwrap_or(&0));
    println!(
        "\n{claims} claims with {retries} retries, each number once; {puts} puts, {lost} not read back;"
    );
    println!(
        "{} runs seen, workflow tasks: {by_old} by old, {by_new} by new, {} failed",
        runs.len(),
        failed.len()
    );
    anyhow::ensure!(lost == 0, "{lost} acknowledged puts were not read");
    anyhow::ensure!(failed.is_empty(), "workflow tasks failed:\n{}", failed.join("\n"));
    anyhow::ensure!(*by_old > 0 && *by_new > 0, "only one of the releases did any work");
    said_nothing_bad(&log)?;
    for replica in replicas {
        anyhow::ensure!(replica.stop().await.success(), "a replica does not stop properly");
    }
    temporal.stop().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// No replica may have said that it failed.
fn said_nothing_bad(log: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(log)?;
    let bad: Vec<&str> =
        text.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("panicked")).collect();
    anyhow::ensure!(
        bad.is_empty(),
        "{} lines like these:\n{}",
        bad.len(),
        bad[..bad.len().min(5)].join("\n")
    );
    Ok(())
}
