//! What a message carries, so that whatever comes back can be judged.
//!
//! A stamp of sixteen bytes (thirty-two hexadecimal digits in a text): the sequence number, the
//! sender, the run, and a checksum of the three. What follows is filler that the stamp determines,
//! so that every byte of an answer is checked.

use std::{fmt::Write, sync::Arc};

use everwire::{Message, MessageKind};

/// Filler begins at one of so many places, so that the end of one message under the stamp of
/// another is noticed.
const SHIFTS: u64 = 61;

/// Those of texts: far more than a compressor remembers, so that messages are no copies of those
/// before them.
const TEXT_SHIFTS: u64 = 1 << 20;

/// Whose message it is, and which one of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) sender: u32,
    pub(super) sequence: u32,
}

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A message of this run, whole.
    Ours(Stamp),
    /// A message of this run, or what was one.
    Corrupt,
    /// Something that this run never sent, such as a greeting.
    Foreign,
}

/// How the messages of a run are made and known again.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    run: u32,
    kind: MessageKind,
    size: usize,
    shifts: u64,
    filler: Arc<[u8]>,
}

impl Pattern {
    /// Returns the size of the smallest message.
    pub(super) fn least(kind: MessageKind) -> usize {
        match kind {
            MessageKind::Binary => 16,
            MessageKind::Text => 32,
        }
    }

    /// Makes messages of `size` bytes, at least [`least`](Self::least), that no other run makes.
    pub(super) fn new(run: u32, kind: MessageKind, size: usize) -> Self {
        let size_of_filler = size - Self::least(kind);
        let (shifts, filler) = match kind {
            MessageKind::Binary => (SHIFTS, noise(run, size_of_filler + SHIFTS as usize)),
            MessageKind::Text => (TEXT_SHIFTS, prose(run, size_of_filler + TEXT_SHIFTS as usize)),
        };
        Self { run, kind, size, shifts, filler: filler.into() }
    }

    /// Writes a message into `bytes`, in place of what was there.
    pub(super) fn write(&self, stamp: Stamp, bytes: &mut Vec<u8>) {
        bytes.clear();
        for word in self.words(stamp) {
            match self.kind {
                MessageKind::Binary => bytes.extend_from_slice(&word.to_be_bytes()),
                MessageKind::Text => bytes.extend((0..8).map(|idx| hex(word >> (28 - 4 * idx)))),
            }
        }
        bytes.extend_from_slice(self.filler(stamp));
    }

    /// Returns the message whose bytes [`write`](Self::write) wrote.
    pub(super) fn message<'a>(&self, bytes: &'a [u8]) -> Message<'a> {
        match self.kind {
            MessageKind::Binary => Message::binary(bytes),
            MessageKind::Text => {
                Message::text(std::str::from_utf8(bytes).expect("texts are made of ASCII"))
            }
        }
    }

    /// Judges a message that came.
    pub(super) fn read(&self, message: &Message<'_>) -> Found {
        let bytes = message.as_bytes();
        let words = self.stamp_of(bytes);
        let is_similar =
            bytes.len() == self.size || words.is_some_and(|[_, _, run, _]| run == self.run);
        let other = if is_similar { Found::Corrupt } else { Found::Foreign };
        let Some(words) = words else { return other };
        let stamp = Stamp { sequence: words[0], sender: words[1] };
        let is_whole = words == self.words(stamp)
            && message.kind() == self.kind
            && bytes[Self::least(self.kind)..] == *self.filler(stamp);
        if is_whole { Found::Ours(stamp) } else { other }
    }

    fn words(&self, Stamp { sequence, sender }: Stamp) -> [u32; 4] {
        let fields = u64::from(sequence) << 32 | u64::from(sender);
        [sequence, sender, self.run, (mix(fields ^ mix(self.run.into())) >> 32) as u32]
    }

    fn stamp_of(&self, bytes: &[u8]) -> Option<[u32; 4]> {
        let stamp = bytes.get(..Self::least(self.kind))?;
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(stamp.chunks_exact(stamp.len() / 4)) {
            *word = match self.kind {
                MessageKind::Binary => u32::from_be_bytes(bytes.try_into().ok()?),
                MessageKind::Text => {
                    u32::from_str_radix(std::str::from_utf8(bytes).ok()?, 16).ok()?
                }
            };
        }
        Some(words)
    }

    fn filler(&self, stamp: Stamp) -> &[u8] {
        let fields = u64::from(stamp.sequence) << 32 | u64::from(stamp.sender);
        let start = (mix(fields) % self.shifts) as usize;
        &self.filler[start..][..self.size - Self::least(self.kind)]
    }
}

fn hex(digit: u32) -> u8 {
    b"0123456789abcdef"[(digit & 15) as usize]
}

/// Mixes the bits of a number; no two numbers give the same (SplitMix64's last step).
pub(super) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Bytes that nothing compresses.
fn noise(run: u32, len: usize) -> Vec<u8> {
    let words = (0..).map(|idx| mix(u64::from(run) << 32 | idx));
    words.flat_map(u64::to_le_bytes).take(len).collect()
}

/// Text that compresses about as well as the JSON of an application.
fn prose(run: u32, len: usize) -> Vec<u8> {
    const NAMES: [&str; 8] = ["id", "user", "room", "price", "at", "title", "amount", "state"];
    const WORDS: [&str; 8] = ["open", "blue", "Ada", "EUR", "north", "seven", "pending", "lamp"];
    let mut text = String::with_capacity(len + 64);
    for idx in 0.. {
        if text.len() >= len {
            break;
        }
        let dice = mix(u64::from(run) << 32 | idx);
        let (name, word) = (NAMES[dice as usize % 8], WORDS[(dice >> 8) as usize % 8]);
        let number = (dice >> 16) % 1_000_000;
        match dice >> 61 {
            0 | 1 => write!(text, "\"{name}\":\"{word}\","),
            2 | 3 => write!(text, "\"{name}\":{number},"),
            4 | 5 => write!(text, "\"{name}\":\"{word} {number:x}\","),
            6 => write!(text, "\"{name}\":\"{:08x}\",", dice as u32),
            _ => write!(text, "\"{name}\":{{\"{word}\":true}},"),
        }
        .expect("a string takes everything");
    }
    text.truncate(len);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sender: 7, sequence: 0xfedc_ba98 };

    fn written(pattern: &Pattern) -> Vec<u8> {
        let mut bytes = vec![1, 2, 3];
        pattern.write(STAMP, &mut bytes);
        bytes
    }

    fn each(mut check: impl FnMut(Pattern)) {
        for (kind, sizes) in
            [(MessageKind::Binary, [16, 17, 5000]), (MessageKind::Text, [32, 33, 5000])]
        {
            sizes.into_iter().for_each(|size| check(Pattern::new(5, kind, size)));
        }
    }

    #[test]
    fn what_comes_back_whole_is_known_again() {
        each(|pattern| {
            let bytes = written(&pattern);
            assert_eq!(bytes.len(), pattern.size);
            assert_eq!(pattern.read(&pattern.message(&bytes)), Found::Ours(STAMP));
        });
    }

    #[test]
    fn every_byte_is_checked() {
        each(|pattern| {
            let bytes = written(&pattern);
            for idx in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[idx] ^= 1;
                let found = pattern.read(&pattern.message(&changed));
                assert_eq!(found, Found::Corrupt, "byte {idx} of {}", bytes.len());
            }
        });
    }

    #[test]
    fn what_is_cut_or_longer_or_of_the_other_kind_is_corrupt() {
        let pattern = Pattern::new(5, MessageKind::Text, 40);
        let bytes = written(&pattern);
        let longer = [&bytes[..], b"x"].concat();
        for message in
            [pattern.message(&bytes[..39]), pattern.message(&longer), Message::binary(&bytes[..])]
        {
            assert_eq!(pattern.read(&message), Found::Corrupt);
        }
    }

    #[test]
    fn the_end_of_one_message_under_the_stamp_of_another_is_corrupt() {
        let pattern = Pattern::new(5, MessageKind::Binary, 400);
        let (mut bytes, mut next) = (Vec::new(), Vec::new());
        pattern.write(STAMP, &mut bytes);
        pattern.write(Stamp { sequence: STAMP.sequence + 1, ..STAMP }, &mut next);
        bytes[200..].copy_from_slice(&next[200..]);
        assert_eq!(pattern.read(&Message::binary(&bytes[..])), Found::Corrupt);
    }

    #[test]
    fn greetings_and_other_runs_are_foreign() {
        let pattern = Pattern::new(5, MessageKind::Binary, 40);
        let bytes = written(&Pattern::new(6, MessageKind::Binary, 41));
        for message in [Message::text("welcome"), Message::binary(&bytes[..]), Message::text("")] {
            assert_eq!(pattern.read(&message), Found::Foreign);
        }
    }
}
