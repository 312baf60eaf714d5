//! The life of a runner: connect, work, stay registered, end in order.

use std::{future::Future, time::Duration};

use temporalio_client::Client;
use temporalio_sdk::{
    Runtime, Worker, WorkerOptions,
    runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
};
use tokio_util::sync::CancellationToken;

use super::{
    activities::Activities, artifacts::ArtifactStore, config::RunnerConfig, kinds::processes,
    progress::LiveProgress, registry_client::RegistryClient, target::TemporalTarget, workflow,
};

/// Runs until `shutdown` completes and what was being done has ended, at most `drain_seconds` later.
///
/// Not `Send`: it must run on the thread it is polled on first, such as the main one.
///
/// # Errors
/// When Temporal refuses the worker, or it breaks while it runs, or the registry refuses what it offers. A registry or a Temporal that cannot be reached is
/// not an error: both are tried again.
pub async fn run(
    config: RunnerConfig,
    temporal: TemporalTarget,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    for warning in config.warnings() {
        tracing::warn!("{warning}: runs that need it will be rejected until it is there");
    }
    let orphans = processes::sweep();
    if orphans > 0 {
        tracing::warn!(orphans, "ended processes that a runner before this one had left behind");
    }
    tokio::pin!(shutdown);
    let client = tokio::select! {
        client = connect(&temporal, &config.worker.id) => client,
        () = &mut shutdown => return Ok(()),
    };

    let artifacts = ArtifactStore::new(&config.worker.artifact_dir);
    let stopping = CancellationToken::new();
    let activities = Activities {
        entries: config
            .entries
            .iter()
            .map(|entry| (entry.common.workflow_type.clone(), entry.clone()))
            .collect(),
        artifacts: artifacts.clone(),
        live: LiveProgress::default(),
        stopping: stopping.clone(),
    };
    // Twice the same: what is for any runner of the queue, and what is for this one alone.
    let runtime = Runtime::from_current_tokio(temporalio_sdk::runtime::RuntimeOptions::default())?;
    let worker = |task_queue| polling(&runtime, &config, client.clone(), activities.clone(), task_queue);
    let mut shared = worker(config.worker.task_queue.clone())?;
    let mut own = worker(config.worker.own_task_queue())?;
    let stop_polling = [shared.shutdown_handle(), own.shutdown_handle()];

    let registry = RegistryClient::new(&config)?;
    // A queue or a schema that the registry never takes is found out before anything is polled.
    let offered = tokio::select! {
        offered = registry.offer() => offered?,
        () = &mut shutdown => return Ok(()),
    };
    let leave = CancellationToken::new();
    let background = async {
        tokio::join!(
            registry.keep_registered(offered, leave.clone()),
            tidy(&artifacts, config.worker.artifact_days, leave.clone())
        )
    };
    let end = async {
        shutdown.await;
        tracing::info!("stopping: no new work is taken");
        // First out of the registry's routing, then off the queue, so that nothing new is sent here for nobody.
        let _ = tokio::time::timeout(Duration::from_secs(3), registry.drain()).await;
        stop_polling.iter().for_each(|stop| stop());
        tokio::time::sleep(Duration::from_secs(config.worker.drain_seconds)).await;
        stopping.cancel();
        std::future::pending::<()>().await;
    };
    let work = async {
        let ended = tokio::select! {
            ended = both(shared.run(), own.run()) => ended,
            () = end => Ok(()),
        };
        leave.cancel();
        ended
    };
    let (ended, _) = tokio::join!(work, background);
    let _ = tokio::time::timeout(Duration::from_secs(3), registry.leave()).await;
    ended.map_err(Into::into)
}

async fn connect(temporal: &TemporalTarget, identity: &str) -> Client {
    let mut pause = Duration::from_millis(500);
    loop {
        match temporal.connect(identity).await {
            Ok(client) => return client,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), again_in = ?pause, "not connected to Temporal")
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

/// Ends with the first that fails, else when both have ended.
async fn both<E>(
    shared: impl Future<Output = Result<(), E>>,
    own: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    tokio::try_join!(shared, own).map(|((), ())| ())
}

fn polling(
    runtime: &Runtime,
    config: &RunnerConfig,
    client: Client,
    activities: Activities,
    task_queue: String,
) -> anyhow::Result<Worker> {
    let slots = |count| FixedSizeSlotSupplier::new(count);
    let tuner = TunerHolder::builder()
        .workflow_task_slot_supplier(slots(100))
        .activity_task_slot_supplier(slots(config.worker.max_concurrent))
        .local_activity_task_slot_supplier(slots(100))
        .nexus_task_slot_supplier(slots(1))
        .build();
    let mut options = WorkerOptions::new(task_queue)
        .tuner(tuner)
        // A cancellation reaches an activity with the answer to its heartbeat, so this is how long it may take.
        .max_heartbeat_throttle_interval(Duration::from_secs(1))
        // How long a run waits for a runner that was killed before another one may go on with it.
        .sticky_queue_schedule_to_start_timeout(Duration::from_secs(3))
        .build();
    for entry in &config.entries {
        workflow::register(&mut options, &entry.common.workflow_type, &activities.live)?;
    }
    options.register_activities(activities);
    Ok(Worker::new(runtime, client, options)?)
}

/// Removes the files of old executions, now and every hour.
async fn tidy(artifacts: &ArtifactStore, days: u64, stop: CancellationToken) {
    if days == 0 {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let (artifacts, age) = (artifacts.clone(), Duration::from_secs(days.saturating_mul(86_400)));
        let removed =
            tokio::task::spawn_blocking(move || artifacts.remove_older_than(age, crate::clock::now())).await;
        if let Ok(removed @ 1..) = removed {
            tracing::info!(removed, "removed the files of old executions");
        }
    }
}
