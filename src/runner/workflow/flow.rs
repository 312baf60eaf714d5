//! The course of a run: plan, work, result.

use std::time::{Duration, SystemTime};

use futures::future::{Either, select};
use serde_json::{Value, json};
use temporalio_common::data_converters::RawValue;
use temporalio_sdk::{
    ActivityCancellationType, ActivityExecutionError, ActivityOptions, LocalActivityOptions, MemoValue,
    WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
};
use temporalio_workflow::{RetryPolicy, TimeoutType, WorkflowTermination};

use super::{EntryWorkflow, payload, task::Ending, task::Task};
use crate::runner::{
    activities::Activities,
    outcome::{RunResult, Status, rfc3339},
    plan::{Kickoff, Manual, Plan, Remote, Single},
};

type Ctx = WorkflowContext<EntryWorkflow>;

/// A runner that has not been heard of for this long is taken for lost.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// Runs to the end. Only a cancelled result ends the workflow as anything but completed.
pub async fn run(ctx: &Ctx, input: Option<RawValue>) -> Result<RunResult, WorkflowTermination> {
    let started = ctx.workflow_time();
    let result = match payload::decode(&input.unwrap_or_else(|| RawValue::new(Vec::new()))) {
        Ok(input) => work(ctx, input).await,
        Err(reason) => RunResult::rejected(reason),
    };
    let mut result = result.finished(ctx.workflow_time());
    if result.started_at.is_none() {
        result.started_at = started.map(rfc3339);
    }
    ctx.state_mut(|state| {
        state.phase = "finished";
        state.result = Some(result.clone());
    });
    // An update that ended the run must get its answer before the run is closed.
    let detached =
        WaitConditionOptions::builder().cancellation_token(WorkflowCancellationToken::new()).build();
    let _ = ctx.wait_condition_with_options(|_| ctx.all_handlers_finished(), detached).await;
    if result.status == Status::Cancelled {
        return Err(WorkflowTermination::cancelled_with_details(result));
    }
    Ok(result)
}

async fn work(ctx: &Ctx, input: Value) -> RunResult {
    // Not cut short by a cancellation: it is quick, and without a plan nobody knows what there is to cancel.
    let options = LocalActivityOptions::builder()
        .cancellation_token(WorkflowCancellationToken::new())
        .start_to_close_timeout(Duration::from_secs(10))
        .build();
    match ctx.execute_local_activity(Activities::prepare, input.clone(), options).await {
        Err(error) => RunResult::rejected(format!("the run could not be prepared: {}", reason_of(&error))),
        Ok(Plan::Rejected { reason }) => RunResult::rejected(reason),
        Ok(_) if ctx.cancellation_token().is_cancelled() => cancelled(ctx, "before it was started"),
        Ok(Plan::Single(plan)) => single(ctx, plan, input).await,
        Ok(Plan::Remote(plan)) => remote(ctx, plan, input).await,
        Ok(Plan::Manual(plan)) => manual(ctx, plan, input).await,
    }
}

/// `subprocess` and `http`: one activity that heartbeats and always answers a result, unless its runner is lost.
async fn single(ctx: &Ctx, plan: Single, input: Value) -> RunResult {
    let started = ctx.workflow_time();
    ctx.state_mut(|state| state.phase = "running");
    let options = ActivityOptions::with_start_to_close_timeout(Duration::from_secs(plan.attempt_seconds))
        .heartbeat_timeout(LOST_AFTER)
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .retry_policy(attempts(plan.attempts))
        .build();
    match ctx.execute_activity(Activities::execute, input, options).await {
        Ok(result) => result,
        Err(ActivityExecutionError::Cancelled(_)) => cancelled(ctx, "before it was started"),
        Err(error) => lost(ctx, started, &error),
    }
}

/// `http_async`: the remote job outlives any runner, so only its id is carried from here.
async fn remote(ctx: &Ctx, plan: Remote, input: Value) -> RunResult {
    let started = ctx.workflow_time();
    ctx.state_mut(|state| state.phase = "starting the remote job");
    let request = Duration::from_secs(plan.request_seconds);
    let options = ActivityOptions::with_start_to_close_timeout(request + LOST_AFTER)
        .heartbeat_timeout(LOST_AFTER)
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .retry_policy(attempts(plan.kickoff_attempts))
        .build();
    let run_id = match ctx.execute_activity(Activities::kickoff, input.clone(), options).await {
        Ok(Kickoff { run_id: Some(run_id), .. }) => run_id,
        Ok(Kickoff { ended: Some(result), .. }) => return result,
        Ok(_) => {
            return RunResult::new(Status::Failed, started).because("the kick-off named no job").unknown();
        }
        Err(ActivityExecutionError::Cancelled(_)) => {
            return cancelled(ctx, "before the remote job was started");
        }
        Err(error) => return lost(ctx, started, &error),
    };
    ctx.state_mut(|state| {
        state.phase = "waiting for the remote job";
        state.progress = Some(json!({"remote_run_id": run_id}));
    });
    poll(ctx, &plan, &json!({"input": input, "run_id": run_id}), started).await
}

/// One activity whose attempts are the polls: the pauses between them are kept by the server, so they survive every
/// runner, and the history does not grow with their number.
async fn poll(ctx: &Ctx, plan: &Remote, job: &Value, started: Option<SystemTime>) -> RunResult {
    let spent = started.zip(ctx.workflow_time()).and_then(|(from, to)| to.duration_since(from).ok());
    let left = Duration::from_secs(plan.timeout_seconds).saturating_sub(spent.unwrap_or_default());
    let request = Duration::from_secs(plan.request_seconds) + LOST_AFTER;
    let give_up = ctx.cancellation_token().child_token();
    let options = ActivityOptions::with_start_to_close_timeout(request)
        .heartbeat_timeout(LOST_AFTER)
        .cancellation_token(give_up.clone())
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .retry_policy(
            RetryPolicy::builder()
                .initial_interval(Duration::from_secs(plan.poll_interval_seconds))
                .backoff_coefficient(1.0)
                .build(),
        )
        .build();
    let polled = ctx.execute_activity(Activities::poll, job.clone(), options);
    let polled = match select(polled, ctx.timer(left)).await {
        Either::Left((polled, _)) => polled,
        Either::Right((_, polled)) => {
            give_up.cancel();
            polled.await
        }
    };
    let result = match polled {
        Ok(result) => return result,
        Err(_) if ctx.cancellation_token().is_cancelled() => {
            cancelled(ctx, "the remote job was told to stop")
        }
        Err(_) if give_up.is_cancelled() => RunResult::new(Status::TimedOut, started)
            .because(format!("the remote job did not end within {} s", plan.timeout_seconds)),
        Err(error) => return RunResult::new(Status::Failed, started).because(reason_of(&error)).unknown(),
    };
    if !plan.cancellable {
        let known = result.error_summary.clone().unwrap_or_default();
        return result
            .because(format!("{known}; it may still run: the entry names no cancel_url_template"))
            .unknown();
    }
    stop_remote(ctx, plan, job, result).await
}

async fn stop_remote(ctx: &Ctx, plan: &Remote, job: &Value, result: RunResult) -> RunResult {
    ctx.state_mut(|state| state.phase = "stopping the remote job");
    let request = Duration::from_secs(plan.request_seconds);
    let options = ActivityOptions::with_start_to_close_timeout(request + LOST_AFTER)
        .cancellation_token(WorkflowCancellationToken::new())
        .retry_policy(attempts(8))
        .build();
    match ctx.execute_activity(Activities::cancel, job.clone(), options).await {
        Ok(()) => result,
        Err(error) => {
            let known = result.error_summary.clone().unwrap_or_default();
            result.because(format!("{known}; stopping it failed: {}", reason_of(&error))).unknown()
        }
    }
}

/// `manual`: waits for an update, the end of its time, or a cancellation. No worker is busy meanwhile.
async fn manual(ctx: &Ctx, plan: Manual, input: Value) -> RunResult {
    let started = ctx.workflow_time();
    let limit = plan.timeout_seconds;
    // Lets a plain visibility listing tell tasks from other runs; a listing without it only loses the title.
    let _ = ctx.upsert_memo([
        ("temporal_registry_task", Some(MemoValue::new(true))),
        ("temporal_registry_task_title", Some(MemoValue::new(plan.title.clone()))),
    ]);
    let view = ctx.info();
    ctx.state_mut(|state| {
        state.phase = "waiting for a person";
        state.task = Some(Task::open(plan, view.workflow_id(), view.workflow_type(), input, started));
    });
    let answered =
        ctx.wait_condition(|state| state.task.as_ref().is_some_and(|task| task.ending().is_some()));
    let in_time = async {
        match limit {
            Some(seconds) => drop(ctx.timer(Duration::from_secs(seconds)).await),
            None => std::future::pending().await,
        }
    };
    let ending = match select(Box::pin(answered), Box::pin(in_time)).await {
        Either::Left((Err(_), _)) => Ending::Cancelled,
        Either::Left((Ok(()), _)) => Ending::TimedOut,
        Either::Right(_) if ctx.cancellation_token().is_cancelled() => Ending::Cancelled,
        Either::Right(_) => Ending::TimedOut,
    };
    // `end` keeps an ending that an update has set already, so the guess above only counts when there is none.
    let ending = ctx.state_mut(|state| {
        let task = state.task.as_mut()?;
        task.end(ending);
        task.ending().cloned()
    });
    match ending {
        Some(Ending::Completed(output)) => RunResult { output, ..RunResult::new(Status::Succeeded, started) },
        Some(Ending::Failed(reason)) => RunResult::new(Status::Failed, started).because(reason),
        Some(Ending::Cancelled) | None => cancelled(ctx, "the task was withdrawn"),
        Some(Ending::TimedOut) => RunResult::new(Status::TimedOut, started)
            .because(format!("nobody completed the task within {} s", limit.unwrap_or_default())),
    }
}

/// The runner was lost with the work in its hands: whether it was done, nobody can say.
fn lost(ctx: &Ctx, started: Option<SystemTime>, error: &ActivityExecutionError) -> RunResult {
    let cancelled = ctx.cancellation_token().is_cancelled();
    let status = if cancelled { Status::Cancelled } else { Status::Failed };
    RunResult::new(status, started).because(reason_of(error)).unknown()
}

fn cancelled(ctx: &Ctx, what: &str) -> RunResult {
    let reason = ctx.cancellation_token().reason().filter(|reason| !reason.is_empty());
    let text =
        reason.map_or_else(|| format!("cancelled: {what}"), |why| format!("cancelled ({why}): {what}"));
    RunResult::new(Status::Cancelled, ctx.info().start_time()).because(text)
}

fn reason_of(error: &ActivityExecutionError) -> String {
    match error.as_timeout().map(temporalio_common::error::TimeoutError::timeout_type) {
        Some(TimeoutType::Heartbeat) => "the runner stopped answering while it worked on this".to_owned(),
        Some(_) => "the runner did not answer in time".to_owned(),
        None => error.cause().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

fn attempts(maximum: u32) -> RetryPolicy {
    RetryPolicy::builder().initial_interval(Duration::from_secs(1)).maximum_attempts(maximum.max(1)).build()
}
