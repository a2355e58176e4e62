//! Words that a header can carry.

/// Reads a token, such as the name of a subprotocol. See RFC 9110 §5.6.2.
///
/// # Errors
/// What was expected.
pub(crate) fn token(text: &str) -> Result<String, &'static str> {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match !text.is_empty() && text.chars().all(is_token_char) {
        true => Ok(text.to_owned()),
        false => Err("expected one name such as chat.v2, without spaces, commas and the like"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_separators() {
        assert_eq!(token("chat.v2").as_deref(), Ok("chat.v2"));
        for text in ["", "a,b", "a b", "caf\u{e9}", "a\n", "\"a\""] {
            assert!(token(text).is_err(), "{text:?}");
        }
    }
}
