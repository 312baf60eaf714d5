//! The rows, in groups that each set their own stage.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bare;
use crate::http::{Call, Conn, Sample, http_load, load};
use crate::inputs::{large, spec};
use crate::raw::Raw;
use crate::stage::{Registry, Stage, registration};
use crate::table::{Compared, Table};

/// Clients in the rows that do not name another number.
const CLIENTS: usize = 32;

/// How much longer starts are measured, since one takes a tenth of a second when there are many, and claims, since both sides
/// should hand over some times.
const LONGER: u32 = 4;

/// Types of one worker.
const TYPES_EACH: u64 = 5;

/// Turns of each side of a row; an even number.
const TURNS: u32 = 16;

/// Measures both sides of a row by turns, so that what drifts or comes and goes touches both alike: Temporal is slower the more
/// it holds, and neighbours work for a second.
async fn by_turns(
    span: Duration,
    ours: impl AsyncFn(Duration) -> anyhow::Result<Sample>,
    theirs: impl AsyncFn(Duration) -> anyhow::Result<Sample>,
) -> anyhow::Result<Compared> {
    let turn = span / TURNS;
    let (mut us, mut them) = (Sample::default(), Sample::default());
    for pair in 0..TURNS {
        // Who goes first in a pair takes turns too.
        if pair % 2 == 0 {
            them.add(theirs(turn).await?);
            us.add(ours(turn).await?);
        } else {
            us.add(ours(turn).await?);
            them.add(theirs(turn).await?);
        }
    }
    Ok(Compared { ours: us.pace(), theirs: them.pace() })
}

/// Registers workers, many at a time.
async fn register(host: &str, workers: u64, body: impl Fn(u64) -> Value) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for client in 0..CLIENTS as u64 {
        let mut conn = Conn::open(host).await?;
        let of_client = (client..workers).step_by(CLIENTS);
        let calls: Vec<_> = of_client.map(|number| Call::post("/registry/workers", &body(number))).collect();
        clients.push(tokio::spawn(async move {
            for call in &calls {
                conn.must(call).await?;
            }
            anyhow::Ok(())
        }));
    }
    for client in clients {
        client.await??;
    }
    Ok(())
}

/// Registers types, some to a worker, in few updates whatever their number: what is measured next should meet runs of one age.
async fn fill(registry: &Registry, types: u64) -> anyhow::Result<()> {
    let of_worker = |worker: u64| worker * TYPES_EACH..types.min((worker + 1) * TYPES_EACH);
    let body =
        |worker| registration(worker, of_worker(worker).map(|number| spec(&format!("bench-{number}.v1"))));
    register(&registry.host, types.div_ceil(TYPES_EACH), body).await
}

/// Reads of the catalogue against a bare server that answers the same bytes.
pub async fn reads(table: &mut Table, span: Duration) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    fill(&stage.registry, 100).await?;
    let (one, list) = ("/registry/workflows/bench-7.v1", "/registry/workflows");
    let host = stage.registry.host.clone();
    let mut conn = Conn::open(&host).await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("one"), conn.must(&Call::get(one)).await?.body)?;
    let whole = conn.must(&Call::get(list)).await?;
    std::fs::write(folder.path().join("list"), &whole.body)?;
    std::fs::write(folder.path().join("beat"), "{}")?;
    let (_bare, other) = bare::start(folder.path()).await?;
    let tag = whole.etag.unwrap_or_default();
    let known = Call::get(list).with("if-none-match", &tag);
    let size = whole.body.len() / 1024;
    let list_of = format!("GET list of 100 types ({size} KiB)");
    let rows = [
        ("GET one type", Call::get(one), Call::get("/one")),
        (list_of.as_str(), Call::get(list), Call::get("/list")),
        ("GET list, If-None-Match", known, Call::get("/known")),
    ];
    for (what, ours, theirs) in rows {
        let compared = by_turns(
            span,
            async |span| http_load(&host, CLIENTS, span, same(&ours)).await,
            async |span| http_load(&other, CLIENTS, span, same(&theirs)).await,
        )
        .await?;
        table.compare(&format!("{what}, {CLIENTS} clients"), compared, 0.8);
    }
    Ok(())
}

/// One call for all numbers.
fn same(call: &Call) -> impl Fn(u64) -> Call + Clone + Send + Sync + 'static {
    let call = call.clone();
    move |_| call.clone()
}

/// Starts against the raw client.
pub async fn starts(table: &mut Table, span: Duration) -> anyhow::Result<()> {
    let span = span * LONGER;
    let stage = Stage::set().await?;
    let host = &stage.registry.host;
    let (large_spec, large_input) = large("large.v1");
    let free = json!({"workflow_type": "free.v1", "task_queue": "bench"});
    let types = [spec("bench.v1"), large_spec, free].into_iter();
    Conn::open(host).await?.must(&Call::post("/registry/workers", &registration(0, types))).await?;
    let input = json!({"day": "2026-05-01", "region": "eu"});
    let start = |of: &str, body: &Value| Call::post(&format!("/workflows/{of}/start"), body);
    let raw = Raw::connect(&stage.temporal.address()).await?;
    let raw_load = async |clients: usize, span: Duration| {
        let input = input.to_string().into_bytes();
        load(vec![raw.clone(); clients], span, move |raw: Raw, _| {
            let input = input.clone();
            async move {
                raw.start("bench.v1", "bench", input).await?;
                Ok(raw)
            }
        })
        .await
    };
    let call = start("bench.v1", &json!({"input": input}));
    for clients in [1, CLIENTS] {
        let compared = by_turns(
            span,
            async |span| http_load(host, clients, span, same(&call)).await,
            async |span| raw_load(clients, span).await,
        )
        .await?;
        table.compare(
            &format!("start without name, {clients} clients, against the raw client"),
            compared,
            0.95,
        );
    }
    let named = start("bench.v1", &json!({"input": input, "name": "bench run"}));
    let compared = by_turns(
        span,
        async |span| http_load(host, CLIENTS, span, same(&named)).await,
        async |span| raw_load(CLIENTS, span).await,
    )
    .await?;
    table.compare(&format!("start with name, {CLIENTS} clients, against the raw client"), compared, 0.85);
    let [checked, free] = ["large.v1", "free.v1"].map(|of| start(of, &json!({"input": large_input})));
    let compared = by_turns(
        span,
        async |span| http_load(host, CLIENTS, span, same(&checked)).await,
        async |span| http_load(host, CLIENTS, span, same(&free)).await,
    )
    .await?;
    table.compare("start with 10 KB input and 20 KB schema, against none", compared, 0.95);
    Ok(())
}

/// Claims against one raw update at a time.
pub async fn claims(table: &mut Table, span: Duration) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let raw = Raw::connect(&stage.temporal.address()).await?;
    let one = |raw: Raw, _| async move {
        raw.claim().await?;
        Ok(raw)
    };
    for (clients, least) in [(1, 0.8), (32, 10.0), (512, 100.0)] {
        let call = Call::post("/workflow-ids/claim", &json!({"name": "bench"}));
        let compared = by_turns(
            span * LONGER,
            async |span| http_load(&stage.registry.host, clients, span, same(&call)).await,
            async |span| load(vec![raw.clone()], span, one).await,
        )
        .await?;
        table.compare(&format!("claims, {clients} clients, against one update at a time"), compared, least);
    }
    Ok(())
}

/// Heartbeats of 10,000 workers against a bare POST handler, and what they cost in updates.
pub async fn heartbeats(table: &mut Table, span: Duration) -> anyhow::Result<()> {
    const WORKERS: u64 = 10_000;
    let stage = Stage::set().await?;
    let host = stage.registry.host.clone();
    let began = Instant::now();
    let with_lease = |number| {
        let mut body = registration(number, std::iter::empty());
        body["ttl_seconds"] = 30.into();
        body
    };
    register(&host, WORKERS, with_lease).await?;
    eprintln!("registered {WORKERS} workers in {:.1} s", began.elapsed().as_secs_f64());
    let beat =
        |number: u64| Call::post(&format!("/registry/workers/w{}/heartbeat", number % WORKERS), &json!({}));
    let bulk = |number: u64| {
        let ids = (0..1000).map(|i| json!({"worker_id": format!("w{}", (number * 1000 + i) % WORKERS)}));
        Call::post("/registry/heartbeats", &json!({"workers": ids.collect::<Vec<_>>()}))
    };
    let mut conn = Conn::open(&host).await?;
    for (what, kind) in [("heartbeat", 0), ("1,000 heartbeats in one call", 1)] {
        let call = move |number: u64| if kind == 0 { beat(number) } else { bulk(number) };
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("beat"), conn.must(&call(0)).await?.body)?;
        std::fs::write(folder.path().join("one"), "{}")?;
        std::fs::write(folder.path().join("list"), "{}")?;
        let (_bare, other) = bare::start(folder.path()).await?;
        let batches = "temporal_registry_ledger_batch_commands_count";
        let before = stage.registry.metric(batches).await?;
        let bare = move |number: u64| Call { body: call(number).body, ..Call::post("/beat", &Value::Null) };
        let compared = by_turns(
            span,
            async |span| http_load(&host, CLIENTS, span, call).await,
            async |span| http_load(&other, CLIENTS, span, bare).await,
        )
        .await?;
        let updates = stage.registry.metric(batches).await? - before;
        let beats = compared.ours.per_second * span.as_secs_f64() * if kind == 0 { 1.0 } else { 1000.0 };
        table.compare(&format!("{what}, {CLIENTS} clients"), compared, 0.6);
        table.row(
            &format!("{what}: beats to one Temporal update"),
            format!("{:.0}", beats / updates.max(1.0)),
            format!("{updates:.0} updates"),
            String::new(),
            ">= 5000".to_owned(),
        );
    }
    Ok(())
}

/// Registrations, and what a replica costs that holds them.
pub async fn registrations(table: &mut Table) -> anyhow::Result<()> {
    const WORKERS: u64 = 1_000;
    let mut stage = Stage::set().await?;
    let empty = stage.registry.resident_mib().await;
    let host = stage.registry.host.clone();
    let with_types =
        |number| registration(number, (0..5).map(|i| spec(&format!("bench-{}.v1", (number * 5 + i) % 1000))));
    let began = Instant::now();
    register(&host, WORKERS, with_types).await?;
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = WORKERS as f64 / began.elapsed().as_secs_f64();
    let what = format!("register {WORKERS} workers with 5 types each, {CLIENTS} clients");
    table.row(&what, format!("{rate:.0}/s"), String::new(), String::new(), ">= 500/s".to_owned());
    stage.restart().await?;
    let ready = format!("{} ms", stage.registry.ready_after.as_millis());
    table.row(
        "ready after start, 1,000 types and workers",
        ready,
        String::new(),
        String::new(),
        "<= 1000 ms".into(),
    );
    let resident = format!("{:.1} MiB", stage.registry.resident_mib().await);
    table.row("memory, 1,000 types and workers", resident, String::new(), String::new(), "<= 60 MiB".into());
    table.row("memory, empty", format!("{empty:.1} MiB"), String::new(), String::new(), "<= 40 MiB".into());
    Ok(())
}

/// What a read, a start and a claim cost as the registry grows, against one with 10 types that is as new.
pub async fn growth(table: &mut Table, span: Duration) -> anyhow::Result<()> {
    let read = Call::get("/registry/workflows/bench-7.v1");
    let start = Call::post("/workflows/bench-7.v1/start", &json!({"input": {"day": "2026-05-01"}}));
    let claim = Call::post("/workflow-ids/claim", &json!({"name": "x"}));
    for types in [100, 1_000, 10_000] {
        let (large, small) = (Stage::set().await?, Stage::set().await?);
        fill(&large.registry, types).await?;
        fill(&small.registry, 10).await?;
        for (what, call, span) in [
            ("GET one type", &read, span),
            ("start", &start, span * LONGER),
            ("claim", &claim, span * LONGER),
        ] {
            let compared = by_turns(
                span,
                async |span| http_load(&large.registry.host, CLIENTS, span, same(call)).await,
                async |span| http_load(&small.registry.host, CLIENTS, span, same(call)).await,
            )
            .await?;
            table.compare(&format!("{what} with {types} types, against 10"), compared, 0.9);
        }
    }
    Ok(())
}
