//! What a client's application is told of comings and goings makes sense.

use everwire_session::Event;

/// Whether a client's application was told last that it is detached, and the socket that it was told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    is_detached: bool,
    epoch: u64,
}

impl Told {
    /// Takes note of an event.
    ///
    /// # Errors
    /// It is told again what it knows.
    pub(super) fn hear(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Opened { .. } => *self = Self { is_detached: false, epoch: 1 },
            Event::Detached if self.is_detached => return Err("detached twice".into()),
            Event::Detached => self.is_detached = true,
            Event::Resumed { epoch } => {
                // The socket that was silent may speak; any other is a new one.
                let is_news = *epoch > self.epoch || self.is_detached && *epoch == self.epoch;
                if !is_news {
                    return Err(format!("resumed as {epoch}, which nobody had given up"));
                }
                *self = Self { is_detached: false, epoch: *epoch };
            }
            _ => {}
        }
        Ok(())
    }
}
