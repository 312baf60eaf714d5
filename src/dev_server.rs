//! A Temporal dev server as a child process: `temporal server start-dev`, found, started, awaited and stopped.

use std::{
    collections::VecDeque,
    env,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use parking_lot::Mutex;
use temporalio_client::{Connection, ConnectionOptions, Url};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpSocket,
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Time the server gets until it answers.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Time it gets to stop after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Time between two questions whether it answers.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time its last lines get to arrive after it ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines of its standard error kept for messages.
const TAIL_LINES: usize = 12;

/// Where the project's own tools are, below the project's folder.
const TOOL_PATH: &str = ".tools/venv/bin/temporal";

/// How to start the server.
#[derive(Debug, Clone)]
pub struct DevServerOptions {
    /// The `temporal` program; `None` takes the one `TEMPORAL_CLI` names, or looks on `PATH` and then for the one
    /// `make tools` installs.
    pub program: Option<PathBuf>,
    /// Port of the frontend.
    pub port: u16,
    /// Port of the web UI; `None` leaves the UI out.
    pub ui_port: Option<u16>,
    /// SQLite file, its folder made when missing; `None` keeps everything in memory.
    pub db: Option<PathBuf>,
}

/// A running dev server. Dropping it kills the process; [`DevServer::stop`] ends it properly.
#[derive(Debug)]
pub struct DevServer {
    child: Child,
    port: u16,
    stderr: Tail,
    follower: JoinHandle<()>,
}

impl DevServer {
    /// Starts the server and waits until its frontend answers.
    ///
    /// # Errors
    /// When the program is not found, a port is taken (the flag is named), or the server ends or does not answer
    /// within 60 s (with the end of its standard error).
    pub async fn start(options: DevServerOptions) -> anyhow::Result<Self> {
        let DevServerOptions { program, port, ui_port, db } = options;
        let program = program.map_or_else(find_program, |program| named(program, "--temporal-cli"))?;
        ensure_port_is_free(port, "--temporal-port")?;
        if let Some(ui_port) = ui_port {
            ensure_port_is_free(ui_port, "--ui-port")?;
        }

        let mut command = Command::new(&program);
        command.args(["server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"]);
        command.args(["--port", &port.to_string()]);
        match ui_port {
            Some(ui_port) => command.args(["--ui-port", &ui_port.to_string()]),
            None => command.arg("--headless"),
        };
        if let Some(db) = &db {
            if let Some(folder) = db.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).with_context(|| format!("--db: {}", folder.display()))?;
            }
            command.arg("--db-filename").arg(db);
        }
        // In a group of its own, so that Ctrl-C reaches only this process, which then stops the server last.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stderr = Tail::default();
        let pipe = child.stderr.take().context("the dev server has no standard error")?;
        let follower = tokio::spawn(stderr.clone().follow(BufReader::new(pipe)));

        let mut server = Self { child, port, stderr, follower };
        let url = Url::parse(&format!("http://{}", server.address()))?;
        tokio::select! {
            // An exit first: another server may answer on the port this one could not get.
            biased;
            ended = server.exited() => bail!("{ended}"),
            () = answers(url) => Ok(()),
            () = sleep(START_DEADLINE) => Err(()),
        }
        .or_else(|()| {
            bail!("the Temporal dev server does not answer after 60 s{}", server.stderr.quoted())
        })?;
        Ok(server)
    }

    /// The frontend as host:port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id; `None` once it has ended.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Resolves when the server ends by itself, to a sentence that says so with the end of its standard error.
    pub async fn exited(&mut self) -> String {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        // Its last words may still be on their way; something it left behind could hold the pipe open for ever.
        if !self.follower.is_finished() {
            let _ = timeout(LAST_WORDS, &mut self.follower).await;
        }
        format!("the Temporal dev server ended ({how}){}", self.stderr.quoted())
    }

    /// Asks the server to end, and kills it after 5 s.
    pub async fn stop(mut self) {
        // No id: it has ended already.
        let Some(group) = self.process_id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else {
            return;
        };
        // A group that is gone is what is wanted.
        let _ = killpg(group, Signal::SIGTERM);
        if timeout(STOP_GRACE, self.child.wait()).await.is_err() {
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.child.wait().await;
        }
    }
}

/// Refuses a port that something listens on, naming the flag that changes it. Port 0 is always free.
///
/// # Errors
/// When the port cannot be bound on the loopback address.
pub fn ensure_port_is_free(port: u16, flag: &str) -> anyhow::Result<()> {
    // Bound, never listened on: a child that is being started at this moment would keep a listener open for a little longer.
    let bind = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())
    };
    TcpSocket::new_v4()
        .and_then(bind)
        .with_context(|| format!("port {port} is not free: choose another one with {flag}"))
}

/// Returns once the frontend at `url` answers a call.
async fn answers(url: Url) {
    loop {
        let options = ConnectionOptions::new(url.clone())
            .connect_timeout(Duration::from_secs(2))
            .dns_load_balancing(None)
            .build();
        if let Ok(Ok(_)) = timeout(Duration::from_secs(5), Connection::connect(options)).await {
            return;
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn named(program: PathBuf, by: &str) -> anyhow::Result<PathBuf> {
    if !is_executable(&program) {
        bail!("there is no program at {}, which {by} names as the Temporal CLI", program.display());
    }
    Ok(program)
}

fn find_program() -> anyhow::Result<PathBuf> {
    if let Some(program) = env::var_os("TEMPORAL_CLI").filter(|program| !program.is_empty()) {
        return named(program.into(), "TEMPORAL_CLI");
    }
    let on_path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).map(|folder| folder.join("temporal")).collect::<Vec<_>>())
        .unwrap_or_default();
    let executable = env::current_exe().unwrap_or_default();
    let current = env::current_dir().unwrap_or_default();
    candidates(on_path, &current, &executable).find(|program| is_executable(program)).context(
        "the Temporal CLI was not found: run `make tools`, put `temporal` on PATH, or set TEMPORAL_CLI to it",
    )
}

/// Places to look in, best first.
fn candidates(on_path: Vec<PathBuf>, current: &Path, executable: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = std::iter::once(current).chain(executable.ancestors().skip(1));
    on_path.into_iter().chain(folders.map(|folder| folder.join(TOOL_PATH)).collect::<Vec<_>>())
}

fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    program.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The last lines of a stream.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    async fn follow(self, stream: impl AsyncBufReadExt + Unpin) {
        let mut lines = stream.lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tracing::debug!(target: "temporal_dev_server", "{line}");
            let mut kept = self.0.lock();
            if kept.len() == TAIL_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    }

    /// The lines below each other, for the end of a message; empty when there are none.
    fn quoted(&self) -> String {
        self.0.lock().iter().map(|line| format!("\n  {line}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_on_path_first_and_then_upwards_for_the_tools_folder() {
        let places: Vec<PathBuf> =
            candidates(vec!["/p/temporal".into()], Path::new("/here"), Path::new("/a/target/bin")).collect();
        let expected = [
            "/p/temporal",
            "/here/.tools/venv/bin/temporal",
            "/a/target/.tools/venv/bin/temporal",
            "/a/.tools/venv/bin/temporal",
            "/.tools/venv/bin/temporal",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
    }

    #[test]
    fn only_programs_are_taken() {
        assert!(is_executable(Path::new("/bin/sh")));
        for not_one in ["Cargo.toml", "src", "/no/such"] {
            let message = named(not_one.into(), "TEMPORAL_CLI").unwrap_err().to_string();
            assert!(message.contains(not_one) && message.contains("TEMPORAL_CLI"), "{message}");
        }
    }
}
