//! A mixed load for minutes while links are cut and a replica is killed again and again: nothing acknowledged is lost, no
//! number is given twice, and memory does not grow with time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clients::{Claimers, SHORT_DEADLINE};
use crate::harness::{Registry, Temporal};
use crate::link::{Link, Way};
use crate::load::{Counts, versions, workers};

/// Growth of memory that counts as none: allocators and caches breathe.
const GROWTH_BYTES: u64 = 24 << 20;
/// After so many rounds, of some seconds each, Temporal is away for a minute.
const AWAY_EVERY: usize = 40;

struct Sample {
    taken_bytes: u64,
    state_bytes: u64,
    run_id: String,
    run_events: u64,
}

async fn sample(registry: &Registry) -> Sample {
    let status = registry.get("/registry/status").await.body;
    Sample {
        taken_bytes: registry.taken_bytes(),
        state_bytes: status["state_bytes"].as_u64().unwrap_or(0),
        run_id: status["run_id"].as_str().unwrap_or_default().to_owned(),
        run_events: status["history_events"].as_u64().unwrap_or(0),
    }
}

pub async fn run() -> anyhow::Result<()> {
    let minutes: f64 = std::env::var("MINUTES").map_or(Ok(10.0), |text| text.parse())?;
    let lasting = Duration::from_secs_f64(minutes * 60.0);
    let temporal = Temporal::start().await;
    let links = [Link::to(&temporal.address()).await, Link::to(&temporal.address()).await];
    let start = async |at: usize| Registry::start_with(&links[at].address, &[SHORT_DEADLINE]).await;
    // The first lives all the time, so that its memory tells something; the second is killed.
    let (lasts, mut dies) = (start(0).await, start(1).await);
    let places = Arc::new(watch::channel(vec![lasts.url.clone(), dies.url.clone()]).0);
    let counts = Arc::new(Counts::default());
    let working = tokio::spawn(workers(places.clone(), counts.clone()));
    let putting = tokio::spawn(versions(places.clone(), counts.clone(), 0));
    let claimers = Claimers::start(&places, 8, 50);
    let (began, mut samples, mut runs) = (Instant::now(), Vec::new(), BTreeSet::new());
    let (mut failovers, mut cuts, mut aways, mut slowest) = (Vec::new(), 0, 0, Duration::ZERO);
    for round in 0_usize.. {
        if began.elapsed() >= lasting {
            break;
        }
        let link = &links[round / 2 % 2];
        match round % 4 {
            0 => link.cut(),
            1 => {
                places.send_replace(vec![lasts.url.clone(); 2]);
                let events = sample(&lasts).await.run_events;
                dies.kill().await;
                // More than were in flight: a write that was sent after the kill is among them.
                let resumed_ms = claimers.more(20).await.as_millis() as u64;
                // What another replica takes over it replays, and that takes longer the more there is.
                println!("killed at {events} events of the run: writes resumed after {resumed_ms} ms");
                failovers.push(resumed_ms);
                dies = start(1).await;
                places.send_replace(vec![lasts.url.clone(), dies.url.clone()]);
            }
            2 => {
                link.set(Way::Gone);
                tokio::time::sleep(Duration::from_millis(800)).await;
            }
            _ => {
                link.set(Way::Stalled);
                tokio::time::sleep(Duration::from_millis(1_200)).await;
            }
        }
        cuts += usize::from(round % 4 != 1);
        if round % AWAY_EVERY == AWAY_EVERY - 1 {
            links.iter().for_each(|link| link.set(Way::Gone));
            tokio::time::sleep(Duration::from_secs(60)).await;
            aways += 1;
        }
        links.iter().for_each(|link| link.set(Way::Open));
        slowest = slowest.max(claimers.more(200).await);
        let (minute, taken) = (began.elapsed().as_secs_f64() / 60.0, lasts.taken_bytes() >> 10);
        println!(
            "minute {minute:4.1}: {} puts, {taken} KiB, {} hand-overs",
            counts.done.load(Relaxed),
            runs.len()
        );
        // Most of the time all is well.
        let well = tokio::time::Instant::now() + Duration::from_secs(4);
        while tokio::time::Instant::now() < well {
            let now = sample(&lasts).await;
            runs.insert(now.run_id.clone());
            samples.push(now);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    counts.stop.store(true, Relaxed);
    let (claims, retries) = claimers.checked().await;
    working.await?;
    let (_, lost) = putting.await?;
    failovers.sort_unstable();
    let quarter = samples.len() / 4;
    let mean = |part: &[Sample]| part.iter().map(|s| s.taken_bytes).sum::<u64>() / part.len().max(1) as u64;
    let (early, late) = (mean(&samples[quarter..2 * quarter]), mean(&samples[3 * quarter..]));
    let done = counts.done.load(Relaxed) + claims as u64;
    println!("\n| {:25} | {:>12} |\n|{:-<27}|{:->14}|", "soak", format!("{minutes} min"), "", "");
    for (what, value) in [
        ("operations", done),
        ("of these claims", claims as u64),
        ("unanswered, sent again", counts.unanswered.load(Relaxed) + retries),
        ("lost", lost),
        // The claimers' check ends the run otherwise.
        ("duplicated", 0),
        ("hand-overs", runs.len().saturating_sub(1) as u64),
        ("failovers (kill -9)", failovers.len() as u64),
        ("writes resume, median, ms", failovers.get(failovers.len() / 2).copied().unwrap_or(0)),
        ("writes resume, worst, ms", failovers.last().copied().unwrap_or(0)),
        ("cuts", cuts as u64),
        ("away for a minute", aways),
        ("200 claims at worst, ms", slowest.as_millis() as u64),
        ("memory at start, KiB", samples.first().map_or(0, |s| s.taken_bytes) >> 10),
        ("memory, 2nd quarter, KiB", early >> 10),
        ("memory, last quarter, KiB", late >> 10),
        ("state bytes", samples.last().map_or(0, |s| s.state_bytes)),
    ] {
        println!("| {what:25} | {value:>12} |");
    }
    anyhow::ensure!(lost == 0, "{lost} acknowledged puts were not read");
    anyhow::ensure!(late < early + GROWTH_BYTES, "memory grows: {early} to {late} bytes resident");
    Ok(())
}
