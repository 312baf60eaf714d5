//! As much as a large installation has: it registers, hands over, restarts and lists in reasonable time.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Map, Value, json};

use crate::harness::{Registry, Temporal};
use crate::kills::Pair;

const TYPES: usize = 2_000;
const WORKERS: usize = 5_000;
const SLUGS: usize = 10_000;
const RESTARTED_WITHIN: Duration = Duration::from_secs(10);
/// Unoptimised, reading a large state and replaying what came after take longer.
const RESUMED_WITHIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 5 });
/// Fields of a schema of about 2 KB, and of one of about 16 KB.
const FIELDS: usize = 16;
const MANY_FIELDS: usize = 128;

/// As people write them: the same turns of phrase, other names and bounds.
fn schema(of: usize, fields: usize) -> Value {
    const NOUNS: [&str; 8] =
        ["customer", "invoice", "region", "report", "account", "batch", "channel", "document"];
    let field = |n: usize| {
        let (noun, mix) = (NOUNS[(of + n) % NOUNS.len()], (of * 7919 + n * 104_729) % 100_003);
        let described =
            format!("The {noun} this {} is about, number {mix}", NOUNS[(of + n * 3) % NOUNS.len()]);
        let value = match n % 3 {
            0 => {
                json!({"type": "string", "minLength": 1, "maxLength": 20 + mix % 200, "description": described})
            }
            1 => json!({"type": "integer", "minimum": 0, "maximum": mix, "description": described}),
            _ => {
                json!({"type": "array", "items": {"type": "string"}, "maxItems": mix % 50 + 1, "description": described})
            }
        };
        (format!("{noun}_{n}"), value)
    };
    json!({"type": "object", "properties": (0..fields).map(field).collect::<Map<_, _>>(), "required": [format!("{}_0", NOUNS[of % NOUNS.len()])]})
}

async fn all(registry: &Registry, count: usize, request: impl Fn(usize) -> (String, Value)) -> Duration {
    let began = Instant::now();
    let sent =
        futures::stream::iter((0..count).map(request)).for_each_concurrent(64, |(path, body)| async move {
            registry.must(&path, &body).await;
        });
    sent.await;
    began.elapsed()
}

/// Every page of a list: how many things, and the slowest page.
async fn pages(registry: &Registry, path: &str, plural: &str) -> (usize, Duration) {
    let (mut count, mut slowest, mut next) = (0, Duration::ZERO, String::new());
    loop {
        let began = Instant::now();
        let page = registry.get(&format!("{path}?limit=200{next}")).await.body;
        slowest = slowest.max(began.elapsed());
        count += page[plural].as_array().map_or(0, Vec::len);
        let Some(token) = page["next_page_token"].as_str() else { return (count, slowest) };
        next = format!("&page_token={token}");
    }
}

/// Registers types until no more are taken; how many.
async fn filled(registry: &Registry) -> usize {
    for n in 0.. {
        let name = format!("more-{n}.v1");
        let body = json!({"workflow_type": name, "task_queue": "q", "input_schema": schema(n, MANY_FIELDS)});
        let answer = registry.post("/registry/workflows", &body).await;
        if answer.status == 429 {
            assert_eq!(answer.body["code"], "registry_full", "{}", answer.body);
            return n;
        }
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    unreachable!("numbers end later")
}

pub async fn run() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("capacity-{}", std::process::id()));
    let temporal = Temporal::start_with(Some(folder.join("temporal.db"))).await;
    let registry = Registry::start(&temporal.address()).await;
    println!("a schema has {} bytes", schema(7, FIELDS).to_string().len());
    let types = all(&registry, TYPES, |n| {
        let name = format!("team-{}.task-{n}.v1", n % 40);
        (
            "/registry/workflows".into(),
            json!({"workflow_type": name, "task_queue": format!("q-{}", n % 40), "input_schema": schema(n, FIELDS)}),
        )
    })
    .await;
    let workers = all(&registry, WORKERS, |n| {
        let spec = json!({"workflow_type": format!("team-{}.task-{}.v1", n % TYPES % 40, n % TYPES), "input_schema": schema(n % TYPES, FIELDS)});
        let labels = json!({"zone": format!("zone-{}", n % 3)});
        ("/registry/workers".into(), json!({"worker_id": format!("host-{:04}:{}", n / 4, n * 31 % 60_000), "host": format!("host-{:04}", n / 4),
            "task_queue": format!("q-{}", n % 40), "ttl_seconds": 3600, "workflows": [spec], "labels": labels}))
    })
    .await;
    let slugs = all(&registry, SLUGS, |n| {
        ("/workflow-ids/claim".into(), json!({"name": format!("Nightly build {n}")}))
    })
    .await;
    let before = registry.get("/registry/status").await.body;
    let mut slowest = Duration::ZERO;
    let began = Instant::now();
    while registry.get("/registry/status").await.body["run_id"] == before["run_id"] {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(300), "no hand-over");
        slowest = slowest.max(
            all(&registry, 64, |n| {
                ("/workflow-ids/claim".into(), json!({"name": format!("Nightly build {n}")}))
            })
            .await,
        );
    }
    let loaded = (registry.get("/registry/status").await.body, registry.taken_bytes());
    anyhow::ensure!(registry.stop().await.success(), "it does not stop properly");
    let began = Instant::now();
    let registry = Registry::start(&temporal.address()).await;
    let restarted = began.elapsed();
    let restarted_bytes = registry.taken_bytes();
    let listed = [
        pages(&registry, "/registry/workflows", "workflows").await,
        pages(&registry, "/registry/workers", "workers").await,
        pages(&registry, "/workflow-ids", "slug_counters").await,
    ];
    anyhow::ensure!(
        listed.each_ref().map(|(count, _)| *count) == [TYPES, WORKERS, SLUGS],
        "not everything is listed"
    );
    let (pair, resumed) = Pair::of(registry, &temporal).await.kills().await;
    let more = filled(pair.one()).await;
    let (pair, resumed_full) = pair.kills().await;
    let registry = pair.checked().await;
    let full = registry.get("/registry/status").await.body;
    anyhow::ensure!(registry.stop().await.success(), "it does not stop properly");
    let began = Instant::now();
    let registry = Registry::start(&temporal.address()).await;
    let restarted_full = began.elapsed();
    println!("\n| capacity | |\n|---|---|");
    println!("| {TYPES} types registered | {types:.1?} |");
    println!("| {WORKERS} workers registered | {workers:.1?} |");
    println!("| {SLUGS} counters claimed | {slugs:.1?} |");
    println!("| 64 claims during a hand-over, at worst | {slowest:.1?} |");
    println!("| state, packed | {} bytes |", loaded.0["state_bytes"]);
    println!(
        "| memory before the restart, after it | {} MiB, {} MiB |",
        loaded.1 >> 20,
        restarted_bytes >> 20
    );
    println!("| restarted and ready | {restarted:.1?} |");
    for (what, (count, slowest)) in ["types", "workers", "counters"].iter().zip(&listed) {
        println!("| {count} {what} listed by 200, slowest page | {slowest:.1?} |");
    }
    println!("| {resumed} |");
    println!("| types of 16 KB until it is full | {more} |");
    println!("| state, packed | {} bytes |", full["state_bytes"]);
    println!("| {resumed_full} |");
    println!("| memory, restarted | {} MiB |", registry.taken_bytes() >> 20);
    println!("| restarted and ready | {restarted_full:.1?} |");
    for took in [restarted, restarted_full] {
        anyhow::ensure!(took < RESTARTED_WITHIN, "restarted only after {took:?}");
    }
    for resumed in [resumed, resumed_full] {
        anyhow::ensure!(resumed.worst() < RESUMED_WITHIN, "writes resumed only after {:?}", resumed.worst());
    }
    temporal.stop().await;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
