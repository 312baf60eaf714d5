//! The connection to Temporal: bounded calls, errors as a closed set. The registry's worker has one of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::attributes::Pace;
use temporalio_client::{
    Client, ClientOptions, ClientTlsOptions, Connection, ConnectionOptions, GrpcCompression, TlsOptions, Url,
    grpc::{OperatorService, WorkflowService},
    tonic::{self, Code},
};
use temporalio_common::protos::temporal::api::{
    common::v1::WorkflowExecution,
    workflowservice::v1::{
        DescribeNamespaceRequest, DescribeWorkflowExecutionRequest, RegisterNamespaceRequest,
    },
};

use super::{meter::meter, patience};
use crate::telemetry::Metrics;

/// Longest wait for an ordinary call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a fresh namespace is tried until it is usable.
const NAMESPACE_POLL: Duration = Duration::from_millis(200);

/// Where Temporal is and how to speak to it.
#[derive(Clone)]
pub struct Target {
    /// `host:port` of the frontend.
    pub address: String,
    /// Namespace of the registry and of the workflows it starts.
    pub namespace: String,
    /// TLS, when the frontend wants it.
    pub tls: Option<Tls>,
    /// API key, when the frontend wants one.
    pub api_key: Option<String>,
    /// Names this process in Temporal's UI.
    pub identity: String,
    /// Retention of the namespace when this program creates it, in days.
    pub retention_days: u32,
}

/// TLS towards Temporal; everything as PEM.
#[derive(Clone)]
pub struct Tls {
    /// The authority that signed Temporal's certificate; the public ones when absent.
    pub ca: Option<Vec<u8>>,
    /// Certificate and key of this client, for mutual TLS.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name expected in Temporal's certificate; the host of the address when absent.
    pub domain: Option<String>,
}

/// A call that Temporal did not answer as hoped. One case for each gRPC code that means something else to a caller.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The thing named does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// Something of that name exists.
    #[error("already exists: {message}")]
    AlreadyExists {
        /// Temporal's words.
        message: String,
        /// The run that exists, when Temporal names it.
        run_id: Option<String>,
    },
    /// Temporal does not take the request.
    #[error("refused: {0}")]
    Invalid(String),
    /// The state of the thing named says no.
    #[error("not possible now: {0}")]
    Precondition(String),
    /// This process may not do that.
    #[error("permission denied: {0}")]
    Denied(String),
    /// A limit of Temporal's.
    #[error("over a limit of Temporal: {0}")]
    Exhausted(String),
    /// No answer; nothing was sent.
    #[error("Temporal is unavailable: {0}")]
    Unreachable(String),
    /// No answer; it may have happened.
    #[error("no answer from Temporal: {0}")]
    Unanswered(String),
    /// Temporal failed.
    #[error("Temporal failed: {0}")]
    Internal(String),
}

impl From<tonic::Status> for CallError {
    fn from(status: tonic::Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Self::NotFound(message),
            Code::AlreadyExists => Self::AlreadyExists { message, run_id: started_run(&status) },
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid(message),
            Code::FailedPrecondition => Self::Precondition(message),
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied(message),
            Code::ResourceExhausted => Self::Exhausted(message),
            Code::Unavailable if never_sent(&status) => Self::Unreachable(message),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted | Code::Unknown => {
                Self::Unanswered(message)
            }
            Code::Internal | Code::DataLoss | Code::Unimplemented | Code::Ok => Self::Internal(message),
        }
    }
}

impl CallError {
    /// Whether the same call may succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Exhausted(_) | Self::Unreachable(_) | Self::Unanswered(_) | Self::Internal(_) => true,
            Self::NotFound(_)
            | Self::AlreadyExists { .. }
            | Self::Invalid(_)
            | Self::Precondition(_)
            | Self::Denied(_) => false,
        }
    }
}

fn started_run(status: &tonic::Status) -> Option<String> {
    use temporalio_common::protos::temporal::api::errordetails::v1::WorkflowExecutionAlreadyStartedFailure;
    use temporalio_common::protos::utilities::decode_status_detail;
    let failure: WorkflowExecutionAlreadyStartedFailure = decode_status_detail(status.details())?;
    Some(failure.run_id).filter(|run_id| !run_id.is_empty())
}

/// Whether a call failed while connecting, before anything was sent.
fn never_sent(status: &tonic::Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}

/// A request with a deadline.
pub fn within<T>(message: T, deadline: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(deadline);
    request
}

/// The names of the registry workflow.
#[derive(Clone)]
pub struct RegistryNames {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its workflow type.
    pub workflow_type: String,
    /// Its task queue.
    pub task_queue: String,
}

/// The connection of this replica.
pub struct Link {
    client: Client,
    target: Target,
    /// What the registry workflow is called.
    pub registry: RegistryNames,
    calls: AtomicU64,
    /// What is known of changing search attributes.
    pub(super) pace: Pace,
}

impl Link {
    /// Connects and makes sure that the namespace is there and usable.
    pub async fn connect(target: Target, registry: RegistryNames, metrics: &Metrics) -> anyhow::Result<Self> {
        let client = Client::new(
            connect(&target, Some(metrics)).await?,
            ClientOptions::new(target.namespace.clone()).build(),
        )?;
        let calls = AtomicU64::new(0);
        let link = Self { client, target, registry, calls, pace: Pace::default() };
        link.ensure_namespace().await?;
        Ok(link)
    }

    /// The SDK's client on this connection, for workers.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A connection for a worker, apart from the one of all other calls. What it measures is counted with theirs.
    pub(super) async fn for_worker(&self, metrics: &Metrics) -> anyhow::Result<Connection> {
        patience::of(connect(&self.target, None).await?, &self.target, metrics).await
    }

    /// The namespace.
    pub fn namespace(&self) -> String {
        self.target.namespace.clone()
    }

    /// How this process names itself.
    pub fn identity(&self) -> String {
        self.target.identity.clone()
    }

    /// The raw service; counts one call.
    pub fn service(&self) -> Box<dyn WorkflowService> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.client.connection().workflow_service()
    }

    /// The raw operator service; counts one call.
    pub fn operator(&self) -> Box<dyn OperatorService> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.client.connection().operator_service()
    }

    /// Calls made to Temporal by this replica, its workers' polling aside.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The registry workflow, whichever run is current.
    pub fn registry_execution(&self) -> WorkflowExecution {
        WorkflowExecution { workflow_id: self.registry.workflow_id.clone(), run_id: String::new() }
    }

    async fn ensure_namespace(&self) -> anyhow::Result<()> {
        let namespace = self.namespace();
        let describe = DescribeNamespaceRequest { namespace: namespace.clone(), ..Default::default() };
        let found = self.service().describe_namespace(within(describe, CALL_TIMEOUT)).await;
        match found.map_err(CallError::from) {
            Ok(_) => return Ok(()),
            Err(CallError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        tracing::info!(namespace, "creating the namespace");
        let seconds = i64::from(self.target.retention_days) * 24 * 3600;
        let register = RegisterNamespaceRequest {
            namespace: namespace.clone(),
            workflow_execution_retention_period: Some(prost_wkt_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        match self.service().register_namespace(within(register, CALL_TIMEOUT)).await.map_err(CallError::from)
        {
            Ok(_) | Err(CallError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.namespace_usable().await
    }

    /// A namespace is not usable at once after its creation: its frontends learn of it within seconds.
    async fn namespace_usable(&self) -> anyhow::Result<()> {
        let usable = async {
            loop {
                let describe = DescribeWorkflowExecutionRequest {
                    namespace: self.namespace(),
                    execution: Some(self.registry_execution()),
                };
                let answer = self.service().describe_workflow_execution(within(describe, CALL_TIMEOUT)).await;
                match answer.map_err(CallError::from) {
                    Err(CallError::NotFound(message)) if message.to_lowercase().contains("namespace") => {}
                    Ok(_) | Err(CallError::NotFound(_)) => return,
                    Err(error) => tracing::debug!(%error, "namespace not usable yet"),
                }
                tokio::time::sleep(NAMESPACE_POLL).await;
            }
        };
        let namespace = self.namespace();
        tokio::time::timeout(Duration::from_secs(60), usable)
            .await
            .map_err(|_| anyhow::anyhow!("namespace {namespace} was created but is not usable after 60 s"))
    }
}

fn tls_options(tls: &Tls) -> TlsOptions {
    let identity = tls.identity.as_ref();
    TlsOptions::builder()
        .maybe_server_root_ca_cert(tls.ca.clone())
        .maybe_domain(tls.domain.clone())
        .maybe_client_tls_options(identity.map(|(cert, key)| {
            ClientTlsOptions::builder().client_cert(cert.clone()).client_private_key(key.clone()).build()
        }))
        .build()
}

async fn connect(target: &Target, metrics: Option<&Metrics>) -> anyhow::Result<Connection> {
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{}", target.address))?;
    let options = ConnectionOptions::new(url)
        .identity(target.identity.clone())
        .maybe_metrics_meter(metrics.map(meter))
        .maybe_tls_options(target.tls.as_ref().map(tls_options))
        .maybe_api_key(target.api_key.clone())
        .connect_timeout(Duration::from_secs(5))
        .grpc_compression(GrpcCompression::None)
        .dns_load_balancing(None)
        .build();
    Connection::connect(options)
        .await
        .map_err(|error| anyhow::anyhow!("cannot connect to Temporal at {}: {error}", target.address))
}
