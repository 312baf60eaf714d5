//! A worker that `dev` runs beside the registry.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

/// Longest wait for one to end; beyond it this process ends all the same.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// One such worker, on a thread of its own: the SDK's workers cannot move between threads.
pub struct Companion {
    name: &'static str,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl Companion {
    /// Starts one, which works until it is told to stop. That it fails is told in the log; the registry is of use
    /// without it.
    pub fn start<W>(name: &'static str, work: impl FnOnce(CancellationToken) -> W + Send + 'static) -> Self
    where
        W: Future<Output = anyhow::Result<()>>,
    {
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel();
        let stopped = stop.clone();
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let done = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(anyhow::Error::from)
                .and_then(|tokio| tokio.block_on(work(stopped)));
            if let Err(error) = done {
                tracing::error!("the {name} failed: {error:#}");
            }
            let _ = end.send(());
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the {name} could not be started");
        }
        Self { name, stop, ended }
    }

    /// Has it end what it does and sign off, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        if timeout(STOP_WITHIN, self.ended).await.is_err() {
            tracing::warn!("the {} did not end in time", self.name);
        }
    }
}
