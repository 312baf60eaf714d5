//! Tasks that were started here a moment ago: Temporal lists a run a little later than it takes it, and whoever has just
//! started a task looks for it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::seams::Started;

/// How long a start is remembered at most, and how many are.
const KEPT_FOR: Duration = Duration::from_secs(10);
const KEPT_MAX: usize = 200;

struct Fresh {
    at: Instant,
    workflow_type: String,
    run_id: String,
}

/// The latest starts of tasks that no list is known to hold yet.
#[derive(Default)]
pub struct RecentTasks(Mutex<VecDeque<Fresh>>);

impl RecentTasks {
    /// Remembers a task.
    pub fn add(&self, task: &Started) {
        let mut fresh = self.0.lock();
        if fresh.len() == KEPT_MAX {
            fresh.pop_front();
        }
        fresh.push_back(Fresh {
            at: Instant::now(),
            workflow_type: task.workflow_type.clone(),
            run_id: task.run_id.clone(),
        });
    }

    /// Run ids of those of these types.
    pub fn of(&self, workflow_types: &[String]) -> Vec<String> {
        self.at(Instant::now(), workflow_types)
    }

    fn at(&self, now: Instant, workflow_types: &[String]) -> Vec<String> {
        let mut fresh = self.0.lock();
        fresh.retain(|task| now.saturating_duration_since(task.at) < KEPT_FOR);
        let wanted = fresh.iter().filter(|task| workflow_types.contains(&task.workflow_type));
        wanted.map(|task| task.run_id.clone()).collect()
    }

    /// Forgets those that a list holds.
    pub fn listed(&self, run_ids: &HashSet<String>) {
        self.0.lock().retain(|task| !run_ids.contains(&task.run_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(number: usize, workflow_type: &str) -> Started {
        Started {
            workflow_id: "a-r1".to_owned(),
            run_id: format!("run-{number}"),
            task_queue: "q".to_owned(),
            workflow_type: workflow_type.to_owned(),
            created: true,
        }
    }

    #[test]
    fn the_latest_are_kept_for_a_while_or_until_they_are_listed() {
        let recent = RecentTasks::default();
        let types = ["a".to_owned()];
        recent.add(&started(0, "b"));
        for number in 1..=KEPT_MAX {
            recent.add(&started(number, "a"));
        }
        assert_eq!(recent.of(&types).len(), KEPT_MAX, "the oldest made room");
        recent.listed(&(2..=KEPT_MAX).map(|number| format!("run-{number}")).collect());
        assert_eq!(recent.of(&types), ["run-1"]);
        assert_eq!(recent.of(&["b".to_owned()]), Vec::<String>::new());
        assert_eq!(recent.at(Instant::now() + KEPT_FOR, &types), Vec::<String>::new());
    }
}
