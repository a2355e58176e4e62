//! Sizes in bytes, as people write them.

use std::{error::Error, fmt, str::FromStr};

/// A number of bytes, at least one: `16MiB`, `64KiB`, `65536`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("b", 1),
];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let text = text.trim().to_ascii_lowercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
            .unwrap_or((&text, 1));
        let number: u64 = number.trim_end().parse().map_err(|_| SizeError)?;
        let bytes = number.checked_mul(unit).filter(|bytes| *bytes > 0);
        bytes.map(Self).ok_or(SizeError)
    }
}

/// A text is not a size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SizeError;

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a size such as 16MiB, 64KiB or 65536")
    }
}

impl Error for SizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, SizeError>) {
        assert_eq!(text.parse(), expected.map(Size), "{text:?}");
    }

    #[test]
    fn sizes_are_read_in_bytes_and_units() {
        check("65536", Ok(65_536));
        check("16MiB", Ok(16 << 20));
        check("64 KiB", Ok(64 << 10));
        check("1gib", Ok(1 << 30));
        check("2MB", Ok(2_000_000));
        check("8k", Ok(8192));
        check("5B", Ok(5));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "16 potatoes", "-1", "1.5MiB", "0", "99999999999999GiB"] {
            check(text, Err(SizeError));
        }
    }
}
