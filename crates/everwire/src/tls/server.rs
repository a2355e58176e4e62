//! The server's side of TLS, with certificates that can be replaced while it runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client::root_store;
use super::pem::Fingerprint;
use super::{ALPN_HTTP11, PemSource, TlsError, provider};

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Without a valid one the handshake fails.
    Required,
    /// A client may come without one; an invalid one fails.
    Optional,
}

/// What a [`ServerTls`] is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTlsConfig {
    certificate: PemSource,
    key: PemSource,
    clients: Option<(PemSource, ClientCertificates)>,
}

impl ServerTlsConfig {
    /// Names the certificate (its chain after it) and its key.
    pub fn new(certificate: PemSource, key: PemSource) -> Self {
        Self { certificate, key, clients: None }
    }

    /// Asks clients for a certificate of one of the authorities in `ca`.
    #[must_use]
    pub fn with_client_ca(mut self, ca: PemSource, policy: ClientCertificates) -> Self {
        self.clients = Some((ca, policy));
        self
    }

    /// Returns what changes when one of the files does.
    pub(super) fn fingerprint(&self) -> Vec<Option<Fingerprint>> {
        let ca = self.clients.as_ref().map(|(ca, _)| ca);
        [Some(&self.certificate), Some(&self.key), ca]
            .into_iter()
            .flatten()
            .map(PemSource::fingerprint)
            .collect()
    }

    fn build(&self) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Config(Box::new(error)))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some((ca, policy)) => builder.with_client_cert_verifier(client_verifier(ca, *policy)?),
        };
        let mut config = builder
            .with_single_cert(self.certificate.certificates()?, self.key.private_key()?)
            .map_err(|error| identity_error(error, &self.certificate, &self.key))?;
        config.alpn_protocols = vec![ALPN_HTTP11.to_vec()];
        Ok(config)
    }
}

/// Who we are towards clients, and whom we let in. Cheap to clone; a reload is seen by all clones.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

struct Shared {
    config: ServerTlsConfig,
    current: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads the files and makes the configuration. It blocks on the disk.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what was expected of it.
    pub fn load(config: ServerTlsConfig) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(config.build()?));
        Ok(Self { shared: Arc::new(Shared { config, current }) })
    }

    /// Reads the files again; handshakes that begin after this call see the new ones. Certificate, key and
    /// client authorities change together, and sessions of before cannot be resumed. Connections that are
    /// open stay as they are. It blocks on the disk.
    ///
    /// # Errors
    /// [`TlsError`], and then all stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(self.shared.config.build()?);
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Returns where the certificates come from.
    pub fn config(&self) -> &ServerTlsConfig {
        &self.shared.config
    }

    /// Makes the TLS handshake with a client. It has no deadline of its own.
    ///
    /// # Errors
    /// [`TlsError::Handshake`] with the reason.
    ///
    /// # Cancel safety
    /// Dropping the future drops `stream`.
    pub async fn accept<S>(&self, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let result = TlsAcceptor::from(config).accept(stream).await;
        result.map_err(|source| TlsError::Handshake { peer: "client".to_owned(), source })
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.shared.config).finish()
    }
}

fn client_verifier(
    ca: &PemSource,
    policy: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = root_store(std::slice::from_ref(ca))?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let builder = match policy {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| TlsError::Config(Box::new(error)))
}

/// Says in our words why a certificate and its key were refused.
pub(super) fn identity_error(
    error: rustls::Error,
    certificate: &PemSource,
    key: &PemSource,
) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::KeyMismatch { key: key.to_string(), certificate: certificate.to_string() }
        }
        rustls::Error::InvalidCertificate(_) => certificate.malformed(error),
        error => key.malformed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::{Authority, handshake};
    use super::*;
    use crate::tls::ClientTls;

    fn client(authority: &Authority) -> ClientTls {
        ClientTls::builder().roots(authority.pem()).build().unwrap()
    }

    fn client_with_identity(authority: &Authority, issuer: &Authority) -> ClientTls {
        let (certificate, key) = issuer.issue("client");
        ClientTls::builder().roots(authority.pem()).identity(certificate, key).build().unwrap()
    }

    fn server(authority: &Authority, policy: ClientCertificates) -> ServerTls {
        let (certificate, key) = authority.issue("ws.test");
        let config = ServerTlsConfig::new(certificate, key).with_client_ca(authority.pem(), policy);
        ServerTls::load(config).unwrap()
    }

    #[tokio::test]
    async fn a_required_client_certificate_is_seen_by_the_server() {
        let authority = Authority::new();
        let server = server(&authority, ClientCertificates::Required);
        let client = client_with_identity(&authority, &authority);
        let accepted = handshake(&client, &server, "ws.test").await.1.unwrap();
        assert_eq!(accepted.get_ref().1.peer_certificates().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_missing_client_certificate_fails_only_where_it_is_required() {
        let authority = Authority::new();
        let required = server(&authority, ClientCertificates::Required);
        assert!(handshake(&client(&authority), &required, "ws.test").await.1.is_err());
        let optional = server(&authority, ClientCertificates::Optional);
        let accepted = handshake(&client(&authority), &optional, "ws.test").await.1.unwrap();
        assert!(accepted.get_ref().1.peer_certificates().is_none());
    }

    #[tokio::test]
    async fn a_client_certificate_of_another_authority_fails_even_where_it_is_optional() {
        let authority = Authority::new();
        let optional = server(&authority, ClientCertificates::Optional);
        let client = client_with_identity(&authority, &Authority::new());
        assert!(handshake(&client, &optional, "ws.test").await.1.is_err());
    }

    #[tokio::test]
    async fn a_client_that_speaks_only_h2_is_refused() {
        let authority = Authority::new();
        let server = server(&authority, ClientCertificates::Optional);
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(root_store(&[authority.pem()]).unwrap())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (near, far) = tokio::io::duplex(16 * 1024);
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = rustls::pki_types::ServerName::try_from("ws.test").unwrap();
        let (client, server) = tokio::join!(connector.connect(name, near), server.accept(far));
        assert!(client.is_err() && server.is_err());
    }

    #[tokio::test]
    async fn reload_swaps_certificates_and_a_bad_reload_changes_nothing() {
        let (old, new) = (Authority::new(), Authority::new());
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = old.issue_files(dir.path(), "ws.test");
        let config = ServerTlsConfig::new(PemSource::file(&cert), PemSource::file(&key));
        let server = ServerTls::load(config).unwrap();
        handshake(&client(&old), &server, "ws.test").await.0.unwrap();

        fs::write(&cert, "gone").unwrap();
        assert!(matches!(server.reload(), Err(TlsError::NoCertificate { .. })));
        handshake(&client(&old), &server, "ws.test").await.0.unwrap();

        new.issue_files(dir.path(), "ws.test");
        server.clone().reload().unwrap();
        handshake(&client(&new), &server, "ws.test").await.0.unwrap();
        assert!(handshake(&client(&old), &server, "ws.test").await.0.is_err());
    }

    #[test]
    fn a_key_of_another_certificate_is_named() {
        let authority = Authority::new();
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = authority.issue_files(dir.path(), "a.test");
        let old_cert = fs::read(&cert).unwrap();
        authority.issue_files(dir.path(), "b.test");
        fs::write(&cert, old_cert).unwrap();
        let error =
            ServerTls::load(ServerTlsConfig::new(PemSource::file(&cert), PemSource::file(&key)))
                .unwrap_err();
        let expected =
            format!("key {} does not match certificate {}", key.display(), cert.display());
        assert_eq!(error.to_string(), expected);
    }
}
