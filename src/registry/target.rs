//! Where a start goes: the task queue chosen among the workers that serve a type.

use std::collections::BTreeMap;

/// A worker that could take a start.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Queue on which it serves the type.
    pub task_queue: &'a str,
    /// Whether it was built with the current revision.
    pub current: bool,
}

/// The spec's own queue when a usable worker serves it, else the queue with most usable workers on the current
/// revision, then with most usable workers at all; ties go to the first by name.
pub fn choose_queue<'a>(own_queue: &str, usable: impl Iterator<Item = Target<'a>>) -> Option<&'a str> {
    let mut queues: BTreeMap<&'a str, (usize, usize)> = BTreeMap::new();
    for target in usable {
        let count = queues.entry(target.task_queue).or_default();
        count.0 += usize::from(target.current);
        count.1 += 1;
    }
    if let Some((queue, _)) = queues.get_key_value(own_queue) {
        return Some(queue);
    }
    let mut best: Option<(&'a str, (usize, usize))> = None;
    for (queue, count) in queues {
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((queue, count));
        }
    }
    best.map(|(queue, _)| queue)
}
