//! Cookies, kept from one attempt to the next. See RFC 6265.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::HeaderValue;

use crate::dial::{Scheme, Target};

/// Keeps cookies for a client.
///
/// # Examples
/// ```
/// use everwire::{CookieStore, dial::Target};
/// use http::HeaderValue;
///
/// /// A cookie that somebody else keeps, and nobody sets.
/// struct Login(HeaderValue);
///
/// impl CookieStore for Login {
///     fn get(&self, _: &Target) -> Option<HeaderValue> {
///         let mut cookie = self.0.clone();
///         cookie.set_sensitive(true); // It is not shown.
///         Some(cookie)
///     }
///
///     fn set(&self, _: &Target, _: &mut dyn Iterator<Item = &HeaderValue>) {}
/// }
/// ```
pub trait CookieStore: Send + Sync + 'static {
    /// Returns the value of the `Cookie` header for `target`, if there are cookies for it.
    fn get(&self, target: &Target) -> Option<HeaderValue>;

    /// Takes the values of the `Set-Cookie` headers with which `target` answered.
    fn set(&self, target: &Target, headers: &mut dyn Iterator<Item = &HeaderValue>);
}

/// How many cookies a [`CookieJar`] holds; the oldest go first. RFC 6265 §6.1 asks for 3,000 of a
/// browser; a client talks to few hosts.
const MAX_COOKIES: usize = 300;

/// The longest cookie that is kept. See RFC 6265 §6.1.
const MAX_LEN: usize = 4096;

/// Cookies in memory. Share it by `Arc` between clients.
///
/// It follows RFC 6265 but for one thing: it does not know which domains are public suffixes, so a
/// cookie for a parent domain is kept only where that has a dot.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use everwire::{Client, CookieJar};
///
/// let jar = Arc::new(CookieJar::new());
/// let client = Client::new("wss://example.com/live")?.cookies(jar.clone());
/// # Ok::<(), everwire::dial::UrlError>(())
/// ```
#[derive(Default)]
pub struct CookieJar(Mutex<Vec<Cookie>>);

struct Cookie {
    name: String,
    value: String,
    domain: String,
    /// Only the host that set it gets it.
    host_only: bool,
    path: String,
    secure: bool,
    expires: Option<SystemTime>,
}

impl CookieJar {
    /// Makes an empty jar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Cookie>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CookieStore for CookieJar {
    fn get(&self, target: &Target) -> Option<HeaderValue> {
        let now = SystemTime::now();
        let mut cookies = self.lock();
        cookies.retain(|cookie| !cookie.is_expired(now));
        let mut found: Vec<&Cookie> = cookies.iter().filter(|it| it.is_for(target)).collect();
        // §5.4: "Cookies with longer paths are listed before cookies with shorter paths".
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> =
            found.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
        let mut value = HeaderValue::try_from(pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        (!pairs.is_empty()).then_some(value)
    }

    fn set(&self, target: &Target, headers: &mut dyn Iterator<Item = &HeaderValue>) {
        let now = SystemTime::now();
        for header in headers {
            let text = header.to_str().ok().filter(|text| text.len() <= MAX_LEN);
            let Some(cookie) = text.and_then(|text| Cookie::parse(text, target, now)) else {
                continue;
            };
            let mut cookies = self.lock();
            cookies.retain(|other| !other.is_same(&cookie));
            if cookie.is_expired(now) {
                continue;
            }
            if cookies.len() >= MAX_COOKIES {
                cookies.remove(0);
            }
            cookies.push(cookie);
        }
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookies = self.lock();
        // Values are secrets.
        let shown = cookies.iter().map(|it| format!("{}=… for {}{}", it.name, it.domain, it.path));
        f.debug_tuple("CookieJar").field(&shown.collect::<Vec<_>>()).finish()
    }
}

impl Cookie {
    /// Parses a `Set-Cookie` (§5.2) and checks that `target` may set it (§5.3).
    fn parse(text: &str, target: &Target, now: SystemTime) -> Option<Self> {
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || text.contains(|c: char| c.is_control()) {
            return None;
        }
        let mut cookie = Self {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: target.host().to_owned(),
            host_only: true,
            path: default_path(target),
            secure: false,
            expires: None,
        };
        let mut max_age = None;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "secure" => cookie.secure = true,
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "expires" => cookie.expires = parse_date(value).or(cookie.expires),
                "max-age" => max_age = value.parse::<i64>().ok().or(max_age),
                "domain" if !value.is_empty() => cookie.set_domain(value, target)?,
                _ => {}
            }
        }
        // §5.3 item 3: Max-Age counts before Expires.
        if let Some(seconds) = max_age {
            let age = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            cookie.expires = now.checked_add(age);
        }
        Some(cookie)
    }

    fn set_domain(&mut self, value: &str, target: &Target) -> Option<()> {
        let domain = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
        if domain == target.host() {
            self.host_only = target.ip().is_some();
            return Some(());
        }
        let may = domain.contains('.') && target.ip().is_none();
        if !may || !is_below(target.host(), &domain) {
            return None;
        }
        (self.domain, self.host_only) = (domain, false);
        Some(())
    }

    fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    /// §5.4 item 1.
    fn is_for(&self, target: &Target) -> bool {
        let host = target.host();
        let is_host = host == self.domain || (!self.host_only && is_below(host, &self.domain));
        let is_secret_kept = !self.secure || target.scheme() == Scheme::Wss;
        is_host && is_secret_kept && is_path_below(path(target), &self.path)
    }
}

/// §5.1.3: `host` ends in a dot and the domain.
fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// §5.1.4: `path` is the cookie's path, or begins with it and a slash.
fn is_path_below(path: &str, cookie: &str) -> bool {
    path.strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

fn path(target: &Target) -> &str {
    target.path_and_query().split('?').next().unwrap_or("/")
}

/// §5.1.4: the path up to its last slash.
fn default_path(target: &Target) -> String {
    match path(target).rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(end) => path(target)[..end].to_owned(),
    }
}

fn parse_date(text: &str) -> Option<SystemTime> {
    // The first form of Netscape, "Wed, 21-Oct-2015 07:28:00 GMT", still is the most common.
    let parse = |text: &str| httpdate::parse_http_date(text).ok();
    parse(text).or_else(|| parse(&text.replace('-', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::parse(url).unwrap()
    }

    #[track_caller]
    fn check(from: &str, set: &[&'static str], to: &str, expected: Option<&str>) {
        let jar = CookieJar::new();
        let values: Vec<_> = set.iter().map(|it| HeaderValue::from_static(it)).collect();
        jar.set(&target(from), &mut values.iter());
        let got = jar.get(&target(to));
        assert_eq!(got.as_ref().map(|value| value.to_str().unwrap()), expected);
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_and_path() {
        check("ws://h.test/a/b", &["x=1; HttpOnly"], "ws://h.test/a/c", Some("x=1"));
        check("ws://h.test/a/b", &["x=1"], "ws://h.test/", None);
        check("ws://h.test/a/b", &["x=1; Path=/"], "ws://h.test/?q", Some("x=1"));
        check("ws://h.test/", &["x=1; Path=/foo"], "ws://h.test/foobar", None);
        check("ws://h.test/", &["x=1"], "ws://i.test/", None);
        check("ws://h.test/", &["x=1"], "ws://sub.h.test/", None);
        check("ws://h.test:1/", &["x=1"], "wss://h.test:2/", Some("x=1"));
    }

    #[test]
    fn a_domain_widens_within_bounds() {
        check("ws://a.h.test/", &["x=1; Domain=.H.test"], "ws://b.h.test/", Some("x=1"));
        check("ws://a.h.test/", &["x=1; Domain=test"], "ws://b.test/", None);
        check("ws://h.test/", &["x=1; Domain=evil.test"], "ws://h.test/", None);
        check("ws://h.test/", &["x=1; Domain=a.h.test"], "ws://a.h.test/", None);
        check("ws://1.2.3.4/", &["x=1; Domain=2.3.4"], "ws://1.2.3.4/", None);
        check("ws://evilh.test/", &["x=1; Domain=h.test"], "ws://evilh.test/", None);
    }

    #[test]
    fn secure_cookies_stay_encrypted() {
        check("wss://h.test/", &["x=1; Secure"], "ws://h.test/", None);
        check("wss://h.test/", &["x=1; Secure"], "wss://h.test/", Some("x=1"));
    }

    #[test]
    fn old_cookies_go() {
        check("ws://h.test/", &["x=1", "x=2"], "ws://h.test/", Some("x=2"));
        check("ws://h.test/", &["x=1", "x=; Max-Age=0"], "ws://h.test/", None);
        check(
            "ws://h.test/",
            &["x=1; Expires=Wed, 21-Oct-2015 07:28:00 GMT"],
            "ws://h.test/",
            None,
        );
        check(
            "ws://h.test/",
            &["x=1; Max-Age=60; Expires=Wed, 21 Oct 2015 07:28:00 GMT"],
            "ws://h.test/",
            Some("x=1"),
        );
    }

    #[test]
    fn longer_paths_come_first() {
        check("ws://h.test/", &["x=1; Path=/", "y=2; Path=/a"], "ws://h.test/a", Some("y=2; x=1"));
    }

    #[test]
    fn nonsense_is_ignored() {
        check("ws://h.test/", &["x", "=1", "", ";", "a=b\tc"], "ws://h.test/", None);
    }

    #[test]
    fn debug_hides_the_value() {
        let jar = CookieJar::new();
        jar.set(&target("ws://h.test/"), &mut [HeaderValue::from_static("x=secret")].iter());
        assert_eq!(format!("{jar:?}"), "CookieJar([\"x=… for h.test/\"])");
    }
}
