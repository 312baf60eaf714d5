//! Clients that write until they are told to stop, retry what was not answered with the same key, and remember what they
//! were told and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::until;

/// Longest time any request may take to be answered, whatever is cut: the deadlines of the registry and some slack.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// For a replica that gives writes up sooner.
pub const SHORT_DEADLINE: (&str, &str) = ("TEMPORAL_REGISTRY__LIMITS__WRITE_DEADLINE_SECONDS", "2");

/// Where the replicas are now; a replica that comes back changes its place.
pub type Places = watch::Sender<Vec<String>>;

/// A number that a client was given.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub slug: String,
    pub number: u64,
    /// When it was first asked for.
    pub began: Instant,
    /// When it was told.
    pub ended: Instant,
}

/// What came of a request that was sent until it was answered with a success.
pub struct Settled {
    pub body: Value,
    pub began: Instant,
    pub ended: Instant,
    /// Times it was sent in vain.
    pub retries: u64,
}

/// Sends a request until it succeeds, always under the same key. Anything but an unavailable registry or an unknown outcome
/// is a failure, and so is an answer that takes too long.
pub async fn settle(http: &reqwest::Client, places: &Places, path: &str, body: &Value, key: &str) -> Settled {
    let began = Instant::now();
    let (mut retries, mut turn) = (0, key.len() + key.bytes().map(usize::from).sum::<usize>());
    loop {
        let urls = places.borrow().clone();
        let request = http.post(format!("{}{path}", urls[turn % urls.len()])).json(body);
        let sent = Instant::now();
        let answer = request.header("idempotency-key", key).timeout(ANSWERED_WITHIN).send().await;
        match answer {
            Ok(answer) => {
                let status = answer.status();
                if let Ok(body) = answer.json::<Value>().await {
                    if status.is_success() {
                        return Settled { body, began, ended: Instant::now(), retries };
                    }
                    let code = body["code"].as_str().unwrap_or_default();
                    let passing = ["temporal_unavailable", "outcome_unknown", "shutting_down", "queue_full"];
                    assert!(passing.contains(&code), "{path}: {status} {body}");
                    assert!(!(code == "outcome_unknown" && status != 504), "{status} {body}");
                }
            }
            Err(error) => {
                assert!(!error.is_timeout(), "{path}: no answer in {:?}: {error:?}", sent.elapsed())
            }
        }
        retries += 1;
        turn += 1;
        assert!(began.elapsed() < Duration::from_secs(120), "{path} with {key} does not settle");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Clients that claim.
pub struct Claimers {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<(Vec<Claimed>, u64)>>,
}

impl Claimers {
    /// So many clients at these places, claiming numbers of so many slugs.
    pub fn start(places: &Arc<Places>, clients: usize, slugs: usize) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let one = |client: usize| {
            let (stop, count, places) = (stop.clone(), count.clone(), places.clone());
            tokio::spawn(async move {
                let http = reqwest::Client::new();
                let (mut claimed, mut retries) = (Vec::new(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("claim-{client}-{}", claimed.len());
                    let body = json!({"name": format!("slug {}", (client + claimed.len()) % slugs)});
                    let settled = settle(&http, &places, "/workflow-ids/claim", &body, &key).await;
                    let number = settled.body["counter"].as_u64().expect("a number");
                    let slug = settled.body["slug"].as_str().expect("a slug").to_owned();
                    claimed.push(Claimed { slug, number, began: settled.began, ended: settled.ended });
                    retries += settled.retries;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                (claimed, retries)
            })
        };
        let tasks = (0..clients).map(one).collect();
        Self { stop, count, tasks }
    }

    /// Waits until so many more numbers were told, and gives the time it took.
    pub async fn more(&self, numbers: u64) -> Duration {
        let (before, began) = (self.count.load(Ordering::Relaxed), Instant::now());
        until("more claims are answered", Duration::from_secs(60), async || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client gave up");
            self.count.load(Ordering::Relaxed) >= before + numbers
        })
        .await;
        began.elapsed()
    }

    /// Stops, checks what all clients were told against each other, and gives the numbers told and the retries made.
    pub async fn checked(self) -> (usize, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut all, mut retries) = (Vec::new(), 0);
        for task in self.tasks {
            let (claimed, retried) = task.await.expect("a client");
            all.extend(claimed);
            retries += retried;
        }
        check(&all);
        (all.len(), retries)
    }
}

/// Numbers of a slug are 1 to N, each told once, and whoever asked after another was answered has a higher one.
pub fn check(claims: &[Claimed]) {
    let mut slugs: BTreeMap<&str, Vec<&Claimed>> = BTreeMap::new();
    for claimed in claims {
        slugs.entry(&claimed.slug).or_default().push(claimed);
    }
    for (slug, mut claims) in slugs {
        claims.sort_by_key(|claimed| claimed.number);
        let numbers: Vec<u64> = claims.iter().map(|claimed| claimed.number).collect();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        let odd = numbers.iter().zip(&expected).find(|(got, expected)| got != expected);
        assert!(odd.is_none(), "{slug}: {odd:?} (given, expected) of {}", numbers.len());
        // By number: nobody may have been answered before an earlier number was asked for.
        let mut first_ended: Option<&Claimed> = None;
        for claimed in claims.iter().rev() {
            if let Some(later) = first_ended {
                assert!(claimed.began <= later.ended, "{slug}: {claimed:?} was asked for after {later:?}");
            }
            if first_ended.is_none_or(|first| claimed.ended < first.ended) {
                first_ended = Some(claimed);
            }
        }
    }
}
