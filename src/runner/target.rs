//! Where Temporal is.

use std::{fmt, str::FromStr, time::Duration};

use anyhow::Context;
use temporalio_client::{
    Client, ClientOptions, ClientTlsOptions, Connection, ConnectionOptions, TlsOptions, Url,
};

/// The Temporal frontend a runner works for.
#[derive(Clone, Default)]
pub struct TemporalTarget {
    /// `host:port`.
    pub address: String,
    /// Namespace, which must exist.
    pub namespace: String,
    /// Whether to use TLS. Implied by an API key and by any of the three fields below.
    pub tls: bool,
    /// PEM of the authority the server's certificate is from; the system's when absent.
    pub tls_ca: Option<Vec<u8>>,
    /// Name the server's certificate must carry; the address's when absent.
    pub tls_domain: Option<String>,
    /// PEM of the client's certificate and of its private key.
    pub tls_client: Option<(Vec<u8>, Vec<u8>)>,
    /// API key.
    pub api_key: Option<String>,
}

impl fmt::Debug for TemporalTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemporalTarget")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .field("tls", &self.uses_tls())
            .finish_non_exhaustive()
    }
}

impl TemporalTarget {
    fn uses_tls(&self) -> bool {
        self.tls
            || self.api_key.is_some()
            || self.tls_ca.is_some()
            || self.tls_domain.is_some()
            || self.tls_client.is_some()
    }

    /// Connects once.
    ///
    /// # Errors
    /// When the address is not one or nobody answers there within ten seconds.
    pub async fn connect(&self, identity: &str) -> anyhow::Result<Client> {
        let scheme = if self.uses_tls() { "https" } else { "http" };
        let url = Url::from_str(&format!("{scheme}://{}", self.address))
            .with_context(|| format!("`{}` is not a Temporal address (host:port)", self.address))?;
        let client_tls = self.tls_client.clone();
        let tls = self.uses_tls().then(|| {
            TlsOptions::builder()
                .maybe_server_root_ca_cert(self.tls_ca.clone())
                .maybe_domain(self.tls_domain.clone())
                .maybe_client_tls_options(client_tls.map(|(certificate, key)| {
                    ClientTlsOptions::builder().client_cert(certificate).client_private_key(key).build()
                }))
                .build()
        });
        let options = ConnectionOptions::new(url)
            .identity(identity.to_owned())
            .connect_timeout(Duration::from_secs(10))
            .maybe_tls_options(tls)
            .maybe_api_key(self.api_key.clone())
            .build();
        let connection = Connection::connect(options)
            .await
            .with_context(|| format!("Temporal at {} does not answer", self.address))?;
        Ok(Client::new(connection, ClientOptions::new(self.namespace.clone()).build())?)
    }
}
