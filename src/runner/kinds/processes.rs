//! Everything a process has started, found again and ended.
//!
//! A group kill misses whoever left the group. Each process started here therefore carries a mark in its environment,
//! which its descendants inherit; they are also followed by parent, group and session. Who sheds all of these on the
//! way falls to this process as its orphan, where it is the reaper of orphans. What is found is remembered with its
//! start time, so that a number the system has given to somebody else since is never signalled.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};
use tokio::process::{Child, Command};

/// The environment variable that marks a process and its descendants.
const MARK: &str = "TEMPORAL_REGISTRY_RUN";

/// The roots of all trees that are not ended yet, with their start times. Locked while one is started: until it has
/// become what it is to be, it has no mark and looks like an orphan.
static ROOTS: Mutex<BTreeMap<i32, u64>> = Mutex::new(BTreeMap::new());

/// Whether orphans fall to this process, and to nothing but the trees here: then it has no other children.
static IS_REAPER: AtomicBool = AtomicBool::new(false);

/// Has orphans fall to this process from now on. For a process that starts no children but by `ProcessTree::start`:
/// what else it started would be taken for an orphan of theirs.
#[cfg(target_os = "linux")]
pub fn become_reaper() {
    match rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        Ok(()) => IS_REAPER.store(true, Ordering::Relaxed),
        Err(error) => tracing::warn!(%error, "orphans do not fall to this process; some may be overlooked"),
    }
}

/// Only Linux knows such a thing.
#[cfg(not(target_os = "linux"))]
pub fn become_reaper() {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    group: i32,
    session: i32,
    started: u64,
    is_zombie: bool,
}

/// One process and its descendants. Dropping it ends them all.
#[derive(Debug)]
pub struct ProcessTree {
    root: i32,
    root_started: Option<u64>,
    mark: String,
    /// Process id and start time of every descendant seen, the root left out.
    seen: BTreeMap<i32, u64>,
    is_root_running: bool,
    is_reaped: bool,
}

/// How closely [`ProcessTree::scan`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// By parent, group and session: quick, for every now and then.
    Family,
    /// By the mark too, which means opening a file of every process on the host.
    Marks,
}

impl ProcessTree {
    /// Starts the root of a tree, which is to lead its own process group and to carry `mark`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, mark: String) -> io::Result<(Child, Self)> {
        let mut roots = ROOTS.lock();
        let child = command.env(MARK, &mark).process_group(0).spawn()?;
        let root = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        let root_started = stat(root).map(|stat| stat.started);
        roots.extend(root_started.map(|started| (root, started)));
        let tree =
            Self { root, root_started, mark, seen: BTreeMap::new(), is_root_running: true, is_reaped: false };
        Ok((child, tree))
    }

    /// To be called once the root itself has been waited for: its number may be given away from then on.
    pub fn root_ended(&mut self) {
        self.is_root_running = false;
    }

    /// Asks the whole group to end.
    pub fn terminate(&self) {
        self.signal_group(Signal::TERM);
    }

    /// Ends the root and everything known of its descendants at once.
    pub fn kill(&mut self) {
        self.signal_group(Signal::KILL);
        self.scan(Look::Marks);
        self.claim_orphans();
        for pid in self.alive() {
            signal(pid, Signal::KILL);
        }
    }

    fn signal_group(&self, sig: Signal) {
        if self.is_root_running
            && let Some(group) = Pid::from_raw(self.root)
        {
            // The group may be gone already.
            let _ = kill_process_group(group, sig);
        }
    }

    /// Looks for descendants that are new since the last look.
    pub fn scan(&mut self, look: Look) {
        let table = table();
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        // Once the root is gone its number may be given away, unless its group still lives on.
        let is_root_ours = table.get(&self.root).is_none_or(|stat| Some(stat.started) == self.root_started);
        loop {
            let before = self.seen.len();
            for (pid, stat) in &table {
                if *pid == self.root || *pid == me || self.seen.get(pid) == Some(&stat.started) {
                    continue;
                }
                let family = [stat.parent, stat.group, stat.session];
                if family.iter().any(|of| (is_root_ours && *of == self.root) || self.is_seen(*of, &table)) {
                    self.seen.insert(*pid, stat.started);
                }
            }
            if self.seen.len() == before {
                break;
            }
        }
        if look == Look::Marks {
            for (pid, stat) in &table {
                let is_new = *pid != self.root && *pid != me && self.seen.get(pid) != Some(&stat.started);
                if is_new && mark_of(*pid).is_some_and(|found| found == self.mark) {
                    self.seen.insert(*pid, stat.started);
                }
            }
        }
    }

    /// Looks for descendants that have shed everything they could be told by. An orphan may be that of every tree that
    /// was there before it; the last of them to end takes it.
    fn claim_orphans(&mut self) {
        let Some(root_started) = self.root_started.filter(|_| IS_REAPER.load(Ordering::Relaxed)) else {
            return;
        };
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        let mut roots = ROOTS.lock();
        roots.retain(|pid, started| stat(*pid).is_some_and(|stat| stat.started == *started));
        for (pid, stat) in table() {
            let is_orphan = stat.parent == me && pid != self.root && !roots.contains_key(&pid);
            let may_be_of = |(root, started): (&i32, &u64)| *root != self.root && *started <= stat.started;
            if is_orphan
                && stat.started >= root_started
                && !roots.iter().any(may_be_of)
                && mark_of(pid).is_none_or(|found| found == self.mark)
            {
                self.seen.insert(pid, stat.started);
            }
        }
    }

    /// From here on this tree has no part in what falls to this process.
    fn leave_roots(&self) {
        let mut roots = ROOTS.lock();
        if roots.get(&self.root).copied() == self.root_started {
            roots.remove(&self.root);
        }
    }

    fn is_seen(&self, pid: i32, table: &BTreeMap<i32, Stat>) -> bool {
        let Some(started) = self.seen.get(&pid) else { return false };
        table.get(&pid).is_none_or(|stat| stat.started == *started)
    }

    /// Descendants that still run. Zombies that are this process's own children are waited for on the way.
    fn alive(&mut self) -> Vec<i32> {
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        let mut alive = Vec::new();
        self.seen.retain(|pid, started| match stat(*pid) {
            Some(now) if now.started == *started && now.is_zombie => {
                // Only where this process is the reaper of orphans, as the first in a container, is it asked to.
                if now.parent == me
                    && let Some(pid) = Pid::from_raw(*pid)
                {
                    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                }
                true
            }
            Some(now) if now.started == *started => {
                alive.push(*pid);
                true
            }
            _ => false,
        });
        alive
    }

    /// Ends every descendant and waits until none is left, at most `limit`. Answers how many were ended.
    pub async fn reap(&mut self, limit: Duration) -> usize {
        let deadline = Instant::now() + limit;
        let mut ended = std::collections::BTreeSet::new();
        loop {
            self.scan(Look::Marks);
            self.claim_orphans();
            let alive = self.alive();
            if alive.is_empty() || Instant::now() >= deadline {
                self.is_reaped = alive.is_empty();
                self.leave_roots();
                return ended.len();
            }
            for pid in alive {
                signal(pid, Signal::KILL);
                ended.insert(pid);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.kill();
        }
    }
}

fn signal(pid: i32, sig: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, sig);
    }
}

/// The start of the marks this process hands out: its process-id namespace, its id and its start time.
pub fn runner_mark() -> String {
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    format!("{}/{me}/{}", namespace(), stat(me).map_or(0, |stat| stat.started))
}

/// Ends processes whose mark names a runner of this host that is no more: it was killed before it could end them.
/// Answers how many there were.
pub fn sweep() -> usize {
    let mine = namespace();
    let mut orphans = 0;
    for pid in table().into_keys() {
        let Some(mark) = mark_of(pid) else { continue };
        let mut parts = mark.split('/');
        let (space, runner, started) = (parts.next(), parts.next(), parts.next());
        let (Some(runner), Some(started)) =
            (runner.and_then(|n| n.parse::<i32>().ok()), started.and_then(|n| n.parse::<u64>().ok()))
        else {
            continue;
        };
        let runs = stat(runner).is_some_and(|stat| stat.started == started && !stat.is_zombie);
        if space == Some(mine.as_str()) && !mine.is_empty() && !runs {
            signal(pid, Signal::KILL);
            orphans += 1;
        }
    }
    orphans
}

fn namespace() -> String {
    std::fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default()
}

/// The mark of a process, when it has one and may be looked at.
fn mark_of(pid: i32) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    environ.split(|byte| *byte == 0).find_map(|pair| {
        let value = pair.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

fn table() -> BTreeMap<i32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?))
        })
        .collect()
}

/// `/proc/PID/stat`; the name in it may hold spaces and brackets, so the fields are counted from its last bracket.
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<i32>().ok();
    Some(Stat {
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        started: fields.get(19)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
    })
}
