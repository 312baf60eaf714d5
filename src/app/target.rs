//! Where Temporal is, for the rooms that connect to it: from settings, with the files of certificates read.

use std::path::Path;

use anyhow::Context;

use crate::{
    config::{TemporalSettings, TemporalTls},
    runner::TemporalTarget,
    temporal::connection::{Target, Tls},
};

/// For the registry itself.
pub fn registry_target(settings: &TemporalSettings) -> anyhow::Result<Target> {
    let tls = settings.tls.as_ref().map(read_tls).transpose()?;
    Ok(Target {
        address: settings.address.clone(),
        namespace: settings.namespace.clone(),
        tls,
        api_key: api_key(settings),
        identity: identity(),
        retention_days: settings.namespace_retention_days,
    })
}

/// For a runner.
pub fn runner_target(settings: &TemporalSettings) -> anyhow::Result<TemporalTarget> {
    let files = settings.tls.as_ref().map(read_tls).transpose()?;
    let mut target = TemporalTarget {
        address: settings.address.clone(),
        namespace: settings.namespace.clone(),
        tls: files.is_some(),
        api_key: api_key(settings),
        ..TemporalTarget::default()
    };
    if let Some(Tls { ca, identity, domain }) = files {
        target = TemporalTarget { tls_ca: ca, tls_domain: domain, tls_client: identity, ..target };
    }
    Ok(target)
}

fn read_tls(tls: &TemporalTls) -> anyhow::Result<Tls> {
    let identity = match &tls.identity {
        Some(identity) => Some((read(&identity.cert)?, read(&identity.key)?)),
        None => None,
    };
    let ca = tls.ca.as_deref().map(read).transpose()?;
    Ok(Tls { ca, identity, domain: tls.domain.clone() })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn api_key(settings: &TemporalSettings) -> Option<String> {
    let key = settings.tls.as_ref().and_then(|tls| tls.api_key.as_ref());
    key.map(|key| key.expose().to_owned())
}

/// Names this process in Temporal and in the registry's status.
fn identity() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("temporal-registry@{}:{}", host.unwrap_or_else(|| "unknown".to_owned()), std::process::id())
}
