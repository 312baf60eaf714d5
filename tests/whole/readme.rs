//! What the README has people type.

use serde_json::Value;
use tokio::process::Command;

const README: &str = include_str!("../../README.md");

/// A line to type, and what the README says comes of it.
#[derive(Debug)]
pub struct Line {
    pub command: String,
    /// What is shown of the answer, `...` standing for what is left out; empty when nothing is.
    pub shown: String,
}

/// Every curl line of the README, in its order.
pub fn curls() -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut inside = false;
    let mut open = false;
    for text in README.lines() {
        if let Some(fence) = text.strip_prefix("```") {
            (inside, open) = (fence == "bash", false);
        } else if inside && (open || text.starts_with("curl ")) {
            if !open {
                lines.push(Line { command: String::new(), shown: String::new() });
            }
            let line = lines.last_mut().expect("just begun");
            line.command += text;
            line.command.push('\n');
            open = text.ends_with('\\');
        } else if inside && let (Some(shown), Some(line)) = (text.strip_prefix("# "), lines.last_mut()) {
            line.shown += shown;
        }
    }
    lines
}

impl Line {
    /// Types it, to a registry on another port. The answer has what is shown of it, and is an error only when an error is
    /// shown.
    pub async fn typed(&self, port: u16) -> Value {
        let command = self.command.replace("localhost:8080", &format!("localhost:{port}"));
        let output = Command::new("bash").arg("-c").arg(&command).output().await.expect("bash and curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}{output:?}");
        let answer: Value = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| panic!("{command}{text}")),
        };
        assert_eq!(answer.get("code").is_some(), self.shown.contains("\"code\""), "{command}{text}");
        let mut rest = text.as_str();
        for part in self.shown.split("...") {
            let part = part.trim().trim_end_matches(',');
            let (_, after) = rest.split_once(part).unwrap_or_else(|| panic!("{command}no {part} in {rest}"));
            rest = after;
        }
        answer
    }
}
