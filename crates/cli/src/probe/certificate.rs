//! How long a certificate is valid: the two times in it, and nothing else. See RFC 5280 §4.1.

use std::time::{Duration, SystemTime};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which the first one leaves out.
const VERSION: u8 = 0xa0;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Validity {
    /// Reads it from a certificate in DER; `None` if it is not there.
    pub(super) fn parse(certificate: &[u8]) -> Option<Self> {
        let mut outer = Der(Der(certificate).take(SEQUENCE)?);
        let mut tbs = Der(outer.take(SEQUENCE)?);
        tbs.take_if(VERSION);
        tbs.take(INTEGER)?; // serialNumber
        tbs.take(SEQUENCE)?; // signature
        tbs.take(SEQUENCE)?; // issuer
        let mut validity = Der(tbs.take(SEQUENCE)?);
        Some(Self { not_before: validity.time()?, not_after: validity.time()? })
    }

    /// Returns the whole days that are left at `now`, below zero when it has expired.
    pub(super) fn days_left(&self, now: SystemTime) -> i64 {
        const DAY: u64 = 24 * 60 * 60;
        let days = |time: Duration| i64::try_from(time.as_secs() / DAY).unwrap_or(i64::MAX);
        match self.not_after.duration_since(now) {
            Ok(left) => days(left),
            Err(over) => -1 - days(over.duration()),
        }
    }

    /// Returns whether it ends so soon that whoever renews it must be late: within a week, or
    /// within a quarter of its time where that is less.
    pub(super) fn ends_soon(&self, now: SystemTime) -> bool {
        let whole = self.not_after.duration_since(self.not_before).unwrap_or_default();
        let soon = Duration::from_secs(7 * 24 * 60 * 60).min(whole / 4);
        self.not_after.duration_since(now).unwrap_or_default() < soon
    }
}

/// Elements of DER, one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next element if it has this tag, and returns its content.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        if found != tag {
            return None;
        }
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            // The number of bytes that hold the length; four are enough for anything that exists.
            let n = usize::from(first & 0x7f);
            if n == 0 || n > 4 {
                return None;
            }
            let bytes;
            (bytes, rest) = rest.split_at_checked(n)?;
            len = bytes.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        }
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some(content)
    }

    fn take_if(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.take(tag);
        }
    }

    /// Takes a time: `YYMMDDhhmmssZ`, or with four digits for the year. See §4.1.2.5.
    fn time(&mut self) -> Option<SystemTime> {
        let (year, rest) = match *self.0.first()? {
            UTC_TIME => {
                let text = self.take(UTC_TIME)?;
                let year = number(text.get(..2)?)?;
                // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY".
                (if year >= 50 { 1900 + year } else { 2000 + year }, text.get(2..)?)
            }
            _ => {
                let text = self.take(GENERALIZED_TIME)?;
                (number(text.get(..4)?)?, text.get(4..)?)
            }
        };
        let [month, day, hour, minute, second] =
            rest.strip_suffix(b"Z")?.chunks(2).collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let text = format!(
            "{year:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            number(month)?,
            number(day)?,
            number(hour)?,
            number(minute)?,
            number(second)?
        );
        humantime::parse_rfc3339(&text).ok()
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["ws.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2024, 2, 29);
        params.not_after = date_time_ymd(until, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for until in [2049, 2050] {
            let validity = Validity::parse(&certificate(until)).unwrap();
            assert_eq!(validity.not_before, at("2024-02-29T00:00:00Z"));
            assert_eq!(validity.not_after, at(&format!("{until}-12-31T00:00:00Z")));
        }
    }

    #[test]
    fn days_are_counted_to_the_end_and_beyond() {
        let validity = Validity::parse(&certificate(2030)).unwrap();
        assert_eq!(validity.days_left(at("2030-12-01T00:00:00Z")), 30);
        assert_eq!(validity.days_left(at("2030-12-30T00:00:01Z")), 0);
        assert_eq!(validity.days_left(at("2030-12-31T00:00:01Z")), -1);
        assert_eq!(validity.days_left(at("2031-01-02T00:00:01Z")), -3);
    }

    #[test]
    fn soon_is_a_week_or_a_quarter_of_a_short_life() {
        let validity = Validity::parse(&certificate(2030)).unwrap();
        assert!(!validity.ends_soon(at("2030-12-20T00:00:00Z")));
        assert!(validity.ends_soon(at("2030-12-25T00:00:00Z")));
        let not_before = at("2030-12-25T00:00:00Z");
        let short = Validity { not_before, ..validity };
        assert!(!short.ends_soon(at("2030-12-29T00:00:00Z")));
        assert!(short.ends_soon(at("2030-12-30T00:00:00Z")));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = certificate(2050);
        for len in 0..200.min(whole.len()) {
            assert_eq!(Validity::parse(&whole[..len]), None);
        }
        for at in 0..whole.len().min(160) {
            for byte in [0, 0x2f, 0x30, 0x3a, 0x7f, 0x80, 0x84, 0x85, 0xff] {
                let mut bent = whole.clone();
                bent[at] = byte;
                let _ = Validity::parse(&bent);
            }
        }
        assert_eq!(Validity::parse(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
