//! The demo worker that `dev` runs beside the registry: the example of a worker, unchanged.

use std::cell::RefCell;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

#[path = "../../examples/demo_worker.rs"]
#[allow(dead_code, reason = "the example has a main function of its own")]
mod demo_worker;

pub use demo_worker::DemoOptions;

/// The demo worker of this process, on a thread of its own: the SDK's worker cannot move between threads.
#[derive(Default)]
pub struct Demo {
    stop: CancellationToken,
    ended: RefCell<Option<oneshot::Receiver<()>>>,
}

impl Demo {
    /// Starts it. That it fails is told in the log; the registry is of use without it.
    pub fn start(&self, options: DemoOptions) {
        let stop = self.stop.clone();
        let (end, ended) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("demo-worker".to_owned()).spawn(move || {
            if let Err(error) = work(options, stop) {
                tracing::error!("the demo worker failed: {error:#}");
            }
            let _ = end.send(());
        });
        match spawned {
            Ok(_) => *self.ended.borrow_mut() = Some(ended),
            Err(error) => tracing::error!(%error, "the demo worker could not be started"),
        }
    }

    /// Has it sign off, and waits until it has.
    pub async fn stop(&self) {
        self.stop.cancel();
        let ended = self.ended.borrow_mut().take();
        if let Some(ended) = ended {
            let _ = ended.await;
        }
    }
}

fn work(options: DemoOptions, stop: CancellationToken) -> anyhow::Result<()> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(demo_worker::run(options, stop))
}
