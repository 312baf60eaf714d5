//! One dev server for the whole test binary, in memory, on a free port. It ends with the tests.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};

/// Ends the server when its own standard input closes, which it does however this process ends.
const WRAPPER: &str = r#""$@" </dev/null & server=$!; read -r _; kill "$server""#;

static SERVER: OnceLock<(u16, Child)> = OnceLock::new();

/// Where the server is, which is started when this is the first to ask.
pub fn address() -> String {
    format!("127.0.0.1:{}", SERVER.get_or_init(start).0)
}

/// A client of the server.
pub async fn client() -> Client {
    let address = address();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let url: url::Url = format!("http://{address}").parse().expect("a URL");
        let options = ConnectionOptions::new(url).identity("test".to_owned()).build();
        match Connection::connect(options).await {
            Ok(connection) => {
                return Client::new(connection, ClientOptions::new("default").build()).expect("a client");
            }
            Err(error) => assert!(Instant::now() < deadline, "no dev server at {address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn start() -> (u16, Child) {
    let cli = std::env::var("TEMPORAL_CLI").unwrap_or_else(|_| "temporal".to_owned());
    // The shell would say so where nobody listens.
    let found = Command::new(&cli).arg("--version").stdout(Stdio::null()).status();
    found.unwrap_or_else(|error| panic!("cannot start {cli} (set TEMPORAL_CLI): {error}"));
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let mut command = Command::new("sh");
    command.args(["-c", WRAPPER, "sh", &cli, "server", "start-dev", "--headless", "--log-level", "never"]);
    command.args(["--port", &port.to_string(), "--search-attribute", "Customer=Keyword"]);
    // Still an experiment of Temporal's, and off unless asked for.
    command.args(["--dynamic-config-value", "frontend.WorkflowPauseEnabled=true"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    (port, command.spawn().expect("a shell"))
}
