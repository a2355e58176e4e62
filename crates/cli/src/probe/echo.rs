//! Tells the echo of a message from other messages.

use bytes::Bytes;

/// How much of the beginning of a message is kept, to compare it with the end of the expected one.
const START: usize = 1024;

/// A shorter message has so much in common with the expected one by chance.
const CHANCE: usize = 4;

/// How a message is like the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It is the same.
    Echo,
    /// It may be the expected one, cut or changed on the way: the beginning or the end of it, or as
    /// long.
    Changed,
    /// It is another one.
    Other,
}

/// Compares a message with another while it comes.
#[derive(Debug, Default)]
pub(super) struct Echo {
    expected: Bytes,
    at: usize,
    differs: bool,
    start: Vec<u8>,
}

impl Echo {
    /// Compares with this message.
    pub(super) fn new(expected: Bytes) -> Self {
        Self { expected, ..Self::default() }
    }

    /// Takes a piece; at the last one, returns how the message is like the expected one.
    pub(super) fn take(&mut self, payload: &[u8], first: bool, last: bool) -> Option<Likeness> {
        if first {
            (self.at, self.differs) = (0, false);
            self.start.clear();
        }
        let rest = &self.expected[self.at.min(self.expected.len())..];
        self.differs |= !rest.starts_with(payload);
        self.at += payload.len();
        let room = START - self.start.len();
        self.start.extend_from_slice(&payload[..payload.len().min(room)]);
        last.then(|| self.likeness())
    }

    fn likeness(&self) -> Likeness {
        let len = self.expected.len();
        if !self.differs && self.at == len && len > 0 {
            return Likeness::Echo;
        }
        if self.at >= len {
            return Likeness::Changed;
        }
        let is_end = self.expected[len - self.at..].starts_with(&self.start);
        match self.at > CHANCE && (!self.differs || is_end) {
            true => Likeness::Changed,
            false => Likeness::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(expected: &str, pieces: &[&str]) -> Likeness {
        let mut echo = Echo::new(expected.to_owned().into());
        let last = pieces.len() - 1;
        let take = |(at, piece): (usize, &&str)| echo.take(piece.as_bytes(), at == 0, at == last);
        pieces.iter().enumerate().map(take).last().unwrap().unwrap()
    }

    #[test]
    fn an_echo_is_told_from_other_messages_however_it_is_cut() {
        for pieces in [&["abc"][..], &["a", "bc"], &["", "ab", "c"], &["abc", ""]] {
            assert_eq!(likeness("abc", pieces), Likeness::Echo, "{pieces:?}");
        }
        for pieces in [&["ab"][..], &["abcd"], &["x", "bc"], &["abc", "d"], &["ab", "x"], &[""]] {
            assert_ne!(likeness("abc", pieces), Likeness::Echo, "{pieces:?}");
        }
        assert_ne!(likeness("", &[""]), Likeness::Echo);
    }

    #[test]
    fn a_part_of_an_echo_is_told_from_an_answer_of_another_kind() {
        for pieces in [&["abcdef"][..], &["ef", "ghij"], &["abcdXfghij"], &["echo: abcdefghij"]] {
            assert_eq!(likeness("abcdefghij", pieces), Likeness::Changed, "{pieces:?}");
        }
        for pieces in [&["too big"][..], &["too", " big"], &["ok"], &["a"], &[""]] {
            assert_eq!(likeness("abcdefghij", pieces), Likeness::Other, "{pieces:?}");
        }
        let long = "abcdefghij".repeat(1000);
        assert_eq!(likeness(&long, &[&long[5000..]]), Likeness::Changed);
        assert_eq!(likeness(&long, &[&"x".repeat(5000)]), Likeness::Other);
    }
}
