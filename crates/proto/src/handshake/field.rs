//! Header fields: tokens, lists of tokens, and fields that may occur once.

use std::fmt;

use http::{HeaderMap, HeaderName};

/// A header field that is absent, repeated or not of its grammar.
///
/// RFC 6455 §4.1 and §4.2.1 ask for each of `Host`, `Origin`, `Sec-WebSocket-Key`, `Sec-WebSocket-Version` and
/// `Sec-WebSocket-Accept` once: which of two would count is a matter on which two parsers in a row can disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldError {
    /// A field the handshake cannot do without is absent (RFC 6455 §4.2.1).
    Missing(HeaderName),
    /// A field that may occur once occurs `count` times (RFC 6455 §11.3, RFC 9110 §5.3).
    Repeated {
        /// The field.
        name: HeaderName,
        /// How often it occurs.
        count: usize,
    },
    /// The value does not follow the grammar of the field (RFC 6455 §4.3).
    Malformed(HeaderName),
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "header {name} is missing"),
            Self::Repeated { name, count } => {
                write!(f, "header {name} occurs {count} times instead of once")
            }
            Self::Malformed(name) => write!(f, "header {name} is malformed"),
        }
    }
}

impl std::error::Error for FieldError {}

/// Tells whether `text` is a `token` of RFC 9110 §5.6.2 (the same set as RFC 2616 §2.2, which RFC 6455 cites).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

pub(super) const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Tells whether one of the comma-separated elements of all `name` fields is `token`, ASCII case-insensitively.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Returns the value of a field that may occur once, without the white space around it.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, FieldError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let others = values.count();
    if others > 0 {
        return Err(FieldError::Repeated { name: name.clone(), count: others + 1 });
    }
    let text = value.to_str().map_err(|_| FieldError::Malformed(name.clone()))?;
    Ok(Some(text.trim_ascii()))
}

/// Returns the value of a field that must occur exactly once.
pub(super) fn required<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<&'a str, FieldError> {
    single(headers, name)?.ok_or_else(|| FieldError::Missing(name.clone()))
}

/// Returns the elements of a `1#token` list, spread over any number of fields.
///
/// RFC 9110 §5.6.1.2: empty elements are ignored, but a list that has nothing else is malformed.
pub(super) fn token_list<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Vec<&'a str>, FieldError> {
    let malformed = || FieldError::Malformed(name.clone());
    let mut tokens = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| malformed())?;
        for element in text.split(',').map(str::trim_ascii).filter(|element| !element.is_empty()) {
            if !is_token(element) {
                return Err(malformed());
            }
            tokens.push(element);
        }
    }
    if tokens.is_empty() && headers.contains_key(name) {
        return Err(malformed());
    }
    Ok(tokens)
}

/// Tells whether the field belongs to the handshake, so that the caller may not set it.
///
/// Besides those of RFC 6455 §11.3 these are the fields that frame an HTTP message: one on a message without a body
/// would make its receiver take WebSocket frames for that body (RFC 9112 §6).
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
    [CONNECTION, UPGRADE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// Appends all fields, one line each.
pub(super) fn encode_fields(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        encode_field(name, value.as_bytes(), out);
    }
}

/// Appends `Name: value` and the end of the line.
///
/// Field names are case-insensitive, but devices exist that look for the spelling of the RFC, so that is what they get.
pub(super) fn encode_field(name: &HeaderName, value: &[u8], out: &mut Vec<u8>) {
    let mut rest = name.as_str();
    if let Some(tail) = rest.strip_prefix("sec-websocket-") {
        out.extend_from_slice(b"Sec-WebSocket-");
        rest = tail;
    }
    let mut starts_word = true;
    for byte in rest.bytes() {
        out.push(if starts_word { byte.to_ascii_uppercase() } else { byte });
        starts_word = byte == b'-';
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value)))
            .collect()
    }

    #[track_caller]
    fn check_list(values: &[&'static str], expected: Option<&[&str]>) {
        let headers = headers(values);
        let malformed = FieldError::Malformed(header::SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(
            token_list(&headers, &header::SEC_WEBSOCKET_PROTOCOL),
            expected.map(<[_]>::to_vec).ok_or(malformed)
        );
    }

    #[test]
    fn lists_join_over_fields_and_ignore_empty_elements() {
        check_list(&[], Some(&[]));
        check_list(&["a"], Some(&["a"]));
        check_list(&["a,b", " ,\tc ,"], Some(&["a", "b", "c"]));
        check_list(&["", "a"], Some(&["a"]));
    }

    #[test]
    fn lists_without_an_element_or_with_a_bad_one_are_malformed() {
        for values in
            [&[""][..], &[" , ,"], &["a b"], &["a;b"], &["a", "\"b\""], &["a=b"], &["a/b"]]
        {
            check_list(values, None);
        }
    }

    #[test]
    fn only_whole_elements_count_as_tokens() {
        let name = header::SEC_WEBSOCKET_PROTOCOL;
        assert!(has_token(&headers(&["keep-alive", "foo ,\tUpGrade"]), &name, "upgrade"));
        assert!(!has_token(&headers(&["upgrades", "up grade", "\"upgrade\""]), &name, "upgrade"));
    }

    #[test]
    fn a_field_twice_is_an_error_even_with_equal_values() {
        let name = header::SEC_WEBSOCKET_PROTOCOL;
        assert_eq!(single(&headers(&[" a "]), &name), Ok(Some("a")));
        assert_eq!(
            single(&headers(&["a", "a"]), &name),
            Err(FieldError::Repeated { name, count: 2 })
        );
    }

    #[test]
    fn names_are_spelled_as_in_the_rfc() {
        let mut out = Vec::new();
        encode_field(&header::SEC_WEBSOCKET_KEY, b"x", &mut out);
        encode_field(&header::USER_AGENT, b"y", &mut out);
        assert_eq!(out, b"Sec-WebSocket-Key: x\r\nUser-Agent: y\r\n");
    }

    #[test]
    fn errors_name_the_field_and_the_count() {
        let repeated = FieldError::Repeated { name: header::HOST, count: 3 };
        assert_eq!(repeated.to_string(), "header host occurs 3 times instead of once");
    }
}
