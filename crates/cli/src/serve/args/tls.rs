//! Certificates.

use std::path::PathBuf;

use everwire::tls::{ClientCertificates, PemSource, ServerTls, ServerTlsConfig};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(in crate::serve) struct TlsArgs {
    /// The certificate, followed by its chain (PEM). It is read again on SIGHUP and, within 10
    /// seconds, when it or its key has changed.
    #[arg(long, value_name = "FILE", env = "EVERWIRE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", env = "EVERWIRE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// The authorities of which clients must show a certificate (PEM).
    #[arg(long, value_name = "FILE", env = "EVERWIRE_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the certificates, if there are any.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(in crate::serve) fn load(&self) -> anyhow::Result<Option<ServerTls>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let mut config = ServerTlsConfig::new(PemSource::file(cert), PemSource::file(key));
        if let Some(ca) = &self.tls_client_ca {
            config = config.with_client_ca(PemSource::file(ca), ClientCertificates::Required);
        }
        ServerTls::load(config).map(Some).map_err(|error| anyhow::anyhow!("{error}"))
    }
}
