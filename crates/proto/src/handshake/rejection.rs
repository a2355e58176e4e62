//! The answer to a request that does not become a connection.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// Builds the response that refuses an opening handshake (RFC 6455 §4.2.2 item 2).
///
/// Write it with [`encode_response`](super::encode_response), then close.
///
/// # Examples
/// ```
/// # use std::time::Duration;
/// # use everwire_proto::handshake::Rejection;
/// use http::StatusCode;
/// let response = Rejection::new(StatusCode::SERVICE_UNAVAILABLE)
///     .retry_after(Duration::from_secs(30))
///     .body("too many connections\n")
///     .response();
/// assert_eq!(response.headers()["retry-after"], "30");
/// ```
#[derive(Debug, Clone)]
pub struct Rejection {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Rejection {
    /// Returns a rejection whose body is the reason phrase of the status.
    ///
    /// An informational status, which a client would take for an acceptance or wait behind, becomes 500.
    pub fn new(status: StatusCode) -> Self {
        let status =
            if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
        let body = format!("{}\n", status.canonical_reason().unwrap_or("refused"));
        Self { status, headers: HeaderMap::new(), body }
    }

    /// Sets a header, instead of those of the same name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds headers to those that are set.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        for (name, value) in &headers {
            self.headers.append(name, value.clone());
        }
        self
    }

    /// Asks the client to wait, in whole seconds, rounded up (RFC 9110 §10.2.3); for 429 and 503.
    pub fn retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sets the text of the body.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the response.
    ///
    /// It is plain text unless a `Content-Type` is set. A 401 without a challenge gets `WWW-Authenticate: Bearer`,
    /// because RFC 9110 §15.5.2 asks for one.
    pub fn response(self) -> Response<String> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        if !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        if self.status == StatusCode::UNAUTHORIZED && !headers.contains_key(WWW_AUTHENTICATE) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Rejection> for Response<String> {
    fn from(rejection: Rejection) -> Self {
        rejection.response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_defaults_to_the_reason_phrase() {
        let response = Rejection::new(StatusCode::FORBIDDEN).response();
        assert_eq!((response.status().as_u16(), response.body().as_str()), (403, "Forbidden\n"));
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }

    #[test]
    fn an_informational_status_becomes_500() {
        assert_eq!(
            Rejection::new(StatusCode::SWITCHING_PROTOCOLS).response().status().as_u16(),
            500
        );
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let rejection =
            Rejection::new(StatusCode::TOO_MANY_REQUESTS).retry_after(Duration::from_millis(1001));
        assert_eq!(rejection.response().headers()["retry-after"], "2");
    }

    #[test]
    fn a_401_carries_a_challenge() {
        let rejection = Rejection::new(StatusCode::UNAUTHORIZED);
        assert_eq!(rejection.clone().response().headers()["www-authenticate"], "Bearer");
        let basic = HeaderValue::from_static("Basic");
        assert_eq!(
            rejection.header(WWW_AUTHENTICATE, basic).response().headers()["www-authenticate"],
            "Basic"
        );
    }

    #[test]
    fn own_headers_are_kept() {
        let more: HeaderMap = [("a", "1"), ("a", "2")]
            .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
            .into_iter()
            .collect();
        let rejection = Rejection::new(StatusCode::FORBIDDEN).headers(more);
        let json = rejection
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body("{}")
            .response();
        assert_eq!(json.headers()["content-type"], "application/json");
        assert_eq!(json.headers().get_all("a").iter().count(), 2);
    }
}
