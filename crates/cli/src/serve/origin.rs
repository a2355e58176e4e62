//! Origins that the command line allows.

use std::{error::Error, fmt, str::FromStr};

/// The origin of a page, as a browser writes it: `https://example.com`, `http://localhost:3000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let (scheme, host) = text.split_once("://").ok_or(OriginError)?;
        // A browser never writes more than this, so anything more would never match.
        let is_scheme = !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let is_host =
            !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/?#@*,".contains(c));
        if is_scheme && is_host { Ok(Self(text.into())) } else { Err(OriginError) }
    }
}

/// A text is not an origin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OriginError;

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an origin such as https://example.com, without a path")
    }
}

impl Error for OriginError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for text in ["https://example.com", "http://localhost:3000", "chrome-extension://abc"] {
            assert_eq!(text.parse(), Ok(Origin(text.into())));
        }
        for text in ["example.com", "https://", "https://a.b/", "https://*.b", "://a"] {
            assert_eq!(text.parse::<Origin>(), Err(OriginError), "{text:?}");
        }
    }
}
