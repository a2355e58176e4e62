//! The client's side of TLS.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verify::AnyCertificate;
use super::{ALPN_HTTP11, PemSource, TlsError, provider, server::identity_error};

/// How servers are verified and what we show them. Built once, cheap to clone; clones share the session cache.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl ClientTls {
    /// Trusts what the platform trusts (on Linux the CA bundle of the distribution) and shows no certificate.
    ///
    /// # Errors
    /// [`TlsError::PlatformRoots`] where there are none, as in an empty container.
    pub fn new() -> Result<Self, TlsError> {
        Self::builder().build()
    }

    /// Starts from the same defaults.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder::default()
    }

    /// Makes the TLS handshake over `stream` with the server that is called `server_name`: a DNS name, or an
    /// address without brackets.
    ///
    /// # Errors
    /// [`TlsError::Handshake`] with the reason, for instance an unknown issuer or a wrong name.
    ///
    /// # Cancel safety
    /// Dropping the future drops `stream`.
    pub async fn connect<S>(&self, stream: S, server_name: &str) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // RFC 6066 §3: the name in SNI has no trailing dot, and certificates have none either.
        let bare_name = server_name.strip_suffix('.').unwrap_or(server_name);
        let Ok(name) = ServerName::try_from(bare_name.to_owned()) else {
            return Err(TlsError::ServerName { name: server_name.to_owned() });
        };
        let result = TlsConnector::from(self.config.clone()).connect(name, stream).await;
        result.map_err(|source| TlsError::Handshake { peer: server_name.to_owned(), source })
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("alpn", &"http/1.1").finish_non_exhaustive()
    }
}

/// Collects what a [`ClientTls`] is made from.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTlsBuilder {
    roots: Vec<PemSource>,
    identity: Option<(PemSource, PemSource)>,
    accept_any: bool,
}

impl ClientTlsBuilder {
    /// Trusts the authorities in `pem` *instead of* the platform's. Can be called more than once.
    pub fn roots(mut self, pem: PemSource) -> Self {
        self.roots.push(pem);
        self
    }

    /// Shows a certificate (with its chain) to servers that ask for one.
    pub fn identity(mut self, certificate: PemSource, key: PemSource) -> Self {
        self.identity = Some((certificate, key));
        self
    }

    /// Accepts **every** certificate: expired, of another name, made by anyone in between. The connection is
    /// then encrypted towards nobody in particular. For a look at a test server, never for a product.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.accept_any = true;
        self
    }

    /// Reads the files and makes the configuration. It blocks on the disk.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what was expected of it.
    pub fn build(self) -> Result<ClientTls, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Config(Box::new(error)))?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificate.certificates()?, key.private_key()?)
                .map_err(|error| identity_error(error, certificate, key))?,
        };
        config.alpn_protocols = vec![ALPN_HTTP11.to_vec()];
        Ok(ClientTls { config: Arc::new(config) })
    }

    fn verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if self.accept_any {
            return Ok(Arc::new(AnyCertificate::new(provider())));
        }
        if self.roots.is_empty() {
            let verifier = rustls_platform_verifier::Verifier::new(provider());
            return Ok(Arc::new(
                verifier.map_err(|error| TlsError::PlatformRoots(Box::new(error)))?,
            ));
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(root_store(&self.roots)?, provider())
                .build();
        Ok(verifier.map_err(|error| TlsError::Config(Box::new(error)))?)
    }
}

/// Makes a store of trusted roots from PEM.
pub(super) fn root_store(sources: &[PemSource]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for source in sources {
        for certificate in source.certificates()? {
            roots.add(certificate).map_err(|error| source.malformed(error))?;
        }
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, handshake};
    use super::*;
    use crate::tls::{ServerTls, ServerTlsConfig};

    fn server(authority: &Authority, name: &str) -> ServerTls {
        let (certificate, key) = authority.issue(name);
        ServerTls::load(ServerTlsConfig::new(certificate, key)).unwrap()
    }

    #[tokio::test]
    async fn a_server_of_the_given_roots_is_accepted_and_speaks_http11() {
        let authority = Authority::new();
        let client = ClientTls::builder().roots(authority.pem()).build().unwrap();
        let (client, server) = handshake(&client, &server(&authority, "ws.test"), "ws.test").await;
        assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(server.unwrap().get_ref().1.server_name(), Some("ws.test"));
    }

    #[tokio::test]
    async fn a_trailing_dot_is_no_part_of_the_name() {
        let authority = Authority::new();
        let client = ClientTls::builder().roots(authority.pem()).build().unwrap();
        let (client, server) = handshake(&client, &server(&authority, "ws.test"), "ws.test.").await;
        client.unwrap();
        assert_eq!(server.unwrap().get_ref().1.server_name(), Some("ws.test"));
    }

    #[tokio::test]
    async fn an_address_is_a_valid_server_name() {
        let authority = Authority::new();
        let client = ClientTls::builder().roots(authority.pem()).build().unwrap();
        for ip in ["127.0.0.1", "::1"] {
            handshake(&client, &server(&authority, ip), ip).await.0.unwrap();
        }
    }

    #[tokio::test]
    async fn an_unknown_authority_is_refused_on_both_sides() {
        let client = ClientTls::builder().roots(Authority::new().pem()).build().unwrap();
        let (client, server) =
            handshake(&client, &server(&Authority::new(), "ws.test"), "ws.test").await;
        let message = client.unwrap_err().to_string();
        assert!(
            message.starts_with("tls handshake with ws.test failed: invalid peer certificate"),
            "{message}"
        );
        assert!(server.unwrap_err().to_string().starts_with("tls handshake with client failed"));
    }

    #[tokio::test]
    async fn a_wrong_name_is_refused() {
        let authority = Authority::new();
        let client = ClientTls::builder().roots(authority.pem()).build().unwrap();
        let (client, _) = handshake(&client, &server(&authority, "ws.test"), "other.test").await;
        assert!(client.unwrap_err().to_string().contains("not valid for name"));
    }

    #[tokio::test]
    async fn the_platform_does_not_trust_a_test_authority() {
        // A machine without any roots cannot build this at all, which is as good an answer.
        let Ok(client) = ClientTls::new() else { return };
        let (client, _) =
            handshake(&client, &server(&Authority::new(), "ws.test"), "ws.test").await;
        assert!(matches!(client, Err(TlsError::Handshake { .. })));
    }

    #[tokio::test]
    async fn danger_accepts_any_certificate() {
        let client = ClientTls::builder().danger_accept_any_certificate().build().unwrap();
        handshake(&client, &server(&Authority::new(), "ws.test"), "other.test").await.0.unwrap();
    }

    #[test]
    fn a_client_key_that_does_not_match_is_an_error() {
        let authority = Authority::new();
        let (certificate, key) = (authority.issue("me").0, authority.issue("you").1);
        let result =
            ClientTls::builder().danger_accept_any_certificate().identity(certificate, key).build();
        assert!(matches!(result, Err(TlsError::KeyMismatch { .. })), "{result:?}");
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_one_is_refused() {
        let client = ClientTls::builder().danger_accept_any_certificate().build().unwrap();
        let error = client.connect(tokio::io::duplex(1).0, "not a name").await.unwrap_err();
        assert!(matches!(error, TlsError::ServerName { .. }));
    }
}
