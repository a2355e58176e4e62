//! A certificate authority and a handshake in memory, for the tests of this crate.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{DuplexStream, duplex};

use super::{ClientTls, PemSource, ServerTls, TlsError};

/// A certificate authority that nobody knows but the test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Returns the root certificate.
    pub(crate) fn pem(&self) -> PemSource {
        PemSource::text(self.0.pem())
    }

    /// Issues a certificate for a name or an address and returns it with its key.
    pub(crate) fn issue(&self, name: &str) -> (PemSource, PemSource) {
        let (certificate, key) = self.issue_pem(name);
        (PemSource::text(certificate), PemSource::text(key))
    }

    /// Issues a certificate and writes it to `cert.pem` and `key.pem`, replacing what is there.
    pub(crate) fn issue_files(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.issue_pem(name);
        let paths = (dir.join("cert.pem"), dir.join("key.pem"));
        for (path, text) in [(&paths.0, certificate), (&paths.1, key)] {
            fs::write(path.with_extension("new"), text).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }
        paths
    }

    fn issue_pem(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

type Accepted = tokio_rustls::server::TlsStream<DuplexStream>;
type Connected = tokio_rustls::client::TlsStream<DuplexStream>;

/// Runs both ends of a handshake and then lets the client read what the server thinks of its certificate.
pub(crate) async fn handshake(
    client: &ClientTls,
    server: &ServerTls,
    name: &str,
) -> (Result<Connected, TlsError>, Result<Accepted, TlsError>) {
    let (near, far) = duplex(16 * 1024);
    tokio::join!(client.connect(near, name), server.accept(far))
}
