//! What workers that only stay alive cost.

use std::time::Duration;

use serde_json::json;

use crate::http::{Call, Conn};
use crate::stage::{Stage, registration};
use crate::table::Table;

const WORKERS: u64 = 1_000;
const TTL_SECONDS: u64 = 60;
/// Each worker heartbeats after a third of its lease, as it is told to.
const BEATS_AN_HOUR: f64 = 3_600.0 / 20.0 * 1_000.0;

/// Updates of the registry workflow in a minute of nothing but heartbeats, against a signal for each.
pub async fn minute(table: &mut Table) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let mut conn = Conn::open(&stage.registry.host).await?;
    for number in 0..WORKERS {
        let mut body = registration(number, std::iter::empty());
        body["ttl_seconds"] = TTL_SECONDS.into();
        conn.must(&Call::post("/registry/workers", &body)).await?;
    }
    let batches = "temporal_registry_ledger_batch_commands_count";
    let before = stage.registry.metric(batches).await?;
    let mut every = tokio::time::interval(Duration::from_millis(20));
    for number in 0..3_000 {
        every.tick().await;
        let path = format!("/registry/workers/w{}/heartbeat", number % WORKERS);
        conn.must(&Call::post(&path, &json!({}))).await?;
    }
    let an_hour = (stage.registry.metric(batches).await? - before) * 60.0;
    table.row(
        &format!("Temporal actions an hour, {WORKERS} workers with leases of {TTL_SECONDS} s"),
        format!("{an_hour:.0}"),
        format!("{BEATS_AN_HOUR:.0}"),
        format!("1/{:.0}", BEATS_AN_HOUR / an_hour.max(1.0)),
        "<= 1/100".to_owned(),
    );
    Ok(())
}
