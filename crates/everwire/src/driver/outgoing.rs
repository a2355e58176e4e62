//! What handles asked a driver for.

use std::time::Instant;

use everwire_proto::{Cause, PreparedMessage};

use super::{App, Driver, Stream};
use crate::shared::{News, Outgoing};

impl<S: Stream, A: App> Driver<S, A> {
    /// Does what handles asked for.
    #[inline]
    pub(super) fn take_outbox(&mut self, now: Instant) {
        if let Some(news) = self.shared.take_outbox() {
            self.apply_all(news, now);
        }
    }

    fn apply_all(&mut self, news: News, now: Instant) {
        self.lend_buffer();
        // It was counted against the limit when it was queued.
        self.proto.admit(true);
        match news {
            News::Cast(messages) => self.apply_cast(&messages),
            News::All(first, mut outbox) => {
                first.iter().for_each(|messages| self.apply_cast(messages));
                while let Some(outgoing) = outbox.pop_front() {
                    self.apply(outgoing, now);
                }
                outbox.put();
            }
        }
        self.proto.admit(false);
        // What was queued is encoded now, and counted there.
        self.shared.publish_transmit_len(self.proto.transmit_len());
    }

    #[inline]
    fn apply_cast(&mut self, messages: &[PreparedMessage]) {
        for message in messages {
            self.flags.unsent += u32::from(self.proto.send_prepared(message).is_err());
        }
    }

    fn apply(&mut self, outgoing: Outgoing, now: Instant) {
        // Room and order were seen to when it was queued; only an end may have come in between.
        let begins_message = outgoing.begins_message();
        let done = match outgoing {
            Outgoing::Message(message, compress) => self.proto.send_with(message, compress),
            Outgoing::Prepared(message) => self.proto.send_prepared(&message),
            Outgoing::Start(kind, compress) => self.proto.start_message_with(kind, compress),
            Outgoing::Piece(bytes) => self.proto.send_piece(bytes),
            Outgoing::Finish(bytes) => self.proto.finish_message(bytes),
            Outgoing::Ping(payload) => self.proto.ping(&payload),
            Outgoing::Probe(number) => self.proto.ping_numbered(now).map(|n| {
                number.send(n).ok();
            }),
            Outgoing::Adjust(adjustment) => {
                self.flags.asked = true;
                (adjustment.0)(&mut self.proto, now);
                Ok(())
            }
            Outgoing::Resume => {
                self.flags.handler.paused = false;
                Ok(())
            }
            Outgoing::Notify => {
                self.shared.take_notified();
                // What it sends counts like anything that a handler sends.
                self.proto.admit(false);
                let (app, mut conn) = self.split(now);
                app.notify(&mut conn);
                self.proto.admit(true);
                Ok(())
            }
            Outgoing::Drain => {
                // What it sends counts like anything that a handler sends.
                self.proto.admit(false);
                let (app, mut conn) = self.split(now);
                app.drain(&mut conn);
                self.proto.admit(true);
                Ok(())
            }
            // A panic drops handles; that is not why the connection ends.
            Outgoing::Fail(Cause::Cancelled) if self.flags.panicked => Ok(()),
            Outgoing::Fail(cause) => {
                self.proto.fail(now, cause);
                Ok(())
            }
            Outgoing::Close(cause, frame) => {
                self.proto.close_because(now, cause, frame);
                Ok(())
            }
            Outgoing::Abort(cause) => {
                self.proto.abort(now, cause);
                Ok(())
            }
        };
        self.flags.unsent += u32::from(begins_message && done.is_err());
    }
}
