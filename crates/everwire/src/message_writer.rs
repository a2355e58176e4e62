//! A message that is sent in pieces by a task.

use std::fmt;

use everwire_proto::{Cause, Compress, MessageKind, Payload, SendError};

use crate::{
    Sender,
    shared::{Outgoing, Until},
};

/// Sends one message in pieces, so that it need not be held whole. See
/// [`Sender::stream_message`].
///
/// Each piece is a frame of its own. Whole messages of other senders wait until it is finished;
/// pings, pongs and Close go in between.
///
/// Dropped before anything was written, it leaves no trace. Dropped later, it ends the connection
/// with [`Cause::Cancelled`]: the peer has the beginning of a message that has no end, and to end it
/// there would pass a part off as the whole.
///
/// # Examples
/// ```no_run
/// use everwire::{MessageKind, Sender};
///
/// /// Sends a file as one message, of which no more than a piece is in memory.
/// async fn send_file(sender: &Sender, path: &str) -> Result<(), Box<dyn std::error::Error>> {
///     let mut file = std::fs::File::open(path)?;
///     let mut message = sender.stream_message(MessageKind::Binary).await?;
///     let mut piece = vec![0; 64 << 10];
///     loop {
///         match std::io::Read::read(&mut file, &mut piece)? {
///             0 => return Ok(message.finish().await?),
///             n => message.write(&piece[..n]).await?,
///         }
///     }
/// }
/// ```
pub struct MessageWriter {
    sender: Sender,
    kind: MessageKind,
    compress: Compress,
    stage: Stage,
    /// The start of a character whose rest was not written yet.
    cut: Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is our turn, but nothing was written.
    Turn,
    Started,
    Finished,
}

impl Sender {
    /// Waits until nobody else sends a message in pieces, and begins to.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Examples
    /// ```
    /// use everwire::{MessageKind, SendError, Sender};
    ///
    /// async fn count(sender: &Sender) -> Result<(), SendError> {
    ///     let mut writer = sender.stream_message(MessageKind::Text).await?;
    ///     for n in 0..1_000_000 {
    ///         writer.write(format!("{n}\n").as_bytes()).await?;
    ///     }
    ///     writer.finish().await
    /// }
    /// ```
    pub async fn stream_message(&self, kind: MessageKind) -> Result<MessageWriter, SendError> {
        self.stream_message_with(kind, Compress::default()).await
    }

    /// Begins a message in pieces as [`stream_message`](Self::stream_message) does, and says whether
    /// it is compressed.
    ///
    /// # Errors
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn stream_message_with(
        &self,
        kind: MessageKind,
        compress: Compress,
    ) -> Result<MessageWriter, SendError> {
        self.shared().waiting(|cx, place| self.shared().poll_turn(cx, place)).await?;
        let (sender, cut) = (self.clone(), Cut::default());
        Ok(MessageWriter { sender, kind, compress, stage: Stage::Turn, cut })
    }
}

impl MessageWriter {
    /// Queues a piece, whole or not at all, waiting while the send queue is full.
    ///
    /// The pieces of a text message must be UTF-8 together; a character may be cut between two.
    ///
    /// # Errors
    /// [`SendError::InvalidUtf8`] if the text cannot go on like this: nothing was queued.
    /// [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// Dropped before it is done, nothing was queued.
    pub async fn write(&mut self, piece: impl Into<Payload<'_>>) -> Result<(), SendError> {
        let piece = piece.into();
        if piece.is_empty() {
            return Ok(());
        }
        let cut = match self.kind {
            MessageKind::Text => self.cut.after(&piece).ok_or(SendError::InvalidUtf8)?,
            MessageKind::Binary => Cut::default(),
        };
        let shared = self.sender.shared();
        shared.waiting(|cx, place| shared.poll_room(cx, Until::PieceRoom, place)).await?;
        self.start()?;
        self.cut = cut;
        self.sender.shared().push_admitted(Outgoing::Piece(piece.into_bytes()))
    }

    /// Ends the message.
    ///
    /// # Errors
    /// [`SendError::InvalidUtf8`] if a text ends inside a character: the connection ends, as if the
    /// writer had been dropped. [`SendError::Closed`] once closing has begun.
    ///
    /// # Cancel safety
    /// It never waits.
    #[expect(clippy::unused_async, reason = "may one day wait for room")]
    pub async fn finish(mut self) -> Result<(), SendError> {
        if self.cut != Cut::default() {
            return Err(SendError::InvalidUtf8);
        }
        self.start()?;
        if self.sender.is_closed() {
            return Err(SendError::Closed);
        }
        self.stage = Stage::Finished;
        self.sender.shared().end_stream(Some(Outgoing::Finish(bytes::Bytes::new())));
        Ok(())
    }

    fn start(&mut self) -> Result<(), SendError> {
        if self.stage == Stage::Turn {
            self.sender.shared().push_admitted(Outgoing::Start(self.kind, self.compress))?;
            self.stage = Stage::Started;
        }
        Ok(())
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        match self.stage {
            Stage::Turn => self.sender.shared().end_stream(None),
            Stage::Started => self.sender.shared().fail(Cause::Cancelled),
            Stage::Finished => {}
        }
    }
}

impl fmt::Debug for MessageWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageWriter")
            .field("id", &self.sender.id())
            .field("kind", &self.kind)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// The start of a character that was cut: at most three bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cut {
    bytes: [u8; 4],
    len: usize,
}

impl Cut {
    /// Returns what is cut off at the end of `piece`, which goes on behind this; `None` if that is
    /// not UTF-8.
    fn after(mut self, mut piece: &[u8]) -> Option<Self> {
        while self.len > 0 {
            let Some((&first, rest)) = piece.split_first() else { return Some(self) };
            self.bytes[self.len] = first;
            self.len += 1;
            piece = rest;
            match std::str::from_utf8(&self.bytes[..self.len]) {
                Ok(_) => self = Self::default(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return None,
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Some(self),
            Err(error) if error.error_len().is_none() => {
                let end = &piece[error.valid_up_to()..];
                self.bytes[..end.len()].copy_from_slice(end);
                self.len = end.len();
                Some(self)
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: Option<usize>) {
        let cut = pieces.iter().try_fold(Cut::default(), |cut, piece| cut.after(piece));
        assert_eq!(cut.map(|cut| cut.len), expected);
    }

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let text = "aé€𝄞z".as_bytes();
        for cut in 0..text.len() {
            let complete = std::str::from_utf8(&text[..cut]);
            let open = complete.err().map_or(0, |error| cut - error.valid_up_to());
            check(&[&text[..cut]], Some(open));
            check(&[&text[..cut], &text[cut..]], Some(0));
        }
        let bytes: Vec<_> = text.chunks(1).collect();
        check(&bytes, Some(0));
    }

    #[test]
    fn what_is_not_utf8_is_found_across_cuts() {
        check(&[b"\xff"], None);
        check(&[b"\xe2\x82", b"a"], None);
        check(&[b"\xf0", b"\x9d\x84", b"\x9e\x80"], None);
    }
}
