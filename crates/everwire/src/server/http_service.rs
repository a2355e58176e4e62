//! Ordinary HTTP requests on the port of the sockets.

use std::{
    convert::Infallible, error::Error, fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc,
};

use bytes::Bytes;
use everwire_proto::handshake::{HandshakeError, HeadLimits, Rejection, is_upgrade};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};

use tokio::time::timeout;

use super::{
    Context,
    connection::{Origin, Seat, negotiate},
    failure::Failure,
};
use crate::io::{Io, Rewind};

type BoxError = Box<dyn Error + Send + Sync>;
type BoxBody = UnsyncBoxBody<Bytes, BoxError>;
type Responding = Pin<Box<dyn Future<Output = Response<BoxBody>> + Send>>;

/// Something that answers HTTP requests: any [`tower_service::Service`] that cannot fail, such as
/// an axum `Router`. Nothing else can be.
pub trait Respond: sealed::Answer {}

impl<S: sealed::Answer> Respond for S {}

mod sealed {
    use super::{BoxError, Incoming, Request, Responding};

    pub trait Answer: Send + Sync + 'static {
        /// Answers a request.
        fn answer(&self, request: Request<Incoming>) -> Responding;
    }

    impl<S, B> Answer for S
    where
        S: tower_service::Service<
                Request<Incoming>,
                Response = http::Response<B>,
                Error = std::convert::Infallible,
            > + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        fn answer(&self, request: Request<Incoming>) -> Responding {
            use http_body_util::BodyExt as _;
            let mut service = self.clone();
            Box::pin(async move {
                let Ok(()) = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
                let Ok(response) = service.call(request).await;
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            })
        }
    }
}

/// What answers ordinary HTTP requests.
pub(super) struct HttpService(Box<dyn sealed::Answer>);

impl HttpService {
    pub(super) fn new(service: impl Respond) -> Self {
        Self(Box::new(service))
    }
}

impl fmt::Debug for HttpService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpService")
    }
}

/// Serves HTTP/1 on a socket whose first bytes were read already; a later request may still open a
/// WebSocket connection.
pub(super) async fn serve(context: Arc<Context>, io: Io, early: Bytes, origin: Origin, seat: Seat) {
    let seat = Arc::new(std::sync::Mutex::new(Some(seat)));
    let header_timeout = context.handshake_timeout;
    let HeadLimits { bytes: max_head, headers: max_headers } = context.head_limits;
    let mut stopped = context.stopped.clone();
    let service = hyper::service::service_fn(move |request| {
        let (context, origin, seat) = (context.clone(), origin.clone(), seat.clone());
        async move { Ok::<_, Infallible>(answer(context, request, origin, seat).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(max_headers)
        .max_buf_size(max_head.max(8192)) // hyper takes no less.
        .serve_connection(TokioIo::new(Rewind { early, io }), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        // The request that is being answered is the last.
        true = async { stopped.wait_for(Option::is_some).await.is_ok() } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "HTTP connection failed");
    }
}

/// Where an ordinary request came from and went to: it is among the extensions of every request
/// that [`ServerBuilder::http`](super::ServerBuilder::http) passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestAddrs {
    /// The client's address, which a PROXY protocol header may have told; `None` on a Unix socket.
    pub remote: Option<SocketAddr>,
    /// The address that it connected to.
    pub local: Option<SocketAddr>,
}

type SharedSeat = Arc<std::sync::Mutex<Option<Seat>>>;

async fn answer(
    context: Arc<Context>,
    mut request: Request<Incoming>,
    origin: Origin,
    seat: SharedSeat,
) -> Response<BoxBody> {
    if context.is_upgrade(&request) {
        return upgrade(context, request, origin, seat).await;
    }
    let wants_socket = is_upgrade(&request);
    let response = match &context.http {
        None if context.route(request.uri().path()).is_some() => {
            full(HandshakeError::NoUpgrade.response())
        }
        Some(HttpService(service)) => {
            let Origin { remote, local, .. } = origin;
            request.extensions_mut().insert(RequestAddrs { remote, local });
            service.answer(request).await
        }
        None => full(Rejection::new(StatusCode::NOT_FOUND).body("not found\n").response()),
    };
    if wants_socket && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        context.registry.count_refused(response.status());
    }
    response
}

async fn upgrade(
    context: Arc<Context>,
    mut request: Request<Incoming>,
    origin: Origin,
    seat: SharedSeat,
) -> Response<BoxBody> {
    let upgraded = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let mut head = Request::new(());
    *head.method_mut() = parts.method;
    *head.uri_mut() = parts.uri;
    *head.version_mut() = parts.version;
    *head.headers_mut() = parts.headers;
    let negotiating = negotiate(&context, head, &origin);
    let mut negotiated = match timeout(context.handshake_timeout, negotiating).await {
        Ok(Ok(negotiated)) => negotiated,
        Ok(Err(response)) => {
            context.registry.count_refused(response.status());
            return full(*response);
        }
        Err(_) => {
            context.registry.count_refused(StatusCode::SERVICE_UNAVAILABLE);
            return full(Rejection::new(StatusCode::SERVICE_UNAVAILABLE).response());
        }
    };
    let response = std::mem::take(&mut negotiated.response);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else {
            return context.failed(origin.remote, &Failure::Eof);
        };
        // Take the socket back from hyper, with what it read too much.
        let Ok(parts) = upgraded.downcast::<TokioIo<Rewind<Io>>>() else { return };
        let Rewind { early, io } = parts.io.into_inner();
        let early = [&parts.read_buf[..], &early[..]].concat();
        let seat = seat.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(seat) = seat else { return };
        negotiated.spawn_answered(&context, io, early, seat, Vec::new());
    });
    response.map(|()| empty())
}

fn full(response: Response<String>) -> Response<BoxBody> {
    response.map(|body| Full::from(body).map_err(|never| match never {}).boxed_unsync())
}

fn empty() -> BoxBody {
    Full::default().map_err(|never| match never {}).boxed_unsync()
}
