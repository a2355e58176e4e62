//! The page on which a visitor tries the server.

use data_encoding::BASE64;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::reply::{self, Reply};

const HTML: &str = include_str!("page.html");

/// The page and the policy that lets a browser run exactly what is in it.
#[derive(Debug)]
pub(super) struct Page {
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Self {
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(inline(HTML, "script")),
            hash(inline(HTML, "style")),
        );
        Self { policy: HeaderValue::try_from(policy).expect("the policy is ASCII") }
    }

    /// Answers with the page.
    pub(super) fn reply(&self) -> Reply {
        let mut reply = reply::body(StatusCode::OK, "text/html; charset=utf-8", HTML);
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        reply
    }
}

/// Returns what stands between the tags of the page's one element of this name.
fn inline<'a>(html: &'a str, element: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("<{element}>")).unwrap_or_default();
    rest.split_once(&format!("</{element}>")).unwrap_or_default().0
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_one_script_and_one_style() {
        for element in ["script", "style"] {
            assert_eq!(HTML.matches(&format!("<{element}")).count(), 1, "{element}");
            assert!(!inline(HTML, element).is_empty(), "{element}");
        }
        assert!(!HTML.contains(" style=") && !HTML.contains(" onclick="));
    }

    #[test]
    fn the_hash_is_as_csp_writes_it() {
        // The example of CSP Level 2 §7.17.1.
        let expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        assert_eq!(hash("alert('Hello, world.');"), expected);
    }
}
