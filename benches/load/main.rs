//! `make bench`: the registry against the raw Temporal client and a bare axum server, in one run. See `bench/README.md`.
#![allow(missing_docs)]

mod bare;
mod http;
mod idle;
mod inputs;
mod raw;
mod rows;
mod stage;
mod table;

use std::time::Duration;

use table::Table;

/// How long each row is measured, in seconds; `SECONDS` in the environment overrides it.
const SECONDS: u64 = 5;

/// That of the registry, so that the bare server and the clients have it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [flag, folder] = arguments.as_slice()
        && flag == "--bare"
    {
        return bare::serve(std::path::Path::new(folder)).await;
    }
    // `cargo test --benches` runs this program too; there is nothing to test in it.
    if arguments.iter().any(|argument| argument.starts_with("--")) {
        return Ok(());
    }
    let seconds = std::env::var("BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let span = Duration::from_secs(seconds);
    let wanted = |group: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == group);
    let mut table = Table::default();
    if wanted("reads") {
        rows::reads(&mut table, span).await?;
    }
    if wanted("starts") {
        rows::starts(&mut table, span).await?;
    }
    if wanted("claims") {
        rows::claims(&mut table, span).await?;
    }
    if wanted("heartbeats") {
        rows::heartbeats(&mut table, span).await?;
    }
    if wanted("idle") {
        idle::minute(&mut table).await?;
    }
    if wanted("registrations") {
        rows::registrations(&mut table).await?;
    }
    if wanted("growth") {
        rows::growth(&mut table, span).await?;
    }
    table.print();
    Ok(())
}
