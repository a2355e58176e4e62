//! The compressors and inflaters of a thread, lent to its connections.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, Ordering},
};

use everwire_proto::Codecs;

thread_local! {
    static CODECS: Cell<Option<Box<Codecs>>> = const { Cell::new(None) };
}

/// Lends the thread's codecs, which are made when they are needed first.
pub(crate) fn lend(user: &mut dyn FnMut(&mut Codecs)) {
    let mut codecs = CODECS.take().unwrap_or_else(make);
    user(&mut codecs);
    CODECS.set(Some(codecs));
}

fn make() -> Box<Codecs> {
    /// No two threads have the same number.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Box::new(Codecs::new(NEXT.fetch_add(1, Ordering::Relaxed)))
}
