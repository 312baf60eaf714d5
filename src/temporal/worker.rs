//! The registry worker: runs the registry workflow, and fires that resolve their target, in this process.

use std::sync::Arc;
use std::time::Duration;

use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::sync::oneshot;

use super::{
    connection::Link,
    provision::Provisioner,
    schedules::fire::{FireWorkflow, Firing},
    workflow,
};

/// How long the registry waits for a replica that died before another takes its workflow over.
const FAILOVER_AFTER: Duration = Duration::from_secs(1);
/// Workflows kept ready: the one registry, old ones that somebody queries, and fires whose runs have not ended.
const CACHED_WORKFLOWS: usize = 200;
/// How long activities may finish at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The registry worker of this process, on a thread of its own: the SDK's worker cannot move between threads.
pub struct RegistryWorker {
    stop: Box<dyn Fn() + Send + Sync>,
    ended: oneshot::Receiver<Result<(), String>>,
}

impl RegistryWorker {
    /// Starts to poll the registry's task queue.
    pub fn start(link: Arc<Link>, firing: Firing) -> anyhow::Result<Self> {
        let (ready, started) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("registry-worker".to_owned()).spawn(move || {
            let _ = end.send(work(link, firing, &ready));
        })?;
        let stop = started.recv().map_err(|_| anyhow::anyhow!("the registry worker could not be started"))?;
        Ok(Self { stop, ended })
    }

    /// Resolves when the worker ends by itself: the process is of no use then.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match (&mut self.ended).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(anyhow::anyhow!("the registry worker failed: {error}")),
            Err(_) => Err(anyhow::anyhow!("the registry worker is gone")),
        }
    }

    /// Finishes what is in hand and ends.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        (self.stop)();
        self.ended().await
    }
}

type Stop = Box<dyn Fn() + Send + Sync>;

fn work(link: Arc<Link>, firing: Firing, ready: &std::sync::mpsc::Sender<Stop>) -> Result<(), String> {
    let tokio =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    tokio.block_on(async {
        let runtime = Runtime::from_current_tokio(Default::default()).map_err(|e| e.to_string())?;
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
        let mut worker = Worker::new(&runtime, link.client().clone(), options).map_err(|e| e.to_string())?;
        let _ = ready.send(Box::new(worker.shutdown_handle()));
        worker.run().await.map_err(|e| e.to_string())
    })
}
