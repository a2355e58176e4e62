//! Answers to HTTP requests.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{self, HeaderName},
};
use http_body_util::Full;

/// An answer to an HTTP request.
pub(super) type Reply = Response<Full<Bytes>>;

/// Answers with a body of this type.
pub(super) fn body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// Answers with text.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    body(status, "text/plain; charset=utf-8", text.into())
}

/// Answers with JSON.
pub(super) fn json(status: StatusCode, value: &impl serde::Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(mut json) => {
            json.push(b'\n');
            body(status, "application/json", json)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Refuses a method, naming the ones that are allowed.
pub(super) fn method_not_allowed(allowed: &'static str) -> Reply {
    let reply = text(StatusCode::METHOD_NOT_ALLOWED, format!("expected {allowed}\n"));
    with(reply, header::ALLOW, allowed)
}

/// Adds a header field.
pub(super) fn with(mut reply: Reply, name: HeaderName, value: &'static str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}
