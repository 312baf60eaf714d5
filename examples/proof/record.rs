//! Records histories of the registry workflow against a real dev server, for the tests that replay them. What stands is
//! never recorded again: histories of earlier releases must go on replaying.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use temporal_registry::{
    dev_server::{DevServer, DevServerOptions},
    registry::{Batch, Limits, State},
    seams::{Shutdown, Writes},
    telemetry::Metrics,
    temporal::{
        codec::{self, STATE_VERSION},
        connection::{Link, RegistryNames, Target},
        replica::{Replica, ReplicaOptions},
    },
};
use temporalio_client::tonic::IntoRequest;
use temporalio_common::protos::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::WorkflowExecutionStatus,
    history::v1::{History, history_event::Attributes},
    taskqueue::v1::TaskQueue,
    update::v1::{Input, Meta, Request, WaitPolicy},
    workflowservice::v1::{
        DescribeWorkflowExecutionRequest, GetWorkflowExecutionHistoryRequest, SignalWorkflowExecutionRequest,
        StartWorkflowExecutionRequest, UpdateWorkflowExecutionRequest,
    },
};

const FOLDER: &str = "tests/fixtures/histories";
const BATCH: &str = include_str!("../../tests/fixtures/batch-v1.json");
const STATE: &str = include_str!("../../tests/fixtures/state-v1.json");
const CLOSED_WITHIN: Duration = Duration::from_secs(60);

/// Records what is not recorded yet.
pub async fn all() -> anyhow::Result<()> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let options = DevServerOptions { program: None, port, ui_port: None, db: None };
    let server = DevServer::start(options).await?;
    let version = STATE_VERSION;
    for (name, how) in [
        (format!("surface-v{version}"), How::Surface),
        (format!("hand-over-v{version}"), How::HandOver),
        (format!("refused-v{version}"), How::Refused),
        (format!("taken-state-v{version}"), How::Taken),
        (format!("stateless-v{version}"), How::Stateless),
    ] {
        let file = Path::new(FOLDER).join(format!("{name}.json"));
        if file.exists() {
            println!("{} stands", file.display());
            continue;
        }
        let history = record(&server.address(), &name, how).await.with_context(|| name.clone())?;
        write(&file, history).await?;
    }
    server.stop().await;
    Ok(())
}

enum How {
    /// Every signal and update, and provisioning; ended by a shutdown.
    Surface,
    /// A state put in the place of another; ended by handing it over.
    HandOver,
    /// The same while a replica waits to write: its batch is refused, and that ends the run.
    Refused,
    /// The run after that: begun with a state, ended by a shutdown.
    Taken,
    /// Started without a state, given one, handed over.
    Stateless,
}

async fn record(address: &str, name: &str, how: How) -> anyhow::Result<History> {
    let names = RegistryNames {
        workflow_id: format!("registry-{name}"),
        workflow_type: "temporal-registry.v1".to_owned(),
        task_queue: format!("queue-{name}"),
    };
    let target = Target {
        address: address.to_owned(),
        namespace: "default".to_owned(),
        tls: None,
        api_key: None,
        identity: "recorder".to_owned(),
        retention_days: 1,
    };
    let link = Link::connect(target.clone(), names.clone(), &Metrics::new()).await?;
    if let How::Stateless = how {
        start_without_state(&link).await?;
        signal(&link, "register_worker", &[registration()]).await?;
    }
    let limits = Limits { own_queue: names.task_queue.clone(), ..Limits::default() };
    let write_deadline = Duration::from_secs(10);
    let replica = Replica::start(ReplicaOptions { target, registry: names, write_deadline, limits }).await?;
    let first = first_run(&link).await?;
    let ended = match how {
        How::Surface => {
            surface(&replica).await?;
            replica.keeper.shut_down().await?;
            first
        }
        How::HandOver | How::Refused | How::Taken => {
            let state: State = serde_json::from_str(STATE)?;
            let before = replica.mirror.run().run_id.clone();
            anyhow::ensure!(replica.keeper.hand(&state, true).await?, "the state was not taken");
            if let How::Refused = how {
                claim(&replica).await?;
            }
            let next = continued(&closed(&link, &before).await?)?;
            if let How::Taken = how {
                claim(&replica).await?;
                replica.keeper.shut_down().await?;
                next
            } else {
                first
            }
        }
        How::Stateless => first,
    };
    let history = closed(&link, &ended).await;
    replica.worker.stop().await?;
    history
}

async fn surface(replica: &Replica) -> anyhow::Result<()> {
    let link = &replica.link;
    let batch: Batch = serde_json::from_str(BATCH)?;
    for command in &batch.commands {
        replica.ledger.submit(command).await?;
    }
    let declared = json!({
        "spec": {"workflow_type": "attributed.v1", "task_queue": "q",
            "search_attributes": [{"name": "RecordedFor", "type": "Keyword"}]},
        "hash": "attributed",
    });
    replica.ledger.submit(&serde_json::from_value(json!({"CreateType": declared}))?).await?;
    let spec =
        json!({"workflow_type": "signalled.v1", "task_queue": "q", "input_schema": {"type": "object"}});
    signal(link, "register_worker", &[registration()]).await?;
    signal(link, "put_workflow", &[json!({"workflow": spec, "overwrite": true})]).await?;
    signal(link, "heartbeat_worker", &[json!({"worker_id": "signalled"})]).await?;
    signal(link, "set_workflow_enabled", &[json!({"workflow_type": "signalled.v1", "enabled": false})])
        .await?;
    signal(link, "registry_service_started", &[json!({"process_id": "p"})]).await?;
    signal(link, "registry_service_heartbeat", &[json!({"process_id": "p"})]).await?;
    signal(link, "unregister_worker", &[json!({"worker_id": "signalled"})]).await?;
    signal(link, "unregister_workflow", &[json!({"workflow_type": "signalled.v1"})]).await?;
    // What is not understood is counted.
    signal(link, "put_workflow", &[]).await?;
    signal(link, "heartbeat_worker", &[json!(7), json!({})]).await?;
    update(link, "claim_slug_id", json!({"name": "Daily"})).await?;
    update(link, "claim_slug_id", json!({"name": "@@@"})).await?;
    update(link, "claim_slug_id", json!(7)).await?;
    update(link, "reset_slug", json!({"name": "Daily"})).await?;
    anyhow::ensure!(!replica.keeper.hand(&State::default(), false).await?, "a state was taken");
    Ok(())
}

fn registration() -> Value {
    let spec = json!({"workflow_type": "early.v1", "task_queue": "q"});
    json!({"worker_id": "signalled", "task_queue": "q", "ttl_seconds": 60, "workflows": [spec]})
}

fn plain(value: &Value) -> Payload {
    codec::of_value(value)
}

async fn start_without_state(link: &Link) -> anyhow::Result<()> {
    let names = &link.registry;
    let request = StartWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_id: names.workflow_id.clone(),
        workflow_type: Some(WorkflowType { name: names.workflow_type.clone() }),
        task_queue: Some(TaskQueue { name: names.task_queue.clone(), ..Default::default() }),
        request_id: names.workflow_id.clone(),
        identity: link.identity(),
        ..Default::default()
    };
    link.service().start_workflow_execution(request.into_request()).await?;
    Ok(())
}

async fn signal(link: &Link, name: &str, arguments: &[Value]) -> anyhow::Result<()> {
    let request = SignalWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(link.registry_execution()),
        signal_name: name.to_owned(),
        input: Some(Payloads { payloads: arguments.iter().map(plain).collect() }),
        identity: link.identity(),
        ..Default::default()
    };
    link.service().signal_workflow_execution(request.into_request()).await?;
    Ok(())
}

async fn claim(replica: &Replica) -> anyhow::Result<()> {
    replica.ledger.submit(&serde_json::from_value(json!({"Claim": {"name": "Daily"}}))?).await?;
    Ok(())
}

/// Sends an update and waits for what becomes of it, failure or not.
async fn update(link: &Link, name: &str, argument: Value) -> anyhow::Result<()> {
    let request = UpdateWorkflowExecutionRequest {
        namespace: link.namespace(),
        workflow_execution: Some(link.registry_execution()),
        wait_policy: Some(WaitPolicy { lifecycle_stage: 3 }),
        request: Some(Request {
            meta: Some(Meta { update_id: format!("{name} {argument}"), identity: link.identity() }),
            input: Some(Input {
                header: None,
                name: name.to_owned(),
                args: Some(Payloads { payloads: vec![plain(&argument)] }),
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    link.service().update_workflow_execution(request.into_request()).await?;
    Ok(())
}

async fn first_run(link: &Link) -> anyhow::Result<String> {
    Ok(describe(link, "").await?.first_run_id)
}

async fn describe(
    link: &Link,
    run_id: &str,
) -> anyhow::Result<temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo> {
    let workflow_id = link.registry.workflow_id.clone();
    let request = DescribeWorkflowExecutionRequest {
        namespace: link.namespace(),
        execution: Some(WorkflowExecution { workflow_id, run_id: run_id.to_owned() }),
    };
    let answer = link.service().describe_workflow_execution(request.into_request()).await?.into_inner();
    answer.workflow_execution_info.context("no description")
}

/// The history of a run, once it is closed.
async fn closed(link: &Link, run_id: &str) -> anyhow::Result<History> {
    let end = tokio::time::Instant::now() + CLOSED_WITHIN;
    while describe(link, run_id).await?.status() == WorkflowExecutionStatus::Running {
        if tokio::time::Instant::now() > end {
            bail!("run {run_id} does not close");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: link.namespace(),
        execution: Some(WorkflowExecution {
            workflow_id: link.registry.workflow_id.clone(),
            run_id: run_id.to_owned(),
        }),
        ..Default::default()
    };
    let answer = link.service().get_workflow_execution_history(request.into_request()).await?.into_inner();
    anyhow::ensure!(answer.next_page_token.is_empty(), "too long to be a fixture");
    answer.history.context("no history")
}

fn continued(history: &History) -> anyhow::Result<String> {
    match history.events.last().and_then(|event| event.attributes.as_ref()) {
        Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(next)) => {
            Ok(next.new_execution_run_id.clone())
        }
        other => bail!("not handed over: {other:?}"),
    }
}

async fn write(file: &PathBuf, history: History) -> anyhow::Result<()> {
    let events = history.events.len();
    let value = serde_json::to_value(&history)?;
    std::fs::create_dir_all(FOLDER)?;
    std::fs::write(file, format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    println!("{}: {events} events", file.display());
    Ok(())
}
