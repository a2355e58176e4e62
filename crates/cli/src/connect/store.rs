//! `--session-store`: the session's file, and whether it has what it should.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use everwire::session::{SessionFile, SessionStore, Snapshot, SnapshotChange};

use super::output::Notices;

/// A file that says when it fell behind.
pub(super) struct Store {
    file: SessionFile,
    is_behind: Behind,
}

/// Whether the last attempt to store the session failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Behind(Arc<AtomicBool>);

impl Behind {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Store {
    /// Takes the file, and tells what is in it.
    ///
    /// # Errors
    /// It cannot be had; for people.
    pub(super) fn open(path: &Path, is_behind: Behind, notices: &Notices) -> Result<Self, String> {
        let file = SessionFile::open(path)
            .map_err(|error| format!("invalid '--session-store': {error}"))?;
        // What cannot be read is told by who needs it.
        if let Ok(Some(stored)) = file.load() {
            let (n, waiting) = (stored.next.saturating_sub(1), stored.unacknowledged.len());
            notices.say(format!(
                "= stored session: {n} {} of ours so far, {waiting} not acknowledged",
                if n == 1 { "message" } else { "messages" }
            ));
        }
        Ok(Self { file, is_behind })
    }
}

impl SessionStore for Store {
    fn load(&self) -> io::Result<Option<Snapshot>> {
        self.file.load()
    }

    fn save(&self, session: &Snapshot) -> io::Result<()> {
        let saved = self.file.save(session);
        self.is_behind.0.store(saved.is_err(), Ordering::Relaxed);
        saved
    }

    /// One that fails is followed by [`save`](Self::save).
    fn save_change(&self, change: &SnapshotChange) -> io::Result<()> {
        self.file.save_change(change)
    }

    fn forget(&self) -> io::Result<()> {
        self.file.forget()
    }
}
