//! The registry worker's own connection. The SDK waits ever longer after each poll that failed, up to ten seconds, and only
//! an answer makes it forget: a replica that was cut off would take nothing over for as long after Temporal is back. Here a
//! poll that fails is answered, after a moment, as one that found nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use prost::Message;
use temporalio_client::{
    Connection, ConnectionOptions, RetryOptions, Url,
    callback_based::{CallbackBasedGrpcService, GrpcRequest, GrpcSuccessResponse},
    request_extensions::RetryConfigForCall,
    tonic::{Code, Request, Status, metadata::MetadataMap},
};
use temporalio_common::protos::temporal::api::workflowservice::v1 as api;

use super::{connection::Target, meter::meter};
use crate::telemetry::Metrics;

/// How long after a poll that failed the SDK is told so, and polls again.
const POLL_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Everything a worker asks of Temporal, by its name on the wire.
macro_rules! by_name {
    ($connection:ident, $request:ident, $($rpc:literal => $call:ident($message:ty),)*) => {
        match $request.rpc.as_str() {
            $($rpc => {
                let message = <$message>::decode($request.proto).map_err(|error| Status::internal(error.to_string()))?;
                let mut request = Request::new(message);
                *request.metadata_mut() = MetadataMap::from_headers($request.headers);
                // It is tried again by who asked.
                request.extensions_mut().insert(RetryConfigForCall(RetryOptions::no_retries()));
                Ok($connection.workflow_service().$call(request).await?.into_inner().encode_to_vec())
            })*
            other => Err(Status::unimplemented(format!("{other} is nothing that a worker asks"))),
        }
    };
}

/// A connection for a worker that goes by way of another, which does not retry.
pub(super) async fn of(
    connection: Connection,
    target: &Target,
    metrics: &Metrics,
) -> anyhow::Result<Connection> {
    let callback = Arc::new(move |request| answer(connection.clone(), request).boxed());
    let options = ConnectionOptions::new(Url::parse(&format!("http://{}", target.address))?)
        .identity(target.identity.clone())
        .metrics_meter(meter(metrics))
        .dns_load_balancing(None)
        .service_override(CallbackBasedGrpcService { callback })
        .build();
    Ok(Connection::connect(options).await?)
}

async fn answer(connection: Connection, request: GrpcRequest) -> Result<GrpcSuccessResponse, Status> {
    let is_poll = request.rpc.starts_with("Poll");
    let proto = match pass_on(connection, request).await {
        Err(status) if is_poll && found_nobody(status.code()) => {
            tracing::debug!(%status, "a poll failed");
            tokio::time::sleep(POLL_AGAIN_AFTER).await;
            Vec::new()
        }
        // A connection that ended is told as a cancellation, which the SDK takes for one of its own when it cannot see the cause.
        Err(status) if status.code() == Code::Cancelled => return Err(Status::unavailable(status.message())),
        other => other?,
    };
    Ok(GrpcSuccessResponse { headers: Default::default(), proto })
}

/// Whether Temporal was not reached. What it refuses, or has too much of, the SDK is told.
fn found_nobody(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
    )
}

async fn pass_on(connection: Connection, request: GrpcRequest) -> Result<Vec<u8>, Status> {
    by_name!(connection, request,
        "DescribeNamespace" => describe_namespace(api::DescribeNamespaceRequest),
        "GetSystemInfo" => get_system_info(api::GetSystemInfoRequest),
        "GetWorkflowExecutionHistory" => get_workflow_execution_history(api::GetWorkflowExecutionHistoryRequest),
        "PollActivityTaskQueue" => poll_activity_task_queue(api::PollActivityTaskQueueRequest),
        "PollNexusTaskQueue" => poll_nexus_task_queue(api::PollNexusTaskQueueRequest),
        "PollWorkflowTaskQueue" => poll_workflow_task_queue(api::PollWorkflowTaskQueueRequest),
        "RecordActivityTaskHeartbeat" => record_activity_task_heartbeat(api::RecordActivityTaskHeartbeatRequest),
        "RecordWorkerHeartbeat" => record_worker_heartbeat(api::RecordWorkerHeartbeatRequest),
        "RespondActivityTaskCanceled" => respond_activity_task_canceled(api::RespondActivityTaskCanceledRequest),
        "RespondActivityTaskCompleted" => respond_activity_task_completed(api::RespondActivityTaskCompletedRequest),
        "RespondActivityTaskFailed" => respond_activity_task_failed(api::RespondActivityTaskFailedRequest),
        "RespondNexusTaskCompleted" => respond_nexus_task_completed(api::RespondNexusTaskCompletedRequest),
        "RespondNexusTaskFailed" => respond_nexus_task_failed(api::RespondNexusTaskFailedRequest),
        "RespondQueryTaskCompleted" => respond_query_task_completed(api::RespondQueryTaskCompletedRequest),
        "RespondWorkflowTaskCompleted" => respond_workflow_task_completed(api::RespondWorkflowTaskCompletedRequest),
        "RespondWorkflowTaskFailed" => respond_workflow_task_failed(api::RespondWorkflowTaskFailedRequest),
        "ShutdownWorker" => shutdown_worker(api::ShutdownWorkerRequest),
    )
}
