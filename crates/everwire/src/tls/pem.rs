//! Certificates and keys in PEM, from a file or from memory.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use std::{fmt, fs};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// Where PEM text comes from. A file can be read again later, see [`ServerTls::reload`](super::ServerTls::reload).
#[derive(Clone, PartialEq, Eq)]
pub struct PemSource(Inner);

#[derive(Clone, PartialEq, Eq)]
enum Inner {
    File(PathBuf),
    Text(Arc<[u8]>),
}

impl PemSource {
    /// Names a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Inner::File(path.into()))
    }

    /// Holds the text itself.
    pub fn text(pem: impl AsRef<[u8]>) -> Self {
        Self(Inner::Text(pem.as_ref().into()))
    }

    /// Reads all certificates, of which there must be one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = self.read()?;
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let certificates = parsed.map_err(|error| self.malformed(error))?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate { pem: self.to_string() });
        }
        Ok(certificates)
    }

    /// Reads the first private key, in any of the three encodings (PKCS#8, PKCS#1, SEC1).
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| match error {
            PemError::NoItemsFound => TlsError::NoPrivateKey { pem: self.to_string() },
            error => self.malformed(error),
        })
    }

    /// Turns an error about the content into one that names this source.
    pub(super) fn malformed(
        &self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> TlsError {
        TlsError::Malformed { pem: self.to_string(), source: Box::new(source) }
    }

    /// Returns what changes when the file does, without reading it. Text from memory never changes.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.0 {
            Inner::File(path) => {
                fs::metadata(path).ok().map(|metadata| Fingerprint::new(&metadata))
            }
            Inner::Text(_) => None,
        }
    }

    fn read(&self) -> Result<Cow<'_, [u8]>, TlsError> {
        match &self.0 {
            Inner::File(path) => fs::read(path)
                .map(Cow::Owned)
                .map_err(|source| TlsError::Read { path: path.clone(), source }),
            Inner::Text(text) => Ok(Cow::Borrowed(text)),
        }
    }
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::File(path) => path.display().fmt(f),
            Inner::Text(_) => f.write_str("the PEM text in memory"),
        }
    }
}

impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may be a private key.
        write!(f, "PemSource({self})")
    }
}

/// Modification time, length and inode: a rename over the file (as ACME clients and Kubernetes do it)
/// changes the inode, a rewrite in place the time or the length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: Option<SystemTime>,
    len: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Fingerprint {
    fn new(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            #[cfg(unix)]
            inode: metadata.ino(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let source = PemSource::file(&path);
        assert!(source.certificates().unwrap_err().to_string().starts_with("could not read /"));
        fs::write(&path, "hello").unwrap();
        let message = source.certificates().unwrap_err().to_string();
        assert!(
            message.contains("no certificate found in /") && message.contains("cert.pem: expected"),
            "{message}"
        );
        assert!(matches!(source.private_key(), Err(TlsError::NoPrivateKey { .. })));
        fs::write(&path, "-----BEGIN CERTIFICATE-----\n@@@\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(source.certificates(), Err(TlsError::Malformed { .. })));
    }

    #[test]
    fn debug_does_not_print_the_text() {
        assert_eq!(format!("{:?}", PemSource::text("secret")), "PemSource(the PEM text in memory)");
    }

    #[test]
    fn the_fingerprint_changes_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let source = PemSource::file(&path);
        assert_eq!(source.fingerprint(), None);
        fs::write(&path, "one").unwrap();
        let first = source.fingerprint();
        assert_eq!(first, source.fingerprint());
        fs::write(&path, "three").unwrap();
        assert_ne!(first, source.fingerprint());
    }
}
