//! TLS.

use std::{fs, path::Path};

use everwire::tls::{PemSource, ServerTls, ServerTlsConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::{fixture::Fixture, run::run};

/// Writes an authority and a certificate of it for loopback into `dir`.
fn certificates(dir: &Path) -> ServerTls {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), params.signed_by(&key, &ca).unwrap().pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    let file = |name| PemSource::file(dir.join(name));
    ServerTls::load(ServerTlsConfig::new(file("cert.pem"), file("key.pem"))).unwrap()
}

#[test]
fn tls_is_verified_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture::with_tls(Some(certificates(dir.path())));
    let url = fixture.url("/echo").replace("ws://", "wss://");
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    run(&["-n1", "--ca", &path("ca.pem"), &url], "hi\n").check(0, "hi\n");
    run(&["-n1", "-k", &url], "hi\n").check(0, "hi\n");
    let identity = ["--cert", &path("cert.pem"), "--key", &path("key.pem")];
    run(&[&["-n1", "-k", &url], &identity[..]].concat(), "hi\n").check(0, "hi\n");
    let own = ["--ca", &path("cert.pem")];
    let ran = run(&[&["-n1", &url], &own[..]].concat(), "hi\n");
    ran.check(3, "");
    ran.says("certificate");
    let ran = run(&["-n1", &url.replace("wss://", "ws://")], "hi\n");
    assert_eq!(ran.status, 3);
}
