//! `export` and `import`: everything a registry holds, as a file.

use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;

use super::serve::replica_options;
use crate::{
    clock,
    config::Settings,
    registry::State,
    seams::Reads,
    temporal::{
        codec::{self, STATE_VERSION},
        keeper::measured,
        replica::Replica,
    },
};

/// The form of an export. An import reads the version and the state.
#[derive(Serialize)]
struct Export<'a> {
    format: &'static str,
    version: u32,
    exported_at: String,
    namespace: &'a str,
    workflow_id: &'a str,
    state: &'a State,
}

/// Writes everything the registry holds. Takes part as a replica for as long as it takes, so that none needs to run.
///
/// # Errors
/// When the registry cannot be reached or the file cannot be written.
pub async fn export(settings: &Settings, output: Option<&Path>) -> anyhow::Result<()> {
    let replica = Replica::start(replica_options(settings)?).await?;
    replica.mirror.complete().await?;
    let state = replica.keeper.seen(&replica.mirror.view())?;
    let now = chrono::DateTime::from_timestamp_millis(clock::now_ms()).unwrap_or_default();
    let export = Export {
        format: "temporal-registry export",
        version: STATE_VERSION,
        exported_at: now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        namespace: &settings.temporal.namespace,
        workflow_id: &settings.registry.workflow_id,
        state: &state,
    };
    let text = serde_json::to_string_pretty(&export)? + "\n";
    match output {
        None => stdout().write_all(text.as_bytes())?,
        Some(file) => {
            write_whole(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
            eprintln!("exported {} to {}", told(&state), file.display());
        }
    }
    replica.worker.stop().await
}

/// Beside the file first, so that a failure leaves what was there.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, file)
}

/// Puts an export into a registry that is empty or, with `replace`, in the place of what it holds.
///
/// # Errors
/// When the file is no export this program can read, the registry is not empty, or it cannot be reached. Nothing was
/// changed then.
pub async fn import(settings: &Settings, file: &Path, replace: bool) -> anyhow::Result<()> {
    let named = || file.display().to_string();
    let json = std::fs::read(file).with_context(|| format!("cannot read {}", named()))?;
    let state = codec::state_of(&json).with_context(named)?;
    state.check().map_err(anyhow::Error::msg).with_context(named)?;
    let options = replica_options(settings)?;
    let limit = options.limits.packed_bytes_max;
    let state = measured(state)?;
    let packed_bytes = codec::packed_len(&state)?;
    if packed_bytes > limit {
        bail!("{}: {packed_bytes} bytes when packed, more than the {limit} a registry may hold", named());
    }
    if state.is_blank() && !replace {
        bail!("{}: holds nothing; to empty a registry, say --replace", named());
    }
    let who = options.target.identity.clone();
    let replica = Replica::start(options).await?;
    let before = replica.keeper.seen(&replica.mirror.view())?;
    let taken = replica.keeper.hand(&state, replace).await?;
    let (file, imported, dropped) = (named(), told(&state), told(&before));
    if taken {
        tracing::warn!(target: "audit", who, file, replace, imported, dropped, "import: the state of the registry was replaced");
    }
    replica.worker.stop().await?;
    if !taken {
        bail!(
            "the registry is not empty, and stays as it is ({dropped}); --replace drops that for the import"
        );
    }
    eprintln!("imported {imported} from {file}");
    Ok(())
}

fn told(state: &State) -> String {
    let State { revision, types, workers, slugs, reservations, .. } = state;
    let (types, workers, slugs, keys) = (types.len(), workers.len(), slugs.len(), reservations.len());
    format!(
        "revision {revision}: {types} types, {workers} workers, {slugs} counters, {keys} idempotency keys"
    )
}
