//! Where Temporal is, for the rooms that connect to it: from settings, with the files of certificates read.

use std::path::Path;

use anyhow::Context;
use rustls::{crypto::ring::default_provider, sign::CertifiedKey};

use super::tls::{certificates, private_key};
use crate::{
    config::{Pem, TemporalSettings, TemporalTls},
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

/// Reads and checks what TLS needs: whatever is wrong is named here, since a connection would only say that it failed.
fn read_tls(tls: &TemporalTls) -> anyhow::Result<Tls> {
    let ca = tls.ca.as_ref().map(|ca| read(ca, "temporal.tls_ca")).transpose()?;
    if let Some((ca, name)) = &ca {
        certificates(ca, name)?;
    }
    let identity = match &tls.identity {
        Some((cert, key)) => Some(read_identity(cert, key)?),
        None => None,
    };
    Ok(Tls { ca: ca.map(|(ca, _)| ca), identity, domain: tls.domain.clone() })
}

fn read_identity(cert: &Pem, key: &Pem) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let (cert, cert_name) = read(cert, "temporal.tls_cert")?;
    let (key, key_name) = read(key, "temporal.tls_key")?;
    let (chain, secret) = (certificates(&cert, cert_name)?, private_key(&key, key_name)?);
    CertifiedKey::from_der(chain, secret, &default_provider())
        .with_context(|| format!("{} and {} do not go together", cert_name.display(), key_name.display()))?;
    Ok((cert, key))
}

/// The text and what to call it: its file, or its setting.
fn read<'a>(pem: &'a Pem, setting: &'a str) -> anyhow::Result<(Vec<u8>, &'a Path)> {
    match pem {
        Pem::File(path) => {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((text, path))
        }
        Pem::Text(text) => Ok((text.expose().as_bytes().to_vec(), Path::new(setting))),
    }
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
