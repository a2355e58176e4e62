//! Where in the stream of frames a connection is: what has begun and not ended, and what follows a
//! Close. It reads along, and judges nothing.

use everwire_proto::{FrameHeader, Opcode};

/// Reads along with everything that is received.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The beginning of a header.
    head: Vec<u8>,
    /// The frame that has begun, and how much of its payload is still to come.
    frame: Option<(FrameHeader, u64)>,
    is_closed: bool,
    is_broken: bool,
    after_close: u64,
}

impl Walk {
    /// Takes what was received.
    pub(super) fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_broken {
            if self.is_closed {
                self.after_close += bytes.len() as u64;
                return;
            }
            match &mut self.frame {
                Some((_, remaining)) => {
                    let n = (*remaining).min(bytes.len() as u64);
                    *remaining -= n;
                    bytes = &bytes[n as usize..];
                }
                None => {
                    self.head.push(bytes[0]);
                    bytes = &bytes[1..];
                    match FrameHeader::parse(&self.head) {
                        Ok(Some((header, _))) => {
                            self.head.clear();
                            self.frame = Some((header, header.payload_len));
                        }
                        Ok(None) => {}
                        Err(_) => self.is_broken = true,
                    }
                }
            }
            if let Some((header, 0)) = &self.frame {
                self.is_closed = header.opcode == Opcode::Close;
                self.frame = None;
            }
        }
    }

    /// Returns how many bytes came after the first Close.
    pub(super) fn after_close(&self) -> u64 {
        self.after_close
    }

    /// Says for people which frame has begun and not ended.
    pub(super) fn unfinished(&self) -> Option<String> {
        match &self.frame {
            Some((header, remaining)) => {
                let (len, opcode) = (header.payload_len, header.opcode);
                let came = len - remaining;
                Some(format!("a {opcode:?} frame of {len} bytes has begun, of which {came} came"))
            }
            None if !self.head.is_empty() && !self.is_broken => {
                Some(format!("{} bytes of the header of a frame came", self.head.len()))
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], after_close: u64, unfinished: Option<&str>) {
        for chunk in [1, 3, bytes.len()] {
            let mut walk = Walk::default();
            bytes.chunks(chunk).for_each(|bytes| walk.take(bytes));
            assert_eq!(
                (walk.after_close(), walk.unfinished().as_deref()),
                (after_close, unfinished)
            );
        }
    }

    #[test]
    fn what_follows_a_close_is_counted_however_it_is_cut() {
        check(b"\x81\x02hi\x88\x02\x03\xe8", 0, None);
        check(b"\x81\x02hi\x88\x02\x03\xe8\x81\x04late", 6, None);
        check(b"\x88\x00\x88\x00", 2, None);
    }

    #[test]
    fn a_frame_that_has_not_ended_is_told() {
        check(b"\x81\x02hi", 0, None);
        check(
            b"\x82\x7e\x01\x00abc",
            0,
            Some("a Binary frame of 256 bytes has begun, of which 3 came"),
        );
        let giant = b"\x82\x7f\x00\x00\x01\x00\x00\x00\x00\x00";
        check(giant, 0, Some("a Binary frame of 1099511627776 bytes has begun, of which 0 came"));
        check(b"\x82\x7e", 0, Some("2 bytes of the header of a frame came"));
        check(b"\x83\x00\x01", 0, None);
    }
}
