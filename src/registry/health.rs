//! Health, judged at the moment of reading.

use serde::{Deserialize, Serialize};

/// Whether a worker can be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Its lease holds.
    Healthy,
    /// Its lease ran out.
    Unhealthy,
    /// Its lease ran out in a way that speaks against the network or the registry rather than the worker.
    Unknown,
}

/// When a lapse in bulk is held against the registry rather than the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreservationRules {
    /// Off: a lapse is always the worker's.
    pub enabled: bool,
    /// Fewer live workers than this are never preserved.
    pub workers_min: usize,
    /// Lapses within this many milliseconds count together.
    pub window_ms: i64,
    /// For how long after its lapse a worker is unknown rather than unhealthy.
    pub unknown_max_ms: i64,
}

impl Default for PreservationRules {
    fn default() -> Self {
        Self { enabled: true, workers_min: 8, window_ms: 30_000, unknown_max_ms: 300_000 }
    }
}

/// Spans of time whose lapses are not held against the workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preservation {
    spans: Vec<(i64, i64)>,
    unknown_max_ms: i64,
}

impl Preservation {
    /// Finds the spans in which at least half of the live workers lapsed, from the lease ends of all workers.
    pub fn of(rules: &PreservationRules, lease_ends_ms: impl Iterator<Item = i64>, now_ms: i64) -> Self {
        let mut ends: Vec<i64> = lease_ends_ms.collect();
        let mut spans: Vec<(i64, i64)> = Vec::new();
        if !rules.enabled || ends.len() < rules.workers_min {
            return Self::default();
        }
        ends.sort_unstable();
        let lapsed = ends.partition_point(|end| *end < now_ms);
        let mut first = 0;
        for last in 0..lapsed {
            while ends[last] - ends[first] > rules.window_ms {
                first += 1;
            }
            // Live when the window began: everyone whose lease ended in it or later.
            let live = ends.len() - first;
            let together = last + 1 - first;
            if live >= rules.workers_min && together * 2 >= live {
                match spans.last_mut() {
                    Some(span) if span.1 >= ends[first] => span.1 = ends[last],
                    Some(_) | None => spans.push((ends[first], ends[last])),
                }
            }
        }
        Self { spans, unknown_max_ms: rules.unknown_max_ms }
    }

    fn covers(&self, lapse_ms: i64, now_ms: i64) -> bool {
        now_ms - lapse_ms <= self.unknown_max_ms
            && self.spans.iter().any(|(from, to)| (*from..=*to).contains(&lapse_ms))
    }
}

impl Health {
    /// Judges a lease that ends at `lease_ends_ms`. `unseen_until_ms`: a lapse that no replica saw is unknown until then.
    pub fn judge(
        lease_ends_ms: i64,
        unseen_until_ms: Option<i64>,
        preservation: &Preservation,
        now_ms: i64,
    ) -> Self {
        if now_ms <= lease_ends_ms {
            Self::Healthy
        } else if unseen_until_ms.is_some_and(|until| now_ms <= until)
            || preservation.covers(lease_ends_ms, now_ms)
        {
            Self::Unknown
        } else {
            Self::Unhealthy
        }
    }

    /// The reference's two-valued health.
    pub fn is_usable(self) -> bool {
        self != Self::Unhealthy
    }
}
