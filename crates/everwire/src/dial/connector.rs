//! Streams that the user opens: to a Unix socket, through a tunnel of one's own, within a test.

use std::{future::Future, io, pin::Pin, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    dialer::Dialer,
    phase::{Phase, PhaseTracker},
    stream::{ConnectorStream, DialStream},
};

type Connecting = Pin<Box<dyn Future<Output = io::Result<ConnectorStream>> + Send>>;

/// The user's function that opens streams.
#[derive(Clone)]
pub(super) struct Connector(Arc<dyn Fn(String, u16) -> Connecting + Send + Sync>);

impl Connector {
    pub(super) async fn connect(
        &self,
        host: &str,
        port: u16,
        phase: &PhaseTracker,
    ) -> io::Result<DialStream> {
        phase.enter(Phase::Connect);
        (self.0)(host.to_owned(), port).await.map(DialStream::Connector)
    }
}

impl Dialer {
    /// Opens streams by calling this with a host and a port, in place of name resolution and TCP.
    ///
    /// The host is that of the URL, without the brackets of an IPv6 address; the port is the
    /// scheme's where the URL names none. Where a [proxy](Self::with_proxy) is to be used, both are
    /// the proxy's. TLS, and what is said to a proxy, go on top as ever. Addresses and the options of
    /// sockets are the function's business: the connection knows no address of the peer's, and
    /// nothing of what the system knows of its path.
    ///
    /// The future may be dropped at any time, such as when the time to connect is up. Its error is
    /// [`DialError::Connector`](super::DialError::Connector), or
    /// [`ProxyError::Io`](super::ProxyError::Io) of a proxy; a reconnecting client tries again.
    ///
    /// # Examples
    /// A server that listens on a Unix socket:
    /// ```
    /// # #[cfg(unix)]
    /// # fn example() -> Result<everwire::Client, Box<dyn std::error::Error>> {
    /// use everwire::{Client, dial::{Dialer, ProxyConfig}};
    /// use tokio::net::UnixStream;
    ///
    /// let dialer = Dialer::new()
    ///     .with_proxy(ProxyConfig::Direct)
    ///     .with_connector(|_host, _port| UnixStream::connect("/run/app.sock"));
    /// let client = Client::new("ws://localhost/live")?.dialer(dialer);
    /// # Ok(client) }
    /// ```
    #[must_use]
    pub fn with_connector<F, R, S>(mut self, connect: F) -> Self
    where
        F: Fn(String, u16) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.connector = Some(Connector(Arc::new(move |host, port| {
            let connecting = connect(host, port);
            Box::pin(async move { connecting.await.map(ConnectorStream::new) })
        })));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::dial::{DialError, ProxyConfig, ProxyError, ProxyUrl, Target};

    /// Who was asked for, in order.
    type Asked = Arc<Mutex<Vec<(String, u16)>>>;

    /// Returns a dialer that gets one end of a pipe, with the other end.
    fn piped(proxy: ProxyConfig) -> (Dialer, DuplexStream, Asked) {
        let (near, far) = duplex(16 << 10);
        let (near, asked) = (Mutex::new(Some(near)), Asked::default());
        let log = asked.clone();
        let dialer = Dialer::new().with_proxy(proxy).with_connector(move |host, port| {
            log.lock().unwrap().push((host, port));
            let near = near.lock().unwrap().take();
            async { near.ok_or_else(|| io::Error::other("one pipe is all there is")) }
        });
        (dialer, far, asked)
    }

    async fn dial(dialer: &Dialer, url: &str) -> Result<DialStream, DialError> {
        dialer.dial(&Target::parse(url).unwrap(), &PhaseTracker::default()).await
    }

    #[tokio::test]
    async fn a_connector_is_given_host_and_port_and_its_stream_is_used_as_it_is() {
        let (dialer, mut far, asked) = piped(ProxyConfig::Direct);
        let mut stream = dial(&dialer, "ws://nowhere.test/live").await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [("nowhere.test".to_owned(), 80)]);
        stream.write_all(b"there").await.unwrap();
        far.write_all(b"back").await.unwrap();
        let mut bytes = [0; 5];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"there");
        stream.read_exact(&mut bytes[..4]).await.unwrap();
        assert_eq!(&bytes[..4], b"back");
        assert!(stream.tcp().is_none());
    }

    #[tokio::test]
    async fn a_connector_without_a_stream_is_named_with_what_it_was_asked_for() {
        let (dialer, _far, _) = piped(ProxyConfig::Direct);
        dial(&dialer, "ws://[::1]:81/").await.unwrap();
        let error = dial(&dialer, "ws://[::1]:81/").await.unwrap_err();
        let expected = "the connector opened no stream to ::1 port 81: one pipe is all there is";
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn a_proxy_is_reached_through_the_connector() {
        let proxy = ProxyConfig::Url(ProxyUrl::parse("proxy.test:3128").unwrap());
        let (dialer, mut far, asked) = piped(proxy);
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\nhi").await.unwrap();
        let mut stream = dial(&dialer, "ws://nowhere.test/").await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [("proxy.test".to_owned(), 3128)]);
        let mut bytes = [0; 2];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hi");
        let mut head = [0; 28];
        far.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"CONNECT nowhere.test:80 HTTP");
        let error = dial(&dialer, "ws://nowhere.test/").await.unwrap_err();
        assert!(matches!(error, DialError::Proxy { source: ProxyError::Io(_), .. }), "{error}");
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn tls_is_put_on_top_of_what_a_connector_opens() {
        use crate::tls::{ClientTls, ServerTls, ServerTlsConfig, testing::Authority};

        let authority = Authority::new();
        let (certificate, key) = authority.issue("ws.test");
        let tls = ServerTls::load(ServerTlsConfig::new(certificate, key)).unwrap();
        let (dialer, far, asked) = piped(ProxyConfig::Direct);
        let dialer = dialer.with_tls(ClientTls::builder().roots(authority.pem()).build().unwrap());
        let server =
            tokio::spawn(async move { tls.accept(far).await.unwrap().read_u8().await.unwrap() });
        let mut stream = dial(&dialer, "wss://ws.test/").await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [("ws.test".to_owned(), 443)]);
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(server.await.unwrap(), b'x');
        assert!(matches!(stream, DialStream::Tls(_)));
        assert!(stream.tcp().is_none());
    }
}
