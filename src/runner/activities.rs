//! The activities: where a run meets this host.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use temporalio_client::{UntypedSignal, UntypedWorkflow, WorkflowSignalOptions};
use temporalio_common::{
    data_converters::{PayloadConverter, RawValue},
    error::{ApplicationErrorCategory, ApplicationFailure},
};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    artifacts::{ArtifactStore, RunFolder},
    config::{Entry, Kind},
    kinds::{
        Execution, http,
        http_async::{self, Memory, Polled},
        subprocess,
    },
    outcome::{RunResult, Status},
    plan::{Kickoff, Plan},
    prepare::prepare,
    progress::{LiveProgress, SignalPace},
    secrets::Secrets,
    workflow::PROGRESS_SIGNAL,
};

/// What the activities of one runner share.
#[derive(Clone, Debug)]
pub struct Activities {
    /// Entries by workflow type.
    pub entries: BTreeMap<String, Entry>,
    /// Where files go.
    pub artifacts: ArtifactStore,
    /// What queries are answered from.
    pub live: LiveProgress,
    /// Set when the runner ends and running work has had its time.
    pub stopping: CancellationToken,
}

/// A remote job and the input of its run.
#[derive(Debug, Deserialize)]
struct Job {
    input: Value,
    run_id: String,
}

/// What one activity call works with.
struct Call<'a> {
    entry: &'a Entry,
    secrets: Secrets,
    folder: RunFolder,
    workflow_id: String,
    run_id: String,
    attempt: u32,
    cancelled: CancellationToken,
    progress: watch::Sender<Value>,
}

impl Call<'_> {
    fn execution<'b>(&'b self, input: &'b Value) -> Execution<'b> {
        Execution {
            entry: self.entry,
            input,
            secrets: &self.secrets,
            workflow_id: &self.workflow_id,
            run_id: &self.run_id,
            attempt: self.attempt,
            folder: &self.folder,
            cancelled: self.cancelled.clone(),
            progress: self.progress.clone(),
        }
    }
}

// The names are part of recorded histories: never change one.
#[activities]
impl Activities {
    /// Checks the input and answers the plan. Runs as a local activity.
    #[activity(name = "runner_prepare")]
    pub async fn prepare(self: Arc<Self>, ctx: ActivityContext, input: Value) -> Result<Plan, ActivityError> {
        Ok(match self.entry(&ctx) {
            Ok(entry) => prepare(entry, &input),
            Err(reason) => Plan::Rejected { reason },
        })
    }

    /// Runs a process or makes one HTTP exchange, heartbeating meanwhile.
    #[activity(name = "runner_execute")]
    pub async fn execute(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: Value,
    ) -> Result<RunResult, ActivityError> {
        self.single(&ctx, &input).await
    }

    /// Starts a remote job.
    #[activity(name = "runner_http_kickoff")]
    pub async fn kickoff(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: Value,
    ) -> Result<Kickoff, ActivityError> {
        let ended = |result| Ok(Kickoff { run_id: None, ended: Some(result) });
        let call = match self.call(&ctx) {
            Ok(call) => call,
            Err(reason) => return ended(RunResult::rejected(reason)),
        };
        match &call.entry.kind {
            // Not broken off by a cancellation: once it may have been sent, its answer is what the job is stopped by.
            Kind::HttpAsync(own) => {
                Ok(alive(&ctx, &Value::Null, http_async::kickoff(own, &call.execution(&input))).await)
            }
            _ => ended(RunResult::rejected("the entry is no longer of kind http_async")),
        }
    }

    /// Asks once for the state of a remote job; an attempt that finds it running fails, and the server starts the
    /// next one when it is due.
    #[activity(name = "runner_http_poll")]
    pub async fn poll(self: Arc<Self>, ctx: ActivityContext, job: Value) -> Result<RunResult, ActivityError> {
        let job: Job = serde_json::from_value(job)?;
        let call = match self.call(&ctx) {
            Ok(call) => call,
            Err(reason) => return Ok(RunResult::rejected(reason).unknown()),
        };
        let Kind::HttpAsync(own) = &call.entry.kind else {
            return Ok(RunResult::rejected("the entry is no longer of kind http_async").unknown());
        };
        let memory: Memory = ctx.heartbeat_details().deserialize().ok().flatten().unwrap_or_default();
        let execution = call.execution(&job.input);
        let asked = alive(&ctx, &memory, http_async::poll(own, &execution, &job.run_id, memory.clone()));
        let polled = tokio::select! {
            polled = asked => polled,
            () = ctx.cancelled() => return Err(ActivityError::cancelled()),
        };
        let (next, why) = match polled {
            Polled::Ended(result) => return Ok(*result),
            Polled::Again(next, why) => (next, why),
        };
        if next.state != memory.state {
            let word = serde_json::json!({"remote_run_id": job.run_id, "remote_state": next.state});
            signal_progress(&ctx, &word).await;
        }
        ctx.record_heartbeat(next).await?;
        let again = ApplicationFailure::builder(anyhow::anyhow!(why))
            .category(ApplicationErrorCategory::Benign)
            .build();
        Err(ActivityError::application(again))
    }

    /// Tells a remote job to stop.
    #[activity(name = "runner_http_cancel")]
    pub async fn cancel(self: Arc<Self>, ctx: ActivityContext, job: Value) -> Result<(), ActivityError> {
        let job: Job = serde_json::from_value(job)?;
        let call = self.call(&ctx).map_err(anyhow::Error::msg)?;
        if let Kind::HttpAsync(own) = &call.entry.kind {
            http_async::cancel(own, &call.execution(&job.input), &job.run_id)
                .await
                .map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }
}

impl Activities {
    fn entry(&self, ctx: &ActivityContext) -> Result<&Entry, String> {
        let name = ctx.info().workflow_type.as_deref().unwrap_or_default();
        self.entries.get(name).ok_or_else(|| format!("this runner has no entry `{name}`"))
    }

    fn call(&self, ctx: &ActivityContext) -> Result<Call<'_>, String> {
        let entry = self.entry(ctx)?;
        let info = ctx.info();
        let workflow_id = info.workflow_id.clone().unwrap_or_default();
        let run_id = info.workflow_run_id.clone().unwrap_or_default();
        Ok(Call {
            entry,
            secrets: Secrets::read(&entry.common.secrets)?,
            folder: self.artifacts.folder(&workflow_id, &run_id, info.attempt),
            workflow_id,
            run_id,
            attempt: info.attempt,
            cancelled: self.stopping.child_token(),
            progress: watch::channel(serde_json::json!({"phase": "starting"})).0,
        })
    }

    async fn single(&self, ctx: &ActivityContext, input: &Value) -> Result<RunResult, ActivityError> {
        let call = match self.call(ctx) {
            Ok(call) => call,
            Err(reason) => return Ok(RunResult::rejected(reason)),
        };
        let exec = call.execution(input);
        let work = async {
            match &call.entry.kind {
                Kind::Subprocess(own) => subprocess::run(own, &exec).await,
                Kind::Http(own) => http::run(own, &exec).await,
                _ => RunResult::rejected("the entry has become one of another kind"),
            }
        };
        let result = tokio::select! {
            result = work => result,
            never = self.report(ctx, &call) => match never {},
        };
        self.live.remove(&call.run_id);
        tracing::info!(
            workflow_type = %call.entry.common.workflow_type,
            workflow_id = %call.workflow_id,
            run_id = %call.run_id,
            attempt = call.attempt,
            status = ?result.status,
            "executed"
        );
        // A stop that nobody asked the run for is the end of the runner.
        if result.status == Status::Cancelled && !ctx.is_cancelled() {
            let reason = "the runner was stopped while it worked on this";
            if call.entry.common.idempotent {
                return Err(ActivityError::application(ApplicationFailure::new(anyhow::anyhow!(reason))));
            }
            return Ok(RunResult { status: Status::Failed, ..result.because(reason).unknown() });
        }
        Ok(result)
    }

    /// Heartbeats every second, which is also how a cancellation arrives, and passes progress on.
    async fn report(&self, ctx: &ActivityContext, call: &Call<'_>) -> std::convert::Infallible {
        let progress = call.progress.subscribe();
        let mut pace = SignalPace::new(std::time::Instant::now());
        let mut tick = tokio::time::interval_at(Instant::now(), Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = ctx.cancelled(), if !call.cancelled.is_cancelled() => call.cancelled.cancel(),
            }
            let word = progress.borrow().clone();
            self.live.set(&call.run_id, word.clone());
            if pace.due(std::time::Instant::now()) {
                let (ctx, word) = (ctx.clone(), word.clone());
                // Not waited for: a slow signal must hold up neither heartbeats nor a cancellation.
                tokio::spawn(async move { signal_progress(&ctx, &word).await });
            }
            // Progress is JSON already, so this cannot fail; a lost heartbeat is made up for by the next.
            let _ = ctx.record_heartbeat(word).await;
        }
    }
}

/// Does the work, heartbeating meanwhile: a runner that is lost is noticed long before the work would have to be done.
async fn alive<T>(
    ctx: &ActivityContext,
    details: &(impl serde::Serialize + Clone + Send + 'static),
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        // A lost heartbeat is made up for by the next.
        let _ = ctx.record_heartbeat(details.clone()).await;
    }
}

/// Tells the run how far it is. That it cannot be told is no reason to stop.
async fn signal_progress(ctx: &ActivityContext, word: &Value) {
    let Some(run) = ctx.workflow_handle::<UntypedWorkflow>() else { return };
    let argument = RawValue::from_value(word, &PayloadConverter::default());
    let sent = run.signal(UntypedSignal::new(PROGRESS_SIGNAL), argument, WorkflowSignalOptions::default());
    match tokio::time::timeout(Duration::from_secs(5), sent).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "progress was not told"),
        Err(_) => tracing::debug!("progress was not told in time"),
    }
}
