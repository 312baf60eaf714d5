//! Listening: plain HTTP, or HTTPS with certificates that are read again when their files change.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tower::service_fn;

use crate::{config::ServerTls, http::FrontDoor};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Serves until `handle` says otherwise: HTTPS when there are certificates, else HTTP. HTTP/1.1 and HTTP/2 both.
///
/// # Errors
/// When the listener fails.
pub async fn serve_on(
    listener: TcpListener,
    door: FrontDoor,
    certificates: Option<Certificates>,
    handle: Handle,
) -> io::Result<()> {
    let service = service_fn(move |peer| ready(Ok::<_, Infallible>(door.for_peer(peer))));
    let Some(certificates) = certificates else {
        return axum_server::from_tcp(listener).handle(handle).serve(service).await;
    };
    let server = axum_server::from_tcp_rustls(listener, certificates.config.clone()).handle(handle);
    tokio::select! {
        served = server.serve(service) => served,
        never = certificates.follow() => match never {},
    }
}

/// The certificates served with, and the files they are from.
pub struct Certificates {
    files: ServerTls,
    config: RustlsConfig,
    read: Pem,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificates {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// When one of them cannot be read, or holds nothing of use; or when key and certificate do not belong together.
    pub fn load(files: ServerTls) -> anyhow::Result<Self> {
        let read = Pem::read(&files)?;
        let config = RustlsConfig::from_config(read.config(&files)?);
        Ok(Self { files, config, read })
    }

    /// Looks at the files again and again. New connections get what they hold now; as long as they hold nothing of
    /// use, what they held before.
    async fn follow(self) -> Infallible {
        let Self { files, config, read: mut served } = self;
        let mut refused: Option<String> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let outcome = match Pem::read(&files) {
                Ok(pem) if pem == served => {
                    refused = None;
                    continue;
                }
                Ok(pem) => pem.config(&files).map(|new| (pem, new)),
                Err(error) => Err(error),
            };
            match outcome {
                Ok((pem, new)) => {
                    config.reload_from_config(new);
                    (served, refused) = (pem, None);
                    tracing::info!(cert = %files.identity.cert.display(), "serving with new certificates");
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    if refused.as_ref() != Some(&why) {
                        tracing::error!(why, "the new certificates are of no use; serving with the old ones");
                        refused = Some(why);
                    }
                }
            }
        }
    }
}

impl Pem {
    fn read(files: &ServerTls) -> anyhow::Result<Self> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        Ok(Self {
            cert: read(&files.identity.cert)?,
            key: read(&files.identity.key)?,
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn config(&self, files: &ServerTls) -> anyhow::Result<Arc<ServerConfig>> {
        let chain = certificates(&self.cert, &files.identity.cert)?;
        let key_file = files.identity.key.display();
        let key = private_key(&self.key, &files.identity.key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(pem, path)? {
                    roots.add(authority).with_context(|| format!("{} holds no authority", path.display()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).with_context(|| {
            format!("{} and {key_file} do not go together", files.identity.cert.display())
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// The key in a PEM file.
pub(super) fn private_key(pem: &[u8], path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).with_context(|| format!("{} holds no private key", path.display()))
}

/// The certificates in a PEM file, one or more.
pub(super) fn certificates(pem: &[u8], path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.with_context(|| format!("{} is not readable as PEM", path.display()))?;
    if found.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(found)
}
