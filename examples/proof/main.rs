//! What proves the registry beyond the test suite: `make record`, `make soak`, `make capacity`, `make upgrade`.

mod capacity;
#[path = "../../tests/whole/clients.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod clients;
#[path = "../../tests/whole/harness.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod harness;
mod kills;
#[path = "../../tests/whole/link.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod link;
mod load;
mod record;
mod soak;
mod upgrade;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("record") => record::all().await,
        Some("soak") => soak::run().await,
        Some("capacity") => capacity::run().await,
        Some("upgrade") => upgrade::run().await,
        other => anyhow::bail!("what to do: record, soak, capacity or upgrade, not {other:?}"),
    }
}
