//! What one application has said and the other has heard.

use everwire_session::{GapRange, Message};

use super::Fault;
use crate::Rng;

/// One direction of a session, as its two applications see it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The number of the last message that was accepted.
    accepted: u64,
    /// The number of the last message that was heard, or told to be missing.
    heard: u64,
    /// Messages that were heard.
    pub messages: u64,
    /// Messages that were told to be missing, at the end that did not get them.
    pub missing: u64,
    /// The same, at the end that had sent them.
    pub missing_told_to_sender: u64,
}

impl Ledger {
    /// Returns the next message to say: its number, and bytes that depend on it.
    #[must_use]
    pub fn compose(&self, rng: &mut Rng, longest: usize) -> Vec<u8> {
        let number = self.accepted + 1;
        let padding = (0..rng.below(longest)).map(|at| (number as usize + at) as u8);
        number.to_be_bytes().into_iter().chain(padding).collect()
    }

    /// Notes that the message was accepted under this number.
    ///
    /// # Errors
    /// If it is not the next.
    pub fn accept(&mut self, number: u64) -> Result<(), Fault> {
        self.accepted += 1;
        if number == self.accepted {
            return Ok(());
        }
        Err(Fault::Other(format!("message {} was accepted as {number}", self.accepted)))
    }

    /// Notes that a message was heard.
    ///
    /// # Errors
    /// If it is not the next, or not as it was said.
    pub fn hear(&mut self, message: &Message) -> Result<(), Fault> {
        let (expected, payload) = (self.heard + 1, &message.payload);
        let said = payload.first_chunk().copied().map(u64::from_be_bytes);
        match said {
            Some(number) if number < expected => return Err(Fault::Doubled { number, expected }),
            Some(number) if expected < number && number <= self.accepted => {
                return Err(Fault::Lost { from: expected, to: number - 1 });
            }
            _ => {}
        }
        if said != Some(expected) || message.number != said {
            let number = message.number;
            let what = format!("heard {said:?} under {number:?} instead of {expected}");
            return Err(Fault::Other(what));
        }
        let padding = payload.iter().skip(8).enumerate();
        if padding.into_iter().any(|(at, byte)| *byte != (expected as usize + at) as u8) {
            return Err(Fault::Other(format!("message {expected} was changed")));
        }
        self.heard = expected;
        self.messages += 1;
        Ok(())
    }

    /// Notes that messages were told to be missing.
    ///
    /// # Errors
    /// If they are not the next, or were never said.
    pub fn miss(&mut self, gap: &GapRange) -> Result<(), Fault> {
        if gap.from != self.heard + 1 || gap.to > self.accepted {
            let what = format!("a gap {gap:?} after {} of {}", self.heard, self.accepted);
            return Err(Fault::Other(what));
        }
        self.missing += gap.to - self.heard;
        self.heard = gap.to;
        Ok(())
    }

    /// Forgets what was heard after this message: it has to come again.
    pub fn rewind(&mut self, number: u64) {
        self.messages -= self.heard.saturating_sub(number);
        self.heard = self.heard.min(number);
    }

    /// Checks that all that was said was heard or told to be missing.
    ///
    /// # Errors
    /// If not.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.heard != self.accepted {
            return Err(Fault::Lost { from: self.heard + 1, to: self.accepted });
        }
        if self.missing > 0 && self.missing_told_to_sender < self.missing {
            let told = self.missing_told_to_sender;
            let what = format!("{} messages missing, the sender knows of {told}", self.missing);
            return Err(Fault::Other(what));
        }
        Ok(())
    }

    /// Returns how many messages were accepted and neither heard nor told to be missing.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.accepted - self.heard
    }
}
