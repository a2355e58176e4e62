//! TLS for both ends: configured once, with an explicit provider (ring), never the process default.
//!
//! The crypto provider of rustls can be missing or ambiguous at run time when it is taken from the process
//! default; here it is always named, so no feature of another crate can change or break it.
//! Everything but [`TlsError`] needs the cargo feature `tls`.

#[cfg(feature = "tls")]
mod client;
mod error;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod server;
#[cfg(all(test, feature = "tls"))]
pub(crate) mod testing;
#[cfg(feature = "tls")]
mod verify;
#[cfg(feature = "tls")]
mod watch;

#[cfg(feature = "tls")]
pub use client::{ClientTls, ClientTlsBuilder};
pub use error::TlsError;
#[cfg(feature = "tls")]
pub use pem::PemSource;
#[cfg(feature = "tls")]
pub use server::{ClientCertificates, ServerTls, ServerTlsConfig};

/// RFC 7301 protocol name. We speak RFC 6455, which is HTTP/1.1, and nothing else over TLS.
#[cfg(feature = "tls")]
const ALPN_HTTP11: &[u8] = b"http/1.1";

#[cfg(feature = "tls")]
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
