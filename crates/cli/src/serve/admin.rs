//! The admin API: what is connected, how to end it, and metrics.

mod connections;
mod guard;
mod metrics;
mod sessions;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use everwire::{Registry, RequestAddrs, Server, StartError, session::Sessions};
use http::{Method, StatusCode, header, request::Parts};

use self::guard::Guard;
use super::{
    args::AdminArgs,
    paths::Paths,
    reply::{Reply, method_not_allowed, text, with},
    service::Answer,
};

const INDEX: &str = "\
everwire admin API

GET  /connections                          what is connected
GET  /connections/ID                       one of them
POST /connections/ID/close?code=&reason=   ends it (1000 and no reason unless given)
GET  /sessions                             which sessions live
GET  /metrics                              for Prometheus
GET  /healthz                              ok
";

/// Starts the admin API of a server on the runtime of the caller.
///
/// # Errors
/// The address cannot be bound.
pub(super) async fn start(
    addr: SocketAddr,
    args: &AdminArgs,
    server: &Server,
    paths: &Paths,
) -> Result<Server, StartError> {
    let guard = Guard::new(addr.ip(), args.admin_host.clone(), args.admin_token.clone());
    let registry = server.registry().clone();
    let admin = Arc::new(Admin {
        guard,
        registry,
        sessions: paths.sessions.clone(),
        max_connections: server.max_connections(),
    });
    let service = Answer(move |request: &Parts| admin.answer(request));
    Server::builder().bind(addr.to_string()).http(service).start().await
}

/// What the admin API knows.
#[derive(Debug)]
struct Admin {
    guard: Guard,
    registry: Registry,
    /// Those of each path.
    sessions: Vec<(&'static str, Sessions)>,
    max_connections: usize,
}

impl Admin {
    fn answer(&self, request: &Parts) -> Reply {
        let path = request.uri.path();
        if path == "/healthz" {
            // It tells nothing, and whoever watches the process may not know its names and secrets.
            return text(StatusCode::OK, "ok");
        }
        if let Err(refusal) = self.guard.check(request, local_ip(request)) {
            let reply = text(refusal.status(), format!("{refusal}\n"));
            return match refusal.status() {
                StatusCode::UNAUTHORIZED => with(reply, header::WWW_AUTHENTICATE, "Bearer"),
                _ => reply,
            };
        }
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments[..] {
            ["connections", id, "close"] if request.method == Method::POST => {
                connections::close(&self.registry, id, request.uri.query().unwrap_or_default())
            }
            ["connections", _, "close"] => method_not_allowed("POST"),
            ["" | "metrics" | "connections" | "sessions"] | ["connections", _] if !is_read => {
                method_not_allowed("GET, HEAD")
            }
            [""] => text(StatusCode::OK, INDEX),
            ["metrics"] => {
                let sessions = self.sessions.iter().map(|(path, it)| (*path, it.stats()));
                let sessions: Vec<_> = sessions.collect();
                metrics::reply(&self.registry.totals(), &sessions, self.max_connections)
            }
            ["sessions"] => sessions::list(&self.sessions),
            ["connections"] => connections::list(&self.registry),
            ["connections", id] => connections::get(&self.registry, id),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

/// Returns the address that a request was sent to.
fn local_ip(request: &Parts) -> Option<IpAddr> {
    let addrs = request.extensions.get::<RequestAddrs>()?;
    addrs.local.map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, expected: StatusCode) {
        let guard = Guard::new([127, 0, 0, 1].into(), Vec::new(), None);
        let registry = Registry::default();
        let admin = Admin { guard, registry, sessions: Vec::new(), max_connections: 9 };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:8081")
            .body(());
        let (request, ()) = request.unwrap().into_parts();
        assert_eq!(admin.answer(&request).status(), expected, "{path}");
    }

    #[test]
    fn paths_and_methods_are_known_or_not() {
        check(Method::GET, "/", StatusCode::OK);
        check(Method::GET, "/healthz", StatusCode::OK);
        check(Method::GET, "/metrics", StatusCode::OK);
        check(Method::GET, "/connections", StatusCode::OK);
        check(Method::GET, "/sessions", StatusCode::OK);
        check(Method::POST, "/sessions", StatusCode::METHOD_NOT_ALLOWED);
        check(Method::POST, "/connections", StatusCode::METHOD_NOT_ALLOWED);
        check(Method::GET, "/connections/1", StatusCode::NOT_FOUND);
        check(Method::GET, "/connections/x", StatusCode::NOT_FOUND);
        check(Method::GET, "/connections/1/close", StatusCode::METHOD_NOT_ALLOWED);
        check(Method::POST, "/connections/1/close", StatusCode::NOT_FOUND);
        check(Method::POST, "/connections/1/close?code=1006", StatusCode::BAD_REQUEST);
        check(Method::GET, "/nowhere", StatusCode::NOT_FOUND);
    }
}
