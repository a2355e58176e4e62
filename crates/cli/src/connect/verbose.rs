//! `-v`: the opening handshake and every frame, one line each.

use std::sync::atomic::{AtomicBool, Ordering};

use everwire::{ClientObserver, Direction, FrameLine, Opcode, dial::Target};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{
        AUTHORIZATION, CONTENT_LOCATION, COOKIE, LOCATION, PROXY_AUTHORIZATION, REFERER,
        SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SET_COOKIE,
    },
};

use super::{
    masked::{masked, sounds_secret},
    output::Notices,
};

/// What a subprotocol that carries a token begins with.
const BEARER_PREFIX: &str = "everwire.bearer.";

/// The name of a session's first frames and tickets, by their first four bits: what follows is
/// secret.
const SECRET_FRAMES: [(u8, &str); 3] = [(5, "HELLO "), (6, "WELCOME "), (10, "AUTH ")];

/// Prints what a client exchanges, without the secrets in it.
pub(super) struct Verbose(pub(super) Notices);

/// The same for a client whose messages are frames of `everwire.v1`.
pub(super) struct VerboseSession {
    verbose: Verbose,
    /// Whether what was received last, and sent, belongs to a message that is not shown and goes on.
    hides: [AtomicBool; 2],
}

impl VerboseSession {
    pub(super) fn new(verbose: Verbose) -> Self {
        Self { verbose, hides: Default::default() }
    }

    /// Returns what may be seen of a frame: all but its payload, if that belongs to a secret.
    fn shown(&self, frame: &FrameLine<'_>) -> String {
        let (line, header) = (frame.to_string(), frame.header);
        let hides = &self.hides[usize::from(frame.direction == Direction::Sent)];
        let secret = match header.opcode {
            Opcode::Text => None,
            Opcode::Binary => secret(frame),
            Opcode::Continuation => hides.load(Ordering::Relaxed).then_some(""),
            _ => return line, // They come between the frames of a message.
        };
        hides.store(secret.is_some() && !header.fin, Ordering::Relaxed);
        let Some(name) = secret else { return line };
        let size = line.rfind(&format!(" [{} byte", header.payload_len)).unwrap_or(line.len());
        format!("{} {} {name}***{}", &line[..1], header.opcode, &line[size..])
    }
}

/// Returns what a message that begins with this frame is called, if it is secret or may be.
fn secret(frame: &FrameLine<'_>) -> Option<&'static str> {
    let Some(first) = frame.payload.first().filter(|_| !frame.header.rsv1) else {
        return Some(""); // Compressed, or not yet to be seen.
    };
    SECRET_FRAMES.into_iter().find(|(kind, _)| *kind == first >> 4).map(|(_, name)| name)
}

impl ClientObserver for VerboseSession {
    fn request(&self, target: &Target, request: &Request<()>) {
        self.verbose.request(target, request);
    }

    fn response(&self, response: &Response<()>) {
        self.verbose.response(response);
    }

    fn frame(&self, frame: FrameLine<'_>) {
        self.verbose.0.say(self.shown(&frame));
    }
}

impl ClientObserver for Verbose {
    fn request(&self, target: &Target, request: &Request<()>) {
        let (scheme, host) = (target.scheme().as_str(), target.host_and_port());
        self.0.say(format!("= opening handshake with {scheme}://{host}"));
        let path = masked(target.path_and_query());
        self.0.say(format!("> {} {path} HTTP/1.1", request.method()));
        self.headers('>', request.headers());
    }

    fn response(&self, response: &Response<()>) {
        self.0.say(format!("< {:?} {}", response.version(), response.status()));
        self.headers('<', response.headers());
    }

    fn frame(&self, frame: FrameLine<'_>) {
        self.0.say(frame.to_string());
    }
}

impl Verbose {
    fn headers(&self, arrow: char, headers: &HeaderMap) {
        for (name, value) in headers {
            self.0.say(format!("{arrow} {name}: {}", shown(name, value)));
        }
        self.0.say(arrow.to_string());
    }
}

/// Returns what may be seen of a header's value.
pub(crate) fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if *name == SEC_WEBSOCKET_PROTOCOL {
        let mask = |name: &str| match name.trim() {
            name if name.starts_with(BEARER_PREFIX) => format!("{BEARER_PREFIX}***"),
            name => name.escape_debug().to_string(),
        };
        return text.split(',').map(mask).collect::<Vec<_>>().join(", ");
    }
    if [AUTHORIZATION, PROXY_AUTHORIZATION].contains(name) {
        // The scheme is no secret and often the mistake.
        return match text.split_once(' ') {
            Some((scheme, _)) => format!("{} ***", scheme.escape_debug()),
            None => "***".to_owned(),
        };
    }
    let public = [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_ACCEPT];
    let is_secret = [COOKIE, SET_COOKIE].contains(name) || sounds_secret(name.as_str());
    if value.is_sensitive() || is_secret && !public.contains(name) {
        return "***".to_owned();
    }
    let is_url = [LOCATION, CONTENT_LOCATION, REFERER].contains(name);
    let text = if is_url { masked(&text).into() } else { text };
    text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &'static str, value: &'static str, expected: &str) {
        let name = HeaderName::from_static(name);
        assert_eq!(shown(&name, &HeaderValue::from_bytes(value.as_bytes()).unwrap()), expected);
    }

    #[test]
    fn secrets_are_masked() {
        check("authorization", "Bearer secret", "Bearer ***");
        check("authorization", "secret", "***");
        check("proxy-authorization", "Basic c2VjcmV0", "Basic ***");
        check("cookie", "a=b", "***");
        check("set-cookie", "a=b", "***");
        check("sec-websocket-protocol", "a, everwire.bearer.x,b", "a, everwire.bearer.***, b");
        check("x-quoted", "\"it's\"", "\"it's\"");
        check("x-api-key", "secret", "***");
        check("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==");
        check("location", "wss://u:p@h/?token=x&y=z", "wss://***@h/?token=***&y=z");
        check("x-other", "plain \u{202e}", "plain \\u{202e}");
    }
}
