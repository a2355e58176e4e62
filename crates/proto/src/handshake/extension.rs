//! Extensions and their parameters, as `Sec-WebSocket-Extensions` carries them.

use std::fmt;

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

use super::field;

/// One extension of an offer or an answer, with its parameters in order (RFC 6455 §9.1).
///
/// Name, parameter names and values are tokens, always. What they mean is the extension's affair.
///
/// # Examples
/// ```
/// # use everwire_proto::handshake::Extension;
/// let offer = Extension::new("permessage-deflate")?.flag("client_no_context_takeover")?.param("client_max_window_bits", "10")?;
/// assert_eq!(offer.to_string(), "permessage-deflate; client_no_context_takeover; client_max_window_bits=10");
/// assert_eq!(Extension::parse_list(&offer.to_string())?, [offer]);
/// # Ok::<(), everwire_proto::handshake::ExtensionError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extension {
    name: String,
    params: Vec<Param>,
}

/// One parameter of an [`Extension`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Param {
    name: String,
    value: Option<String>,
}

impl Extension {
    /// Returns an extension without parameters.
    ///
    /// # Errors
    /// The name is not a token.
    pub fn new(name: &str) -> Result<Self, ExtensionError> {
        Ok(Self { name: token(name)?, params: Vec::new() })
    }

    /// Adds a parameter that has no value.
    ///
    /// # Errors
    /// The name is not a token.
    pub fn flag(mut self, name: &str) -> Result<Self, ExtensionError> {
        self.params.push(Param { name: token(name)?, value: None });
        Ok(self)
    }

    /// Adds a parameter with a value.
    ///
    /// # Errors
    /// Name or value is not a token: quoting is for the wire, not for what may be said (RFC 6455 §9.1).
    pub fn param(mut self, name: &str, value: &str) -> Result<Self, ExtensionError> {
        self.params.push(Param { name: token(name)?, value: Some(token(value)?) });
        Ok(self)
    }

    /// Parses the value of one `Sec-WebSocket-Extensions` field.
    ///
    /// # Errors
    /// The text does not follow the grammar, or holds no extension.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ExtensionError> {
        let mut extensions = Vec::new();
        Cursor { text, at: 0 }.list(&mut extensions)?;
        if extensions.is_empty() { Err(ExtensionError::Empty) } else { Ok(extensions) }
    }

    /// Parses all `Sec-WebSocket-Extensions` fields as one list; without one the list is empty.
    ///
    /// # Errors
    /// A value does not follow the grammar, or the fields hold no extension at all.
    pub fn parse_headers(headers: &HeaderMap) -> Result<Vec<Self>, ExtensionError> {
        let mut extensions = Vec::new();
        for value in headers.get_all(SEC_WEBSOCKET_EXTENSIONS) {
            let text = value.to_str().map_err(|_| ExtensionError::Malformed { at: 0 })?;
            Cursor { text, at: 0 }.list(&mut extensions)?;
        }
        if extensions.is_empty() && headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            return Err(ExtensionError::Empty);
        }
        Ok(extensions)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the parameters in the order in which they were written; a name may occur more than once.
    pub fn params(&self) -> &[Param] {
        &self.params
    }
}

impl Param {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value, without quotes and escapes.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for param in &self.params {
            write!(f, "; {}", param.name)?;
            // Values are tokens, so nothing is ever quoted.
            if let Some(value) = &param.value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// Returns the value of the one field that carries the list, or `None` for an empty list.
pub(super) fn list_value(extensions: &[Extension]) -> Option<HeaderValue> {
    let list: Vec<String> = extensions.iter().map(ToString::to_string).collect();
    (!list.is_empty())
        .then(|| HeaderValue::try_from(list.join(", ")).expect("tokens are visible ASCII"))
}

fn token(text: &str) -> Result<String, ExtensionError> {
    if field::is_token(text) { Ok(text.to_owned()) } else { Err(ExtensionError::NotAToken) }
}

/// Says why a text is no list of extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionError {
    /// The list breaks the grammar of RFC 6455 §9.1 at this byte.
    Malformed {
        /// Where, counted from the start of the field value.
        at: usize,
    },
    /// The field is there and names no extension (RFC 6455 §9.1: `1#extension`).
    Empty,
    /// A name or a value is not a token, or a quoted value does not unescape to one (RFC 6455 §9.1).
    NotAToken,
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at } => write!(f, "extension list is malformed at byte {at}"),
            Self::Empty => f.write_str("extension list is empty"),
            Self::NotAToken => f.write_str("extension name, parameter or value is not a token"),
        }
    }
}

impl std::error::Error for ExtensionError {}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// `1#extension`; empty elements are ignored as RFC 9110 §5.6.1.2 says.
    fn list(mut self, extensions: &mut Vec<Extension>) -> Result<(), ExtensionError> {
        loop {
            while self.eat(b',') {}
            if self.at == self.text.len() {
                return Ok(());
            }
            extensions.push(self.extension()?);
            if self.at < self.text.len() && !self.eat(b',') {
                return Err(self.malformed());
            }
        }
    }

    /// `extension-token *( ";" extension-param )`
    fn extension(&mut self) -> Result<Extension, ExtensionError> {
        let name = self.token()?.to_owned();
        let mut params = Vec::new();
        while self.eat(b';') {
            let name = self.token()?.to_owned();
            let value = if self.eat(b'=') { Some(self.value()?) } else { None };
            params.push(Param { name, value });
        }
        Ok(Extension { name, params })
    }

    /// `token | quoted-string`, of which the latter unescapes to a token.
    fn value(&mut self) -> Result<String, ExtensionError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Ok(self.token()?.to_owned());
        }
        self.at += 1;
        let mut value = String::new();
        loop {
            let mut byte = self.next()?;
            match byte {
                b'"' => break,
                b'\\' => byte = self.next()?,
                _ => {}
            }
            // §9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF".
            if !field::is_tchar(byte) {
                return Err(ExtensionError::NotAToken);
            }
            value.push(char::from(byte));
        }
        self.skip_space();
        token(&value)
    }

    fn token(&mut self) -> Result<&'a str, ExtensionError> {
        self.skip_space();
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|&byte| field::is_tchar(byte)).count();
        if length == 0 {
            return Err(self.malformed());
        }
        self.at += length;
        self.skip_space();
        Ok(&rest[..length])
    }

    /// Takes the byte with the white space around it, if it comes next (RFC 2616 §2.1: implied `*LWS`).
    fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
            self.skip_space();
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, ExtensionError> {
        let byte = self.peek().ok_or(self.malformed())?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed(&self) -> ExtensionError {
        ExtensionError::Malformed { at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let list = Extension::parse_list(text).unwrap();
        assert_eq!(list_value(&list).unwrap(), expected, "{text:?}");
    }

    #[track_caller]
    fn check_error(text: &str, expected: ExtensionError) {
        assert_eq!(Extension::parse_list(text), Err(expected), "{text:?}");
    }

    #[test]
    fn legal_lists_are_read() {
        check("foo", "foo");
        check("foo;bar", "foo; bar");
        check(" foo ;\tbar = 2 ; baz ", "foo; bar=2; baz");
        check("foo; bar=1, foo, x.y!", "foo; bar=1, foo, x.y!");
        check("foo; bar=\"a\\b\\\\c\"".replace("\\\\", "").as_str(), "foo; bar=abc");
        check("foo; bar=\"10\" ; baz=\"\\1\\0\",q", "foo; bar=10; baz=10, q");
        check("foo; bar; bar", "foo; bar; bar");
    }

    #[test]
    fn empty_elements_are_ignored() {
        check(",, foo,\t,bar ,", "foo, bar");
        check_error("", ExtensionError::Empty);
        check_error(" ,\t, ", ExtensionError::Empty);
    }

    #[test]
    fn illegal_lists_are_errors() {
        for (text, at) in [
            (";", 0),
            ("foo;", 4),
            ("foo;;bar", 4),
            ("foo bar", 4),
            ("foo; bar=", 9),
            ("foo; =1", 5),
            ("foo; a=b c", 9),
            ("foo=1", 3),
            ("\"foo\"", 0),
            ("foo; a=\"b", 9),
            ("foo; a=\"b\\", 10),
            ("foo; a=\"b\"c", 10),
            ("foo, ;", 5),
            ("foo; a==b", 7),
            ("foo/1", 3),
        ] {
            check_error(text, ExtensionError::Malformed { at });
        }
        for text in
            ["foo; a=\"\"", "foo; a=\"b c\"", "foo; a=\"b,c\"", "foo; a=\"\\\"\"", "foo; a=\"b;\""]
        {
            check_error(text, ExtensionError::NotAToken);
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        let fields = |values: &[&'static [u8]]| -> HeaderMap {
            let value = |bytes: &&'static [u8]| HeaderValue::from_bytes(bytes).unwrap();
            values.iter().map(|bytes| (SEC_WEBSOCKET_EXTENSIONS, value(bytes))).collect()
        };
        let list = Extension::parse_headers(&fields(&[b"a; b, c", b"", b"d"])).unwrap();
        assert_eq!(list_value(&list).unwrap(), "a; b, c, d");
        assert_eq!(Extension::parse_headers(&fields(&[])), Ok(vec![]));
        assert_eq!(Extension::parse_headers(&fields(&[b"", b","])), Err(ExtensionError::Empty));
        assert_eq!(
            Extension::parse_headers(&fields(&[b"\xe4"])),
            Err(ExtensionError::Malformed { at: 0 })
        );
    }

    #[test]
    fn constructors_refuse_what_is_no_token() {
        assert_eq!(Extension::new(""), Err(ExtensionError::NotAToken));
        assert_eq!(Extension::new("a").unwrap().flag("b c"), Err(ExtensionError::NotAToken));
        assert_eq!(
            Extension::new("a").unwrap().param("b", "c\r\nd"),
            Err(ExtensionError::NotAToken)
        );
    }

    fn extension() -> impl Strategy<Value = Extension> {
        let token = "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}";
        let params = prop::collection::vec((token, prop::option::of(token)), 0..4);
        (token, params).prop_map(|(name, params)| Extension {
            name,
            params: params.into_iter().map(|(name, value)| Param { name, value }).collect(),
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(list in prop::collection::vec(extension(), 1..5)) {
            let value = list_value(&list).unwrap();
            prop_assert_eq!(Extension::parse_list(value.to_str().unwrap()), Ok(list));
        }

        #[test]
        fn what_is_parsed_survives_a_round_trip(text in "[a-b,;= \t\"\\\\]{0,24}") {
            if let Ok(list) = Extension::parse_list(&text) {
                prop_assert_eq!(Extension::parse_list(list_value(&list).unwrap().to_str().unwrap()), Ok(list));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = Extension::parse_list(&text);
        }
    }
}
