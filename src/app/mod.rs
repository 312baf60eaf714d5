//! Wiring and lifetimes.

mod companion;
mod demo;
mod gauges;
mod observe;
mod profile;
mod serve;
mod target;
pub mod tls;
mod transfer;
mod welcome;

use companion::Companion;
use demo::DemoOptions;
pub use observe::RequestMetrics;
pub use profile::profile;
pub use serve::serve;
pub use transfer::{export, import};
use welcome::Welcome;

use std::{
    cell::RefCell,
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{ServerSettings, ServerTls, Settings, TemporalSettings, TlsIdentity},
    dev_server::{DevServer, DevServerOptions, ensure_port_is_free},
    runner::{self, RunnerConfig},
};

/// Time the readiness question may take.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// What `dev` starts.
#[derive(Debug)]
pub struct DevPlan {
    /// Settings to serve with; they point at the dev server.
    pub settings: Settings,
    /// The dev server.
    pub server: DevServerOptions,
}

/// Cancelled by Ctrl-C or SIGTERM. Further signals change nothing: every wait after the first one has a limit, and
/// ending at once would leave a dev server behind.
///
/// # Errors
/// When the signals cannot be caught.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}

/// Starts a Temporal dev server, serves beside it with a demo worker and a sample runner, and stops everything when
/// `stop` is cancelled: the workers first, so that they can sign off, the dev server last.
///
/// # Errors
/// Those of the dev server and of `serve`; the death of the dev server is one.
pub async fn dev(plan: DevPlan, stop: CancellationToken) -> anyhow::Result<()> {
    let DevPlan { settings, server } = plan;
    ensure_port_is_free(settings.server.port, "--port")?;
    let ui_port = server.ui_port;
    let folder = SampleFolder::beside(server.db.as_deref());
    let started = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        started = DevServer::start(server) => started,
    };
    let mut server = started?;
    let (address, namespace) = (server.address(), settings.temporal.namespace.clone());
    let ending = CancellationToken::new();
    let companions = RefCell::new(Vec::new());
    let outcome = {
        let (begun, listening) = oneshot::channel();
        let begin = |url: String| {
            let options =
                DemoOptions { temporal_address: address.clone(), namespace, registry_url: url.clone() };
            let (started, workers) = begin_companions(options, &folder);
            *companions.borrow_mut() = started;
            let _ = begun.send((Welcome { url, temporal: address, ui_port }, workers));
        };
        let mut serving = std::pin::pin!(serve(settings, ending.clone(), begin));
        let welcome = async {
            if let Ok((welcome, workers)) = listening.await {
                welcome.say(&workers).await;
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            outcome = &mut serving => outcome,
            never = welcome => match never {},
            ended = server.exited() => Err(anyhow::Error::msg(ended)),
            () = stop.cancelled() => {
                stop_all(companions.take()).await;
                ending.cancel();
                serving.await
            }
        }
    };
    // There are some left when something else has ended first: what they have started must not outlive this process.
    stop_all(companions.take()).await;
    server.stop().await;
    outcome
}

/// What was started, and the ids its workers register with.
fn begin_companions(options: DemoOptions, folder: &SampleFolder) -> (Vec<Companion>, Vec<&'static str>) {
    let (mut begun, mut workers) = (vec![demo::worker(options.clone())], vec![demo::WORKER_ID]);
    match demo::sample_runner(options, &folder.path) {
        Ok(runner) => {
            begun.push(runner);
            workers.push(demo::RUNNER_ID);
        }
        Err(error) => println!("  without the sample runner: {error:#}\n"),
    }
    (begun, workers)
}

async fn stop_all(companions: Vec<Companion>) {
    futures::future::join_all(companions.into_iter().map(Companion::stop)).await;
}

/// Where the sample runner keeps its files: beside the database, and no longer than that.
struct SampleFolder {
    path: PathBuf,
    is_passing: bool,
}

impl SampleFolder {
    fn beside(db: Option<&Path>) -> Self {
        match db {
            Some(db) => Self { path: db.with_extension("sample"), is_passing: false },
            None => {
                let name = format!("temporal-registry-dev-{}", uuid::Uuid::new_v4());
                Self { path: std::env::temp_dir().join(name), is_passing: true }
            }
        }
    }
}

impl Drop for SampleFolder {
    fn drop(&mut self) {
        if self.is_passing && self.path.exists() {
            // What cannot be removed is the temporary folder's to clean up.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Runs the bundled worker until `stop` is cancelled and what it has in hand has ended.
///
/// # Errors
/// As [`runner::run`]; and when a certificate file cannot be read.
pub async fn run_worker(
    config: RunnerConfig,
    temporal: &TemporalSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    // This process runs nothing else, so whatever becomes its child is of the runner's making.
    runner::become_reaper();
    runner::run(config, target::runner_target(temporal)?, stop.cancelled_owned()).await
}

/// Asks a server whether it is ready: `url`, or the server these settings describe.
///
/// # Errors
/// When it does not answer 200 within 2 s, with the reason.
pub async fn healthcheck(url: Option<&str>, server: &ServerSettings) -> anyhow::Result<()> {
    let base = match url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => own_url(server)?,
    };
    // No proxy, and any certificate: the question carries no secret, and it goes to a server known by its address.
    let mut client =
        reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).timeout(HEALTHCHECK_TIMEOUT);
    // A server that wants a certificate of its clients is asked with its own, the only one known here.
    if let Some(ServerTls { identity: TlsIdentity { cert, key }, client_ca: Some(_) }) = &server.tls {
        let pem = [std::fs::read(key)?, std::fs::read(cert)?].concat();
        client = client.identity(reqwest::Identity::from_pem(&pem)?);
    }
    let answer = client.build()?.get(format!("{base}/ready")).send().await?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{base}/ready answers {status}: {}", answer.text().await.unwrap_or_default());
    }
    Ok(())
}

/// The address to reach a server on this machine by.
fn own_url(server: &ServerSettings) -> anyhow::Result<String> {
    let ServerSettings { host, port, tls, .. } = server;
    if *port == 0 {
        bail!("server.port is 0, any free port: say where to ask with --url");
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    Ok(match host.as_str() {
        "0.0.0.0" => format!("{scheme}://127.0.0.1:{port}"),
        "::" => format!("{scheme}://[::1]:{port}"),
        host if host.contains(':') => format!("{scheme}://[{host}]:{port}"),
        host => format!("{scheme}://{host}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::{Router, http::StatusCode, routing::get};

    use super::*;
    use crate::config::Flag;

    fn server(host: &str, port: u16) -> ServerSettings {
        let flags = [
            Flag { name: "--host", key: "server.host", value: host.into() },
            Flag { name: "--port", key: "server.port", value: port.to_string() },
        ];
        Settings::load(None, &BTreeMap::new(), &flags).unwrap().server
    }

    #[test]
    fn own_url_is_one_that_can_be_reached() {
        for (host, url) in [
            ("0.0.0.0", "http://127.0.0.1:81"),
            ("::", "http://[::1]:81"),
            ("::1", "http://[::1]:81"),
            ("localhost", "http://localhost:81"),
        ] {
            assert_eq!(own_url(&server(host, 81)).unwrap(), url);
        }
        assert!(own_url(&server("127.0.0.1", 0)).unwrap_err().to_string().contains("--url"));
    }

    #[tokio::test]
    async fn healthcheck_follows_the_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/ready", get(async || "yes"))
            .route("/down/ready", get(async || (StatusCode::SERVICE_UNAVAILABLE, "not yet")));
        let serving = tokio::spawn(axum::serve(listener, router).into_future());

        healthcheck(None, &server("0.0.0.0", port)).await.unwrap();
        healthcheck(Some(&format!("http://127.0.0.1:{port}/")), &server("127.0.0.1", 1)).await.unwrap();
        let down = healthcheck(Some(&format!("http://127.0.0.1:{port}/down")), &server("127.0.0.1", 1)).await;
        assert!(down.unwrap_err().to_string().contains("503 Service Unavailable: not yet"));

        serving.abort();
        let _ = serving.await;
        assert!(healthcheck(None, &server("127.0.0.1", port)).await.is_err());
    }
}
