//! Text that is known to be UTF-8. The only file of this crate with `unsafe` code.
//!
//! The text of a message was validated while it arrived; validating 1 MiB of multi-byte text once
//! more to turn it into a `&str` would cost another 1.2 million instructions.
#![allow(unsafe_code)]

use std::{fmt, ops::Deref};

use bytes::Bytes;

use crate::Payload;

/// The payload of a text message: valid UTF-8, borrowed from the input or shared.
///
/// Dereferences to `str`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text<'a>(Payload<'a>);

impl<'a> Text<'a> {
    /// Wraps a payload whose every byte went through [`crate::utf8::Utf8Validator`], finished.
    #[inline]
    pub(crate) fn from_validated(payload: Payload<'a>) -> Self {
        debug_assert!(std::str::from_utf8(&payload).is_ok());
        Self(payload)
    }

    /// Returns the text.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: every constructor takes a `str` or a payload that was validated as UTF-8, and
        // no method hands out the bytes mutably.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }

    /// Returns the bytes of the text.
    #[must_use]
    pub fn into_payload(self) -> Payload<'a> {
        self.0
    }

    /// Returns the text with its own memory, copying it if it was borrowed.
    #[must_use]
    pub fn into_owned(self) -> Text<'static> {
        Text(self.0.into_owned())
    }

    /// Returns the bytes of the text, copying them if they were borrowed.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self(Payload::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Text<'static> {
    fn from(text: String) -> Self {
        Self(Payload::Shared(text.into()))
    }
}

impl TryFrom<Bytes> for Text<'static> {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, std::str::Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(Payload::Shared(bytes)))
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
