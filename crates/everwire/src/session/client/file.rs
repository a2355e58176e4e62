//! A session in a JSON file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use data_encoding::BASE64;
use everwire_session::{Kind, MAX_NUMBER, Message};
use serde_json::{Value, json};

use super::{SessionStore, Snapshot};

/// Keeps a session in a JSON file, which only its owner can read: it holds the token.
///
/// The file is written anew and renamed, so that a process that dies leaves the old or the new one.
/// It is not forced to the disk: a machine that loses its power may leave an older one, which is
/// told as a gap or a loss. As long as the value lives, a lock file beside it keeps other processes
/// away.
#[derive(Debug)]
pub struct SessionFile {
    path: PathBuf,
    /// Locked as long as this lives.
    _lock: File,
}

impl SessionFile {
    /// Takes a file, which need not exist yet; its folder must.
    ///
    /// # Errors
    /// Another process has it, or the lock file beside it cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let lock = OpenOptions::new().create(true).append(true).open(beside(&path, "lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another process", path.display()),
            )),
        }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let temporary = beside(&self.path, "tmp");
        // What lies there is no file of ours: others may read it, or it leads elsewhere.
        remove(&temporary)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text)?;
        drop(file);
        fs::rename(&temporary, &self.path)
    }
}

impl SessionStore for SessionFile {
    fn load(&self) -> io::Result<Option<Snapshot>> {
        let text = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let value = serde_json::from_slice(&text).ok();
        let snapshot = value.as_ref().and_then(decode).ok_or_else(|| {
            let what = format!("{} is no session of everwire: remove it", self.path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        });
        snapshot.map(Some)
    }

    fn save(&self, session: &Snapshot) -> io::Result<()> {
        self.write(encode(session).to_string().as_bytes())
    }

    fn forget(&self) -> io::Result<()> {
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

/// Messages are strings if they are text, and base64 in an object if they are binary.
fn encode(session: &Snapshot) -> Value {
    let message = |message: &Message| match message.as_text() {
        Some(text) => json!(text),
        None => json!({ "base64": BASE64.encode(&message.payload) }),
    };
    json!({
        "everwire": 1,
        "token": BASE64.encode(&session.token),
        "attempt": session.attempt,
        "epoch": session.epoch,
        "recv": session.recv,
        "next": session.next,
        "unacknowledged": session.unacknowledged.iter().map(message).collect::<Vec<_>>(),
    })
}

fn decode(value: &Value) -> Option<Snapshot> {
    let number = |name: &str| value.get(name)?.as_u64().filter(|number| *number < MAX_NUMBER);
    let bytes = |value: &Value| BASE64.decode(value.as_str()?.as_bytes()).ok().map(Bytes::from);
    if number("everwire")? != 1 {
        return None;
    }
    let token = bytes(value.get("token")?)?;
    let next = number("next")?;
    let mut session =
        Snapshot::new(token, number("attempt")?, number("epoch")?, number("recv")?, next);
    let stored = value.get("unacknowledged")?.as_array()?;
    let first = next.checked_sub(stored.len() as u64).filter(|first| *first > 0)?;
    for (number, stored) in (first..).zip(stored) {
        let (kind, payload) = match stored.as_str() {
            Some(text) => (Kind::Text, Bytes::copy_from_slice(text.as_bytes())),
            None => (Kind::Binary, bytes(stored.get("base64")?)?),
        };
        session.unacknowledged.push(Message { number: Some(number), kind, payload });
    }
    Some(session)
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
