//! The table that is committed.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::Context;

/// A figure of the table stays as it is while what was counted differs by less than this share: maps that hash with
/// a random key make the last digits vary.
const NOISE: f64 = 0.01;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/counts.md");

/// Instructions by case.
pub struct Table(BTreeMap<String, u64>);

impl Table {
    /// The table as it was last written, without cases that there are no more.
    pub fn read(cases: &[&str]) -> anyhow::Result<Self> {
        let text = if fs::exists(FILE)? { fs::read_to_string(FILE)? } else { String::new() };
        let row = |line: &str| {
            let (case, figure) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            Some((case.to_owned(), figure.replace(',', "").parse().ok()?))
        };
        Ok(Self(text.lines().filter_map(row).filter(|(case, _)| cases.contains(&case.as_str())).collect()))
    }

    /// Notes what was counted, and says how it compares.
    pub fn put(&mut self, case: &str, counted: u64) {
        let Some(before) = self.0.get_mut(case) else {
            println!("{case}: {}", grouped(counted));
            self.0.insert(case.to_owned(), rounded(counted));
            return;
        };
        #[allow(clippy::cast_precision_loss, reason = "a share for people")]
        let change = counted as f64 / *before as f64 - 1.0;
        println!("{case}: {}, {:+.1} % from {}", grouped(counted), change * 100.0, grouped(*before));
        if change.abs() >= NOISE {
            *before = rounded(counted);
        }
    }

    /// Writes it where it is committed.
    pub fn write(&self) -> anyhow::Result<()> {
        let told = Command::new("rustc").arg("-vV").output().context("rustc")?;
        let told = String::from_utf8(told.stdout)?;
        let of = |key: &str| told.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?").trim();
        let mut text = format!(
            "# Instructions\n\nWritten by `make counts`; see [README.md](README.md#instructions). \
             rustc {}, {}.\n\n| case | instructions |\n|---|--:|\n",
            of("release:"),
            of("host:"),
        );
        for (case, figure) in &self.0 {
            text += &format!("| {case} | {} |\n", grouped(*figure));
        }
        fs::write(FILE, text).context(FILE)
    }
}

/// To three digits.
fn rounded(count: u64) -> u64 {
    let unit = 10_u64.pow(count.checked_ilog10().unwrap_or_default().saturating_sub(2));
    (count + unit / 2) / unit * unit
}

/// With a comma at every thousand.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
