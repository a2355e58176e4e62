//! What is logged of ends.

use std::{fmt, sync::Mutex};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Of all threads.
static CLOSURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects the closures of the lines `connection closed`.
pub(crate) struct Log;

impl Log {
    /// Takes what was logged since the last time.
    pub(crate) fn take() -> Vec<String> {
        std::mem::take(&mut CLOSURES.lock().unwrap())
    }
}

#[derive(Default)]
struct Line {
    is_end: bool,
    closure: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.is_end = format!("{value:?}") == "connection closed",
            "closure" => self.closure = format!("{value:?}"),
            _ => {}
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        if line.is_end {
            CLOSURES.lock().unwrap().push(line.closure);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
