//! A bare axum server, to compare with: it answers what the registry answered, and does nothing else.

use std::path::Path;

use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// Serves the files `one`, `list` and `beat` of a folder until it is killed.
pub async fn serve(folder: &Path) -> anyhow::Result<()> {
    let file = |name: &str| std::fs::read(folder.join(name)).map(Bytes::from);
    let (one, list, beat) = (file("one")?, file("list")?, file("beat")?);
    let app = Router::new()
        .route("/one", get(async move || (JSON, one)))
        .route("/list", get(async move || (JSON, list)))
        .route("/known", get(async || StatusCode::NOT_MODIFIED))
        .route(
            "/beat",
            post(async move |Json(body): Json<Value>| {
                std::hint::black_box(body);
                (JSON, beat)
            }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// Starts this program again as the bare server; gives its `host:port`.
pub async fn start(folder: &Path) -> anyhow::Result<(Child, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--bare").arg(folder).kill_on_drop(true).stdout(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
    let line = BufReader::new(out).lines().next_line().await?;
    Ok((child, line.ok_or_else(|| anyhow::anyhow!("the bare server did not start"))?))
}
