//! A replica: connection, worker, mirror, keeper and ledger, in the order they need each other.

use std::sync::Arc;
use std::time::Duration;

use super::{
    connection::{CallError, Link, RegistryNames, Target},
    keeper::{self, Keeper},
    ledger::Ledger,
    mirror::Mirror,
    pollers::Pollers,
    schedules::fire::Firing,
    worker::RegistryWorker,
};
use crate::{
    registry::{Command, Limits},
    seams::{Reads, WriteError, Writes},
    telemetry::Metrics,
    temporal::codec,
};

/// How long a replica tries to bring the registry up before it says that it cannot.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// A replica that lives answers sooner.
const ANSWERED_WITHIN: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(100);
/// How often the size of the state is looked at. What came since is taken at full weight the first time: an empty registry that
/// is filled at some MB a second must not look full before.
const MEASURE_EVERY: Duration = Duration::from_millis(100);
/// Raw growth since the last measurement that asks for another, in bytes; or an eighth of the whole when that is more.
const GROWTH_BYTES: u64 = 128 * 1024;

/// What a replica is told from configuration.
#[derive(Clone)]
pub struct ReplicaOptions {
    /// Where Temporal is.
    pub target: Target,
    /// What the registry workflow is called.
    pub registry: RegistryNames,
    /// How long a write waits for its outcome.
    pub write_deadline: Duration,
    /// Bounds of the registry.
    pub limits: Limits,
}

/// One replica of the registry.
pub struct Replica {
    /// The connection.
    pub link: Arc<Link>,
    /// Reads.
    pub mirror: Arc<Mirror>,
    /// Writes.
    pub ledger: Ledger,
    /// What Temporal reports of the task queues.
    pub pollers: Arc<Pollers>,
    /// Brings the registry workflow back.
    pub keeper: Arc<Keeper>,
    /// The registry worker of this process.
    pub worker: RegistryWorker,
    /// What this replica counts; the other rooms of the process add theirs.
    pub metrics: Metrics,
    /// Its activity that resolves the targets of schedules; waits until it is given what it needs.
    pub firing: Firing,
}

impl Replica {
    /// Connects, runs the worker, makes sure that the registry runs and catches up with it.
    pub async fn start(options: ReplicaOptions) -> anyhow::Result<Self> {
        let identity = options.target.identity.clone();
        let metrics = Metrics::new();
        let link = Link::connect(options.target, options.registry, &metrics).await?;
        let link = Arc::new(link);
        metrics.state_bytes_max.set(options.limits.packed_bytes_max.try_into().unwrap_or(i64::MAX));
        let firing = Firing::default();
        let worker = RegistryWorker::start(link.clone(), firing.clone(), metrics.clone()).await?;
        let mirror = Arc::new(Mirror::new(link.clone()));
        let keeper = Arc::new(Keeper::new(link.clone(), mirror.clone(), options.limits.clone()));
        up(&keeper, &mirror).await?;
        let deadline = options.write_deadline;
        let ledger = Ledger::start(link.clone(), mirror.clone(), keeper.clone(), deadline, metrics.clone());
        let started = Command::ServiceStarted { process_id: identity, limits: options.limits };
        announce(&ledger, &started).await?;
        let keeping = keeper.clone();
        tokio::spawn(async move { keeping.follow().await });
        tokio::spawn(worker.forget_closed(mirror.clone()));
        let pollers = Arc::new(Pollers::new(link.clone(), mirror.clone()));
        let polled = pollers.clone();
        tokio::spawn(async move { polled.follow().await });
        tokio::spawn(measure(mirror.clone(), ledger.clone()));
        Ok(Self { link, mirror, ledger, pollers, keeper, worker, firing, metrics })
    }
}

async fn up(keeper: &Keeper, mirror: &Mirror) -> anyhow::Result<()> {
    let attempt = async {
        loop {
            let error = match bring_up(keeper, mirror).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_passing() => error,
                // A workflow task failed, with the replica that died over it perhaps; the next may not.
                Err(error @ CallError::Precondition(_)) => error,
                Err(error) => return Err(error),
            };
            tracing::debug!(%error, "the registry is not up yet");
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(UP_WITHIN, attempt).await {
        Ok(result) => Ok(result?),
        Err(_) => anyhow::bail!("the registry workflow did not come up within {} s", UP_WITHIN.as_secs()),
    }
}

async fn bring_up(keeper: &Keeper, mirror: &Mirror) -> Result<(), CallError> {
    keeper.ensure().await?;
    // Temporal asks the replica that had the run last, and waits a second for one that was killed.
    if tokio::time::timeout(ANSWERED_WITHIN, mirror.look()).await.is_err()
        && let Err(error) = keeper.ask_anybody().await
    {
        tracing::debug!(%error, "the registry workflow is still asked of the replica that had it last");
    }
    keeper.look_after().await?;
    if mirror.is_ready() {
        return Ok(());
    }
    Err(CallError::Unanswered("the registry workflow does not show its state yet".to_owned()))
}

/// Tells the registry that this replica is there; on a busy machine that may take longer than a caller would wait.
async fn announce(ledger: &Ledger, started: &Command) -> Result<(), WriteError> {
    let deadline = tokio::time::Instant::now() + UP_WITHIN;
    loop {
        match ledger.submit(started).await {
            Ok(_) => return Ok(()),
            Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
            Err(error) => tracing::debug!(%error, "this replica is not announced yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells the registry how large its state is when packed, whenever it grew: packing is too slow for the workflow.
async fn measure(mirror: Arc<Mirror>, ledger: Ledger) {
    let mut every = tokio::time::interval(MEASURE_EVERY);
    let mut measured = 0_u64;
    loop {
        every.tick().await;
        let view = mirror.view();
        let raw_bytes = view.status.raw_bytes;
        if raw_bytes.abs_diff(measured) < GROWTH_BYTES.max(measured / 8) || !mirror.is_ready() {
            continue;
        }
        let packed = tokio::task::spawn_blocking(move || codec::packed_len(&keeper::state_of(&view))).await;
        let Ok(Ok(packed_bytes)) = packed else { continue };
        match ledger.submit(&Command::Measured { raw_bytes, packed_bytes }).await {
            Ok(_) => measured = raw_bytes,
            Err(
                WriteError::QueueFull
                | WriteError::TooLarge(_)
                | WriteError::Unavailable(_)
                | WriteError::OutcomeUnknown,
            ) => {}
        }
    }
}
