//! The registry worker: runs the registry workflow, and fires that resolve their target, in this process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use temporalio_client::Connection;
use temporalio_common::telemetry::TelemetryOptions;
use temporalio_sdk::{Worker, WorkerOptions, runtime::CoreWorker};
use temporalio_sdk_core::{CoreRuntime, RuntimeOptions, init_worker};
use tokio::sync::oneshot;

use super::{
    connection::Link,
    meter,
    mirror::Mirror,
    provision::Provisioner,
    schedules::fire::{FireWorkflow, Firing},
    workflow,
};
use crate::telemetry::Metrics;

/// How long the registry waits for a replica that died before another takes its workflow over.
const FAILOVER_AFTER: Duration = Duration::from_secs(1);
/// Workflows kept ready: the registry, and fires whose runs have not ended.
const CACHED_WORKFLOWS: usize = 200;
/// How often it is seen to that no run is kept which is over.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// Runs that are over and may come back into memory: a query that was under way brings one back.
const LATELY_OVER: usize = 4;
/// How long activities may finish at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The registry worker of this process, on a thread of its own: the SDK's worker cannot move between threads.
pub struct RegistryWorker {
    core: Arc<CoreWorker>,
    ended: oneshot::Receiver<Result<(), String>>,
}

impl RegistryWorker {
    /// Starts to poll the registry's task queue.
    pub async fn start(link: Arc<Link>, firing: Firing, metrics: Metrics) -> anyhow::Result<Self> {
        // Made here, so that it is served while a workflow task keeps the worker's thread busy.
        let connection = link.for_worker(&metrics).await?;
        let (ready, started) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("registry-worker".to_owned()).spawn(move || {
            let _ = end.send(work(&link, connection, firing, &metrics, &ready));
        })?;
        let core = started.recv().map_err(|_| anyhow::anyhow!("the registry worker could not be started"))?;
        Ok(Self { core, ended })
    }

    /// Resolves when the worker ends by itself: the process is of no use then.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match (&mut self.ended).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(anyhow::anyhow!("the registry worker failed: {error}")),
            Err(_) => Err(anyhow::anyhow!("the registry worker is gone")),
        }
    }

    /// Has the SDK drop the registry's runs that are over, for as long as it is polled. It drops by itself what ended here;
    /// a run that another replica took over and ended it would keep with all its state, until 200 others push it out.
    pub fn forget_closed(&self, mirror: Arc<Mirror>) -> impl Future<Output = ()> + Send + 'static {
        let core = self.core.clone();
        async move {
            let mut every = tokio::time::interval(FORGET_EVERY);
            let mut current = mirror.run().run_id.clone();
            let mut over = VecDeque::new();
            loop {
                every.tick().await;
                let now = mirror.run().run_id.clone();
                if now == current {
                    continue;
                }
                over.push_front(std::mem::replace(&mut current, now));
                over.truncate(LATELY_OVER);
                over.iter().for_each(|run_id| core.request_workflow_eviction(run_id));
            }
        }
    }

    /// Finishes what is in hand and ends.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.core.initiate_shutdown();
        self.ended().await
    }
}

fn work(
    link: &Arc<Link>,
    connection: Connection,
    firing: Firing,
    metrics: &Metrics,
    ready: &std::sync::mpsc::Sender<Arc<CoreWorker>>,
) -> Result<(), String> {
    let tokio =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    tokio.block_on(async {
        let telemetry = TelemetryOptions::builder()
            .metrics(meter::core_meter(metrics))
            .metric_prefix(String::new())
            .build();
        let runtime = CoreRuntime::new_assume_tokio(
            RuntimeOptions::builder().telemetry_options(telemetry).build().map_err(|e| e.to_string())?,
        )
        .map_err(|e| e.to_string())?;
        let mut options = WorkerOptions::new(link.registry.task_queue.clone())
            .register_workflow::<FireWorkflow>()
            .map_err(|e| e.to_string())?
            .register_activities(Provisioner { link: link.clone() })
            .register_activities(firing)
            .sticky_queue_schedule_to_start_timeout(FAILOVER_AFTER)
            .max_cached_workflows(CACHED_WORKFLOWS)
            .graceful_shutdown_period(GRACE)
            .build();
        workflow::register(&mut options, &link.registry.workflow_type).map_err(|e| e.to_string())?;
        let client = link.client();
        let config = options.to_core_options(link.namespace(), link.identity())?;
        let core = init_worker(&runtime, config, connection).map_err(|e| e.to_string())?;
        let core = Arc::new(core);
        let mut worker = Worker::new_from_core_options(core.clone(), client.options().clone(), options)
            .map_err(|e| e.to_string())?;
        let _ = ready.send(core);
        worker.run().await.map_err(|e| e.to_string())
    })
}
