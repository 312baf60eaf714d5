//! What can be said about a URL template and a host list before any input is known.

use url::Url;

use super::{Problem, problem};
use crate::runner::{kinds::guard::HostList, template::Template};

/// Checks that a URL template is HTTP and, when its host is literal, that the host is allowed.
pub fn url(template: &Template, hosts: &[String], path: &str, problems: &mut Vec<Problem>) {
    let start = template.literal_start();
    let Some(rest) = start.strip_prefix("https://").or_else(|| start.strip_prefix("http://")) else {
        problems.push(problem(path, "must begin with http:// or https://".to_owned()));
        return;
    };
    let whole_host = template.is_literal() || rest.contains(['/', '?', '#']);
    if !whole_host {
        return;
    }
    let Ok(hosts) = HostList::parse(hosts) else { return };
    match Url::parse(start) {
        Ok(url) => {
            if let Err(message) = hosts.allows(&url) {
                problems.push(problem(path, message));
            }
        }
        Err(error) => problems.push(problem(path, format!("is not a URL: {error}"))),
    }
}

/// Checks a host list.
pub fn hosts(list: &[String], path: &str, problems: &mut Vec<Problem>) {
    if list.is_empty() {
        problems.push(problem(path, "must name at least one host".to_owned()));
    }
    if let Err((at, message)) = HostList::parse(list) {
        problems.push(problem(&format!("{path}[{at}]"), message));
    }
}
