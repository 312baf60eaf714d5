//! A lean HTTP client on connections that stay open, and load made with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// One connection.
pub struct Conn {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// What a request is made of.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub header: Option<(&'static str, String)>,
    pub body: Bytes,
}

impl Call {
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), header: None, body: Bytes::new() }
    }

    pub fn post(path: &str, body: &Value) -> Self {
        Self { method: Method::POST, path: path.to_owned(), header: None, body: body.to_string().into() }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.header = Some((name, value.to_owned()));
        self
    }
}

/// What came back.
pub struct Reply {
    pub status: StatusCode,
    pub etag: Option<String>,
    pub body: Bytes,
}

impl Conn {
    /// Connects to `host:port`.
    pub async fn open(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: host.to_owned() })
    }

    pub async fn send(&mut self, call: &Call) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(&call.method).uri(&call.path).header("host", &self.host);
        if !call.body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        if let Some((name, value)) = &call.header {
            request = request.header(*name, value);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(call.body.clone()))?).await?;
        let status = answer.status();
        let etag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok(Reply { status, etag, body: answer.into_body().collect().await?.to_bytes() })
    }

    /// Sends what must succeed.
    pub async fn must(&mut self, call: &Call) -> anyhow::Result<Reply> {
        let reply = self.send(call).await?;
        let (status, path) = (reply.status, &call.path);
        anyhow::ensure!(
            status.is_success() || status == StatusCode::NOT_MODIFIED,
            "{path}: {status} {}",
            String::from_utf8_lossy(&reply.body)
        );
        Ok(reply)
    }
}

/// How fast something went.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// How long many things took, one by one and in all.
#[derive(Default)]
pub struct Sample {
    each: Vec<Duration>,
    took: Duration,
}

impl Sample {
    /// Adds a later one of the same.
    pub fn add(&mut self, later: Sample) {
        self.each.extend(later.each);
        self.took += later.took;
    }

    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn pace(mut self) -> Pace {
        self.each.sort_unstable();
        let each = &self.each;
        let at = |share: usize| each.get((each.len() * share / 100).min(each.len().saturating_sub(1)));
        Pace {
            per_second: each.len() as f64 / self.took.as_secs_f64(),
            p50: at(50).copied().unwrap_or_default(),
            p99: at(99).copied().unwrap_or_default(),
        }
    }
}

/// Clients that do one thing after the other for `span`, each with a state of its own; `act` is told a number that no
/// other call gets.
pub async fn load<S, F>(
    states: Vec<S>,
    span: Duration,
    act: impl Fn(S, u64) -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<Sample>
where
    S: Send + 'static,
    F: Future<Output = anyhow::Result<S>> + Send,
{
    let numbers = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let clients = states.into_iter().map(|mut state| {
        let (act, numbers) = (act.clone(), numbers.clone());
        tokio::spawn(async move {
            let mut each = Vec::new();
            while began.elapsed() < span {
                let at = Instant::now();
                state = act(state, numbers.fetch_add(1, Ordering::Relaxed)).await?;
                each.push(at.elapsed());
            }
            anyhow::Ok(each)
        })
    });
    let mut all = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        all.extend(client.await??);
    }
    Ok(Sample { each: all, took: began.elapsed() })
}

/// Load of one HTTP call, made anew for each number.
pub async fn http_load(
    host: &str,
    clients: usize,
    span: Duration,
    call: impl Fn(u64) -> Call + Clone + Send + Sync + 'static,
) -> anyhow::Result<Sample> {
    let mut conns = Vec::new();
    for _ in 0..clients {
        conns.push(Conn::open(host).await?);
    }
    load(conns, span, move |mut conn: Conn, number| {
        let call = call(number);
        async move {
            conn.must(&call).await?;
            Ok(conn)
        }
    })
    .await
}
