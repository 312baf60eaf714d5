//! The one workflow behind every entry, registered under as many names as there are entries.
//!
//! The SDK's macro writes the workflow type into the code, and the types here come from a file. So the trait the
//! macro would implement is implemented by hand: `definition` answers the name that is being registered.

mod flow;
mod payload;
pub mod task;

use std::{any::Any, cell::RefCell};

use futures::{FutureExt, future::LocalBoxFuture};
use serde_json::Value;
use temporalio_common::{
    WorkflowDefinition,
    data_converters::{PayloadConverter, RawValue},
    protos::temporal::api::common::v1::Payloads,
};
use temporalio_sdk::{WorkerOptions, WorkflowContext, WorkflowContextView, WorkflowRegistrationError};
use temporalio_workflow::{
    WorkflowTermination,
    workflow_interceptors::WorkflowOutputValue,
    workflows::{
        UpdateDefinitionDescriptor, WorkflowDefinitionDescriptor, WorkflowError, WorkflowImplementation,
    },
};

use super::{outcome::RunResult, progress::LiveProgress};
use task::Task;

/// The signal by which an activity tells its own run how far it is.
pub const PROGRESS_SIGNAL: &str = "runner_progress";
/// Query: how far the run is.
pub const PROGRESS_QUERY: &str = "progress";
/// Query: the result, `null` until there is one. Answers for closed and canceled runs too.
pub const RESULT_QUERY: &str = "result";
/// Query: the task of a `manual` run, `null` for other kinds.
pub const TASK_QUERY: &str = "task";

thread_local! {
    static REGISTERING: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Registers the entry workflow under `workflow_type`.
///
/// # Errors
/// When that name is registered already.
pub fn register(
    options: &mut WorkerOptions,
    workflow_type: &str,
    live: &LiveProgress,
) -> Result<(), WorkflowRegistrationError> {
    REGISTERING.replace(workflow_type.to_owned());
    let live = live.clone();
    options.register_workflow_with_factory::<EntryWorkflow, _>(move || EntryWorkflow::new(live.clone()))?;
    Ok(())
}

/// State of one run, read by queries and changed by the flow, the updates and the progress signal.
#[derive(Debug)]
pub struct EntryWorkflow {
    live: LiveProgress,
    phase: &'static str,
    progress: Option<Value>,
    task: Option<Task>,
    result: Option<RunResult>,
}

/// The run method's place in the SDK's type system.
#[derive(Debug)]
pub struct EntryRun;

impl WorkflowDefinition for EntryRun {
    type Input = RawValue;
    type Output = RunResult;

    fn name(&self) -> &str {
        "temporal-registry-entry"
    }
}

impl EntryWorkflow {
    fn new(live: LiveProgress) -> Self {
        Self { live, phase: "starting", progress: None, task: None, result: None }
    }

    /// What the process that answers knows first-hand, else what the activity last signalled.
    fn progress(&self, run_id: &str) -> Value {
        let live = if self.result.is_some() { None } else { self.live.get(run_id) };
        let mut view = live.or_else(|| self.progress.clone()).unwrap_or_else(|| serde_json::json!({}));
        if let Some(members) = view.as_object_mut() {
            let phase = members.remove("phase").filter(|_| self.result.is_none());
            members.insert("phase".to_owned(), phase.unwrap_or_else(|| Value::from(self.phase)));
        }
        view
    }
}

impl WorkflowImplementation for EntryWorkflow {
    type Run = EntryRun;
    const HAS_INIT: bool = false;
    const INIT_TAKES_INPUT: bool = false;

    fn name() -> &'static str {
        "temporal-registry-entry"
    }

    fn definition() -> WorkflowDefinitionDescriptor {
        WorkflowDefinitionDescriptor {
            workflow_type: REGISTERING.with_borrow(Clone::clone),
            has_init: false,
            init_takes_input: false,
            signals: vec![PROGRESS_SIGNAL.to_owned()],
            queries: [PROGRESS_QUERY, RESULT_QUERY, TASK_QUERY].map(str::to_owned).to_vec(),
            updates: task::UPDATES
                .iter()
                .map(|name| UpdateDefinitionDescriptor { name: (*name).to_owned(), has_validator: false })
                .collect(),
        }
    }

    /// Not reached: a factory makes the instances.
    fn init(_: WorkflowContextView, _: Option<RawValue>) -> Self {
        Self::new(LiveProgress::default())
    }

    fn run(
        ctx: WorkflowContext<Self>,
        input: Option<RawValue>,
    ) -> LocalBoxFuture<'static, Result<Box<dyn WorkflowOutputValue>, WorkflowTermination>> {
        async move {
            let result = flow::run(&ctx, input).await?;
            Ok(Box::new(result) as Box<dyn WorkflowOutputValue>)
        }
        .boxed_local()
    }

    fn decode_signal_input(
        name: &str,
        payloads: Payloads,
        _: &PayloadConverter,
    ) -> Result<Option<Box<dyn Any>>, WorkflowError> {
        Ok((name == PROGRESS_SIGNAL).then(|| raw(payloads)))
    }

    fn dispatch_signal(
        ctx: WorkflowContext<Self>,
        _: &str,
        input: Box<dyn Any>,
    ) -> LocalBoxFuture<'static, Result<(), WorkflowError>> {
        async move {
            // Anybody may signal anything: what is not an object is dropped here, not in a failing task.
            if let Ok(value @ Value::Object(_)) = payload::first_json(&input) {
                ctx.state_mut(|state| state.progress = Some(value));
            }
            Ok(())
        }
        .boxed_local()
    }

    fn decode_query_input(
        name: &str,
        payloads: &Payloads,
        _: &PayloadConverter,
    ) -> Result<Option<Box<dyn Any>>, WorkflowError> {
        let known = [PROGRESS_QUERY, RESULT_QUERY, TASK_QUERY].contains(&name);
        Ok(known.then(|| raw(payloads.clone())))
    }

    fn dispatch_query(
        &self,
        ctx: WorkflowContextView,
        name: &str,
        _: Box<dyn Any>,
    ) -> Result<Box<dyn WorkflowOutputValue>, WorkflowError> {
        let answer = match name {
            PROGRESS_QUERY => self.progress(ctx.run_id()),
            TASK_QUERY => self.task.as_ref().map_or(Value::Null, Task::view),
            _ => serde_json::to_value(&self.result).map_err(|e| WorkflowError::Execution(e.into()))?,
        };
        Ok(Box::new(answer))
    }

    fn decode_update_input(
        name: &str,
        payloads: Payloads,
        _: &PayloadConverter,
    ) -> Result<Option<Box<dyn Any>>, WorkflowError> {
        Ok(task::UPDATES.contains(&name).then(|| raw(payloads)))
    }

    fn dispatch_update(
        ctx: WorkflowContext<Self>,
        name: &str,
        input: Box<dyn Any>,
    ) -> LocalBoxFuture<'static, Result<Box<dyn WorkflowOutputValue>, WorkflowError>> {
        let name = name.to_owned();
        async move {
            // An update may come with the very task that starts the run, before the plan is known.
            let ready = ctx.wait_condition(|state| state.task.is_some() || state.result.is_some()).await;
            let now = ctx.workflow_time();
            let answer = ctx.state_mut(|state| match (&mut state.task, ready) {
                (Some(task), Ok(())) => task.apply(&name, payload::first_json(&input), now),
                _ => task::not_a_task(),
            });
            Ok(Box::new(answer) as Box<dyn WorkflowOutputValue>)
        }
        .boxed_local()
    }

    fn validate_update(&self, _: WorkflowContextView, _: &str, _: Box<dyn Any>) -> Result<(), WorkflowError> {
        Ok(())
    }
}

fn raw(payloads: Payloads) -> Box<dyn Any> {
    Box::new(RawValue::new(payloads.payloads))
}
