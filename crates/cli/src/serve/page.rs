//! The pages on which a visitor tries the server.

use data_encoding::BASE64;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::reply::{self, Reply};

/// A page, or what belongs to one. Nothing of it comes from elsewhere.
#[derive(Debug)]
pub(super) struct Page {
    content_type: &'static str,
    body: &'static str,
    policy: HeaderValue,
}

/// Returns what is there to see.
pub(super) fn all() -> Vec<(&'static str, Page)> {
    vec![
        ("/", Page::html(include_str!("page.html"))),
        ("/plain", Page::html(include_str!("plain.html"))),
        ("/style.css", Page::new("text/css; charset=utf-8", include_str!("style.css"))),
        ("/everwire.js", Page::new("text/javascript; charset=utf-8", CLIENT)),
    ]
}

/// The client of clients/js as it is built.
const CLIENT: &str = include_str!("../../../../clients/js/dist/everwire.js");

impl Page {
    fn new(content_type: &'static str, body: &'static str) -> Self {
        Self { content_type, body, policy: HeaderValue::from_static("default-src 'none'") }
    }

    /// Returns a page with the policy that lets a browser run exactly what is in it, and our client
    /// if it asks for that.
    fn html(body: &'static str) -> Self {
        let client = if body.contains("from '/everwire.js'") { "'self' " } else { "" };
        let policy = format!(
            "default-src 'none'; script-src {client}{}; style-src 'self'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(script(body)),
        );
        Self {
            policy: HeaderValue::try_from(policy).expect("the policy is ASCII"),
            ..Self::new("text/html; charset=utf-8", body)
        }
    }

    /// Answers with the page.
    pub(super) fn reply(&self) -> Reply {
        let mut reply = reply::body(StatusCode::OK, self.content_type, self.body);
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        reply
    }
}

/// Returns the page's one script.
fn script(html: &str) -> &str {
    let (_, rest) = html.split_once("<script").unwrap_or_default();
    let (_, rest) = rest.split_once('>').unwrap_or_default();
    rest.split_once("</script>").unwrap_or_default().0
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_one_script_and_no_style_in_the_page() {
        let pages = all().into_iter().filter(|(_, page)| page.content_type.contains("html"));
        for (path, page) in pages {
            assert_eq!(page.body.matches("<script").count(), 1, "{path}");
            assert!(script(page.body).trim().len() > 100, "{path}");
            assert!(page.policy.to_str().unwrap().contains(&hash(script(page.body))), "{path}");
            for no in ["<style", " style=", " onclick=", "http-equiv"] {
                assert!(!page.body.contains(no), "{no} in {path}");
            }
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        let ours = ["http://127.0.0.1:", "http://www.w3.org/2000/svg", "${scheme}://"];
        for (path, page) in all() {
            let rest = ours.iter().fold(page.body.to_owned(), |rest, ours| rest.replace(ours, ""));
            let found = rest.split_once("://").map(|(_, found)| &found[..found.len().min(20)]);
            assert_eq!(found, None, "{path}");
        }
    }

    #[test]
    fn the_hash_is_as_csp_writes_it() {
        // The example of CSP Level 2 §7.17.1.
        let expected = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='";
        assert_eq!(hash("alert('Hello, world.');"), expected);
    }
}
