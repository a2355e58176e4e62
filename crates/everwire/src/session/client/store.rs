//! What a client stores to survive its process.

use std::{fmt, io};

pub use everwire_session::{Snapshot, SnapshotChange};

/// Keeps a client's session where another process finds it.
///
/// A client saves before it states anything: the number of an attempt before its HELLO, the token
/// before it is confirmed, our messages before they go out, and which of the server's the
/// application is done with before the server is told. So whatever moment the process dies in, the
/// next one [loads](Self::load) what the server believes, or less; of what is missing both
/// applications are told, by a gap or by [`Lost`](super::ClientEvent::Lost).
///
/// The methods are called in the client's task, which waits for them: a file is quick enough, a
/// server elsewhere is not. One session belongs to one client at a time.
///
/// # Examples
///
/// ```
/// use std::{io, sync::Mutex};
/// use everwire::session::{SessionStore, Snapshot, SnapshotChange};
///
/// /// For a client that is started again in the same process.
/// #[derive(Default)]
/// struct Memory(Mutex<Option<Snapshot>>);
///
/// impl SessionStore for Memory {
///     fn load(&self) -> io::Result<Option<Snapshot>> {
///         Ok(self.0.lock().expect("nobody panics").clone())
///     }
///
///     fn save(&self, session: &Snapshot) -> io::Result<()> {
///         *self.0.lock().expect("nobody panics") = Some(session.clone());
///         Ok(())
///     }
///
///     fn save_change(&self, change: &SnapshotChange) -> io::Result<()> {
///         let mut session = self.0.lock().expect("nobody panics");
///         let fits = session.as_mut().is_some_and(|session| session.apply(change.clone()));
///         // If not, the whole comes at once.
///         if fits { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
///     }
///
///     fn forget(&self) -> io::Result<()> {
///         *self.0.lock().expect("nobody panics") = None;
///         Ok(())
///     }
/// }
/// ```
pub trait SessionStore: Send + Sync + 'static {
    /// Returns what was saved last; nothing if that is nothing, or was forgotten.
    ///
    /// # Errors
    /// What is there cannot be read. The client does not start: it would begin another session.
    fn load(&self) -> io::Result<Option<Snapshot>>;

    /// Saves a session in place of what was saved before.
    ///
    /// # Errors
    /// It could not be saved. The client goes on and warns: should the process die now, the next
    /// one finds an older state, and what is missing is told.
    fn save(&self, session: &Snapshot) -> io::Result<()>;

    /// Saves what has changed since the last call that saved something, which is much less than the whole
    /// while many messages wait. [`Snapshot::apply`] makes the whole of both. Unless a store can do it
    /// cheaply it leaves this as it is: then each time the whole is saved.
    ///
    /// # Errors
    /// It was not saved; for [`io::ErrorKind::Unsupported`] this time or ever. The client
    /// [saves](Self::save) the whole at once.
    fn save_change(&self, change: &SnapshotChange) -> io::Result<()> {
        let _ = change;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Forgets the session, which is over.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    fn forget(&self) -> io::Result<()>;
}

/// What was stored cannot be loaded, so the client does not start.
#[derive(Debug)]
pub struct StoreError(pub(super) io::Error);

impl StoreError {
    /// Returns which kind of error it is, as the store says.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stored session cannot be loaded: {}", self.0)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The message repeats the inner error, so the chain goes on below it.
        std::error::Error::source(&self.0)
    }
}
