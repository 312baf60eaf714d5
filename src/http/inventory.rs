//! Hosts in the words of other tools. Every value came from a worker: none may say anything but itself.

use std::fmt::Write;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::hosts::HostShape;
use super::shapes::WorkerHealth;

/// Longest host name.
const NAME_CHARS_MAX: usize = 253;

/// One line a host, for spreadsheets (RFC 4180): lists with `;` between items, labels and metadata as JSON.
pub(super) fn csv(hosts: &[HostShape]) -> String {
    let mut out = line(["host", "health", "workers", "workflows", "task_queues", "labels", "metadata"]);
    for host in hosts {
        let workers: Vec<&str> = host.workers.iter().map(|worker| worker.worker_id.as_str()).collect();
        out += &line([
            host.host.as_str(),
            host.health.as_str(),
            &workers.join(";"),
            &host.workflows.join(";"),
            &host.task_queues.join(";"),
            &json!(host.labels).to_string(),
            &json!(host.metadata).to_string(),
        ]);
    }
    out
}

fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<String> = cells.into_iter().map(cell).collect();
    cells.join(",") + "\r\n"
}

/// A quoted cell. What a spreadsheet would take for a formula gets a `'` in front.
fn cell(text: &str) -> String {
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.starts_with(['\t', '\r', '\n']);
    format!("\"{}{}\"", if is_formula { "'" } else { "" }, text.replace('"', "\"\""))
}

/// An Ansible inventory in YAML: all hosts with their variables, and a group for each health. Everything is in flow
/// style with quoted scalars; texts are marked `!unsafe`, so that Ansible takes them for no template.
pub(super) fn ansible(hosts: &[HostShape]) -> String {
    let (hosts, left_out) = addressable(hosts);
    let mut out = left_out;
    let mut all = Map::new();
    for host in &hosts {
        all.insert(host.host.clone(), Value::Object(variables(host)));
    }
    let mut children = Map::new();
    for health in [WorkerHealth::Healthy, WorkerHealth::Unhealthy, WorkerHealth::Unknown] {
        let members = hosts.iter().filter(|host| host.health == health);
        let members: Map<String, Value> = members.map(|host| (host.host.clone(), json!({}))).collect();
        children.insert(format!("registry_{}", health.as_str()), json!({"hosts": members}));
    }
    yaml(&json!({"all": {"hosts": all, "children": children}}), &mut out);
    out.push('\n');
    out
}

fn variables(host: &HostShape) -> Map<String, Value> {
    let mut found = Map::new();
    let Ssh { host_name, user, port } = Ssh::of(host);
    let connection = [
        ("ansible_host", host_name.map(Value::from)),
        ("ansible_user", user.map(Value::from)),
        ("ansible_port", port.map(Value::from)),
    ];
    found.extend(connection.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let workers: Vec<&str> = host.workers.iter().map(|worker| worker.worker_id.as_str()).collect();
    let told = [
        ("registry_health", json!(host.health)),
        ("registry_workers", json!(workers)),
        ("registry_workflows", json!(host.workflows)),
        ("registry_task_queues", json!(host.task_queues)),
        ("registry_labels", json!(host.labels)),
        ("registry_metadata", json!(host.metadata)),
    ];
    found.extend(told.map(|(name, value)| (name.to_owned(), value)));
    found
}

/// One `Host` block for each host, for `Include` in an SSH client's configuration.
pub(super) fn ssh_config(hosts: &[HostShape]) -> String {
    let (hosts, left_out) = addressable(hosts);
    let mut blocks = vec![left_out];
    for host in hosts {
        let Ssh { host_name, user, port } = Ssh::of(host);
        let mut block = format!("Host \"{}\"\n", host.host);
        for (keyword, value) in [("HostName", host_name), ("User", user)] {
            if let Some(value) = value {
                block += &format!("    {keyword} \"{value}\"\n");
            }
        }
        if let Some(port) = port {
            block += &format!("    Port {port}\n");
        }
        blocks.push(block);
    }
    blocks.concat()
}

/// The hosts that can be named without meaning more than one host, and a comment on the others when there are any.
fn addressable(hosts: &[HostShape]) -> (Vec<&HostShape>, String) {
    let found: Vec<&HostShape> = hosts.iter().filter(|host| is_address(&host.host)).collect();
    let comment = match hosts.len() - found.len() {
        0 => String::new(),
        left_out => format!("# left out, for being neither a host name nor an address: {left_out}\n"),
    };
    (found, comment)
}

/// A host name, or an IP address: no pattern, no range, no option, no line break.
fn is_address(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_name = text.len() <= NAME_CHARS_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(is_plain);
    is_name || text.parse::<IpAddr>().is_ok()
}

/// How to reach a host, from `metadata.ssh`; what does not look right is left out.
struct Ssh<'a> {
    host_name: Option<&'a str>,
    user: Option<&'a str>,
    port: Option<u16>,
}

impl<'a> Ssh<'a> {
    fn of(host: &'a HostShape) -> Self {
        let told = host.metadata.get("ssh").and_then(Value::as_object);
        let text = |name: &str| told.and_then(|told| told.get(name)).and_then(Value::as_str);
        let is_user = |text: &&str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
            (1..=NAME_CHARS_MAX).contains(&text.len()) && !text.starts_with('-') && text.chars().all(is_plain)
        };
        let port = told.and_then(|told| told.get("port")).and_then(Value::as_u64);
        Self {
            host_name: text("host_name").filter(|text| is_address(text)),
            user: text("user").filter(is_user),
            port: port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
        }
    }
}

/// A value in YAML's flow style. Texts that could be templates are `!unsafe`; keys are not looked at by Ansible.
fn yaml(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::String(text) => {
            if text.contains('{') {
                out.push_str("!unsafe ");
            }
            quoted(text, out);
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                yaml(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                // An explicit key may be of any length.
                out.push_str(if at == 0 { "? " } else { ", ? " });
                quoted(key, out);
                out.push_str(" : ");
                yaml(value, out);
            }
            out.push('}');
        }
    }
}

/// A double-quoted scalar of visible ASCII only.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            // Writing to a string does not fail.
            _ => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
}
