//! Which silences a path was seen to tolerate.

use std::time::Duration;

/// Which silences, in which nothing went either way, a path was seen to tolerate and not to.
///
/// Kept for a policy that [learns](crate::Keepalive::learns): a Ping that goes out when nothing was
/// sent or received since the Ping before is a trial of that silence. Any life that follows it
/// proves that no box on the path had forgotten the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tolerance {
    /// The longest silence after which the peer showed life.
    pub survived: Option<Duration>,
    /// How many trials were survived.
    pub n_survived: u32,
    /// The silence after which it did not, and was given up.
    pub failed: Option<Duration>,
}

/// The trial of a silence.
#[derive(Debug, Default)]
pub(super) struct Trial {
    pub(super) tolerance: Tolerance,
    /// How many bytes had been sent with the last Ping.
    sent: Option<u64>,
    /// The silence that is being tried.
    silence: Option<Duration>,
}

impl Trial {
    /// Begins a trial if nothing was sent since the last Ping; `silence` is `None` if something
    /// else speaks against one.
    pub(super) fn begin(&mut self, silence: Option<Duration>, bytes_sent: u64) {
        self.silence = silence.filter(|_| self.sent == Some(bytes_sent));
    }

    /// Notes where in our output the Ping ends.
    pub(super) fn set_sent(&mut self, bytes_sent: u64) {
        self.sent = Some(bytes_sent);
    }

    pub(super) fn survive(&mut self) {
        if let Some(silence) = self.silence.take() {
            self.tolerance.survived = self.tolerance.survived.max(Some(silence));
            self.tolerance.n_survived += 1;
        }
    }

    pub(super) fn fail(&mut self) {
        self.tolerance.failed = self.silence.take();
    }
}
