//! Signals that end the server or make it read its certificates again.

use std::{io, process::ExitCode};

use tokio::signal::unix::{self, SignalKind};

/// What the operator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service is stopped or restarted.
    Terminate,
    /// SIGHUP: read the files again.
    HangUp,
}

impl Signal {
    /// Returns the status of a process that the signal ended at once, as shells write it.
    pub(super) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::HangUp => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        })
    }
}

/// The signals as they come in.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// Whatever the system says.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hang_up.recv() => Signal::HangUp,
        }
    }

    /// Waits for the next signal that ends a process.
    ///
    /// # Cancel safety
    /// Nothing is lost but hang-ups.
    pub(super) async fn next_end(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if signal != Signal::HangUp {
                return signal;
            }
        }
    }
}
