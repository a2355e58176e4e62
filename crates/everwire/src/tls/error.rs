//! Why TLS could not be configured or set up.

use std::path::PathBuf;
use std::{error, fmt, io};

/// An error of the TLS library, kept opaque so that its version is not part of our interface.
type Source = Box<dyn error::Error + Send + Sync + 'static>;

/// Why TLS could not be configured or set up. Every message names the file it is about.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// This program was built without the cargo feature `tls`.
    NotCompiledIn,
    /// A file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The PEM text holds no certificate.
    NoCertificate {
        /// The file, or a word for text from memory.
        pem: String,
    },
    /// The PEM text holds no private key.
    NoPrivateKey {
        /// The file, or a word for text from memory.
        pem: String,
    },
    /// The text is not PEM, or what it holds is not what its label says.
    Malformed {
        /// The file, or a word for text from memory.
        pem: String,
        /// What is wrong.
        source: Source,
    },
    /// The private key does not belong to the certificate.
    KeyMismatch {
        /// Where the key came from.
        key: String,
        /// Where the certificate came from.
        certificate: String,
    },
    /// The trusted roots of the platform could not be loaded.
    PlatformRoots(Source),
    /// The name of the server can be neither a DNS name nor an address.
    ServerName {
        /// The name.
        name: String,
    },
    /// The TLS library refused the configuration.
    Config(Source),
    /// The handshake failed: the network broke, or one side did not accept the other.
    Handshake {
        /// The name of the server, or `client`.
        peer: String,
        /// What went wrong.
        source: io::Error,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompiledIn => {
                f.write_str("built without TLS: expected the cargo feature `tls` of everwire")
            }
            Self::Read { path, source } => write!(f, "could not read {}: {source}", path.display()),
            Self::NoCertificate { pem } => {
                write!(
                    f,
                    "no certificate found in {pem}: expected a PEM block \"BEGIN CERTIFICATE\""
                )
            }
            Self::NoPrivateKey { pem } => {
                write!(
                    f,
                    "no private key found in {pem}: expected an unencrypted PEM block \"BEGIN PRIVATE KEY\""
                )
            }
            Self::Malformed { pem, source } => write!(f, "{pem} is malformed: {source}"),
            Self::KeyMismatch { key, certificate } => {
                write!(f, "key {key} does not match certificate {certificate}")
            }
            Self::PlatformRoots(source) => {
                write!(f, "could not load the platform's trusted roots: {source}")
            }
            Self::ServerName { name } => write!(
                f,
                "\"{name}\" is not a valid server name: expected a DNS name or an address"
            ),
            Self::Config(source) => write!(f, "tls configuration refused: {source}"),
            Self::Handshake { peer, source } => {
                write!(f, "tls handshake with {peer} failed: ")?;
                if is_ca_as_end_entity(source) {
                    // What the TLS library says is the name of one of its types.
                    return f.write_str(
                        "invalid peer certificate: it is an authority's own (CA:TRUE) and may not be \
                         shown by a server: expected one that is issued for the server (CA:FALSE)",
                    );
                }
                source.fmt(f)
            }
        }
    }
}

/// Returns whether the certificate that was shown is one of an authority, such as
/// `openssl req -x509` makes them. See RFC 5280 §4.2.1.9.
#[cfg(feature = "tls")]
fn is_ca_as_end_entity(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    // The verifier's own error has no type here: rustls hands it on as another one.
    matches!(
        error,
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(error)))
            if error.0.to_string() == "CaUsedAsEndEntity"
    )
}

#[cfg(not(feature = "tls"))]
fn is_ca_as_end_entity(_: &io::Error) -> bool {
    false
}

impl error::Error for TlsError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        // The messages above repeat the inner error, so the chain goes on below it.
        match self {
            Self::Read { source, .. } | Self::Handshake { source, .. } => {
                error::Error::source(source)
            }
            Self::Malformed { source, .. } | Self::PlatformRoots(source) | Self::Config(source) => {
                source.source()
            }
            _ => None,
        }
    }
}
