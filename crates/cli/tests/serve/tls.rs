//! TLS.

use std::{fs, net::TcpStream, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use crate::{
    http,
    process::Server,
    websocket::{TEXT, WebSocket},
};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns a certificate and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.into()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// Writes the server's certificate and key, and this authority as `ca.pem`.
    fn write(&self, dir: &Path) -> [String; 3] {
        let (certificate, key) = self.issue("server.test");
        let path = |name| dir.join(name).display().to_string();
        let paths = ["cert.pem", "key.pem", "ca.pem"].map(path);
        fs::write(&paths[0], certificate.pem()).unwrap();
        fs::write(&paths[1], key.serialize_pem()).unwrap();
        fs::write(&paths[2], self.0.pem()).unwrap();
        paths
    }

    /// Connects, trusting this authority alone.
    fn connect(&self, server: &Server, client: Option<&Self>) -> std::io::Result<Tls> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).unwrap();
        let builder =
            ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let (certificate, key) = authority.issue("client.test");
                let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        let name = "server.test".try_into().unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = http::connect(server.public());
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(tls, stream))
    }
}

#[track_caller]
fn check_echo(stream: Tls) {
    let mut ws = WebSocket::open(stream, "/echo", &[("origin", "https://server.test")]).unwrap();
    ws.send(TEXT, b"hi");
    assert_eq!(ws.recv(), (TEXT, b"hi".into()));
}

#[test]
fn certificates_are_reloaded_on_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let [cert, key, _] = old.write(dir.path());
    let server = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(server.said[0].starts_with("everwire listening on https://127.0.0.1:"));
    check_echo(old.connect(&server, None).unwrap());
    assert!(new.connect(&server, None).is_err());
    let health = old.connect(&server, None).unwrap();
    assert_eq!(http::exchange(health, "server.test", "GET", "/healthz", &[]).body, "ok");

    new.write(dir.path());
    server.signal(Signal::HUP);
    assert_eq!(server.line(), "certificates reloaded");
    check_echo(new.connect(&server, None).unwrap());
    assert!(old.connect(&server, None).is_err());
}

#[test]
fn clients_must_show_a_certificate_if_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let [cert, key, ca] = authority.write(dir.path());
    let args = ["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &ca];
    let server = Server::start(&args);
    check_echo(authority.connect(&server, Some(&authority)).unwrap());
    for client in [None, Some(&stranger)] {
        // In TLS 1.3 the client learns of the refusal when it reads.
        let refused = authority.connect(&server, client).and_then(|mut stream| {
            use std::io::{Read, Write};
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: server.test\r\n\r\n")?;
            stream.read_exact(&mut [0])
        });
        assert!(refused.is_err());
    }
    assert!(server.connections().is_empty());
}
