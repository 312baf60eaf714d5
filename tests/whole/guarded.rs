//! A Temporal that wants certificates, found by its own configuration file; and what of all that is told to the log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum_server::accept::Accept;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::harness::{Registry, Temporal, program, worker};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate and its key, as PEM.
fn issue(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

/// Takes TLS off in front of `upstream` for clients of this authority; where it listens.
async fn guard(upstream: String, (cert, key): (String, String), clients: &Authority) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).expect("PEM")).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(cert.as_bytes()).expect("PEM")],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
        )
        .expect("an identity");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(config)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let Ok((mut inside, ())) = acceptor.accept(stream, ()).await else { return };
                let Ok(mut outside) = TcpStream::connect(upstream).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    address
}

/// Files of a client in a folder.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).expect("a file");
        self.path(name)
    }
}

#[tokio::test]
async fn a_profile_leads_through_mutual_tls_and_no_secret_is_logged_at_any_level() {
    const API_KEY: &str = "temporal-key-9d1f";
    const TOKEN: &str = "registry-token-77ab";
    let temporal = Temporal::start().await;
    let (ours, clients, strangers) = (authority(), authority(), authority());
    let address = guard(temporal.address(), issue(&ours, "temporal.test"), &clients).await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files(folder.path());
    let (cert, key) = issue(&clients, "client");
    let profile = format!(
        "[profile.guarded]\naddress = {address:?}\napi_key = {API_KEY:?}\n[profile.guarded.tls]\n\
         client_cert_path = {:?}\nclient_key_data = {key:?}\nserver_ca_cert_path = {:?}\nserver_name = \"temporal.test\"\n",
        files.write("client.pem", &cert),
        files.write("ca.pem", &ours.pem()),
    );
    let config = files.write("temporal.toml", &profile);
    let env = [("TEMPORAL_CONFIG_FILE", config.as_str()), ("TEMPORAL_PROFILE", "guarded")];
    let loud = [
        env[0],
        env[1],
        ("TEMPORAL_REGISTRY_LOG_LEVEL", "trace"),
        ("TEMPORAL_REGISTRY_ACCESS_LOG", "true"),
        ("TEMPORAL_REGISTRY_AUTH_ENABLED", "true"),
        ("TEMPORAL_REGISTRY_TOKEN", TOKEN),
    ];
    let log = folder.path().join("log");
    let registry = Registry::start_logging(&address, &loud, &log).await;
    for token in [TOKEN, "wrong-token-d00d"] {
        for header in [("authorization", format!("Bearer {token}")), ("x-api-key", token.to_owned())] {
            let body = worker("w", "q", 600, &["kept.v1"]);
            let request = registry.http.post(format!("{}/registry/workers", registry.url)).json(&body);
            let answer = request.header(header.0, header.1).send().await.expect("an answer");
            assert_eq!(answer.status().is_success(), token == TOKEN, "{answer:?}");
        }
    }
    assert!(registry.stop().await.success());
    let text = std::fs::read_to_string(&log).expect("a log");
    for level in ["TRACE", "DEBUG", "INFO"] {
        assert!(text.contains(&format!("\"level\":\"{level}\"")), "nothing at {level}");
    }
    for target in ["h2::", "hyper_util::", "temporalio"] {
        assert!(text.contains(&format!("\"target\":\"{target}")), "nothing by {target}");
    }
    let secret_line = key.lines().nth(1).expect("a line of the key");
    for secret in [API_KEY, TOKEN, "wrong-token-d00d", secret_line] {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is in the log");
    }

    // What is wrong with a file, a pair or a profile is named.
    let (stranger, strange_key) = issue(&strangers, "stranger");
    let stranger = files.write("stranger.pem", &stranger);
    let empty = files.write("empty.pem", "nothing");
    for (more, expected) in [
        (vec![("TEMPORAL_PROFILE", "nope")], "there is no profile \"nope\" in file".to_owned()),
        (
            vec![("TEMPORAL_TLS_CLIENT_CERT_PATH", "/no/such.pem")],
            "temporal.tls_cert: is \"/no/such.pem\"".to_owned(),
        ),
        (vec![("TEMPORAL_TLS_CLIENT_CERT_PATH", empty.as_str())], format!("{empty} holds no certificate")),
        (vec![("TEMPORAL_TLS_SERVER_CA_CERT_PATH", empty.as_str())], format!("{empty} holds no certificate")),
        (vec![("TEMPORAL_TLS_CLIENT_KEY_PATH", empty.as_str())], format!("{empty} holds no private key")),
        (
            vec![("TEMPORAL_TLS_CLIENT_CERT_PATH", stranger.as_str())],
            format!("{stranger} and temporal.tls_key do not go together"),
        ),
        (
            vec![
                ("TEMPORAL_TLS_CLIENT_CERT_PATH", stranger.as_str()),
                ("TEMPORAL_TLS_CLIENT_KEY_DATA", strange_key.as_str()),
            ],
            format!("cannot connect to Temporal at {address}"),
        ),
    ] {
        let mut command = Command::new(program());
        command.args(["serve", "--port", "0"]).envs(env).envs(more.iter().copied()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends");
        let output = output.expect("its output");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(&expected), "{more:?}: {said}");
        assert!(!said.contains(API_KEY) && !said.contains(secret_line), "a secret is shown");
    }
}
