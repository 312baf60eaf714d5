//! Fires that find their target when they are due: a small workflow of the registry's that resolves the queue, claims a
//! run id, and runs the type as its child until it ends, so that the overlap policy of the schedule still holds.
#![allow(missing_docs, reason = "the macros generate constants without documentation")]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use temporalio_common::data_converters::RawValue;
use temporalio_common::protos::temporal::api::common::v1::SearchAttributes as ProtoAttributes;
use temporalio_common::search_attributes::SearchAttributes;
use temporalio_common::{RetryPolicy as ChildRetries, UntypedWorkflow};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{
    ActivityOptions, ApplicationFailure, ChildWorkflowOptions, ChildWorkflowStartError, ParentClosePolicy,
    StartChildWorkflowExecutionFailedCause, WorkflowContext, WorkflowContextView, WorkflowResult,
    WorkflowTermination,
};

use super::fit::Types;
use super::request::{RetryPolicy, ScheduleRequest, Timeouts};
use super::stamp::{of_payload, to_payload};
use crate::registry::{Command, Outcome, Reservation};
use crate::seams::{StartError, Writes};

/// Temporal workflow type of a fire.
pub const FIRE_TYPE: &str = "temporal-registry.dispatch.v1";
/// Ids in use that are stepped over before a fire is given up.
const IDS_TRIED_MAX: usize = 50;
/// The longest a single attempt to resolve a target may take.
const RESOLVE_WITHIN: Duration = Duration::from_secs(30);

/// What a fire is to start: the one argument of its workflow. Its form is fixed by recorded histories: add, never rename.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The type.
    pub workflow_type: String,
    /// What the run id is claimed by.
    pub name: String,
    /// The argument.
    pub input: Value,
    /// Search attributes of the run.
    #[serde(default)]
    pub search_attributes: BTreeMap<String, Value>,
    /// Limits on the run.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Retries of the run.
    #[serde(default)]
    pub retry_policy: Option<RetryPolicy>,
}

impl Order {
    /// The order of a schedule of this id.
    pub fn new(id: &str, request: &ScheduleRequest) -> Self {
        Self {
            workflow_type: request.workflow_type.clone(),
            name: request.base_workflow_id(id).to_owned(),
            input: request.input.clone(),
            search_attributes: request.search_attributes.clone(),
            timeouts: request.timeouts,
            retry_policy: request.retry_policy.clone(),
        }
    }
}

/// What the workflow asks the activity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    /// What is to be started.
    pub order: Order,
    /// Names this fire: the same fire gets the same id however often it asks.
    pub fire: String,
    /// The id it got before, which is in use.
    pub instead_of: Option<String>,
}

/// The target of a fire.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resolved {
    /// The workflow id.
    pub workflow_id: String,
    /// The queue.
    pub task_queue: String,
    /// Search attributes with the names of their types.
    pub search_attributes: BTreeMap<String, (String, Value)>,
}

/// What the activity works with.
pub struct Resolver {
    /// The types as this replica sees them.
    pub types: Types,
    /// Claims ids.
    pub writes: Arc<dyn Writes>,
}

/// The activity that resolves targets. It waits for its resolver, since the worker is up before the rest.
#[derive(Clone, Default)]
pub struct Firing {
    resolver: Arc<OnceLock<Resolver>>,
}

impl Firing {
    /// Gives it what it works with; the first one counts.
    pub fn ready(&self, resolver: Resolver) {
        self.resolver.get_or_init(|| resolver);
    }
}

#[activities]
impl Firing {
    /// Finds the queue of a type and claims a workflow id.
    #[activity]
    pub async fn resolve_fire(
        self: Arc<Self>,
        _ctx: ActivityContext,
        question: Question,
    ) -> Result<Resolved, ActivityError> {
        let resolver =
            self.resolver.get().ok_or_else(|| again("this replica of the registry is not ready yet"))?;
        resolver.resolve(&question).await
    }
}

fn again(why: impl Into<String>) -> ActivityError {
    ActivityError::application(ApplicationFailure::new(anyhow::Error::msg(why.into())))
}

fn for_good(why: impl Into<String>) -> ActivityError {
    ActivityError::application(ApplicationFailure::non_retryable(anyhow::Error::msg(why.into())))
}

impl Resolver {
    async fn resolve(&self, question: &Question) -> Result<Resolved, ActivityError> {
        let (view, order) = (self.types.view(), &question.order);
        let name = &order.workflow_type;
        let entry = view.types.get(name).filter(|entry| entry.enabled);
        let entry = entry.ok_or_else(|| for_good(format!("workflow type {name} is unknown or disabled")))?;
        let broken = self.types.violations(entry, &order.input).map_err(for_good)?;
        if let Some(first) = broken.first() {
            return Err(for_good(format!("the input does not fit {name}: {} {}", first.pointer, first.msg)));
        }
        let encoded =
            self.types.encode(&view, entry, &order.search_attributes).map_err(|error| match error {
                StartError::AttributesUnavailable(why) => again(why),
                other => for_good(format!("the search attributes do not fit {name}: {other:?}")),
            })?;
        let search_attributes = encoded.indexed_fields.iter().map(|(name, payload)| {
            let kind = payload.metadata.get("type").cloned().unwrap_or_default();
            (
                name.clone(),
                (String::from_utf8_lossy(&kind).into_owned(), of_payload(payload).unwrap_or_default()),
            )
        });
        let reserve = Command::Reserve(Reservation {
            key: format!("fire/{}", question.fire),
            fingerprint: String::new(),
            workflow_id: String::new(),
            name: Some(order.name.clone()),
            instead_of: question.instead_of.clone(),
        });
        let workflow_id = match self.writes.submit(&reserve).await {
            Ok(Outcome::Reserved { reserved, .. }) => reserved.workflow_id,
            Ok(other) => return Err(again(format!("no run id could be claimed: {other:?}"))),
            Err(error) => return Err(again(error.to_string())),
        };
        let task_queue = self.types.queue(&view, entry).name;
        Ok(Resolved { workflow_id, task_queue, search_attributes: search_attributes.collect() })
    }
}

/// The workflow behind a fire.
#[workflow]
pub struct FireWorkflow {
    order: RawValue,
}

#[workflow_methods]
impl FireWorkflow {
    #[init]
    fn new(_ctx: &WorkflowContextView, input: RawValue) -> Self {
        Self { order: input }
    }

    /// Resolves, claims, and runs the type until it ends; the result is the run's.
    #[run(name = "temporal-registry.dispatch.v1")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<RawValue> {
        let order = ctx.state(|s| s.order.payloads.first().and_then(of_payload));
        let order: Order = match order.map(serde_json::from_value) {
            Some(Ok(order)) => order,
            Some(Err(error)) => return Err(failed(format!("the order cannot be read: {error}"))),
            None => return Err(failed("there is no order".to_owned())),
        };
        let fire = format!("{}/{}", ctx.workflow_id(), ctx.run_id());
        let mut instead_of = None;
        for _ in 0..IDS_TRIED_MAX {
            let question = Question { order: order.clone(), fire: fire.clone(), instead_of };
            let options = ActivityOptions::start_to_close_timeout(RESOLVE_WITHIN);
            let resolved = ctx.execute_activity(Firing::resolve_fire, question, options).await;
            if resolved.is_err() && ctx.cancellation_token().is_cancelled() {
                return Err(WorkflowTermination::cancelled());
            }
            let resolved = resolved?;
            let workflow_id = resolved.workflow_id.clone();
            let input = RawValue::new(vec![to_payload(&order.input)]);
            let child = UntypedWorkflow::new(order.workflow_type.clone());
            let started = ctx.start_child_workflow(child, input, options_of(&order, resolved)).await;
            let ended = match started {
                Ok(started) => started.result().await,
                Err(ChildWorkflowStartError::StartFailed {
                    cause: StartChildWorkflowExecutionFailedCause::WorkflowAlreadyExists,
                    ..
                }) => {
                    instead_of = Some(workflow_id);
                    continue;
                }
                Err(_) if ctx.cancellation_token().is_cancelled() => {
                    return Err(WorkflowTermination::cancelled());
                }
                Err(error) => return Err(error.into()),
            };
            return match ended {
                Err(_) if ctx.cancellation_token().is_cancelled() => Err(WorkflowTermination::cancelled()),
                ended => Ok(ended?),
            };
        }
        Err(failed(format!("the next {IDS_TRIED_MAX} workflow ids are all in use")))
    }
}

fn failed(why: String) -> WorkflowTermination {
    ApplicationFailure::non_retryable(anyhow::Error::msg(why)).into()
}

fn options_of(order: &Order, resolved: Resolved) -> ChildWorkflowOptions {
    let indexed_fields = resolved.search_attributes.into_iter().map(|(name, (kind, value))| {
        let mut payload = to_payload(&value);
        payload.metadata.insert("type".to_owned(), kind.into_bytes());
        (name, payload)
    });
    let attributes =
        SearchAttributes::from_proto(&ProtoAttributes { indexed_fields: indexed_fields.collect() });
    let seconds = |seconds: Option<f64>| Duration::try_from_secs_f64(seconds?).ok();
    ChildWorkflowOptions::builder()
        .workflow_id(resolved.workflow_id)
        .task_queue(resolved.task_queue)
        .parent_close_policy(ParentClosePolicy::Terminate)
        .maybe_execution_timeout(seconds(order.timeouts.execution_seconds))
        .maybe_run_timeout(seconds(order.timeouts.run_seconds))
        .maybe_task_timeout(seconds(order.timeouts.task_seconds))
        .maybe_retry_policy(order.retry_policy.as_ref().map(retries))
        .maybe_search_attributes((!attributes.is_empty()).then_some(attributes))
        .build()
}

fn retries(policy: &RetryPolicy) -> ChildRetries {
    let seconds = |seconds: Option<f64>| Duration::try_from_secs_f64(seconds?).ok();
    ChildRetries::builder()
        .maybe_initial_interval(seconds(policy.initial_interval_seconds))
        .maybe_backoff_coefficient(policy.backoff_coefficient)
        .maybe_maximum_interval(seconds(policy.maximum_interval_seconds))
        .maybe_maximum_attempts(policy.maximum_attempts.and_then(|attempts| u32::try_from(attempts).ok()))
        .non_retryable_error_types(policy.non_retryable_error_types.clone())
        .build()
}
