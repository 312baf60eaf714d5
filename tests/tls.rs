//! HTTPS: certificates of clients asked for, certificates of the server swapped while it serves.

mod door;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum_server::Handle;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::{Certificate, Client, Identity, Version};
use tempfile::TempDir;
use temporal_registry::{
    app::tls::{Certificates, serve_on},
    config::{ServerTls, TlsIdentity},
    http,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, as PEM.
fn issue(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

struct Server {
    folder: TempDir,
    address: SocketAddr,
    handle: Handle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl Server {
    fn start(identity: &(String, String), client_ca: Option<&Authority>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), client_ca.is_some());
        std::fs::write(&files.identity.cert, &identity.0).unwrap();
        std::fs::write(&files.identity.key, &identity.1).unwrap();
        if let (Some(path), Some(authority)) = (&files.client_ca, client_ca) {
            std::fs::write(path, authority.pem()).unwrap();
        }
        let certificates = Certificates::load(files).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (address, handle) = (listener.local_addr().unwrap(), Handle::new());
        let router = door::router(http::Settings::default());
        tokio::spawn(serve_on(listener, router, Some(certificates), handle.clone()));
        Self { folder, address, handle }
    }

    fn write(&self, (cert, key): &(String, String)) {
        let files = files(self.folder.path(), false);
        std::fs::write(files.identity.cert, cert).unwrap();
        std::fs::write(files.identity.key, key).unwrap();
    }

    /// One request on a connection of its own, by a client that trusts one authority.
    async fn ask(&self, trusted: &Authority, identity: Option<&(String, String)>) -> Result<Version, String> {
        let mut client = Client::builder()
            .tls_built_in_root_certs(false)
            .add_root_certificate(Certificate::from_pem(trusted.pem().as_bytes()).unwrap())
            .resolve("registry.test", self.address)
            .no_proxy();
        if let Some((cert, key)) = identity {
            client = client.identity(Identity::from_pem(format!("{key}{cert}").as_bytes()).unwrap());
        }
        let url = format!("https://registry.test:{}/health", self.address.port());
        let answer = client.build().unwrap().get(url).send().await.map_err(|error| format!("{error:?}"))?;
        assert_eq!(answer.status(), 200);
        Ok(answer.version())
    }

    async fn until_trusted_by(&self, authority: &Authority) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.ask(authority, None).await.is_err() {
            assert!(Instant::now() < end, "the new certificate is not served");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn files(folder: &Path, client_ca: bool) -> ServerTls {
    let at = |name: &str| -> PathBuf { folder.join(name) };
    ServerTls {
        identity: TlsIdentity { cert: at("cert.pem"), key: at("key.pem") },
        client_ca: client_ca.then(|| at("ca.pem")),
    }
}

#[tokio::test]
async fn https_is_served_in_both_versions() {
    let ours = authority("ours");
    let server = Server::start(&issue(&ours, "registry.test"), None);
    assert_eq!(server.ask(&ours, None).await, Ok(Version::HTTP_2));
    assert!(server.ask(&authority("other"), None).await.is_err());

    let plain = reqwest::get(format!("http://{}/health", server.address)).await;
    assert!(plain.is_err(), "{plain:?}");
    let old = Client::builder()
        .add_root_certificate(Certificate::from_pem(ours.pem().as_bytes()).unwrap())
        .resolve("registry.test", server.address)
        .http1_only()
        .build()
        .unwrap();
    let answer = old.get(format!("https://registry.test:{}/health", server.address.port())).send().await;
    assert_eq!(answer.unwrap().version(), Version::HTTP_11);
}

#[tokio::test]
async fn clients_need_a_certificate_of_the_authority_named() {
    let (ours, clients, strangers) = (authority("ours"), authority("clients"), authority("strangers"));
    let server = Server::start(&issue(&ours, "registry.test"), Some(&clients));
    assert!(server.ask(&ours, None).await.is_err());
    assert!(server.ask(&ours, Some(&issue(&strangers, "stranger"))).await.is_err());
    assert!(server.ask(&ours, Some(&issue(&clients, "client"))).await.is_ok());
}

#[tokio::test]
async fn certificates_are_swapped_while_serving_and_broken_ones_are_not_taken() {
    let (first, second, third) = (authority("first"), authority("second"), authority("third"));
    let server = Server::start(&issue(&first, "registry.test"), None);
    assert!(server.ask(&first, None).await.is_ok());

    server.write(&issue(&second, "registry.test"));
    server.until_trusted_by(&second).await;
    assert!(server.ask(&first, None).await.is_err());

    // Nothing of use, and a key that belongs to another certificate: the second goes on being served.
    let (cert, _) = issue(&third, "registry.test");
    for broken in [("".to_owned(), "".to_owned()), (cert, KeyPair::generate().unwrap().serialize_pem())] {
        server.write(&broken);
        let looked_at = Instant::now() + Duration::from_secs(5);
        while Instant::now() < looked_at {
            assert!(server.ask(&second, None).await.is_ok(), "the old certificate is gone");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    // And it recovers from them.
    server.write(&issue(&third, "registry.test"));
    server.until_trusted_by(&third).await;
}

#[test]
fn a_start_with_files_of_no_use_says_which() {
    let ours = authority("ours");
    let ((cert, key), (_, other_key)) = (issue(&ours, "a"), issue(&ours, "b"));
    for (cert, key, client_ca, expected) in [
        ("", &*key, None, "cert.pem holds no certificate"),
        (&*cert, "", None, "key.pem holds no private key"),
        (&*cert, &*other_key, None, "do not go together"),
        (&*cert, &*key, Some("x"), "ca.pem holds no certificate"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), client_ca.is_some());
        std::fs::write(&files.identity.cert, cert).unwrap();
        std::fs::write(&files.identity.key, key).unwrap();
        if let (Some(path), Some(text)) = (&files.client_ca, client_ca) {
            std::fs::write(path, text).unwrap();
        }
        let error = format!("{:#}", Certificates::load(files).err().unwrap());
        assert!(error.contains(expected), "{error}");
    }
}
