//! What a client of Temporal's own does, to compare with.

use std::time::Duration;

use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, Url,
    grpc::WorkflowService,
    tonic::{Code, Request, Status},
};
use temporalio_common::protos::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::UpdateWorkflowExecutionLifecycleStage as Stage,
    taskqueue::v1::TaskQueue,
    update::v1::{Input, Meta, Request as UpdateRequest, WaitPolicy},
    workflowservice::v1::{StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest},
};

/// The raw client.
#[derive(Clone)]
pub struct Raw {
    client: Client,
}

impl Raw {
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let options = ConnectionOptions::new(Url::parse(&format!("http://{address}"))?)
            .identity("bench".to_owned())
            .dns_load_balancing(None)
            .build();
        let connection = Connection::connect(options).await?;
        Ok(Self { client: Client::new(connection, ClientOptions::new("default").build())? })
    }

    fn service(&self) -> Box<dyn WorkflowService> {
        self.client.connection().workflow_service()
    }

    /// Starts a run.
    pub async fn start(&self, workflow_type: &str, task_queue: &str, input: Vec<u8>) -> anyhow::Result<()> {
        let request = StartWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_id: uuid::Uuid::new_v4().to_string(),
            workflow_type: Some(WorkflowType { name: workflow_type.to_owned() }),
            task_queue: Some(TaskQueue { name: task_queue.to_owned(), ..Default::default() }),
            input: Some(Payloads { payloads: vec![json(input)] }),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        self.service().start_workflow_execution(within(request)).await?;
        Ok(())
    }

    /// Claims one number with an update of its own; again when the run hands over at that moment.
    pub async fn claim(&self) -> anyhow::Result<()> {
        loop {
            match self.claim_once().await {
                Err(status) if status.code() == Code::ResourceExhausted => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    async fn claim_once(&self) -> Result<(), Status> {
        let request = UpdateWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: "workflow-registry".to_owned(),
                run_id: String::new(),
            }),
            wait_policy: Some(WaitPolicy { lifecycle_stage: Stage::Completed.into() }),
            request: Some(UpdateRequest {
                meta: Some(Meta {
                    update_id: uuid::Uuid::new_v4().to_string(),
                    identity: "bench".to_owned(),
                }),
                input: Some(Input {
                    header: None,
                    name: "claim_slug_id".to_owned(),
                    args: Some(Payloads { payloads: vec![json(br#"{"name":"raw"}"#.to_vec())] }),
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.service().update_workflow_execution(within(request)).await?;
        Ok(())
    }
}

fn json(data: Vec<u8>) -> Payload {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    Payload { metadata, data, ..Default::default() }
}

fn within<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(10));
    request
}
