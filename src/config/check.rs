//! What a value must satisfy beyond its type.

use std::{collections::BTreeSet, fs::File, path::PathBuf};

use globset::Glob;
use serde_yaml::Value;
use url::{Host, Url};

use super::{
    read::Reader,
    settings::{Pem, Role, Secret, Settings, TokenSettings},
};

const ROLES: &[(&str, Role)] = &[
    ("read", Role::Read),
    ("dispatch", Role::Dispatch),
    ("register", Role::Register),
    ("admin", Role::Admin),
];

/// Without auth only this machine may reach the server.
pub(super) fn exposure(r: &mut Reader, settings: &Settings) {
    let Settings { server, auth, .. } = settings;
    if !auth.enabled && !auth.allow_unauthenticated && !server.host.is_empty() && !server.is_loopback() {
        r.refuse(
            "server.host",
            format!("is {:?}, which other machines can reach, while auth.enabled is false", server.host),
            "127.0.0.1, ::1 or localhost; or set auth.enabled or auth.allow_unauthenticated to true",
        );
    }
}

/// `host:port`.
pub(super) fn address(r: &mut Reader, key: &str) -> String {
    let text = r.text(key);
    let is_host_and_port = !text.contains("://")
        && text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0))
        && Url::parse(&format!("grpc://{text}")).is_ok_and(|url| {
            url.host_str().is_some_and(|host| !host.is_empty())
                && url.path().is_empty()
                && url.username().is_empty()
                && url.query().is_none()
                && url.fragment().is_none()
        })
        && !text.contains(char::is_whitespace);
    if !is_host_and_port {
        r.refuse(key, format!("is {text:?}"), "host:port, without http://");
    }
    text
}

/// A host name or IP address.
pub(super) fn host(r: &mut Reader, key: &str) -> String {
    let text = r.text(key);
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<std::net::IpAddr>().is_err() && Host::parse(&text).is_err() {
        r.refuse(key, format!("is {text:?}"), "an IP address or a host name");
    }
    bare.to_owned()
}

/// A path below the server's root.
pub(super) fn path(r: &mut Reader, key: &str) -> String {
    let text = r.text(key);
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/-_.~".contains(c));
    if !text.starts_with('/') || text.len() < 2 || !is_plain {
        r.refuse(
            key,
            format!("is {text:?}"),
            "a path that begins with '/', of letters, digits, '-', '_', '.', '~', '/'",
        );
    }
    text
}

/// An http or https URL, or none.
pub(super) fn url(r: &mut Reader, key: &str) -> Option<String> {
    let text = r.optional(key)?;
    if !Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        r.refuse(key, format!("is {text:?}"), "a URL beginning with http:// or https://, or empty");
    }
    Some(text)
}

/// A file that can be read, or none.
pub(super) fn file(r: &mut Reader, key: &str) -> Option<PathBuf> {
    let path = PathBuf::from(r.optional(key)?);
    let problem = match File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => None,
        Ok(_) => Some("it is not a file".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        r.refuse(key, format!("is {path:?}, and {problem}"), "a file that can be read, or empty");
    }
    Some(path)
}

/// A PEM file that can be read, or the PEM itself, or none.
pub(super) fn pem(r: &mut Reader, key: &str) -> Option<Pem> {
    let text = r.optional(key)?;
    if text.contains("-----BEGIN") {
        return Some(Pem::Text(Secret::new(text)));
    }
    file(r, key).map(Pem::File)
}

/// Bodies of static workers: here only that they are objects; their fields are the front door's to judge.
pub(super) fn static_workers(r: &mut Reader) -> Vec<serde_json::Value> {
    let key = "registry.static_workers";
    let mut workers = Vec::new();
    for (index, item) in r.list(key).into_iter().enumerate() {
        match serde_json::to_value(item) {
            Ok(worker @ serde_json::Value::Object(_)) => workers.push(worker),
            _ => {
                let allowed = "a mapping with text keys, as in POST /registry/workers";
                r.refuse_inside(key, &format!("{key}[{index}]"), "is not such a mapping", allowed);
            }
        }
    }
    workers
}

/// Token entries.
pub(super) fn tokens(r: &mut Reader, key: &str) -> Vec<TokenSettings> {
    let mut names = BTreeSet::new();
    let mut tokens = Vec::new();
    for (index, item) in r.list(key).into_iter().enumerate() {
        let at = format!("{key}[{index}]");
        if let Some(token) = token(r, key, &at, item) {
            if !names.insert(token.name.clone()) {
                let message = format!("{:?} is given twice", token.name);
                r.refuse_inside(key, &format!("{at}.name"), message, "a name of its own for each token");
            }
            tokens.push(token);
        }
    }
    tokens
}

fn token(r: &mut Reader, key: &str, at: &str, item: Value) -> Option<TokenSettings> {
    let fields = "name, sha256, roles, workflow_types";
    let Value::Mapping(mut item) = item else {
        r.refuse_inside(key, at, "is not a mapping", format!("a mapping with the keys {fields}"));
        return None;
    };
    let workflow_types = item.remove("workflow_types");
    let mut take = |name: &str| item.remove(name).unwrap_or(Value::Null);
    let (name, sha256, roles) = (take("name"), take("sha256"), take("roles"));
    for unknown in item.keys() {
        let unknown = unknown.as_str().unwrap_or("?");
        r.refuse_inside(key, &format!("{at}.{unknown}"), "unknown key", format!("the keys are {fields}"));
    }

    let name =
        name.as_str().filter(|name| !name.trim().is_empty() && name.trim() == *name).map(str::to_owned);
    if name.is_none() {
        r.refuse_inside(key, &format!("{at}.name"), "is missing or blank", "a name that is not empty");
    }
    let mut digest = [0_u8; 32];
    let has_digest = sha256.as_str().is_some_and(|text| hex::decode_to_slice(text, &mut digest).is_ok());
    if !has_digest {
        // Not shown: somebody may have put the token itself here.
        let message = "is not a SHA-256 in hexadecimal";
        r.refuse_inside(key, &format!("{at}.sha256"), message, "64 hex digits, as sha256sum prints them");
    }
    let granted: Option<Vec<Role>> =
        roles.as_sequence().filter(|roles| !roles.is_empty()).and_then(|roles| {
            let meaning = |role: &Value| {
                ROLES.iter().find(|(word, _)| role.as_str() == Some(word)).map(|(_, meaning)| *meaning)
            };
            roles.iter().map(meaning).collect()
        });
    if granted.is_none() {
        let allowed = "a list of one or more of read, dispatch, register, admin";
        r.refuse_inside(key, &format!("{at}.roles"), "is not a list of roles", allowed);
    }
    // Nothing in the place of a list is a mistake: it must not mean all types.
    let globs: Option<Option<Vec<String>>> = match &workflow_types {
        None => Some(None),
        Some(Value::Sequence(globs)) if !globs.is_empty() => globs
            .iter()
            .map(|glob| glob.as_str().filter(|glob| Glob::new(glob).is_ok()).map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map(Some),
        Some(_) => None,
    };
    if globs.is_none() {
        let allowed = "a list of one or more globs, for example [\"report.*\"]; left out for all types";
        r.refuse_inside(key, &format!("{at}.workflow_types"), "is not a list of globs", allowed);
    }
    Some(TokenSettings {
        name: name?,
        sha256: has_digest.then_some(digest)?,
        roles: granted?,
        workflow_types: globs?,
    })
}
