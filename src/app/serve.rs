//! `serve`: connects the rooms, and ends when one of them does.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum_server::Handle;
use tokio_util::sync::CancellationToken;

use super::gauges::Gauges;
use super::observe::{Ready, RequestMetrics};
use super::target::registry_target;
use super::tls::{Certificates, serve_on};
use crate::{
    config::{ConfigError, HealthSettings, Role, Settings, TokenSettings},
    fleet::Fleet,
    http::{
        self, Grounds, auth,
        limits::LimitSettings,
        state::{AppState, Parts},
        static_workers::{self, StaticWorkers},
    },
    registry::{Limits, PreservationRules},
    schema::ValidatorCache,
    seams::{Reads, Writes},
    temporal::{
        attributes_reconcile::AttributeReconciler,
        connection::RegistryNames,
        dispatch::Dispatch,
        replica::{Replica, ReplicaOptions},
        runs::{LiveRuns, LiveTasks},
        schedules::desk::Desk,
    },
};

/// Compiled schemas kept; beyond it the least recently used are compiled again.
const VALIDATORS_KEPT: usize = 4_096;

/// Serves until `stop` is cancelled, then drains: no new connections, open requests finish, the worker ends last.
///
/// `listening` is told the base URL once requests are answered.
///
/// # Errors
/// When something cannot be started, and when the worker or the HTTP server ends by itself.
pub async fn serve(
    settings: Settings,
    stop: CancellationToken,
    listening: impl FnOnce(String),
) -> anyhow::Result<()> {
    let validators = Arc::new(ValidatorCache::new(VALIDATORS_KEPT));
    let static_workers = declared(&settings, &validators).await?;
    // Taken first: a busy port is found out before anything is written.
    let (host, port) = (settings.server.host.as_str(), settings.server.port);
    let listener = TcpListener::bind((host, port))
        .with_context(|| format!("cannot listen on {host}:{port} (--port)"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let certificates =
        settings.server.tls.clone().map(Certificates::load).transpose().context("server.tls")?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let options = replica_options(&settings)?;
    let mut replica = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        replica = Replica::start(options) => replica?,
    };
    let metrics = replica.metrics.clone();
    let state = state(&settings, &replica, validators, &stop);
    let gauges = Gauges {
        metrics,
        mirror: replica.mirror.clone(),
        ledger: replica.ledger.clone(),
        fleet: state.fleet.clone(),
        readiness: state.readiness.clone(),
    };
    let door = http::router(state.clone(), door(&settings, stop.clone())?).map_err(anyhow::Error::msg)?;
    tokio::spawn(static_workers.register(state));
    tokio::spawn(gauges.run());
    let handle = Handle::new();
    let serving = serve_on(listener, door, certificates, handle.clone());
    let mut serving = tokio::spawn(serving);
    tracing::info!(%address, "listening");
    listening(format!("{scheme}://{address}"));

    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = replica.worker.ended() => ended.and_then(|()| bail!("the registry worker ended")),
        ended = &mut serving => bail!("the HTTP server ended: {ended:?}"),
    };
    stop.cancel();
    let grace = Duration::from_secs(settings.server.shutdown_grace_seconds);
    handle.graceful_shutdown(Some(grace));
    serving.await??;
    if outcome.is_ok() {
        replica.worker.stop().await?;
    }
    outcome
}

/// What of the settings is the front door's to judge: the metrics path, and the static workers, which come back.
async fn declared(
    settings: &Settings,
    validators: &Arc<ValidatorCache>,
) -> Result<StaticWorkers, ConfigError> {
    let grounds = Grounds { validators, own_queue: &settings.registry.task_queue };
    let checked = StaticWorkers::check(grounds, &settings.registry.static_workers).await;
    let wrong = checked.as_ref().err().into_iter().flatten();
    let allowed = "a body as in POST /registry/workers, with a worker_id of its own";
    let mut problems: Vec<_> = wrong
        .map(|wrong| settings.problem(static_workers::KEY, &wrong.path, &wrong.message, allowed))
        .collect();
    let metrics = &settings.observability.metrics;
    if metrics.enabled && !http::is_free_for_metrics(&metrics.path) {
        let (key, message) = ("observability.metrics.path", format!("is {:?}, another route", metrics.path));
        problems.push(settings.problem(key, key, message, "a path that no other route has"));
    }
    match checked {
        Ok(static_workers) if problems.is_empty() => Ok(static_workers),
        _ => Err(ConfigError { problems }),
    }
}

pub(super) fn replica_options(settings: &Settings) -> anyhow::Result<ReplicaOptions> {
    let registry = &settings.registry;
    Ok(ReplicaOptions {
        target: registry_target(&settings.temporal)?,
        registry: RegistryNames {
            workflow_id: registry.workflow_id.clone(),
            workflow_type: registry.workflow_type.clone(),
            task_queue: registry.task_queue.clone(),
        },
        write_deadline: Duration::from_secs(settings.limits.write_deadline_seconds),
        limits: Limits {
            types_max: settings.limits.types_max,
            workers_max: settings.limits.workers_max,
            revisions_kept: settings.limits.revisions_kept,
            slugs_max: settings.slugs.max_entries,
            slug_ttl_ms: Some(milliseconds(settings.slugs.ttl_seconds)),
            reservations_max: settings.idempotency.max_entries,
            reservation_ttl_ms: milliseconds(settings.idempotency.ttl_seconds),
            own_queue: registry.task_queue.clone(),
            ..Limits::default()
        },
    })
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

fn state(
    settings: &Settings,
    replica: &Replica,
    validators: Arc<ValidatorCache>,
    stop: &CancellationToken,
) -> AppState {
    let HealthSettings {
        self_preservation,
        self_preservation_min_workers,
        self_preservation_window_seconds,
        self_preservation_max_seconds,
    } = settings.health;
    let preservation = PreservationRules {
        enabled: self_preservation,
        workers_min: self_preservation_min_workers,
        window_ms: milliseconds(self_preservation_window_seconds),
        unknown_max_ms: milliseconds(self_preservation_max_seconds),
    };

    let reads: Arc<dyn Reads> = replica.mirror.clone();
    let fleet = Arc::new(Fleet::new(reads.clone(), replica.pollers.clone(), preservation));
    let dispatch = Arc::new(Dispatch::new(
        replica.link.clone(),
        reads.clone(),
        Arc::new(replica.ledger.clone()),
        fleet.clone(),
        validators.clone(),
        Duration::from_secs(settings.idempotency.ttl_seconds),
    ));
    let writes: Arc<dyn Writes> = Arc::new(replica.ledger.clone());
    let desk = Desk::start(
        &replica.link,
        reads.clone(),
        writes.clone(),
        fleet.clone(),
        validators.clone(),
        &replica.firing,
    );
    let reconciles =
        AttributeReconciler::start(replica.link.clone(), reads.clone(), writes.clone(), desk.book());
    let runs = Arc::new(LiveRuns::new(replica.link.clone(), dispatch.clone()));
    let tasks = LiveTasks::new(runs.clone(), dispatch.recent_tasks());
    AppState::from(Parts {
        readiness: Arc::new(Ready { reads: reads.clone(), stop: stop.clone() }),
        metrics: Arc::new(RequestMetrics(replica.metrics.clone())),
        writes,
        reads,
        starts: dispatch,
        tasks: Arc::new(tasks),
        runs,
        schedules: Arc::new(desk),
        reconciles,
        attributes: replica.link.clone(),
        shutdown: replica.keeper.clone(),
        validators,
        fleet,
        queues: replica.pollers.clone(),
        own_queue: settings.registry.task_queue.as_str().into(),
        slug_ttl_ms: milliseconds(settings.slugs.ttl_seconds),
    })
}

fn door(settings: &Settings, stop: CancellationToken) -> anyhow::Result<http::Settings> {
    let Settings { server, auth, limits, observability, .. } = settings;
    let metrics = &observability.metrics;
    Ok(http::Settings {
        auth: auth::AuthSettings {
            enabled: auth.enabled,
            token: auth.token.as_ref().map(|token| token.expose().to_owned()),
            tokens: auth.tokens.iter().map(door_token).collect(),
            read_public: auth.read_public,
            docs_public: observability.docs_public,
            metrics_path: metrics.enabled.then(|| metrics.path.clone()),
            loopback_only: server.is_loopback(),
        },
        limits: LimitSettings {
            max_body_bytes: server.max_request_body_bytes,
            requests_per_minute: limits.requests_per_minute.and_then(NonZeroU32::new),
            concurrent_writes: limits.concurrent_writes,
            deadline: Duration::from_secs(server.request_timeout_seconds),
            ..LimitSettings::default()
        },
        access_log: observability.logging.access,
        stop,
    })
}

fn door_token(token: &TokenSettings) -> auth::TokenSettings {
    let role = |role: &Role| match role {
        Role::Read => auth::Role::Read,
        Role::Dispatch => auth::Role::Dispatch,
        Role::Register => auth::Role::Register,
        Role::Admin => auth::Role::Admin,
    };
    auth::TokenSettings {
        name: token.name.clone(),
        sha256: hex::encode(token.sha256),
        roles: token.roles.iter().map(role).collect(),
        workflow_types: token.workflow_types.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn what_the_front_door_refuses_stops_start_up_before_temporal_is_asked() {
        let environment = [
            ("TEMPORAL_ADDRESS", "nobody.invalid:7233"),
            ("TEMPORAL_REGISTRY_PORT", "0"),
            ("TEMPORAL_REGISTRY_METRICS_PATH", "/health"),
            (
                "TEMPORAL_REGISTRY__REGISTRY__STATIC_WORKERS",
                "[{worker_id: s1}, {worker_id: s2, task_queue: q, x: 1}]",
            ),
        ];
        let environment: BTreeMap<String, String> =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = Settings::load(None, &environment, &[]).unwrap();
        let error = serve(settings, CancellationToken::new(), |_| ()).await.unwrap_err();
        let (at, from) =
            ("registry.static_workers", "environment variable TEMPORAL_REGISTRY__REGISTRY__STATIC_WORKERS");
        let allowed = "a body as in POST /registry/workers, with a worker_id of its own";
        let metrics = "environment variable TEMPORAL_REGISTRY_METRICS_PATH";
        let expected = [
            "bad configuration".to_owned(),
            format!(
                "  {at}[0].task_queue: \"task_queue\" is a required property ({from}); allowed: {allowed}"
            ),
            format!("  {at}[1].x: 'x' is not an allowed property ({from}); allowed: {allowed}"),
            format!(
                "  observability.metrics.path: is \"/health\", another route ({metrics}); allowed: a path that no other route has"
            ),
        ];
        assert_eq!(error.to_string(), expected.join("\n"));
    }
}
