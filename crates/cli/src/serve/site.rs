//! Ordinary HTTP on the public address.

use std::sync::Arc;

use everwire::{RequestAddrs, Respond};
use http::{Method, StatusCode, header, request::Parts};

use super::{
    cut::Cuts,
    page::{self, Page},
    paths::Paths,
    reply::{Reply, method_not_allowed, text, with},
    service::Answer,
};

/// Returns what answers ordinary HTTP requests.
pub(super) fn service(cuts: Option<&Cuts>) -> impl Respond + use<> {
    let (pages, cuts) = (Arc::new(page::all()), cuts.cloned());
    Answer(move |request: &Parts| answer(&pages, cuts.as_ref(), request))
}

fn answer(pages: &[(&str, Page)], cuts: Option<&Cuts>, request: &Parts) -> Reply {
    let path = request.uri.path();
    let page = pages.iter().find_map(|(at, page)| (*at == path).then_some(page));
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    match (path, cuts) {
        ("/cut", Some(cuts)) if request.method == Method::POST => {
            let remote = request.extensions.get::<RequestAddrs>().and_then(|addrs| addrs.remote);
            cuts.answer(request.uri.query().unwrap_or_default(), remote.map(|addr| addr.ip()))
        }
        ("/cut", Some(_)) => method_not_allowed("POST"),
        (path, _) if (path == "/healthz" || page.is_some()) && !is_read => {
            method_not_allowed("GET, HEAD")
        }
        ("/healthz", _) => text(StatusCode::OK, "ok"),
        (path, _) if Paths::has(path) => {
            let reply = text(
                StatusCode::UPGRADE_REQUIRED,
                "this is a WebSocket endpoint: connect to it with ws:// or wss:// (a proxy on the \
                 way must pass the Upgrade header on)\n",
            );
            // RFC 9110 §7.8 wants Connection beside Upgrade, RFC 6455 §4.4 the version.
            let reply = with(reply, header::UPGRADE, "websocket");
            let reply = with(reply, header::CONNECTION, "Upgrade");
            with(reply, header::SEC_WEBSOCKET_VERSION, "13")
        }
        _ => page.map_or_else(|| text(StatusCode::NOT_FOUND, "not found\n"), Page::reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, expected: StatusCode) {
        let (request, ()) =
            http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        assert_eq!(answer(&page::all(), Some(&Cuts::default()), &request).status(), expected);
    }

    #[test]
    fn there_are_no_cuts_without_sessions() {
        let (request, ()) =
            http::Request::post("/cut?page=0123456789abcdef").body(()).unwrap().into_parts();
        assert_eq!(answer(&page::all(), None, &request).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn paths_are_known_or_not() {
        check(Method::GET, "/", StatusCode::OK);
        check(Method::HEAD, "/?x=1", StatusCode::OK);
        check(Method::GET, "/healthz", StatusCode::OK);
        for path in ["/plain", "/style.css", "/everwire.js"] {
            check(Method::GET, path, StatusCode::OK);
        }
        check(Method::POST, "/cut?page=0123456789abcdef", StatusCode::OK);
        check(Method::POST, "/cut", StatusCode::BAD_REQUEST);
        check(Method::GET, "/cut?page=0123456789abcdef", StatusCode::METHOD_NOT_ALLOWED);
        check(Method::GET, "/echo", StatusCode::UPGRADE_REQUIRED);
        check(Method::GET, "/nowhere", StatusCode::NOT_FOUND);
        check(Method::POST, "/", StatusCode::METHOD_NOT_ALLOWED);
    }
}
