//! How long writes stand still when the replica that runs the registry workflow is killed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use temporal_registry::registry::Limits;
use tokio::sync::watch;

use crate::clients::{Claimers, Places};
use crate::harness::{Registry, Temporal, until};

const KILLS: u32 = 16;
/// Long enough to fill a run one claim after the other.
const FILLED_WITHIN: Duration = Duration::from_secs(120);

/// How long each kill held writes up, the shortest first.
pub struct Resumed(Vec<Duration>);

impl Resumed {
    pub fn worst(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = self.0.get(self.0.len() / 2).copied().unwrap_or_default();
        write!(
            f,
            "writes resume after one of {} kills, median, worst | {median:.1?}, {:.1?}",
            self.0.len(),
            self.worst()
        )
    }
}

/// Two replicas, and clients that claim at them all the time.
pub struct Pair {
    address: String,
    replicas: [Registry; 2],
    places: Arc<Places>,
    claimers: Claimers,
}

impl Pair {
    pub async fn of(first: Registry, temporal: &Temporal) -> Self {
        let replicas = [first, Registry::start(&temporal.address()).await];
        let places = Arc::new(watch::channel(replicas.iter().map(|r| r.url.clone()).collect()).0);
        let claimers = Claimers::start(&places, 8, 50);
        Self { address: temporal.address(), replicas, places, claimers }
    }

    pub fn one(&self) -> &Registry {
        &self.replicas[0]
    }

    /// Kills one after the other, so that mostly it is the one that runs the workflow, at moments spread over a run, the last
    /// of them when it ends.
    pub async fn kills(mut self) -> (Self, Resumed) {
        let run_events = Limits::default().run_events_max;
        let mut resumed = Vec::new();
        for round in 1..=KILLS {
            let from = u64::from(run_events * round / KILLS - 10);
            let [victim, stays] = self.replicas;
            let mut events = 0;
            until("a run has so many events", FILLED_WITHIN, async || {
                events = stays.get("/registry/status").await.body["history_events"].as_u64().unwrap_or(0);
                (from..from + 90).contains(&events)
            })
            .await;
            self.places.send_replace(vec![stays.url.clone()]);
            victim.kill().await;
            // More than were in flight: a write that was sent after the kill is among them.
            let took = self.claimers.more(20).await;
            println!("killed at {events} events of the run: writes resumed after {took:.2?}");
            resumed.push(took);
            self.replicas = [stays, Registry::start(&self.address).await];
            self.places.send_replace(self.replicas.iter().map(|r| r.url.clone()).collect());
        }
        resumed.sort_unstable();
        (self, Resumed(resumed))
    }

    /// Whether no number was given twice; one replica is left.
    pub async fn checked(self) -> Registry {
        self.claimers.checked().await;
        let [stays, other] = self.replicas;
        other.kill().await;
        stays
    }
}
