//! One accepted socket: from its first byte to a WebSocket connection or ordinary HTTP.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use everwire_proto::{
    Cause, Config, Connection, DeflateParams,
    handshake::{
        AcceptOptions, HandshakeError, HeadReader, Rejection, ServerHandshake, encode_response,
        encode_response_head, is_same_origin,
    },
};
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Accept, Context, Slot, UpgradeRequest,
    failure::Failure,
    http_service,
    route::{Opened, Prepared, Route},
};
use crate::{
    codecs, event_loop::EventLoops, io::Io, peers::Peers, random, shared::Shared,
    trust::parse_proxy_header,
};

/// Time for a client to take a refusal and go.
const GOODBYE: Duration = Duration::from_secs(1);

/// An accepted socket.
pub(super) struct Incoming {
    pub(super) remote: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) seat: Seat,
    /// Held until it is known what becomes of it, and while HTTP is answered.
    pub(super) busy: watch::Receiver<()>,
}

/// What a socket takes up, and where its connection may run.
pub(super) struct Seat {
    pub(super) slot: Slot,
    pub(super) loops: EventLoops,
}

/// Where a client is, as far as is known.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) remote: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) is_tls: bool,
}

/// A connection that was accepted by every rule, but not yet answered.
pub(super) struct Negotiated {
    pub(super) response: Response<()>,
    prepared: Box<dyn Prepared>,
    path: Arc<str>,
    config: Arc<Config>,
    /// The path has one of its own.
    has_own_config: bool,
    subprotocol: Option<Box<str>>,
    /// What was agreed upon about compression.
    deflate: Option<DeflateParams>,
    data: http::Extensions,
    peers: Peers,
    request: Request<()>,
}

/// The response that refuses a connection; boxed, because it is large.
type Refusal = Box<Response<String>>;

/// What a socket's first request is.
enum First {
    Upgrade(Box<Negotiated>, Io, Vec<u8>),
    Http(Io, Vec<u8>, Origin),
    Refused(Io, Response<String>),
}

/// Serves one accepted socket. The opening handshake's state is gone before the connection's own
/// task begins.
pub(super) async fn serve(context: Arc<Context>, io: Io, incoming: Incoming) {
    let Incoming { remote, local, seat, busy: _busy } = incoming;
    let first = match before_stopping(&context, pin!(open(&context, io, remote, local))).await {
        Ok(first) => first,
        Err(failure) => return context.failed(remote, &failure),
    };
    match first {
        First::Upgrade(negotiated, io, early) => {
            negotiated.spawn(&context, io, early, seat);
        }
        First::Http(io, early, origin) => {
            Box::pin(http_service::serve(context, io, early.into(), origin, seat)).await;
        }
        First::Refused(io, response) => {
            context.registry.count_refused(response.status());
            Box::pin(say_goodbye(io, &response)).await;
        }
    }
}

/// Gives up at the deadline of the opening handshake, and soon once the server shuts down: whoever has
/// not asked by then gets no more time.
async fn before_stopping<F>(context: &Context, mut opening: Pin<&mut F>) -> Result<First, Failure>
where
    F: Future<Output = Result<First, Failure>>,
{
    let mut grace = pin!(async {
        let mut stopped = context.stopped.clone();
        if stopped.wait_for(Option::is_some).await.is_ok() {
            sleep(GOODBYE).await;
        } else {
            // The server was dropped; what it accepted lives on.
            std::future::pending::<()>().await;
        }
    });
    let opened = poll_fn(|cx| match opening.as_mut().poll(cx) {
        Poll::Ready(opened) => Poll::Ready(opened),
        Poll::Pending => grace.as_mut().poll(cx).map(|()| Err(Failure::Timeout)),
    });
    timeout(context.handshake_timeout, opened).await.unwrap_or(Err(Failure::Timeout))
}

/// Tells a client that the server shuts down, by TLS if that is what it speaks.
pub(super) async fn turn_away(
    context: Arc<Context>,
    io: Io,
    remote: Option<SocketAddr>,
    _busy: watch::Receiver<()>,
) {
    context.registry.count_refused(StatusCode::SERVICE_UNAVAILABLE);
    let mut origin = Origin { remote, local: None, is_tls: false };
    if let Ok(Ok(io)) = timeout(GOODBYE, unwrap(&context, io, &mut origin)).await {
        say_goodbye(io, &unavailable("shutting down\n")).await;
    }
}

/// Tells a client that there is no room.
pub(super) async fn refuse(context: Arc<Context>, io: Io) {
    context.registry.count_refused(StatusCode::SERVICE_UNAVAILABLE);
    #[cfg(feature = "tls")]
    if context.tls.is_some() {
        return; // A TLS handshake is what an overloaded server cannot afford.
    }
    let Ok(_permit) = context.refusals.clone().try_acquire_owned() else { return };
    drop(context);
    say_goodbye(io, &unavailable("too many connections\n")).await;
}

fn unavailable(why: &str) -> Response<String> {
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE)
        .retry_after(Duration::from_secs(5))
        .body(why)
        .response()
}

/// Takes off what is around HTTP: the header of a proxy, and TLS.
async fn unwrap(context: &Context, mut io: Io, origin: &mut Origin) -> Result<Io, Failure> {
    if context.expects_proxy_header
        && let Some(peer) = origin.remote
        && let Some(header) = Box::pin(context.trusted.read_proxy_header(peer, &mut io)).await?
        && let Some(addrs) = header.addrs
    {
        origin.remote = Some(addrs.src);
        origin.local = Some(addrs.dst);
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = &context.tls
        && io.is_plain_tcp()
    {
        // Boxed, because a handshake is large, and most sockets have none.
        io = Io::Tls(Box::new(Box::pin(tls.accept(io)).await?));
        origin.is_tls = true;
    }
    Ok(io)
}

async fn open(
    context: &Context,
    io: Io,
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
) -> Result<First, Failure> {
    let mut origin = Origin { remote, local, is_tls: false };
    let mut io = unwrap(context, io, &mut origin).await?;
    let mut bytes = Vec::with_capacity(1024);
    let mut reader = HeadReader::new(context.head_limits);
    loop {
        match reader.request(&bytes) {
            Ok(Some((request, len))) if context.is_upgrade(&request) => {
                return Ok(match negotiate(context, request, &origin).await {
                    Ok(negotiated) => First::Upgrade(negotiated, io, bytes.split_off(len)),
                    Err(response) => First::Refused(io, *response),
                });
            }
            Ok(Some(_)) => return Ok(First::Http(io, bytes, origin)),
            Ok(None) => {}
            Err(error) => {
                if context.expects_proxy_header && parse_proxy_header(&bytes).is_ok() {
                    context.warn_of_untrusted_proxy(remote);
                }
                return Ok(First::Refused(io, HandshakeError::from(error).response()));
            }
        }
        if io.read_buf(&mut bytes).await? == 0 {
            return Err(Failure::Eof);
        }
    }
}

/// Decides on a request to open a connection.
///
/// # Errors
/// The response that refuses it; 500 if the application's code panics.
pub(super) async fn negotiate(
    context: &Context,
    request: Request<()>,
    origin: &Origin,
) -> Result<Box<Negotiated>, Refusal> {
    if context.stopping().is_some() {
        return Err(unavailable("shutting down\n").into());
    }
    let (upgrade, route) = check(context, request, origin)?;
    let accept = match &context.authorize {
        Some(authorize) => {
            let decided = AssertUnwindSafe(async { authorize(&upgrade).await }).catch_unwind();
            let decided = decided.await.map_err(|_| panicked(&upgrade))?;
            decided.map_err(|reject| Box::new(reject.into_response()))?
        }
        None => Accept::new(),
    };
    let prepared = catch_unwind(AssertUnwindSafe(|| route.endpoint.prepare(&upgrade)));
    let prepared = prepared.map_err(|_| panicked(&upgrade))?;
    finish(context, *upgrade, accept, prepared, route, origin)
}

fn panicked(upgrade: &UpgradeRequest) -> Refusal {
    tracing::error!(path = upgrade.path(), "the code that decides on a connection panicked");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).response().into()
}

/// Checks all that is not for the application to decide.
fn check<'c>(
    context: &'c Context,
    request: Request<()>,
    origin: &Origin,
) -> Result<(Box<UpgradeRequest>, &'c Route), Refusal> {
    let handshake =
        ServerHandshake::verify(&request).map_err(|error| Box::new(error.response()))?;
    let client = origin.remote.map(|peer| context.trusted.client_info(peer, request.headers()));
    let host = client.as_ref().and_then(|client| client.host.as_deref());
    let same_host = host.is_some_and(|host| is_same_origin(handshake.origin(), host));
    if !same_host && !context.origin.allows(&handshake) {
        let body = format!(
            "connections from pages of the origin {:?} are not allowed\n",
            handshake.origin().unwrap_or_default()
        );
        return Err(Rejection::new(StatusCode::FORBIDDEN).body(body).response().into());
    }
    let Some(route) = context.route(request.uri().path()) else {
        return Err(Rejection::new(StatusCode::NOT_FOUND).body("no such path\n").response().into());
    };
    let https = client.as_ref().and_then(|client| client.proto);
    let upgrade = UpgradeRequest {
        request,
        handshake,
        remote: origin.remote,
        client: client.map(|client| client.addr),
        is_secure: https
            .map_or(origin.is_tls, |proto| proto == crate::trust::ForwardedProto::Https),
    };
    Ok((Box::new(upgrade), route))
}

fn finish(
    context: &Context,
    upgrade: UpgradeRequest,
    accept: Accept,
    prepared: Box<dyn Prepared>,
    route: &Route,
    origin: &Origin,
) -> Result<Box<Negotiated>, Refusal> {
    let client = upgrade.client.filter(|ip| Some(*ip) != origin.remote.map(|addr| addr.ip()));
    let peers = Peers::new(origin.remote, origin.local, client);
    let own = route.endpoint.select_subprotocol(&upgrade);
    let subprotocol = accept
        .options
        .subprotocol
        .or_else(|| own.map(Into::into))
        .or_else(|| upgrade.select_subprotocol(&context.subprotocols).map(Into::into));
    let own_config = own.and(route.own_config.as_ref());
    let config = own_config.or(route.config.as_ref()).unwrap_or(&context.config).clone();
    let mut options = AcceptOptions { subprotocol: subprotocol.clone(), ..accept.options };
    let deflate = config.deflate.and_then(|it| it.accept(upgrade.handshake.extensions()));
    let deflate = deflate.map(|(answer, params)| {
        options.extensions.push(answer);
        params
    });
    let response = upgrade.handshake.accept(options).map_err(|error| {
        tracing::error!(%error, "authorize asked for an impossible response");
        Box::new(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).response())
    })?;
    Ok(Box::new(Negotiated {
        response,
        prepared,
        path: route.path.clone(),
        has_own_config: route.config.is_some(),
        config,
        deflate,
        subprotocol: subprotocol.map(Into::into),
        data: accept.data,
        peers,
        request: upgrade.request,
    }))
}

impl Negotiated {
    /// Answers 101 and starts to run the connection.
    fn spawn(self, context: &Context, io: Io, early: Vec<u8>, seat: Seat) {
        let mut head = Vec::with_capacity(256);
        encode_response_head(&self.response, &mut head);
        self.spawn_answered(context, io, early, seat, head);
    }

    /// Starts to run the connection, which first writes `head`.
    pub(super) fn spawn_answered(
        self,
        context: &Context,
        io: Io,
        early: Vec<u8>,
        seat: Seat,
        head: Vec<u8>,
    ) {
        let Seat { slot, loops } = seat;
        if self.has_own_config {
            set_user_timeout(&io, &self.config);
        }
        let now = crate::clock::now();
        let mut proto = Connection::server(self.config.clone(), now, random::byte());
        proto.transmit_head(head);
        if let Some(params) = self.deflate {
            proto.set_deflate(params, codecs::lend);
        }
        if io.is_tls() {
            proto.set_tls();
        } else {
            proto.close_at_once();
        }
        let (subprotocol, deflate, config) = (self.subprotocol, self.deflate, &self.config);
        let shared = Shared::new(self.path, self.peers, subprotocol, self.data, deflate, config);
        let registration = context.registry.insert(&shared, Some(slot));
        let request = self.request;
        if let Some(frame) = context.stopping() {
            shared.close(Cause::Shutdown, frame);
        }
        self.prepared.spawn(Opened { io, proto, shared, early, registration, request, loops });
    }
}

/// Lets the system give up a path on which nothing is acknowledged.
pub(super) fn set_user_timeout(io: &Io, config: &Config) {
    #[cfg(target_os = "linux")]
    if let Some(stream) = io.tcp() {
        let timeout = crate::path::user_timeout(config);
        socket2::SockRef::from(&stream).set_tcp_user_timeout(timeout).ok();
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (io, config);
}

/// Writes a refusal, and lets the client read it before the socket goes.
async fn say_goodbye(mut io: Io, response: &Response<String>) {
    let mut bytes = Vec::new();
    encode_response(response, &mut bytes);
    let goodbye = async {
        io.write_all(&bytes).await?;
        io.shutdown().await?;
        // Unread input would turn the end into a reset, which can destroy what was written.
        let mut rest = [0; 1024];
        while io.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(GOODBYE, goodbye).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_task<A, B, C, F: Future>(_: impl FnOnce(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// It is moved several times before it runs, and what it leaves free is a hole between what
    /// connections keep.
    #[test]
    fn the_task_of_an_accepted_socket_is_small() {
        let size = size_of_task(serve);
        assert!(size <= 2048, "{size}");
    }
}
