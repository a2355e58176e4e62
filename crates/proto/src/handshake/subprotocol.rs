//! Subprotocols as they are offered.

use std::collections::BTreeSet;
use std::fmt;

use super::bearer::BEARER_PREFIX;

/// Returns the place of the first subprotocol that occurs a second time.
///
/// RFC 6455 §4.1 item 10: "The elements that comprise this value … MUST all be unique strings."
pub(super) fn repeated(subprotocols: &[impl AsRef<str>]) -> Option<usize> {
    let mut seen = BTreeSet::new();
    subprotocols.iter().position(|subprotocol| !seen.insert(subprotocol.as_ref()))
}

/// Tells whether the subprotocol is a token in disguise, which must not be answered or logged.
pub(super) fn is_secret(subprotocol: &str) -> bool {
    subprotocol.starts_with(BEARER_PREFIX)
}

/// Formats a list of subprotocols for logs, without the secrets in it.
pub(super) struct Redacted<'a>(pub(super) &'a [String]);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &'_ String| {
            if is_secret(name) { format!("{BEARER_PREFIX}…") } else { name.clone() }
        };
        f.debug_list().entries(self.0.iter().map(shown)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_equals_is_found() {
        assert_eq!(repeated(&["a", "b", "A"]), None);
        assert_eq!(repeated(&["a", "b", "a"]), Some(2));
        let mut many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(repeated(&many), None);
        many.push("50".into());
        assert_eq!(repeated(&many), Some(100));
    }

    #[test]
    fn secrets_are_not_shown() {
        let list = ["chat".to_owned(), format!("{BEARER_PREFIX}c2VjcmV0")];
        assert_eq!(format!("{:?}", Redacted(&list)), r#"["chat", "everwire.bearer.…"]"#);
    }
}
