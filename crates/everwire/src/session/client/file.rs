//! A session in a file of JSON lines.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use data_encoding::BASE64;
use everwire_session::{Kind, MAX_NUMBER, Message};
use serde_json::{Value, json};

use super::{SessionStore, Snapshot};

/// Keeps a session in a file, which only its owner can read: it holds the token.
///
/// Its first line is the session as it was, in JSON; each other one says what has changed since, with
/// the messages that are new. When these have become 64 KiB longer than the session, on each new
/// connection, and when it is no longer there, it is written anew and renamed. So each message is
/// written twice or thrice, however many wait, and a process that dies leaves what it had saved: half a
/// line at the end counts for nothing.
///
/// It is not forced to the disk: a machine that loses its power may leave an older one, which is
/// told as a gap or a loss. As long as the value lives, a lock file beside it keeps other processes
/// away.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
    written: Mutex<Option<Written>>,
}

/// What this process has written.
#[derive(Debug)]
struct Written {
    file: File,
    /// What is in the file.
    last: Snapshot,
    /// How many bytes may follow until it is written anew.
    room: usize,
}

/// Changes may be longer than the session by so much.
const CHANGES: usize = 64 << 10;

impl SessionFile {
    /// Takes a file, which need not exist yet; its folder must.
    ///
    /// # Errors
    /// Another process has it, or the lock file beside it cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let lock = OpenOptions::new().create(true).append(true).open(beside(&path, "lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock, written: Mutex::new(None) }),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
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
        // What lies there is no file of ours: others may read it, or it leads elsewhere.
        remove(&temporary)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text)?;
        fs::rename(&temporary, &self.path)?;
        Ok(file)
    }
}

impl Written {
    /// Returns the messages that are not in the file, if all before them are.
    fn new_messages<'a>(&self, session: &'a Snapshot) -> Option<&'a [Message]> {
        let (last, lo) = (&self.last, first(session));
        if session.token != last.token {
            return None; // Another connection, or another session.
        }
        let n_done = usize::try_from(lo.checked_sub(first(last))?).ok()?;
        let known = last.unacknowledged.get(n_done..)?;
        let (before, new) = session.unacknowledged.split_at_checked(known.len())?;
        (before == known).then_some(new)
    }

    /// Returns whether the file is still there: somebody may have removed or replaced it.
    fn is_at(&self, path: &Path) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;

            let id = |it: io::Result<fs::Metadata>| it.ok().map(|it| (it.dev(), it.ino()));
            let there = id(fs::metadata(path));
            there.is_some() && there == id(self.file.metadata())
        }
        #[cfg(not(unix))]
        path.exists()
    }

    /// Writes what has changed behind the rest; returns whether that was possible.
    fn append(&mut self, session: &Snapshot) -> bool {
        let Some(new) = self.new_messages(session) else { return false };
        let mut line = marks(session);
        line["lo"] = json!(first(session));
        line["unacknowledged"] = new.iter().map(encode_message).collect();
        let line = format!("{line}\n");
        let Some(room) = self.room.checked_sub(line.len()) else { return false };
        if self.file.write_all(line.as_bytes()).is_err() {
            return false;
        }
        (self.last, self.room) = (session.clone(), room);
        true
    }
}

impl SessionStore for SessionFile {
    fn load(&self) -> io::Result<Option<Snapshot>> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let snapshot = decode_all(&text).ok_or_else(|| {
            let what = format!("{} is no session of everwire: remove it", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        });
        snapshot.map(Some)
    }

    fn save(&self, session: &Snapshot) -> io::Result<()> {
        let mut written = self.written();
        let file = written.as_mut().filter(|written| written.is_at(&self.path));
        if file.is_some_and(|written| written.append(session)) {
            return Ok(());
        }
        *written = None;
        let text = format!("{}\n", encode(session));
        let file = self.write(text.as_bytes())?;
        let room = text.len() + CHANGES;
        *written = Some(Written { file, last: session.clone(), room });
        Ok(())
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

/// Returns the number of the oldest message that is kept; of the next if there is none.
fn first(session: &Snapshot) -> u64 {
    session.next.saturating_sub(session.unacknowledged.len() as u64)
}

/// Messages are strings if they are text, and base64 in an object if they are binary.
fn encode_message(message: &Message) -> Value {
    match message.as_text() {
        Some(text) => json!(text),
        None => json!({ "base64": BASE64.encode(&message.payload) }),
    }
}

fn marks(session: &Snapshot) -> Value {
    json!({
        "attempt": session.attempt,
        "epoch": session.epoch,
        "recv": session.recv,
        "next": session.next,
    })
}

fn encode(session: &Snapshot) -> Value {
    let mut value = marks(session);
    value["everwire"] = json!(1);
    value["token"] = json!(BASE64.encode(&session.token));
    value["unacknowledged"] = session.unacknowledged.iter().map(encode_message).collect();
    value
}

/// Returns the session that the first line is, with the changes of the others. What stands behind the
/// last end of a line was not finished.
fn decode_all(text: &[u8]) -> Option<Snapshot> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let mut session = decode(&serde_json::from_slice(lines.next()?).ok()?)?;
    for line in lines.filter(|line| line.ends_with(b"\n")) {
        change(&mut session, &serde_json::from_slice(line).ok()?)?;
    }
    Some(session)
}

fn decode(value: &Value) -> Option<Snapshot> {
    if number(value, "everwire")? != 1 {
        return None;
    }
    let token = bytes(value.get("token")?)?;
    let mut session = Snapshot::new(token, 0, 0, 0, 1);
    set_marks(&mut session, value)?;
    let stored = value.get("unacknowledged")?.as_array()?;
    let first = session.next.checked_sub(stored.len() as u64).filter(|first| *first > 0)?;
    add_messages(&mut session, first, stored)?;
    Some(session)
}

fn change(session: &mut Snapshot, value: &Value) -> Option<()> {
    let known = session.next;
    set_marks(session, value)?;
    let lo = number(value, "lo")?;
    session.unacknowledged.retain(|message| message.number.is_some_and(|number| number >= lo));
    let new = value.get("unacknowledged")?.as_array()?;
    // Each has its number: none is missing, and none is there twice.
    (session.next.checked_sub(known)? == new.len() as u64).then_some(())?;
    add_messages(session, known, new)
}

fn set_marks(session: &mut Snapshot, value: &Value) -> Option<()> {
    session.attempt = number(value, "attempt")?;
    session.epoch = number(value, "epoch")?;
    session.recv = number(value, "recv")?;
    session.next = number(value, "next")?;
    Some(())
}

fn add_messages(session: &mut Snapshot, first: u64, stored: &[Value]) -> Option<()> {
    for (number, stored) in (first..).zip(stored) {
        let (kind, payload) = match stored.as_str() {
            Some(text) => (Kind::Text, Bytes::copy_from_slice(text.as_bytes())),
            None => (Kind::Binary, bytes(stored.get("base64")?)?),
        };
        session.unacknowledged.push(Message { number: Some(number), kind, payload });
    }
    Some(())
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64().filter(|number| *number < MAX_NUMBER)
}

fn bytes(value: &Value) -> Option<Bytes> {
    BASE64.decode(value.as_str()?.as_bytes()).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let mut session = Snapshot::new(Bytes::from_static(b"\x01secret\xff"), 3, 2, 7, 6);
        let payloads = [(Kind::Text, "größer"), (Kind::Binary, "\u{0}binary"), (Kind::Text, "")];
        for (number, (kind, payload)) in (3..).zip(payloads) {
            let payload = Bytes::from_static(payload.as_bytes());
            session.unacknowledged.push(Message { number: Some(number), kind, payload });
        }
        session
    }

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.json");
        (folder, path)
    }

    #[test]
    fn what_was_saved_is_loaded_by_the_next_process() {
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), None);
        store.save(&snapshot()).unwrap();
        drop(store);
        let store = SessionFile::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), Some(snapshot()));
        store.forget().unwrap();
        store.forget().unwrap();
        assert_eq!(store.load().unwrap(), None);
    }

    #[test]
    fn one_client_has_it_at_a_time() {
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        let error = SessionFile::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("is in use by another process"), "{error}");
        drop(store);
        SessionFile::open(&path).unwrap();
    }

    #[test]
    fn a_broken_file_is_an_error_and_not_another_session() {
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        let whole = encode(&snapshot()).to_string();
        let huge = |name: &str, number: u64| {
            let mut value = encode(&snapshot());
            value[name] = json!(number);
            value.to_string()
        };
        for broken in [
            "",
            "{}",
            "[]",
            &whole[..whole.len() / 2],
            &whole.replace("\"next\":6", "\"next\":3"),
            &huge("attempt", u64::MAX),
            &huge("epoch", 1 << 53),
            &huge("recv", (1 << 53) - 1),
            &huge("next", u64::MAX),
        ] {
            fs::write(&path, broken).unwrap();
            let error = store.load().unwrap_err();
            assert!(error.to_string().contains("remove it"), "{broken}: {error}");
        }
    }

    fn message(number: u64, text: String) -> Message {
        Message { number: Some(number), kind: Kind::Text, payload: text.into() }
    }

    /// What is written grows with what was sent, and not with its square; what is acknowledged goes.
    #[test]
    fn a_thousand_messages_that_wait_are_written_a_few_times_each() {
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        let mut session = Snapshot::new(Bytes::from_static(b"secret"), 1, 1, 0, 1);
        let (mut written, mut before) = (0, 0);
        for number in 1..=1000 {
            session.next = number + 1;
            session.unacknowledged.push(message(number, "x".repeat(200)));
            store.save(&session).unwrap();
            let len = fs::metadata(&path).unwrap().len();
            written += if len > before { len - before } else { len };
            before = len;
        }
        assert!(written < 4 * 300 * 1000, "{written} bytes were written");
        assert_eq!(store.load().unwrap().as_ref(), Some(&session));
        for n in (0..1000).rev() {
            (session.recv, session.token) = (1000 - n, Bytes::from(format!("secret {}", n / 100)));
            session.unacknowledged.drain(..session.unacknowledged.len() - n as usize);
            store.save(&session).unwrap();
        }
        assert_eq!(store.load().unwrap().as_ref(), Some(&session));
        assert!(fs::metadata(&path).unwrap().len() < 2 * CHANGES as u64);
    }

    #[test]
    fn a_file_that_was_taken_away_is_written_anew() {
        let (_dir, path) = file();
        let store = SessionFile::open(&path).unwrap();
        store.save(&snapshot()).unwrap();
        fs::rename(&path, path.with_extension("old")).unwrap();
        store.save(&snapshot()).unwrap();
        assert_eq!(store.load().unwrap(), Some(snapshot()));
    }

    #[test]
    fn half_a_line_at_the_end_counts_for_nothing() {
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        let first = snapshot();
        store.save(&first).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut second = first.clone();
        (second.recv, second.next) = (8, 7);
        second.unacknowledged.push(message(6, "later".to_owned()));
        store.save(&second).unwrap();
        let both = fs::read(&path).unwrap();
        assert!(both.starts_with(&whole));
        for len in whole.len()..both.len() {
            fs::write(&path, &both[..len]).unwrap();
            assert_eq!(store.load().unwrap().as_ref(), Some(&first), "{len}");
        }
        fs::write(&path, &both).unwrap();
        assert_eq!(store.load().unwrap().as_ref(), Some(&second));
        // A line in the middle that is none of ours is no accident.
        fs::write(&path, [&whole, &b"{}\n"[..], &both[whole.len()..]].concat()).unwrap();
        assert!(store.load().is_err());
    }

    /// Saved by this process before, and going back: it is written anew.
    #[test]
    fn another_session_takes_the_place_of_the_one_before() {
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        store.save(&snapshot()).unwrap();
        let mut other = Snapshot::new(Bytes::from_static(b"other"), 4, 1, 0, 1);
        store.save(&other).unwrap();
        assert_eq!(store.load().unwrap().as_ref(), Some(&other));
        // With as many messages, which are others.
        for text in ["its first", "lost, and sent by the next"] {
            other.next = 2;
            other.unacknowledged = vec![message(1, text.to_owned())];
            store.save(&other).unwrap();
            assert_eq!(store.load().unwrap().as_ref(), Some(&other));
        }
        store.forget().unwrap();
        store.save(&snapshot()).unwrap();
        assert_eq!(store.load().unwrap(), Some(snapshot()));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, path) = file();
        let store = SessionFile::open(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        store.save(&snapshot()).unwrap();
        assert_eq!(mode(), 0o600);
        // A file that anybody can read, left where it is written before it is renamed.
        let temporary = beside(&path, "tmp");
        fs::write(&temporary, "").unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).unwrap();
        store.save(&snapshot()).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn it_is_written_through_no_link() {
        let (folder, path) = file();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "not ours").unwrap();
        std::os::unix::fs::symlink(&elsewhere, beside(&path, "tmp")).unwrap();
        let store = SessionFile::open(&path).unwrap();
        store.save(&snapshot()).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "not ours");
        assert!(!path.is_symlink());
        assert_eq!(store.load().unwrap(), Some(snapshot()));
    }
}
