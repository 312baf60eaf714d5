//! The keeper: makes sure that exactly one registry workflow runs, with the state of the one before.

use std::sync::Arc;

use temporalio_common::{
    data_converters::RawValue,
    protos::temporal::api::{
        common::v1::{Payloads, WorkflowType},
        enums::v1::{
            HistoryEventFilterType, TaskQueueKind, WorkflowExecutionStatus as Status,
            WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
        },
        history::v1::history_event::Attributes,
        taskqueue::v1::TaskQueue,
        workflowservice::v1::{
            DescribeWorkflowExecutionRequest, GetWorkflowExecutionHistoryRequest,
            SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest,
        },
    },
};

use super::{
    codec,
    connection::{CALL_TIMEOUT, CallError, Link, within},
    ledger::Revive,
    mirror::Mirror,
    workflow::SHUTDOWN,
};
use crate::{
    registry::State,
    seams::{Reads, Shutdown, Unanswered},
    view::View,
};

/// Keeps the registry workflow running.
pub struct Keeper {
    link: Arc<Link>,
    mirror: Arc<Mirror>,
}

impl Keeper {
    /// A keeper; a worker for the registry's queue must run beside it.
    pub fn new(link: Arc<Link>, mirror: Arc<Mirror>) -> Self {
        Self { link, mirror }
    }

    /// Makes sure that the registry workflow runs. A registry that was shut down or closed in any other way is
    /// started again with the state it had.
    pub async fn ensure(&self) -> Result<(), CallError> {
        let (status, run_id) = match self.describe().await {
            Ok(found) => found,
            Err(CallError::NotFound(_)) => return self.start(None, "").await,
            Err(error) => return Err(error),
        };
        let state = match status {
            Status::Running | Status::Paused => return Ok(()),
            Status::Completed => self.result(&run_id).await?,
            Status::Failed
            | Status::Canceled
            | Status::Terminated
            | Status::ContinuedAsNew
            | Status::TimedOut => {
                tracing::error!(
                    ?status,
                    run_id,
                    "the registry workflow was closed from outside; restoring its state"
                );
                self.recovered().await?
            }
            Status::Unspecified => {
                return Err(CallError::Internal("the registry workflow has no status".to_owned()));
            }
        };
        self.start(Some(state), &run_id).await
    }

    async fn describe(&self) -> Result<(Status, String), CallError> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.link.namespace(),
            execution: Some(self.link.registry_execution()),
        };
        let answer = self.link.service().describe_workflow_execution(within(request, CALL_TIMEOUT)).await?;
        let info = answer.into_inner().workflow_execution_info.unwrap_or_default();
        Ok((info.status(), info.execution.unwrap_or_default().run_id))
    }

    /// The state that a run gave as its result when it was shut down.
    async fn result(&self, run_id: &str) -> Result<RawValue, CallError> {
        let mut execution = self.link.registry_execution();
        run_id.clone_into(&mut execution.run_id);
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: self.link.namespace(),
            execution: Some(execution),
            history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
            ..Default::default()
        };
        let answer =
            self.link.service().get_workflow_execution_history(within(request, CALL_TIMEOUT)).await?;
        let events = answer.into_inner().history.unwrap_or_default().events;
        match events.into_iter().next_back().and_then(|event| event.attributes) {
            Some(Attributes::WorkflowExecutionCompletedEventAttributes(completed)) => {
                Ok(RawValue::new(completed.result.unwrap_or_default().payloads))
            }
            _ => self.recovered().await,
        }
    }

    /// The state of a run that could not hand it over: its worker still answers queries about it.
    async fn recovered(&self) -> Result<RawValue, CallError> {
        self.mirror.complete().await?;
        let state = state_of(&self.mirror.view());
        codec::encode_state(&state).map_err(|error| CallError::Internal(error.to_string()))
    }

    async fn start(&self, state: Option<RawValue>, after: &str) -> Result<(), CallError> {
        let input = state.map(|state| Payloads { payloads: state.payloads });
        // Replicas that find the same run closed ask for the same start, so that one of them wins.
        let request_id = format!("{}-after-{after}", self.link.registry.workflow_id);
        let request = StartWorkflowExecutionRequest {
            namespace: self.link.namespace(),
            workflow_id: self.link.registry.workflow_id.clone(),
            workflow_type: Some(WorkflowType { name: self.link.registry.workflow_type.clone() }),
            task_queue: Some(TaskQueue {
                name: self.link.registry.task_queue.clone(),
                kind: TaskQueueKind::Normal.into(),
                normal_name: String::new(),
            }),
            input,
            identity: self.link.identity(),
            request_id,
            workflow_id_reuse_policy: WorkflowIdReusePolicy::AllowDuplicate.into(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail.into(),
            ..Default::default()
        };
        match self
            .link
            .service()
            .start_workflow_execution(within(request, CALL_TIMEOUT))
            .await
            .map_err(CallError::from)
        {
            Ok(_) => {
                tracing::info!(workflow_id = self.link.registry.workflow_id, "started the registry workflow");
                Ok(())
            }
            Err(CallError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait::async_trait]
impl Revive for Keeper {
    async fn revive(&self) -> Result<(), CallError> {
        self.ensure().await
    }
}

#[async_trait::async_trait]
impl Shutdown for Keeper {
    async fn shut_down(&self) -> Result<(), Unanswered> {
        let request = SignalWorkflowExecutionRequest {
            namespace: self.link.namespace(),
            workflow_execution: Some(self.link.registry_execution()),
            signal_name: SHUTDOWN.to_owned(),
            identity: self.link.identity(),
            request_id: uuid::Uuid::now_v7().to_string(),
            ..Default::default()
        };
        let answer = self.link.service().signal_workflow_execution(within(request, CALL_TIMEOUT)).await;
        match answer.map_err(CallError::from) {
            // Not running: there is nothing left to end.
            Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(Unanswered(error.to_string())),
        }
    }
}

/// The state as far as a view tells it: everything but the answers of batches in flight and the deletions.
pub fn state_of(view: &View) -> State {
    State {
        revision: view.revision,
        types: view.types.iter().map(|(name, entry)| (name.clone(), (**entry).clone())).collect(),
        workers: view.workers.iter().map(|(id, member)| (id.clone(), (*member.worker).clone())).collect(),
        slugs: view.slugs.iter().map(|(slug, counter)| (slug.clone(), counter.clone())).collect(),
        attributes: view
            .attributes
            .iter()
            .map(|(name, attribute)| (name.clone(), attribute.clone()))
            .collect(),
        reservations: view
            .reservations
            .iter()
            .map(|(key, reserved)| (key.clone(), reserved.clone()))
            .collect(),
        tombstone_floor: view.revision,
        status: view.status.clone(),
        ..State::default()
    }
}
