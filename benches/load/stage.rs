//! What is measured: a Temporal dev server in memory and the registry, each a process of its own.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use temporal_registry::dev_server::{DevServer, DevServerOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::http::{Call, Conn};

/// Temporal and one replica.
pub struct Stage {
    pub temporal: DevServer,
    pub registry: Registry,
}

/// A registry process.
pub struct Registry {
    child: Child,
    pub host: String,
    /// From its start until it was ready.
    pub ready_after: Duration,
}

impl Stage {
    pub async fn set() -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let options = DevServerOptions { program: None, port, ui_port: None, db: None };
        let temporal = DevServer::start(options).await?;
        let registry = Registry::start(&temporal.address()).await?;
        Ok(Self { temporal, registry })
    }

    /// Ends the registry and starts another on what is there.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        // At rest: Temporal waits for one that dies over a workflow task, and that would be failover.
        self.registry.resident_mib().await;
        self.registry.child.kill().await?;
        self.registry = Registry::start(&self.temporal.address()).await?;
        Ok(())
    }
}

impl Registry {
    async fn start(temporal: &str) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_temporal-registry"));
        command.args(["serve", "--port", "0", "--temporal-address", temporal]);
        command
            .env("TEMPORAL_REGISTRY_AUTH_ENABLED", "false")
            .env("TEMPORAL_REGISTRY_LOG_LEVEL", "warn")
            .env("TEMPORAL_REGISTRY_ACCESS_LOG", "false")
            .env("TEMPORAL_REGISTRY__OBSERVABILITY__AUDIT__ENABLED", "false")
            .env("TEMPORAL_REGISTRY__LIMITS__TYPES_MAX", "10000");
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
        let line = BufReader::new(out).lines().next_line().await?.unwrap_or_default();
        let host = line.strip_prefix("listening on http://");
        let host = host.ok_or_else(|| anyhow::anyhow!("the registry did not start: {line}"))?.to_owned();
        let mut conn = Conn::open(&host).await?;
        while conn.send(&Call::get("/ready")).await?.status != 200 {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "the registry is not ready");
        }
        Ok(Self { child, host, ready_after: began.elapsed() })
    }

    /// Resident memory in MiB, once it falls no further: a start needs more than what follows.
    pub async fn resident_mib(&self) -> f64 {
        const AT_REST: usize = 4;
        let (mut least, mut since) = (f64::MAX, 0);
        while since < AT_REST {
            let now = self.resident_now_mib();
            since = if now < least { 0 } else { since + 1 };
            least = least.min(now);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        least
    }

    fn resident_now_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap_or_default()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    /// The value of a metric, its series added up.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let reply = Conn::open(&self.host).await?.must(&Call::get("/metrics")).await?;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            (rest.starts_with(['{', ' '])).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        };
        Ok(text.lines().filter_map(of).sum())
    }
}

/// The registration of worker `number`, which serves some types and lives for an hour.
pub fn registration(number: u64, types: impl Iterator<Item = Value>) -> Value {
    json!({
        "worker_id": format!("w{number}"), "task_queue": "bench", "ttl_seconds": 3600,
        "workflows": types.collect::<Vec<_>>(),
    })
}
