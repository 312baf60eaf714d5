//! How far a running execution is: kept in this process for queries, heartbeated for whoever takes over, and
//! signalled, ever more rarely, to the run itself so that another runner can answer too.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// What this process knows first-hand about the runs it executes, by run id.
#[derive(Clone, Debug, Default)]
pub struct LiveProgress(Arc<Mutex<BTreeMap<String, Value>>>);

impl LiveProgress {
    /// The latest word on a run, when it is executed here.
    pub fn get(&self, run_id: &str) -> Option<Value> {
        self.0.lock().get(run_id).cloned()
    }

    /// Replaces the word on a run.
    pub fn set(&self, run_id: &str, value: Value) {
        self.0.lock().insert(run_id.to_owned(), value);
    }

    /// Forgets a run that is no longer executed here.
    pub fn remove(&self, run_id: &str) {
        self.0.lock().remove(run_id);
    }
}

/// Decides when progress is worth a signal: a signal costs history, so the pause between two doubles up to a minute.
#[derive(Debug)]
pub struct SignalPace {
    next: Instant,
    pause: Duration,
}

impl SignalPace {
    const LONGEST: Duration = Duration::from_secs(60);

    /// A pace whose first signal is due two seconds from `now`.
    pub fn new(now: Instant) -> Self {
        let pause = Duration::from_secs(2);
        Self { next: now + pause, pause }
    }

    /// Whether a signal is due, and if so, plans the next.
    pub fn due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.pause = (self.pause * 2).min(Self::LONGEST);
            self.next = now + self.pause;
        }
        due
    }
}

/// The last few lines of a stream, bounded in lines and bytes.
#[derive(Debug, Default)]
pub struct LastLines {
    lines: VecDeque<String>,
    open: String,
}

impl LastLines {
    const LINES: usize = 20;
    const LONGEST: usize = 200;

    /// Takes in more text.
    pub fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            let (line, ended) = piece.strip_suffix('\n').map_or((piece, false), |line| (line, true));
            let room = Self::LONGEST.saturating_sub(self.open.chars().count());
            self.open.extend(line.chars().take(room));
            if ended {
                self.lines.push_back(std::mem::take(&mut self.open));
                if self.lines.len() > Self::LINES {
                    self.lines.pop_front();
                }
            }
        }
    }

    /// The lines so far, an unfinished one included.
    pub fn view(&self) -> Vec<String> {
        let open = (!self.open.is_empty()).then(|| self.open.clone());
        self.lines.iter().cloned().chain(open).collect()
    }
}

/// The answer to the query `progress` for a process.
pub fn of_process(attempt: u32, stdout_bytes: u64, stderr_bytes: u64, lines: &LastLines) -> Value {
    json!({
        "phase": "running",
        "attempt": attempt,
        "bytes": {"stdout": stdout_bytes, "stderr": stderr_bytes},
        "last_lines": lines.view(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_stay_and_long_ones_are_cut() {
        let mut lines = LastLines::default();
        for n in 0..50 {
            lines.push(&format!("line {n}\n"));
        }
        lines.push(&"x".repeat(10_000));
        let view = lines.view();
        assert_eq!(view.first().unwrap(), "line 30");
        assert_eq!((view.len(), view.last().unwrap().len()), (21, 200));
    }

    #[test]
    fn signals_become_rarer() {
        let start = Instant::now();
        let mut pace = SignalPace::new(start);
        let sent = (0..3_600).filter(|second| pace.due(start + Duration::from_secs(*second))).count();
        assert!((60..70).contains(&sent), "{sent}");
    }
}
