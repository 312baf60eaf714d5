//! What proves the registry beyond the test suite: `cargo run --example proof -- record|soak|capacity`, or `make record`,
//! `make soak`, `make capacity`.

mod record;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("record") => record::all().await,
        other => anyhow::bail!("what to do: record, soak or capacity, not {other:?}"),
    }
}
