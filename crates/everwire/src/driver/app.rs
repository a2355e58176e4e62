//! What a driver drives: the application's side of a connection.

use std::task::{Context, Poll};

use everwire_proto::{Closure, Event};

use crate::{Conn, shared::Shared};

/// What is done with the events of a connection: a handler is called, or a queue is filled.
pub(crate) trait App: Send {
    /// What it keeps from the first event of what was read to the end of all of that, and no longer.
    type Batch: Default;

    /// Is called once, first.
    fn open(&mut self, conn: &mut Conn<'_>);

    /// Is called for each event.
    fn event(&mut self, conn: &mut Conn<'_>, batch: &mut Self::Batch, event: Event<'_>);

    /// Is called when all events of what was read have been handed out, before anything is written.
    #[inline]
    fn input_end(&mut self, conn: &mut Conn<'_>, batch: &mut Self::Batch) {
        let _ = (conn, batch);
    }

    /// Is called when a handle asked for it.
    fn notify(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// Is called once if the server shuts down.
    fn drain(&mut self, conn: &mut Conn<'_>) {
        let _ = conn;
    }

    /// Returns whether more events are welcome.
    #[inline]
    fn is_ready(&mut self, shared: &Shared) -> bool {
        let _ = shared;
        true
    }

    /// Runs what lives in the driver's task beside it; ready when there is nothing, or no more.
    ///
    /// # Errors
    /// It panicked.
    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Panicked>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Returns whether what answers messages is called by the driver itself.
    #[inline]
    fn is_companion_here(&self) -> bool {
        true
    }

    /// Is called once, last.
    fn close(&mut self, shared: &Shared, closure: &Closure);
}

/// An app that is only ever called, and waits for nothing: an event loop can drive it.
pub(crate) trait Called: App {}

/// The application's code panicked.
#[derive(Debug)]
pub(crate) struct Panicked;
