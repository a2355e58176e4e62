//! Ordinary HTTP on the public address.

use std::sync::Arc;

use everwire::Respond;
use http::{Method, StatusCode, header, request::Parts};

use super::{
    page::Page,
    paths::Paths,
    reply::{Reply, method_not_allowed, text, with},
    service::Answer,
};

/// Returns what answers ordinary HTTP requests.
pub(super) fn service() -> impl Respond {
    let page = Arc::new(Page::new());
    Answer(move |request: &Parts| answer(&page, request))
}

fn answer(page: &Page, request: &Parts) -> Reply {
    let path = request.uri.path();
    if matches!(path, "/" | "/healthz") && !matches!(request.method, Method::GET | Method::HEAD) {
        return method_not_allowed("GET, HEAD");
    }
    match path {
        "/" => page.reply(),
        "/healthz" => text(StatusCode::OK, "ok"),
        path if Paths::has(path) => {
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
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, path: &str, expected: StatusCode) {
        let (request, ()) =
            http::Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        assert_eq!(answer(&Page::new(), &request).status(), expected);
    }

    #[test]
    fn paths_are_known_or_not() {
        check(Method::GET, "/", StatusCode::OK);
        check(Method::HEAD, "/?x=1", StatusCode::OK);
        check(Method::GET, "/healthz", StatusCode::OK);
        check(Method::GET, "/echo", StatusCode::UPGRADE_REQUIRED);
        check(Method::GET, "/nowhere", StatusCode::NOT_FOUND);
        check(Method::POST, "/", StatusCode::METHOD_NOT_ALLOWED);
    }
}
