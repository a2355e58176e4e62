//! A session in a file of JSON lines.

mod lines;
mod lock;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use everwire_session::SnapshotChange;

use self::{
    lines::{Line, decode, encode, encode_change},
    lock::{Lock, is_at},
};
use super::{SessionStore, Snapshot};

/// Keeps a session in a file, which only its owner can read: it holds the token.
///
/// Its first line is the session as it was, in JSON; each other one says what has changed since, with
/// the messages that are new. When what is out of date has become 64 KiB longer than the rest, when a
/// change could not be written, and when the file is no longer there, it is written anew and renamed. So a
/// message is written once or twice, however many wait, and a process that dies leaves what it had
/// saved: half a line at the end counts for nothing.
///
/// It is not forced to the disk: a machine that loses its power may leave an older one, which is
/// told as a gap or a loss. As long as the value lives, a lock file beside it (its name with `.lock`) keeps
/// other processes away. One that a killed process has left behind keeps away nobody.
///
/// # Examples
///
/// ```no_run
/// use everwire::{
///     Client,
///     session::{SessionClient, SessionFile},
/// };
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SessionFile::open("session.json")?;
/// let client = Client::new("wss://example.com/orders")?;
/// let session = SessionClient::builder(client).store(store).start()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    _lock: Lock,
    written: Mutex<Option<Written>>,
}

/// What this process has written.
#[derive(Debug)]
struct Written {
    file: File,
    /// The number of the oldest message that is of use.
    lo: u64,
    /// The bytes of each from there on, and of all of them.
    lens: VecDeque<usize>,
    live: usize,
    /// The bytes of what is out of date.
    dead: usize,
}

/// What is out of date may be longer than the rest by so much.
const SLACK: usize = 64 << 10;

impl SessionFile {
    /// Takes a file, which need not exist yet; its folder must.
    ///
    /// # Errors
    /// Another process has it, or the lock file beside it cannot be made. The message names the file.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let beside = beside(&path, "lock");
        match Lock::take(&beside).map_err(|error| named(&beside, &error))? {
            Some(lock) => Ok(Self { path, _lock: lock, written: Mutex::new(None) }),
            None => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another process", path.display()),
            )),
        }
    }

    fn written(&self) -> MutexGuard<'_, Option<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, text: &[u8]) -> io::Result<File> {
        let temporary = beside(&self.path, "tmp");
        let written = self.write_by(&temporary, text);
        if written.is_err() {
            remove(&temporary).ok();
        }
        written.map_err(|error| named(&self.path, &error))
    }

    fn write_by(&self, temporary: &Path, text: &[u8]) -> io::Result<File> {
        // What lies there is no file of ours: others may read it, or it leads elsewhere.
        remove(temporary)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(temporary)?;
        file.write_all(text)?;
        fs::rename(temporary, &self.path)?;
        Ok(file)
    }
}

impl Written {
    /// Writes what has changed behind the rest, unless the whole is better written anew.
    fn append(&mut self, change: &SnapshotChange) -> io::Result<()> {
        let Line { text, lens } = encode_change(change);
        let n_done = usize::try_from(change.lo.saturating_sub(self.lo)).unwrap_or(usize::MAX);
        let done: usize = self.lens.drain(..n_done.min(self.lens.len())).sum();
        let new: usize = lens.iter().sum();
        self.live = self.live - done + new;
        self.dead += done + text.len() - new;
        if self.dead > self.live + SLACK {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.lens.extend(lens);
        self.lo = self.lo.max(change.lo);
        self.file.write_all(text.as_bytes())
    }
}

impl SessionStore for SessionFile {
    fn load(&self) -> io::Result<Option<Snapshot>> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| named(&self.path, &error))?,
        };
        let snapshot = decode(&text).ok_or_else(|| {
            let what = format!("{} is no session of everwire: remove it", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        });
        snapshot.map(Some)
    }

    fn save(&self, session: &Snapshot) -> io::Result<()> {
        let mut written = self.written();
        *written = None;
        let Line { text, lens } = encode(session);
        let file = self.write(text.as_bytes())?;
        let lo = session.next.saturating_sub(lens.len() as u64);
        let live = lens.iter().sum();
        *written = Some(Written { file, lo, lens: lens.into(), live, dead: 0 });
        Ok(())
    }

    fn save_change(&self, change: &SnapshotChange) -> io::Result<()> {
        let mut written = self.written();
        let there = written.as_mut().filter(|written| is_at(&written.file, &self.path));
        let appended = there.map_or(Err(io::ErrorKind::Unsupported.into()), |it| it.append(change));
        if appended.is_err() {
            *written = None; // It may end in half a line.
        }
        appended
    }

    fn forget(&self) -> io::Result<()> {
        *self.written() = None;
        remove(&self.path)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}

/// Says which file it was.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
