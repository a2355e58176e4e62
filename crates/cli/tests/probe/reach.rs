//! The way to the server: names, TCP, TLS.

use std::{fs, net::SocketAddr, path::Path};

use everwire::{
    BoundAddr, OriginPolicy, Server, WebSocket,
    tls::{PemSource, ServerTls, ServerTlsConfig},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::runtime::Runtime;

use crate::{
    peer::serve,
    process::{report, run},
};

/// An everwire server with `/echo`, with TLS by a certificate that ends in this year.
struct Fixture {
    addr: SocketAddr,
    ca: String,
    _directory: tempfile::TempDir,
    _server: Server,
    _runtime: Runtime,
}

impl Fixture {
    fn new(until: i32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = certificates(directory.path(), until);
        Self::with(directory, files)
    }

    /// A server whose certificate is signed by its own key, for an authority or not.
    fn self_signed(is_ca: IsCa) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let [cert, key] = [("cert", certificate), ("key", key.serialize_pem())]
            .map(|(name, pem)| write(directory.path(), name, pem));
        Self::with(directory, [cert.clone(), cert, key])
    }

    fn with(directory: tempfile::TempDir, [ca, cert, key]: [String; 3]) -> Self {
        let config = ServerTlsConfig::new(PemSource::file(cert), PemSource::file(key));
        let tls = ServerTls::load(config).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let builder = Server::builder()
            .bind("127.0.0.1:0")
            .origin(OriginPolicy::DangerAnyOrigin)
            .pull("/echo", |mut ws: WebSocket| async move {
                while let Some(message) = ws.recv().await {
                    ws.send(message).await.ok();
                }
            })
            .tls(tls);
        let server = runtime.block_on(builder.start()).unwrap();
        let BoundAddr::Tcp(addr) = server.addrs()[0] else { panic!("no tcp address") };
        Self { addr, ca, _directory: directory, _server: server, _runtime: runtime }
    }

    fn url(&self) -> String {
        format!("wss://localhost:{}/echo", self.addr.port())
    }
}

/// Writes an authority and a certificate for localhost.
fn certificates(directory: &Path, until: i32) -> [String; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let certificate = params.signed_by(&key, &authority).unwrap();
    let file = |name, pem| write(directory, name, pem);
    [file("ca", authority.pem()), file("cert", certificate.pem()), file("key", key.serialize_pem())]
}

fn write(directory: &Path, name: &str, pem: String) -> String {
    let path = directory.join(name);
    fs::write(&path, pem).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn tls_is_described() {
    let fixture = Fixture::new(4000);
    let json = report(&["--ca", &fixture.ca, &fixture.url()]).faults(0, &[]);
    let tls = &json["tls"];
    assert_eq!((&tls["version"], &tls["alpn"]), (&"1.3".into(), &"http/1.1".into()));
    assert_eq!(
        (&tls["verified"], &tls["certificate"]["not_after"]),
        (&true.into(), &"4000-01-01T00:00:00Z".into())
    );
    assert!(tls["certificate"]["days_left"].as_i64().unwrap() > 700_000);
    assert_eq!(json["dns"]["host"], "localhost");
    assert_eq!(
        (&json["close"]["clean"], &json["message"]["largest"]),
        (&true.into(), &65_536.into())
    );
    run(&["--ca", &fixture.ca, &fixture.url()])
        .says("ok     tls        TLS 1.3, http/1.1, certificate for ");
}

#[test]
fn a_certificate_that_is_not_trusted_is_shown_all_the_same() {
    let fixture = Fixture::new(4000);
    let json = report(&[&fixture.url()]).faults(3, &["tls.certificate"]);
    assert_eq!(
        (&json["verdict"], &json["tls"]["verified"]),
        (&"no_connection".into(), &false.into())
    );
    assert_eq!(json["tls"]["certificate"]["not_before"], "2020-01-01T00:00:00Z");
    let json = report(&["-k", &fixture.url()]).faults(0, &[]);
    assert_eq!(json["tls"]["verified"], false);
}

#[test]
fn a_certificate_that_has_expired_is_named() {
    let fixture = Fixture::new(2024);
    let ran = run(&["--ca", &fixture.ca, &fixture.url()]);
    assert_eq!(ran.status, 3, "{}", ran.stdout);
    ran.says("certificate expired for ");
    ran.says("[tls.certificate]");
}

#[test]
fn a_certificate_of_an_authority_is_none_for_a_server() {
    let fixture = Fixture::self_signed(IsCa::Ca(BasicConstraints::Unconstrained));
    let ran = run(&["--ca", &fixture.ca, &fixture.url()]);
    assert_eq!(ran.status, 3, "{}", ran.stdout);
    ran.says("[tls.certificate]");
    ran.says("it is an authority's own (CA:TRUE) and may not be shown by a server");
    ran.says("basicConstraints=critical,CA:FALSE");
    // And so what is advised works.
    let fixture = Fixture::self_signed(IsCa::ExplicitNoCa);
    report(&["--ca", &fixture.ca, &fixture.url()]).faults(0, &[]);
}

#[test]
fn ports_that_speak_something_else_are_told_apart() {
    let fixture = Fixture::new(4000);
    report(&[&format!("ws://{}/echo", fixture.addr)]).faults(3, &["upgrade.tls_on_plain_port"]);
    let plain = serve(|mut stream| {
        std::io::Write::write_all(&mut stream, b"220 mail.test ESMTP\r\n").ok();
        std::io::Read::read(&mut stream, &mut [0; 1000]).ok();
    });
    report(&["-k", &plain.replace("ws:", "wss:")]).faults(3, &["tls.failed"]);
}

#[test]
fn nobody_there_is_no_connection() {
    let ran = report(&["ws://127.0.0.1:1/"]);
    let json = ran.faults(3, &["tcp.failed"]);
    assert_eq!((&json["faults"][0]["blame"], json["tcp"].is_null()), (&"network".into(), true));
    report(&["ws://probe.invalid/"]).faults(3, &["dns.failed"]);
    report(&["--proxy", "http://127.0.0.1:1", "ws://192.0.2.1/"]).faults(3, &["proxy.failed"]);
}

#[test]
fn a_tls_handshake_that_stalls_has_a_deadline_of_its_own() {
    let url = serve(|stream| drop(std::io::Read::read_to_end(&mut &stream, &mut Vec::new())));
    let json = report(&["-k", &url.replace("ws:", "wss:")]).faults(3, &["tls.timeout"]);
    // As far as it went well, it is told.
    assert_eq!(json["tcp"]["address"], url["ws://".len()..].trim_end_matches('/'));
}
