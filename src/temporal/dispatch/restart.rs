//! Starting a run once more.

use temporalio_common::protos::temporal::api::{
    enums::v1::WorkflowIdConflictPolicy, history::v1::WorkflowExecutionStartedEventAttributes,
};

use super::{Dispatch, message::Message};
use crate::{
    seams::{IdConflict, IdReuse, RunId, RunInfo, StartError, StartRequest, Started},
    temporal::codec,
};

impl Dispatch {
    /// Ends a run if it is open and starts it again: same type, id, input and options, on today's queue.
    pub(in crate::temporal) async fn restart(
        &self,
        run: &RunInfo,
        start: WorkflowExecutionStartedEventAttributes,
        caller: &str,
    ) -> Result<Started, StartError> {
        let request = StartRequest {
            workflow_type: run.workflow_type.clone(),
            arguments: Vec::new(),
            run_id: RunId::Given(run.workflow_id.clone()),
            search_attributes: serde_json::Map::new(),
            memo: serde_json::Map::new(),
            task_queue: None,
            aim: None,
            start_delay: None,
            execution_timeout: None,
            run_timeout: None,
            task_timeout: None,
            retry_policy: None,
            id_reuse: IdReuse::AllowDuplicate,
            id_conflict: IdConflict::TerminateExisting,
            wait_for_worker: std::time::Duration::ZERO,
            signal: None,
            idempotency: None,
            caller: caller.to_owned(),
        };
        let payloads = start.input.clone().unwrap_or_default().payloads;
        let first = payloads.first().map(codec::json_of);
        let argument = match first {
            Some(Ok(json)) => serde_json::from_slice(&json).ok(),
            Some(Err(_)) | None => None,
        };
        // An input that is not JSON is nobody's to check.
        let is_checked = argument.is_some() || payloads.is_empty();
        let request = StartRequest { arguments: argument.into_iter().collect(), ..request };
        let resolved = self.resolve_checked(&request, is_checked).await?;
        let mut message = Message::new(&self.link, &request, &resolved);
        message.repeat(start);
        let started = self.send(&message, &run.workflow_id, &uuid::Uuid::new_v4().to_string()).await?;
        self.remember(&started);
        Ok(started)
    }
}

impl Message {
    /// Takes over everything that a run was started with but where it went.
    fn repeat(&mut self, start: WorkflowExecutionStartedEventAttributes) {
        self.start.input = start.input;
        self.start.memo = start.memo;
        self.start.search_attributes = start.search_attributes;
        self.start.header = start.header;
        self.start.retry_policy = start.retry_policy;
        self.start.cron_schedule = start.cron_schedule;
        self.start.workflow_execution_timeout = start.workflow_execution_timeout;
        self.start.workflow_run_timeout = start.workflow_run_timeout;
        self.start.workflow_task_timeout = start.workflow_task_timeout;
        self.start.set_workflow_id_conflict_policy(WorkflowIdConflictPolicy::TerminateExisting);
    }
}
