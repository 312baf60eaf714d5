//! What came out, as a table for people.

use crate::http::Pace;

/// Both sides of a row.
pub struct Compared {
    pub ours: Pace,
    pub theirs: Pace,
}

/// Rows in the order they were measured.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 5]>,
}

impl Table {
    /// A row that compares a pace with another one; `least` is the share of its rate that is aimed at.
    pub fn compare(&mut self, what: &str, Compared { ours, theirs }: Compared, least: f64) {
        let ratio = ours.per_second / theirs.per_second;
        self.row(what, figures(ours), figures(theirs), format!("{ratio:.2}"), format!(">= {least}"));
    }

    /// Any other row.
    pub fn row(&mut self, what: &str, ours: String, theirs: String, ratio: String, target: String) {
        eprintln!("{what}: {ours} | {theirs} | {ratio} (target {target})");
        self.rows.push([what.to_owned(), ours, theirs, ratio, target]);
    }

    /// Prints it as Markdown.
    pub fn print(&self) {
        println!("| row | temporal-registry | compared with | ratio | target |");
        println!("|---|---|---|---|---|");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

fn figures(pace: Pace) -> String {
    let ms = |span: std::time::Duration| span.as_secs_f64() * 1000.0;
    format!("{:.0}/s, p50 {:.2} ms, p99 {:.2} ms", pace.per_second, ms(pace.p50), ms(pace.p99))
}
