//! What the registry workflow offers to Temporal: its type, signals, queries and updates.
//!
//! The SDK's macro writes the workflow type into the code, and an operator may choose this one. So the trait the macro
//! would implement is implemented by hand.

use std::any::Any;
use std::cell::RefCell;

use futures::{FutureExt, future::LocalBoxFuture};
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

use super::{
    APPLY_BATCH, CHANGES_SINCE, CLAIM_SLUG_ID, Failure, HURRY, RESET_SLUG, RegistryWorkflow,
    SERVICE_HEARTBEAT, SHUTDOWN, TAKE_STATE, Task, run,
};

pub(super) const SIGNALS: [&str; 10] = [
    "register_worker",
    "put_workflow",
    "heartbeat_worker",
    "unregister_worker",
    "set_workflow_enabled",
    "unregister_workflow",
    "registry_service_started",
    SERVICE_HEARTBEAT,
    SHUTDOWN,
    HURRY,
];
const QUERIES: [&str; 8] = [
    CHANGES_SINCE,
    "list_workflows",
    "get_workflow",
    "resolve_workflow",
    "list_search_attributes",
    "list_workers",
    "get_status",
    "list_slug_counters",
];
pub(super) const UPDATES: [&str; 4] = [APPLY_BATCH, TAKE_STATE, CLAIM_SLUG_ID, RESET_SLUG];

thread_local! {
    static REGISTERING: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Registers the registry workflow under the type an operator chose.
///
/// # Errors
/// When that type is registered already.
pub fn register(options: &mut WorkerOptions, workflow_type: &str) -> Result<(), WorkflowRegistrationError> {
    registering(workflow_type);
    options.register_workflow::<RegistryWorkflow>()?;
    Ok(())
}

/// The SDK asks the implementation for its type while it is being registered.
pub(super) fn registering(workflow_type: &str) {
    REGISTERING.replace(workflow_type.to_owned());
}

/// The run method's place in the SDK's type system.
#[derive(Debug)]
pub struct Run;

impl WorkflowDefinition for Run {
    type Input = RawValue;
    type Output = RawValue;

    fn name(&self) -> &str {
        RegistryWorkflow::name()
    }
}

impl WorkflowImplementation for RegistryWorkflow {
    type Run = Run;
    const HAS_INIT: bool = true;
    const INIT_TAKES_INPUT: bool = true;

    fn name() -> &'static str {
        "temporal-registry"
    }

    fn definition() -> WorkflowDefinitionDescriptor {
        let update = |name: &&str| UpdateDefinitionDescriptor {
            name: (*name).to_owned(),
            has_validator: *name == TAKE_STATE,
        };
        WorkflowDefinitionDescriptor {
            workflow_type: REGISTERING.with_borrow(Clone::clone),
            has_init: true,
            init_takes_input: true,
            signals: SIGNALS.map(str::to_owned).to_vec(),
            queries: QUERIES.map(str::to_owned).to_vec(),
            updates: UPDATES.iter().map(update).collect(),
        }
    }

    fn init(ctx: WorkflowContextView, input: Option<RawValue>) -> Self {
        Self::begin(ctx.start_time(), &input.unwrap_or_else(|| RawValue::new(Vec::new())))
    }

    fn run(
        mut ctx: WorkflowContext<Self>,
        _: Option<RawValue>,
    ) -> LocalBoxFuture<'static, Result<Box<dyn WorkflowOutputValue>, WorkflowTermination>> {
        async move { Ok(output(run(&mut ctx).await?)) }.boxed_local()
    }

    fn decode_signal_input(
        name: &str,
        payloads: Payloads,
        _: &PayloadConverter,
    ) -> Result<Option<Box<dyn Any>>, WorkflowError> {
        Ok(SIGNALS.contains(&name).then(|| boxed(payloads)))
    }

    fn dispatch_signal(
        ctx: WorkflowContext<Self>,
        name: &str,
        input: Box<dyn Any>,
    ) -> LocalBoxFuture<'static, Result<(), WorkflowError>> {
        let task = Task::of(&ctx);
        ctx.state_mut(|registry| registry.take_signal(&task, name, &raw(input)));
        std::future::ready(Ok(())).boxed_local()
    }

    fn decode_query_input(
        name: &str,
        payloads: &Payloads,
        _: &PayloadConverter,
    ) -> Result<Option<Box<dyn Any>>, WorkflowError> {
        Ok(QUERIES.contains(&name).then(|| boxed(payloads.clone())))
    }

    fn dispatch_query(
        &self,
        _: WorkflowContextView,
        name: &str,
        input: Box<dyn Any>,
    ) -> Result<Box<dyn WorkflowOutputValue>, WorkflowError> {
        answered(self.answer(name, &raw(input)))
    }

    fn decode_update_input(
        name: &str,
        payloads: Payloads,
        _: &PayloadConverter,
    ) -> Result<Option<Box<dyn Any>>, WorkflowError> {
        Ok(UPDATES.contains(&name).then(|| boxed(payloads)))
    }

    fn dispatch_update(
        ctx: WorkflowContext<Self>,
        name: &str,
        input: Box<dyn Any>,
    ) -> LocalBoxFuture<'static, Result<Box<dyn WorkflowOutputValue>, WorkflowError>> {
        let name = name.to_owned();
        async move {
            // A client of the reference may claim at once from a registry that it just started without a state.
            if name != TAKE_STATE {
                let stateful = ctx.wait_condition(|registry| registry.early.is_none()).await;
                stateful.map_err(|cancelled| WorkflowError::Execution(cancelled.into()))?;
            }
            let task = Task::of(&ctx);
            answered(ctx.state_mut(|registry| registry.take_update(&task, &name, &raw(input))))
        }
        .boxed_local()
    }

    fn validate_update(
        &self,
        _: WorkflowContextView,
        name: &str,
        input: Box<dyn Any>,
    ) -> Result<(), WorkflowError> {
        match name {
            TAKE_STATE => self.validate_state(&raw(input)).map_err(WorkflowError::Execution),
            _ => Ok(()),
        }
    }
}

impl Task {
    fn of(ctx: &WorkflowContext<RegistryWorkflow>) -> Self {
        Self {
            history_length: ctx.history_length(),
            continue_as_new_suggested: ctx.continue_as_new_suggested(),
            time: ctx.workflow_time(),
        }
    }
}

fn answered(outcome: Result<RawValue, Failure>) -> Result<Box<dyn WorkflowOutputValue>, WorkflowError> {
    outcome.map(output).map_err(WorkflowError::Execution)
}

fn output(value: RawValue) -> Box<dyn WorkflowOutputValue> {
    Box::new(value)
}

fn boxed(payloads: Payloads) -> Box<dyn Any> {
    Box::new(RawValue::new(payloads.payloads))
}

/// An input is always what `boxed` made.
fn raw(input: Box<dyn Any>) -> RawValue {
    input.downcast::<RawValue>().map_or_else(|_| RawValue::new(Vec::new()), |raw| *raw)
}
