//! The shape of the source: which room may know what, how long a file may be, what a folder may be called.

#[path = "rooms/imports.rs"]
mod imports;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use imports::{Import, imports, is_clock_read, test_modules};

/// What one room may know.
struct Room {
    name: &'static str,
    /// Other rooms.
    rooms: &'static [&'static str],
    crates: Crates,
}

/// Crates a room may use. A name ending in `*` is a beginning; `std` paths may be given down to the item.
enum Crates {
    /// These and no others.
    Only(&'static [&'static str]),
    /// All but these.
    Not(&'static [&'static str]),
}

const HTTP_CRATES: &[&str] =
    &["axum", "axum_server", "http", "http_body_util", "hyper*", "reqwest", "tower*", "utoipa*"];

/// The rules. Rooms that are not listed (app, cli, main, lib, dev_server) connect the others and may know everything.
const ROOMS: &[Room] = &[
    Room {
        name: "registry",
        rooms: &[],
        crates: Crates::Only(&["std", "core", "alloc", "serde", "serde_json", "thiserror"]),
    },
    Room {
        name: "schema",
        rooms: &[],
        // Hashes and a bounded cache beside the engine itself.
        crates: Crates::Only(&[
            "std",
            "core",
            "alloc",
            "hex",
            "jsonschema",
            "lru",
            "parking_lot",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ]),
    },
    Room {
        name: "temporal",
        rooms: &["registry", "schema", "seams", "view", "fleet", "clock", "config", "telemetry"],
        crates: Crates::Not(HTTP_CRATES),
    },
    Room {
        name: "http",
        rooms: &["registry", "schema", "seams", "view", "fleet", "clock", "config", "telemetry"],
        crates: Crates::Not(&["temporalio*"]),
    },
    // What http and temporal have in common.
    Room {
        name: "seams",
        rooms: &["registry", "schema", "view"],
        crates: Crates::Only(&["std", "async_trait", "chrono", "serde", "serde_json", "thiserror"]),
    },
    Room { name: "view", rooms: &["registry"], crates: Crates::Only(&["std", "imbl"]) },
    Room {
        name: "fleet",
        rooms: &["registry", "seams", "view"],
        crates: Crates::Only(&["std", "parking_lot"]),
    },
    Room { name: "runner", rooms: &["clock", "telemetry"], crates: Crates::Not(&[]) },
    Room { name: "config", rooms: &[], crates: Crates::Not(&["temporalio*", "axum*", "tokio*", "reqwest"]) },
    Room { name: "telemetry", rooms: &["clock", "config"], crates: Crates::Not(&["temporalio*", "axum*"]) },
    Room { name: "clock", rooms: &[], crates: Crates::Only(&["std", "chrono"]) },
];

/// Rooms that connect the others.
const WIRING: &[&str] = &["app", "cli", "dev_server", "lib", "main"];

/// Parts of the standard library that the rules must not see: clocks, input and output, and tables without an order.
const NOT_FOR_RULES: &[&str] = &[
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Of those parts, what does nothing by itself: the trait by which JSON is counted as it is written.
const FINE_FOR_RULES: &[&str] = &["std::io::Result", "std::io::Write"];

/// Folders named after nothing in particular collect everything.
const FOLDER_NAMES: &[&str] = &["utils", "util", "common", "helpers", "types", "models", "services", "misc"];

const LINES_MAX: usize = 500;

#[test]
fn rooms_know_only_what_they_may() {
    let crates = crates();
    let files = sources();
    let only_tests: Vec<Vec<String>> = files
        .iter()
        .flat_map(|file| {
            test_modules(&file.text).into_iter().map(|name| [&file.module[..], &[name]].concat())
        })
        .collect();
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !only_tests.iter().any(|tests| file.module.starts_with(tests))) {
        for import in imports(&file.text, &file.module, &crates) {
            if let Err(why) = check(&file.module[0], &import) {
                wrong.push(format!("{}: {why}", file.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "forbidden arrows (the rules are at the top of tests/rooms.rs):\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_are_short_and_folders_have_names() {
    let wrong = misshapen(&sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let root = Path::new("src");
    let planted = |path: &str, lines: usize| Source { text: "\n".repeat(lines), ..source_at(root, path) };
    for (path, lines, is_wrong) in [
        ("src/http/long.rs", LINES_MAX + 1, true),
        ("src/http/short.rs", LINES_MAX, false),
        ("src/http/utils/mod.rs", 1, true),
        ("src/common/x.rs", 1, true),
        ("src/registry/compat/types.rs", 1, false),
    ] {
        assert_eq!(misshapen(&[planted(path, lines)]).len(), usize::from(is_wrong), "{path}, {lines} lines");
    }
}

/// What is wrong with the shape of files.
fn misshapen(files: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{}: {lines} lines, {LINES_MAX} are the most", file.path.display()));
        }
        let folders =
            file.module.len() - usize::from(file.path.file_name().is_some_and(|name| name != "mod.rs"));
        if let Some(name) = file.module[..folders].iter().find(|name| FOLDER_NAMES.contains(&name.as_str())) {
            wrong.push(format!("{}: {name:?} says nothing about what is inside", file.path.display()));
        }
    }
    wrong
}

#[test]
fn forbidden_arrows_are_found_wherever_they_hide() {
    for (module, code) in [
        ("registry", "use tokio::sync::Mutex;"),
        ("registry", "use crate::temporal::Ledger;"),
        ("registry", "use std::{collections::{BTreeMap, HashMap}};"),
        ("registry", "fn f() -> i64 { crate::clock::now_ms() }"),
        ("registry", "fn f() { let _ = std::time::SystemTime::now(); }"),
        ("registry", "fn f() { let _ = chrono::Utc::now(); }"),
        ("registry", "fn f() { tracing::info!(\"x\"); }"),
        ("registry::workers", "use super::super::http::Router;"),
        ("registry::workers", "mod inner { use super::super::super::http; }"),
        ("http", "use temporalio_client::Client;"),
        ("http", "use temporalio_common as t;"),
        ("http", "fn f(x: &crate::temporal::Mirror) {}"),
        ("http", "macro_rules! m { () => { crate::temporal::x() } }"),
        ("http", "fn f() { tokio::select! { _ = crate::runner::x() => {} } }"),
        ("http", "#[derive(serde::Serialize)] struct S { #[serde(with = \"crate::temporal::x\")] a: u8 }"),
        ("http", "use crate::*;"),
        ("temporal", "use axum::Json;"),
        ("temporal", "use crate::{clock, http::problem};"),
        ("temporal", "fn f<T: tower::X>() {}"),
        ("runner", "use crate::registry;"),
        ("runner", "use temporal_registry::config;"),
        ("schema", "extern crate reqwest;"),
        ("registry", "use ::tokio::sync::Mutex;"),
        ("registry", "mod tokio; fn f() { ::tokio::spawn(1); }"),
        ("registry", "#[cfg(test)] mod tests { use proptest::prelude::*; } use tokio::spawn;"),
        ("app", "use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        ("http", "use chrono::Utc; fn f() { Utc::now(); }"),
        ("nowhere", "use std::fmt;"),
    ] {
        assert_ne!(planted(module, code), Vec::<String>::new(), "not found in {module}: {code}");
    }
}

#[test]
fn allowed_arrows_pass() {
    for (module, code) in [
        ("registry", "use std::collections::BTreeMap; use serde::Serialize; use crate::registry::Spec;"),
        (
            "registry::workers",
            "use super::spec; mod inner { use super::super::Spec; } fn f() { Spec::new(); }",
        ),
        ("registry", "mod spec; pub use spec::Spec; use self::spec::Other; fn f() { spec::g(); }"),
        ("registry", "#[cfg(test)] mod tests { use proptest::prelude::*; }"),
        ("registry", "mod tokio; fn f() { tokio::spawn(1); }"),
        ("registry", "/// As [`crate::temporal::x`] does.\nfn f() { <u8 as Into<u16>>::into(1); }"),
        ("registry", "#[cfg(test)] fn f() { tokio::spawn(1); }"),
        ("clock", "use std::time::SystemTime; fn f() { SystemTime::now(); }"),
        ("registry", "fn f() { let x = u8::MAX; Vec::<u8>::new(); matches!(1, 1); serde_json::json!({}); }"),
        ("http", "use crate::{registry::Spec, config}; use axum::Json; use tokio::spawn;"),
        ("temporal", "use temporalio_client::Client; use crate::registry;"),
        ("runner", "use reqwest::Client; use temporalio_sdk::Worker;"),
        ("app", "use crate::{http, temporal, runner};"),
    ] {
        assert_eq!(planted(module, code), Vec::<String>::new(), "{module}: {code}");
    }
}

/// What is wrong with a file of this module that holds this code.
fn planted(module: &str, code: &str) -> Vec<String> {
    let module: Vec<String> = module.split("::").map(str::to_owned).collect();
    imports(code, &module, &crates()).iter().filter_map(|import| check(&module[0], import).err()).collect()
}

fn check(room: &str, import: &Import) -> Result<(), String> {
    let path = import.path.join("::");
    if is_clock_read(&import.path) {
        let why = || format!("{path}: the time of day comes from src/clock.rs, or is handed in");
        return if room == "clock" { Ok(()) } else { Err(why()) };
    }
    if WIRING.contains(&room) {
        return Ok(());
    }
    let Some(rules) = ROOMS.iter().find(|rules| rules.name == room) else {
        return Err(format!("the room {room:?} has no rules: give it a row in tests/rooms.rs"));
    };
    let first = import.path.first().map_or("*", String::as_str);
    if import.is_local {
        let is_allowed = first == room || rules.rooms.contains(&first);
        return if is_allowed { Ok(()) } else { Err(format!("{room} may not know {first} (crate::{path})")) };
    }
    let is = |name: &&str| match name.strip_suffix('*') {
        Some(beginning) => first.starts_with(beginning),
        None => first == *name,
    };
    let is_allowed = match rules.crates {
        Crates::Only(names) => names.iter().any(is),
        Crates::Not(names) => !names.iter().any(is),
    };
    let is_impure = room == "registry"
        && !FINE_FOR_RULES.contains(&path.as_str())
        && NOT_FOR_RULES.iter().any(|item| path == *item || path.starts_with(&format!("{item}::")));
    // Naming this crate from inside goes round the rooms.
    if is_allowed && !is_impure && first != "temporal_registry" {
        Ok(())
    } else {
        Err(format!("{room} may not know {path}"))
    }
}

/// The crates there are: the dependencies, the standard library and this one.
fn crates() -> BTreeSet<String> {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[").find_map(|part| part.strip_prefix("dependencies]")).unwrap();
    let names =
        section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_"));
    names.chain(["std", "core", "alloc", "temporal_registry"].map(str::to_owned)).collect()
}

/// One file below `src`.
struct Source {
    path: PathBuf,
    /// Where it is in the module tree: `src/http/runs.rs` is `[http, runs]`, `src/http/mod.rs` is `[http]`.
    module: Vec<String>,
    text: String,
}

/// Every file below `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push(Source { text, ..source_at(&root, path) });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 5, "the walk found next to nothing below {}", root.display());
    files
}

/// The file at `path`, still without its text.
fn source_at(root: &Path, path: impl Into<PathBuf>) -> Source {
    let path = path.into();
    let inside = path.strip_prefix(root).unwrap().with_extension("");
    let mut module: Vec<String> = inside.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if module.len() > 1 && module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    Source { path, module, text: String::new() }
}
