//! A worker that does real work, on a thread of its own.
#![allow(unreachable_pub, missing_docs, reason = "the macros make more public than is used")]

use std::sync::Arc;

use serde_json::{Value, json};
use temporal_registry::temporal::connection::Link;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ApplicationFailure, ContinueAsNewOptions, Runtime, SyncWorkflowContext, Worker, WorkerOptions,
    WorkflowContext, WorkflowContextView, WorkflowResult,
};

/// Ends with the test.
pub struct Work {
    stop: Box<dyn Fn() + Send + Sync>,
}

impl Drop for Work {
    fn drop(&mut self) {
        (self.stop)();
    }
}

impl Work {
    /// Polls this queue.
    pub fn start(link: Arc<Link>, queue: &str) -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        let queue = queue.to_owned();
        std::thread::spawn(move || {
            let tokio =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            tokio.block_on(async {
                let runtime = Runtime::from_current_tokio(Default::default()).expect("a runtime");
                let options = WorkerOptions::new(queue)
                    .register_workflow::<Echo>()
                    .and_then(|options| options.register_workflow::<Fail>())
                    .and_then(|options| options.register_workflow::<Chain>())
                    .and_then(|options| options.register_workflow::<Talk>())
                    .expect("workflows")
                    .build();
                let mut worker = Worker::new(&runtime, link.client().clone(), options).expect("a worker");
                let stop: Box<dyn Fn() + Send + Sync> = Box::new(worker.shutdown_handle());
                ready.send(stop).expect("a test");
                worker.run().await.expect("work");
            });
        });
        Self { stop: started.recv().expect("a worker") }
    }
}

/// Returns what it was given.
#[workflow]
#[derive(Default)]
pub struct Echo;

#[workflow_methods]
impl Echo {
    #[run(name = "echo.v1")]
    pub async fn run(_ctx: &mut WorkflowContext<Self>, input: Value) -> WorkflowResult<Value> {
        Ok(input)
    }
}

/// Fails.
#[workflow]
#[derive(Default)]
pub struct Fail;

#[workflow_methods]
impl Fail {
    #[run(name = "fail.v1")]
    pub async fn run(_ctx: &mut WorkflowContext<Self>, _input: Value) -> WorkflowResult<Value> {
        Err(ApplicationFailure::non_retryable("it broke").into())
    }
}

/// Continues as new until the number is used up.
#[workflow]
#[derive(Default)]
pub struct Chain;

#[workflow_methods]
impl Chain {
    #[run(name = "chain.v1")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, input: Value) -> WorkflowResult<Value> {
        let left = input["left"].as_u64().unwrap_or(0);
        if left > 0 {
            ctx.continue_as_new(json!({"left": left - 1}), ContinueAsNewOptions::default())?;
        }
        Ok(json!("the end"))
    }
}

/// Takes numbers until it is told to stop.
#[workflow]
#[derive(Default)]
pub struct Talk {
    sum: i64,
    stopped: bool,
}

#[workflow_methods]
impl Talk {
    #[run(name = "talk.v1")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, _input: Value) -> WorkflowResult<Value> {
        ctx.wait_condition(|state| state.stopped).await?;
        Ok(json!(ctx.state(|state| state.sum)))
    }

    #[signal]
    pub fn add(&mut self, _ctx: &mut SyncWorkflowContext<Self>, input: Value) {
        self.sum += input["n"].as_i64().unwrap_or(0);
    }

    #[signal]
    pub fn stop(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.stopped = true;
    }

    #[query]
    pub fn sum(&self, _ctx: &WorkflowContextView) -> i64 {
        self.sum
    }

    #[update]
    pub fn plus(
        &mut self,
        _ctx: &mut SyncWorkflowContext<Self>,
        input: Value,
    ) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
        let n = input["n"].as_i64().ok_or("n is no number")?;
        self.sum += n;
        Ok(self.sum)
    }
}
