//! `make counts`: instructions of the pure parts, which do not depend on what else the machine does. See
//! `bench/README.md`.
//!
//! Every case runs in a process of its own, under valgrind: so no case depends on what another left on the heap.
#![allow(missing_docs)]

mod around;
#[path = "../load/inputs.rs"]
mod inputs;
mod rules;
mod table;
mod world;

use std::{env, fs, hint::black_box, path::Path, process::Command};

use anyhow::{Context, ensure};
use table::Table;

/// That of the registry.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// All cases by name.
const CASES: [(&str, fn()); 16] = [
    ("body: 1,000 heartbeats", around::body),
    ("codec: a batch of 512 claims, read", around::batch_read),
    ("codec: a state of 1,000 types and workers, packed", around::state_packed),
    ("codec: a state of 1,000 types and workers, unpacked", around::state_unpacked),
    ("codec: the answer to 512 claims, written", around::answer_written),
    ("rules: 1,000 heartbeats in a command", rules::heartbeats),
    ("rules: 512 claims in a batch", rules::batch),
    ("rules: a claim", rules::claim),
    ("rules: a new worker with 5 new types", rules::registration),
    ("rules: a slug of a name", rules::slug),
    ("rules: two schemas of 20 KB compared", rules::compared),
    ("schema: 20 KB admitted and compiled", around::compiled),
    ("schema: 20 KB hashed", around::hashed),
    ("schema: an input of 10 KB checked", around::checked),
    ("view: a change with 10 types", || around::view_after(10)),
    ("view: a change with 10,000 types", || around::view_after(10_000)),
];

/// Has the instructions of some work counted, and nothing before or after it. Gives what came of it, so that dropping it
/// is not counted either.
fn count<T>(work: impl FnOnce() -> T) -> T {
    let (mut work, mut done) = (Some(work), None);
    work_that_is_counted(&mut || done = work.take().map(|work| work()));
    done.expect("the work was done")
}

/// Valgrind knows it by this name: the counters begin when it is entered and are written down when it is left.
#[inline(never)]
fn work_that_is_counted(work: &mut dyn FnMut()) {
    work();
    // Something to come back for: a jump in place of the last call would hide that this was left.
    black_box(());
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name] = arguments.as_slice()
        && flag == "--case"
    {
        let (_, run) = CASES.iter().find(|(case, _)| case == name).context("no such case")?;
        run();
        return Ok(());
    }
    // `cargo test --benches` runs this program too, and says so by saying nothing.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |case: &str| wanted.is_empty() || wanted.iter().any(|word| case.contains(word.as_str()));
    let mut table = Table::read(&CASES.map(|(case, _)| case))?;
    for (case, _) in CASES.iter().filter(|(case, _)| is_wanted(case)) {
        table.put(case, counted(case)?);
    }
    table.write()
}

/// The instructions of a case.
fn counted(case: &str) -> anyhow::Result<u64> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("counts");
    // The first part is what came before, the third what came after.
    let part = out.with_extension("2");
    _ = fs::remove_file(&part);
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]);
    // Not by turning the counters on and off: that would leave out threads that the work starts and waits for.
    let of = |option: &str| format!("--{option}=counts::work_that_is_counted");
    valgrind.args([of("dump-before"), of("dump-after")]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    valgrind.arg(env::current_exe()?).args(["--case", case]);
    // The allocator gives memory back when it is time to, which is another moment in every run.
    let conf = "background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1";
    valgrind.env("_RJEM_MALLOC_CONF", conf);
    let status = valgrind.status().context("valgrind is needed: apt-get install valgrind")?;
    ensure!(status.success(), "{case}: {status}");
    let dump =
        fs::read_to_string(&part).context("nothing was counted: are there symbols in this program?")?;
    let total = dump.lines().find_map(|line| line.strip_prefix("totals:")).context("no total")?;
    Ok(total.trim().parse()?)
}
