//! Where a redirect leads. See RFC 9110 §15.4.

use http::header::LOCATION;
use url::Url;

use super::{ConnectError, Refused};
use crate::dial::{Scheme, Target};

/// Returns where a response redirects to, if it does.
pub(super) fn location(refused: &Refused) -> Option<&str> {
    // 304 is no redirect, 300 leaves the choice to a person, and 305 and 306 are deprecated.
    if !matches!(refused.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    refused.headers.get(LOCATION)?.to_str().ok()
}

/// Resolves `location`, which may be relative, against the URL that answered with it.
///
/// # Errors
/// It is no URL that could be connected to, or leads from `wss` to `ws`.
pub(super) fn resolve(base: &Target, location: &str) -> Result<Target, ConnectError> {
    // RFC 9110 §10.2.2 allows a fragment, RFC 6455 §3 does not.
    let location = location.split_once('#').map_or(location, |(location, _)| location).trim();
    let result = if location.contains("://") && !location.starts_with(['/', '?', '.']) {
        Target::parse(location)
    } else {
        // RFC 3986 §5.2, dot segments and all; the first URL is never rewritten so.
        let joined = Url::parse(&base.to_string()).and_then(|base| base.join(location));
        Target::parse(joined.as_ref().map_or(location, Url::as_str))
    };
    let target = result
        .map_err(|source| ConnectError::BadRedirect { location: location.to_owned(), source })?;
    if (base.scheme(), target.scheme()) == (Scheme::Wss, Scheme::Ws) {
        return Err(ConnectError::InsecureRedirect { location: target.to_string() });
    }
    Ok(target)
}

/// Tells whether what is meant for `a` may be sent to `b` as well: the same host and port, or the
/// same host's `wss` instead of `ws`, both on their default ports.
pub(super) fn is_same_host(a: &Target, b: &Target) -> bool {
    let is_upgrade = (a.scheme(), b.scheme()) == (Scheme::Ws, Scheme::Wss)
        && (a.port(), b.port()) == (Scheme::Ws.default_port(), Scheme::Wss.default_port());
    let is_same = a.scheme() == b.scheme() && a.port() == b.port();
    a.host() == b.host() && (is_same || is_upgrade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, location: &str, expected: &str) {
        let base = Target::parse(base).unwrap();
        let shown = resolve(&base, location)
            .map_or_else(|error| error.to_string(), |target| target.to_string());
        assert_eq!(shown, expected);
    }

    #[test]
    fn locations_of_every_form_are_resolved() {
        check("ws://h/a/b?c", "ws://i:81/x", "ws://i:81/x");
        check("ws://h/a/b?c", "https://i/x?y", "wss://i/x?y");
        check("wss://h/a/b?c", "https://h", "wss://h/");
        check("ws://h:81/a/b?c", "/x?y#z", "ws://h:81/x?y");
        check("ws://h/a/b?c", "x", "ws://h/a/x");
        check("ws://h/a/b?c", "../x", "ws://h/x");
        check("ws://h/a/b?c", "?d", "ws://h/a/b?d");
        check("wss://h/a", "//i/x", "wss://i/x");
        check("ws://h/a", "/to?next=ws://i/", "ws://h/to?next=ws://i/");
        check("ws://h/a", "wss://h/a", "wss://h/a");
    }

    #[test]
    fn bad_locations_are_refused() {
        check(
            "wss://h/a",
            "http://h/b",
            "server redirects from wss to the unencrypted ws://h/b: connect there yourself if that is meant",
        );
        check(
            "ws://h/a",
            "ftp://h/b",
            "server redirects to \"ftp://h/b\": url scheme \"ftp\" is not supported: expected ws, wss, http or https",
        );
    }

    #[test]
    fn hosts_are_the_same_with_the_same_port() {
        let same = |a, b| is_same_host(&Target::parse(a).unwrap(), &Target::parse(b).unwrap());
        assert!(same("ws://h/a", "ws://H:80/b"));
        assert!(same("ws://h/a", "wss://h/b"));
        assert!(!same("ws://h/a", "ws://i/a"));
        assert!(!same("ws://h/a", "ws://h:81/a"));
        assert!(!same("ws://h/a", "wss://h:444/a"));
        assert!(!same("ws://h/a", "ws://h.evil/a"));
    }
}
