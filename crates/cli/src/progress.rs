//! What is going on, for somebody who waits at a terminal.

use std::io::{self, IsTerminal, Write};

/// One line on stderr that is written over and over, if stderr is a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    /// Shows `text` instead of what was shown before.
    pub(crate) fn show(&self, text: &str) {
        if self.is_terminal {
            write!(io::stderr(), "\r\x1b[K{text}").ok();
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        self.show("");
    }
}
