//! One attempt: the request goes out, the response comes in.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use everwire_proto::{
    Connection, DeflateParams,
    handshake::{ClientHandshake, ClientRequest, HeadError, HeadLimits, HeadReader, RequestError},
};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION, SET_COOKIE},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Client, ConnectError, Refused, body::Body, redirect};
use crate::{
    clock, codecs,
    dial::{DialStream, Dialer, PhaseTracker, Scheme, Target},
    peers::Peers,
    random,
    shared::Shared,
};

/// Time for the body of a refusal, which is worth less than the refusal.
const BODY_TIME: Duration = Duration::from_secs(2);

/// What is kept of the deadline, so that a refusal with an endless body is not reported as a
/// timeout.
const MARGIN: Duration = Duration::from_millis(50);

/// The offer of a bearer token among the subprotocols.
const BEARER_PREFIX: &str = "everwire.bearer.";

/// A connection whose opening handshake is done.
pub(super) struct Opened {
    pub(super) io: DialStream,
    pub(super) proto: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) early: Vec<u8>,
    pub(super) request: Arc<Request<()>>,
}

/// The response that opened a connection, among its data.
#[derive(Clone)]
pub(super) struct Answer(pub(super) Response<()>);

/// One attempt, or its continuation at the place it was redirected to.
pub(super) struct Attempt<'a> {
    client: &'a Client,
    pub(super) target: Target,
    headers: HeaderMap,
    subprotocols: Vec<String>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        let target = client.target.clone();
        let mut headers = client.headers.clone();
        if let Some(credentials) = target.credentials()
            && !headers.contains_key(AUTHORIZATION)
        {
            headers.insert(AUTHORIZATION, credentials.basic());
        }
        Self { client, target, headers, subprotocols: client.subprotocols.clone() }
    }

    /// Goes on at `target`. What was meant for one host is not told another, nor told again to
    /// the first one once another has been in between.
    pub(super) fn redirect(&mut self, target: Target) {
        if !redirect::is_same_host(&self.target, &target) {
            strip(&mut self.headers, &mut self.subprotocols);
        }
        self.target = target;
    }

    /// Dials and does the opening handshake.
    pub(super) async fn open(
        &self,
        dialer: &Dialer,
        phase: &PhaseTracker,
        deadline: Instant,
    ) -> Result<Opened, ConnectError> {
        let handshake = self.handshake()?;
        let request = self.shown_request(&handshake);
        let mut io = dialer.dial(&self.target, phase).await?;
        if let Some(observer) = &self.client.observer {
            observer.request(&self.target, &request);
        }
        let head = self.target.encode_request(&handshake);
        let written = async {
            io.write_all(&head).await?;
            io.flush().await
        };
        // A server that refuses before it has read everything may have answered all the same.
        let write_error = written.await.err();
        let mut bytes = Vec::with_capacity(1024);
        let response = match (self.read_response(&mut io, &mut bytes).await, write_error) {
            (Err(ConnectError::Closed { received: 0 }), Some(error)) => {
                return Err(ConnectError::Io(error));
            }
            (response, _) => response?,
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let until = (Instant::now() + BODY_TIME).min(deadline - MARGIN);
            return Err(self.refused(io, response, &bytes, until).await);
        }
        let agreed = handshake.verify(&response)?;
        let deflate = match self.client.connection_config().deflate {
            Some(deflate) => deflate.agree(&agreed)?,
            None => None,
        };
        Ok(self.opened(io, request, response, agreed.subprotocol, deflate, bytes))
    }

    /// Reads the body of a refusal, unless it is a redirect that will be followed.
    async fn refused(
        &self,
        mut io: DialStream,
        response: Response<()>,
        early: &[u8],
        until: Instant,
    ) -> ConnectError {
        let (parts, ()) = response.into_parts();
        let (status, headers) = (parts.status, parts.headers);
        let mut body = Body::new(&headers, status, early);
        let mut refused = Refused { status, headers, body: Bytes::new() };
        if self.client.redirects == 0 || redirect::location(&refused).is_none() {
            let _ = timeout_at(until, body.read(&mut io)).await;
            refused.body = body.into_bytes();
        }
        ConnectError::Refused(Box::new(refused))
    }

    fn opened(
        &self,
        io: DialStream,
        request: Request<()>,
        response: Response<()>,
        subprotocol: Option<String>,
        deflate: Option<DeflateParams>,
        early: Vec<u8>,
    ) -> Opened {
        let config = self.client.config.clone();
        let tcp = io.tcp();
        let remote = tcp.and_then(|tcp| tcp.peer_addr().ok());
        let local = tcp.and_then(|tcp| tcp.local_addr().ok());
        let peers = Peers::new(remote, local, None);
        let mut data = http::Extensions::new();
        data.insert(Answer(response));
        let path = request.uri().path().into();
        let subprotocol = subprotocol.map(Into::into);
        let shared = Shared::new(path, peers, subprotocol, data, deflate, &config);
        let mut proto = Connection::client(config, clock::now(), random::source());
        if let Some(params) = deflate {
            proto.set_deflate(params, codecs::lend);
        }
        #[cfg(feature = "tls")]
        if matches!(io, DialStream::Tls(_)) {
            proto.set_tls();
        }
        if let Some(frames) = self.client.frames() {
            proto.observe(frames);
        }
        Opened { io, proto, shared, early, request: Arc::new(request) }
    }

    /// Makes the request, but for its target: `http::Uri` does not take every URL as it is
    /// written.
    fn handshake(&self) -> Result<ClientHandshake, RequestError> {
        let mut headers = self.headers.clone();
        if !headers.contains_key(HOST) {
            let host = HeaderValue::try_from(self.target.host_header());
            headers.insert(HOST, host.expect("a host is visible ASCII"));
        }
        if let Some(cookies) = self.client.cookies.as_ref().and_then(|jar| jar.get(&self.target)) {
            // RFC 6265 §5.4: "the user agent MUST NOT attach more than one Cookie header field".
            let merged = match headers.get(COOKIE) {
                Some(own) => [own.as_bytes(), b"; ", cookies.as_bytes()].concat(),
                None => cookies.as_bytes().to_vec(),
            };
            let value = HeaderValue::try_from(merged).expect("both were header values");
            headers.insert(COOKIE, value);
        }
        let base = ClientRequest::new(match self.target.scheme() {
            Scheme::Ws => "ws://target/",
            Scheme::Wss => "wss://target/",
        })?;
        let offer =
            self.subprotocols.iter().fold(base.headers(headers), ClientRequest::subprotocol);
        let offer = match self.client.connection_config().deflate {
            Some(deflate) => offer.extension(deflate.offer()),
            None => offer,
        };
        let mut key = [0; 16];
        random::fill(&mut key);
        ClientHandshake::new(&offer, key)
    }

    /// Returns the request as it is shown to the caller.
    fn shown_request(&self, handshake: &ClientHandshake) -> Request<()> {
        const NOT_IN_URI: &AsciiSet = &CONTROLS
            .add(b'"')
            .add(b'<')
            .add(b'>')
            .add(b'\\')
            .add(b'^')
            .add(b'`')
            .add(b'{')
            .add(b'|')
            .add(b'}');
        let mut request = handshake.request().clone();
        let raw = self.target.path_and_query();
        let uri = raw.parse().or_else(|_| utf8_percent_encode(raw, NOT_IN_URI).to_string().parse());
        *request.uri_mut() = uri.unwrap_or_else(|_| Uri::from_static("/"));
        request
    }

    /// Reads heads until one is final, and leaves what comes behind it in `bytes`.
    async fn read_response(
        &self,
        io: &mut DialStream,
        bytes: &mut Vec<u8>,
    ) -> Result<Response<()>, ConnectError> {
        let limits = HeadLimits::default();
        let mut reader = HeadReader::new(limits);
        let mut interim = 0;
        loop {
            let head = reader.response(bytes).map_err(|error| self.bad_head(error, bytes))?;
            let Some((mut response, len)) = head else {
                if io.read_buf(bytes).await.map_err(ConnectError::Io)? == 0 {
                    return Err(ConnectError::Closed { received: bytes.len() });
                }
                continue;
            };
            bytes.drain(..len);
            mark_cookies(response.headers_mut());
            if let Some(observer) = &self.client.observer {
                observer.response(&response);
            }
            if let Some(jar) = &self.client.cookies {
                jar.set(&self.target, &mut response.headers().get_all(SET_COOKIE).iter());
            }
            let status = response.status();
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(response);
            }
            // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses". All
            // together they are bounded like one head.
            interim += len;
            if interim > limits.bytes {
                let limit = limits.bytes;
                return Err(ConnectError::Handshake(HeadError::TooLong { limit }.into()));
            }
        }
    }

    fn bad_head(&self, error: HeadError, bytes: &[u8]) -> ConnectError {
        // RFC 8446 §5.1: an alert is record type 21, of version 3.
        match bytes {
            [21, 3, ..] if self.target.scheme() == Scheme::Ws => ConnectError::Tls,
            _ => ConnectError::Handshake(error.into()),
        }
    }
}

/// Takes away what is meant for one host.
pub(super) fn strip(headers: &mut HeaderMap, subprotocols: &mut Vec<String>) {
    for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST] {
        headers.remove(name);
    }
    subprotocols.retain(|name| !name.starts_with(BEARER_PREFIX));
}

/// Marks what the server stores with us as secret.
fn mark_cookies(headers: &mut HeaderMap) {
    for (_, value) in headers.iter_mut().filter(|(name, _)| *name == SET_COOKIE) {
        value.set_sensitive(true);
    }
}
