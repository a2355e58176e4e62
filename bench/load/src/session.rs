//! The client's end of `everwire.v1`, as little of it as an echo needs. See docs/protocol.md §16.
//!
//! It acknowledges every 64 messages and never because time has passed, so that the server's work repeats.

use anyhow::{Result, bail, ensure};

/// Offers a session and says HELLO: attempt 1, a window of 256 KiB, messages up to 1 MiB, no token, no ticket.
pub const FIELDS: &str =
    "Sec-WebSocket-Protocol: everwire.v1\r\nEverwire-Hello: UAEBAAEBgIAQgIBA4NQDAAA\r\n";

const WINDOW: u64 = 262_144;
const ACK_AFTER: u64 = 64;

/// What a connection knows of its session.
#[derive(Debug, Default)]
pub struct Session {
    /// The first byte of the frame that is being read.
    first: Option<u8>,
    /// The rest of it, unless it is DATA.
    frame: Vec<u8>,
    /// Messages that were not acknowledged.
    unacknowledged: u64,
    owes: bool,
}

impl Session {
    /// Takes in a piece of a frame; returns what of it belongs to a message.
    pub fn payload<'a>(&mut self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let rest = match self.first {
            Some(_) => payload,
            None => {
                let (first, rest) = payload.split_first()?;
                self.first = Some(*first);
                rest
            }
        };
        if matches!(self.first, Some(0x10 | 0x11)) {
            return Some(rest);
        }
        self.frame.extend_from_slice(rest);
        None
    }

    /// Handles the end of a frame; returns whether it was a message.
    pub fn end(&mut self) -> Result<bool> {
        let frame = std::mem::take(&mut self.frame);
        match self.first.take() {
            Some(0x10 | 0x11) => {
                self.unacknowledged += 1;
                self.owes |= self.unacknowledged >= ACK_AFTER;
                return Ok(true);
            }
            Some(0x60) => {
                ensure!(
                    frame.first() == Some(&0),
                    "the server's WELCOME has another status than NEW"
                );
                self.owes = true;
            }
            Some(0x20) => {}
            other => bail!("a frame that begins with {other:02x?} came"),
        }
        Ok(false)
    }

    /// Tells whether an acknowledgement is due.
    pub fn owes(&self) -> bool {
        self.owes
    }

    /// Returns an ACK in its WebSocket frame. A zero masking key leaves it as it is.
    pub fn acknowledge(&mut self, received: u64, sent: u64) -> Vec<u8> {
        (self.owes, self.unacknowledged) = (false, 0);
        let mut ack = vec![0x20];
        for number in [received, received, sent, WINDOW] {
            encode(number, &mut ack);
        }
        let mut frame = vec![0x82, 0x80 | ack.len() as u8, 0, 0, 0, 0];
        frame.append(&mut ack);
        frame
    }
}

/// Appends a number as LEB128.
fn encode(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_64th_message_is_acknowledged() {
        let mut session = Session::default();
        for n in 1..=200 {
            assert_eq!(session.payload(&[0x10, 1]), Some(&[1][..]));
            assert_eq!(session.payload(&[2]), Some(&[2][..]));
            assert!(session.end().unwrap());
            assert_eq!(session.owes(), n % 64 == 0);
            if session.owes() {
                assert_eq!(
                    session.acknowledge(300, 5)[6..],
                    [0x20, 0xac, 2, 0xac, 2, 5, 0x80, 0x80, 16]
                );
            }
        }
    }
}
