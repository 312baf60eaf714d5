//! The keeper: makes sure that exactly one registry workflow runs, with the state of the one before.

use std::sync::Arc;
use std::time::Duration;

use temporalio_common::{
    data_converters::RawValue,
    protos::temporal::api::{
        common::v1::{Payloads, WorkflowType},
        enums::v1::{
            TaskQueueKind, WorkflowExecutionStatus as Status, WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
        },
        taskqueue::v1::TaskQueue,
        workflowservice::v1::{
            DescribeWorkflowExecutionRequest, ResetStickyTaskQueueRequest, StartWorkflowExecutionRequest,
        },
    },
};

use super::{
    codec::{self, CodecError},
    connection::{CALL_TIMEOUT, CallError, Link, within},
    ledger::Revive,
    mirror::{Mirror, Seen},
    predecessors,
    update::{Answer, signal, update},
    workflow::{HANDING_OVER, SHUTDOWN, TAKE_STATE, task_timeout},
};
use crate::{
    registry::{Limits, State},
    seams::{Reads, Shutdown, Unanswered},
    view::View,
};

/// How often the registry workflow is looked at for changes of others: well under the second that is promised.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long an update that gives a state away is waited for, and the pause before it is sent again.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps the registry workflow running.
pub struct Keeper {
    link: Arc<Link>,
    mirror: Arc<Mirror>,
    limits: Limits,
}

impl Keeper {
    /// A keeper; a worker for the registry's queue must run beside it. `limits`: the bounds this replica was told.
    pub fn new(link: Arc<Link>, mirror: Arc<Mirror>, limits: Limits) -> Self {
        Self { link, mirror, limits }
    }

    /// Looks after the registry until this process ends.
    pub async fn follow(&self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            every.tick().await;
            match self.look_after().await {
                Ok(()) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the view of the registry is fresh again");
                    }
                }
                Err(error) => {
                    // Temporal turns some away when several replicas ask at once: told only when it lasts.
                    if self.mirror.is_ready() {
                        tracing::debug!(%error, "cannot look at the registry for the moment");
                    } else if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cannot look at the registry; reads go on from memory");
                    }
                }
            }
        }
    }

    /// Looks at the registry workflow, catches up, and mends what somebody else did to it. One that was shut down stays
    /// so until the next write.
    pub async fn look_after(&self) -> Result<(), CallError> {
        match self.mirror.look().await {
            Ok(Seen::Fresh | Seen::Closed(Status::Completed)) => Ok(()),
            Ok(Seen::Stateless) => self.give_state().await,
            Ok(Seen::Closed(_)) | Err(CallError::NotFound(_)) => self.ensure().await,
            Err(error) => Err(error),
        }
    }

    /// Has Temporal forget which replica had the run last. Any may answer then; it replays the run first.
    pub async fn ask_anybody(&self) -> Result<(), CallError> {
        let request = ResetStickyTaskQueueRequest {
            namespace: self.link.namespace(),
            execution: Some(self.link.registry_execution()),
        };
        self.link.service().reset_sticky_task_queue(within(request, CALL_TIMEOUT)).await?;
        Ok(())
    }

    /// Makes sure that the registry workflow runs. A registry that was shut down or closed in any other way is
    /// started again with the state it had.
    pub async fn ensure(&self) -> Result<(), CallError> {
        let (status, run_id) = match self.describe().await {
            Ok(found) => found,
            Err(CallError::NotFound(_)) => return self.start_without_history().await,
            Err(error) => return Err(error),
        };
        let orderly = match status {
            Status::Running | Status::Paused => return Ok(()),
            Status::Completed => true,
            Status::Failed
            | Status::Canceled
            | Status::Terminated
            | Status::ContinuedAsNew
            | Status::TimedOut => false,
            Status::Unspecified => {
                return Err(CallError::Internal("the registry workflow has no status".to_owned()));
            }
        };
        let left = match predecessors::left_by(&self.link, &run_id, &self.limits).await {
            Ok(None) => self.left_before(&run_id).await,
            other => other,
        };
        let state = self.newest(left)?;
        if self.start(&state, &run_id).await? {
            let State { revision, types, workers, slugs, .. } = &state;
            let (types, workers, slugs) = (types.len(), workers.len(), slugs.len());
            if orderly {
                tracing::info!(revision, types, workers, slugs, "started the registry workflow again");
            } else {
                let status = status.as_str_name();
                tracing::warn!(
                    status,
                    run_id,
                    revision,
                    types,
                    workers,
                    slugs,
                    "the registry workflow was closed from outside; started it again with its state"
                );
            }
        }
        Ok(())
    }

    /// Nothing is known of a registry workflow: it is the first, or its history was deleted.
    async fn start_without_history(&self) -> Result<(), CallError> {
        let seen = self.mirror.view().revision > 0;
        let state = self.newest(Ok(None))?;
        if self.start(&state, "").await? {
            let State { revision, types, workers, slugs, .. } = &state;
            let (types, workers, slugs) = (types.len(), workers.len(), slugs.len());
            if seen {
                tracing::warn!(
                    revision,
                    types,
                    workers,
                    slugs,
                    "the registry workflow is gone with its history; started it again with what this replica had seen"
                );
            } else {
                tracing::info!(workflow_id = self.link.registry.workflow_id, "started the registry workflow");
            }
        }
        Ok(())
    }

    /// Gives a run that was started without a state the one of the runs before it.
    async fn give_state(&self) -> Result<(), CallError> {
        let (_, run_id) = self.describe().await?;
        let state = self.newest(self.left_before(&run_id).await)?;
        if self.hand(&state, false).await? {
            let State { revision, types, workers, slugs, .. } = &state;
            let (types, workers, slugs) = (types.len(), workers.len(), slugs.len());
            tracing::warn!(
                run_id,
                revision,
                types,
                workers,
                slugs,
                "the registry workflow was started by somebody else without a state; gave it the one of before"
            );
        }
        Ok(())
    }

    /// What the runs before this one left: the one this replica followed last, or the last that Temporal lists.
    async fn left_before(&self, run_id: &str) -> Result<Option<State>, CallError> {
        let followed = self.mirror.run().run_id.clone();
        if !followed.is_empty() && *followed != *run_id {
            match predecessors::left_by(&self.link, &followed, &self.limits).await {
                Ok(None) | Err(CallError::NotFound(_)) => {}
                found => return found,
            }
        }
        predecessors::left_before(&self.link, run_id, &self.limits).await
    }

    /// The state that was left, or what this replica has seen when that is newer or the other is gone. A state that is
    /// there and cannot be read now is not replaced by an older one.
    fn newest(&self, left: Result<Option<State>, CallError>) -> Result<State, CallError> {
        let view = self.mirror.view();
        let left = match left {
            Ok(left) => left,
            Err(CallError::NotFound(_)) if view.revision > 0 => None,
            Err(error) => return Err(error),
        };
        match left {
            Some(state) if state.revision >= view.revision => Ok(state),
            Some(_) | None if view.revision > 0 => Ok(self.seen(&view).map_err(bad)?.leapt()),
            Some(state) => Ok(state),
            None => Ok(State { limits: self.limits.clone(), ..State::default() }),
        }
    }

    /// The state as this replica sees it, with the bounds it was told.
    pub fn seen(&self, view: &View) -> Result<State, CodecError> {
        measured(State { limits: self.limits.clone(), ..state_of(view) })
    }

    /// Gives a state to the registry workflow that runs: when it is blank, or whatever it holds. Whether it took it.
    pub async fn hand(&self, state: &State, replace: bool) -> Result<bool, CallError> {
        let mut args = codec::encode_state(state).map_err(bad)?.payloads;
        args.push(codec::plain(&replace).map_err(bad)?);
        let id = uuid::Uuid::now_v7().simple().to_string();
        let handed = async {
            loop {
                let registry = self.link.registry_execution();
                let call = update(&self.link, registry, TAKE_STATE, id.clone(), args.clone(), CALL_TIMEOUT);
                match call.await? {
                    Answer::Done(payloads) => return codec::decode(&RawValue::new(payloads)).map_err(bad),
                    Answer::Failed(message) if !message.contains(HANDING_OVER) => {
                        return Err(CallError::Invalid(message));
                    }
                    Answer::Failed(_) | Answer::Pending => tokio::time::sleep(PAUSE).await,
                }
            }
        };
        let late = || CallError::Unanswered("the registry workflow did not take a state in time".to_owned());
        tokio::time::timeout(TAKEN_WITHIN, handed).await.unwrap_or_else(|_| Err(late()))
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

    /// Starts the registry workflow; whether it was this replica that did.
    async fn start(&self, state: &State, after: &str) -> Result<bool, CallError> {
        let payloads = codec::encode_state(state).map_err(bad)?.payloads;
        let timeout = task_timeout(&payloads);
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
            input: Some(Payloads { payloads }),
            identity: self.link.identity(),
            request_id,
            workflow_task_timeout: Some(prost_wkt_types::Duration {
                seconds: timeout.as_secs().cast_signed(),
                nanos: timeout.subsec_nanos().cast_signed(),
            }),
            workflow_id_reuse_policy: WorkflowIdReusePolicy::AllowDuplicate.into(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail.into(),
            ..Default::default()
        };
        let answer = self.link.service().start_workflow_execution(within(request, CALL_TIMEOUT)).await;
        match answer.map_err(CallError::from) {
            // Temporal tells all who asked for the same start that they did it.
            Ok(answer) => Ok(predecessors::is_started_here(&self.link, &answer.into_inner().run_id).await),
            Err(CallError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The same, its size measured.
pub fn measured(state: State) -> Result<State, CodecError> {
    let packed_bytes = codec::packed_len(&state)?;
    Ok(state.measured(packed_bytes))
}

fn bad(error: CodecError) -> CallError {
    CallError::Internal(error.to_string())
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
        match signal(&self.link, SHUTDOWN).await {
            // Not running: there is nothing left to end.
            Ok(()) | Err(CallError::NotFound(_)) => Ok(()),
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
