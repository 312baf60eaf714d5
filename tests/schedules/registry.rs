//! A registry of its own for a test: the real `serve`, on any free port, in a fresh namespace of the dev server.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use temporal_registry::app;
use temporal_registry::config::{Flag, Settings};
use tokio_util::sync::CancellationToken;

use crate::dev_server;

/// A running registry; it ends with this.
pub struct Registry {
    url: String,
    http: Client,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub etag: String,
    pub body: Value,
}

impl Answer {
    /// The code of a problem.
    pub fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

impl Registry {
    /// Starts one.
    pub async fn start(namespace: &str) -> Self {
        dev_server::client().await;
        let address = dev_server::address();
        let flag = |name, key, value: &str| Flag { name, key, value: value.to_owned() };
        let flags = [
            flag("--temporal-address", "temporal.address", &address),
            flag("--temporal-namespace", "temporal.namespace", namespace),
            flag("--port", "server.port", "0"),
            flag("--auth", "auth.enabled", "false"),
        ];
        let settings = Settings::load(None, &BTreeMap::new(), &flags).expect("settings");
        let stop = CancellationToken::new();
        let (told, listening) = mpsc::channel();
        let until = stop.clone();
        // A runtime of its own: it outlives the test's, which may end first.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            let served =
                runtime.block_on(app::serve(settings, until, move |url| told.send(url).expect("a test")));
            served.expect("the registry serves until it is stopped");
        });
        let url = tokio::task::spawn_blocking(move || listening.recv_timeout(Duration::from_secs(120)));
        let url = url.await.expect("a task").expect("the registry listens within two minutes");
        Self { url, http: Client::new(), stop, thread: Some(thread) }
    }

    /// One request.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        if_match: Option<&str>,
    ) -> Answer {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some(body) = &body {
            request = request.json(body);
        }
        if let Some(tag) = if_match {
            request = request.header("If-Match", tag);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let status = answer.status();
        let etag =
            answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = answer.bytes().await.expect("a body");
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Answer { status, etag, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body), None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body), None).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None, None).await
    }

    /// Registers a type without any worker.
    pub async fn register(&self, spec: Value) {
        let name = spec["workflow_type"].as_str().expect("a type").to_owned();
        let answer = self.put(&format!("/registry/workflows/{name}"), spec).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Registers a worker that says it serves a type, for an hour.
    pub async fn worker(&self, id: &str, queue: &str, spec: Value) {
        let body = json!({"worker_id": id, "task_queue": queue, "ttl_seconds": 3600, "workflows": [spec]});
        let answer = self.post("/registry/workers", body).await;
        assert!(answer.status.is_success(), "{}", answer.body);
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(path).await;
            if wanted(&answer.body) {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "{path} within a minute: {what}; is {}", answer.body);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the registry failed");
        }
    }
}
