use bytes::Bytes;
use everwire_session::{Kind, Message};
use serde_json::{Value, json};

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
    assert_eq!(error.to_string(), format!("{} is in use by another process", path.display()));
    let error = SessionFile::open(path.join("nowhere")).unwrap_err();
    assert!(error.to_string().contains("session.json/nowhere.lock: "), "{error}");
    drop(store);
    SessionFile::open(&path).unwrap();
}

#[test]
fn a_save_that_fails_names_the_file_and_leaves_nothing_beside_it() {
    let (folder, path) = file();
    let store = SessionFile::open(&path).unwrap();
    fs::create_dir_all(path.join("in the way")).unwrap();
    let error = store.save(&snapshot()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
    drop(store);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_broken_file_is_an_error_and_not_another_session() {
    let (_folder, path) = file();
    let store = SessionFile::open(&path).unwrap();
    let whole = encode(&snapshot()).text;
    let huge = |name: &str, number: u64| {
        let mut value: Value = serde_json::from_str(&encode(&snapshot()).text).unwrap();
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

/// Counts what is written to a file: it grows, or it is another one.
struct Counted {
    store: SessionFile,
    path: PathBuf,
    session: Snapshot,
    len: u64,
    written: u64,
    n_anew: u32,
}

impl Counted {
    fn new(path: PathBuf) -> Self {
        let store = SessionFile::open(&path).unwrap();
        let session = Snapshot::new(Bytes::from_static(b"secret"), 1, 1, 0, 1);
        store.save(&session).unwrap();
        let len = fs::metadata(&path).unwrap().len();
        Self { store, path, session, len, written: 0, n_anew: 0 }
    }

    /// Saves a change as a client does.
    fn save(&mut self, change: SnapshotChange) {
        let is_appended = self.store.save_change(&change).is_ok();
        assert!(self.session.apply(change));
        if !is_appended {
            self.store.save(&self.session).unwrap();
            self.n_anew += 1;
        }
        let len = fs::metadata(&self.path).unwrap().len();
        self.written += if is_appended { len - self.len } else { len };
        self.len = len;
    }

    /// Sends one message, when those before `lo` are acknowledged.
    fn send(&mut self, text: &str, lo: u64) {
        let number = self.session.next;
        let mut change = SnapshotChange::new(1, 1, 0, number + 1, lo);
        change.new.push(message(number, text.to_owned()));
        self.save(change);
    }

    fn check(&self) {
        assert_eq!(self.store.load().unwrap().as_ref(), Some(&self.session));
    }
}

/// What is written grows with what was sent, and not with its square.
#[test]
fn messages_that_wait_are_written_once_each() {
    let (_folder, path) = file();
    let mut counted = Counted::new(path);
    for _ in 0..4096 {
        counted.send(&"x".repeat(200), 1);
    }
    assert_eq!(counted.n_anew, 0);
    assert!(counted.written < 4096 * 300, "{} bytes were written", counted.written);
    counted.check();
}

/// Those that come and go are written once, and what is done with goes sooner or later.
#[test]
fn messages_that_are_acknowledged_leave_the_file() {
    let (_folder, path) = file();
    let mut counted = Counted::new(path);
    for number in 1..=10_000 {
        counted.send(&"x".repeat(200), u64::max(number, 10) - 9);
        assert!(counted.len < SLACK as u64 + 10_000, "{} bytes", counted.len);
    }
    assert!((40..60).contains(&counted.n_anew), "{} times", counted.n_anew);
    assert!(counted.written < 10_000 * 400, "{} bytes were written", counted.written);
    counted.check();
}

/// A long outbox is not written anew until as much as it is out of date.
#[test]
fn what_waits_is_not_written_anew_for_the_little_that_goes() {
    let (_folder, path) = file();
    let mut counted = Counted::new(path);
    for _ in 0..4000 {
        counted.send(&"\u{1}".repeat(100), 1); // Six bytes for one.
    }
    let before = counted.written;
    for recv in 1..=1500 {
        let mut change = SnapshotChange::new(recv, recv, recv, 4001, recv);
        change.token = Some(Bytes::from(format!("secret {recv}")));
        counted.save(change);
    }
    assert_eq!(counted.n_anew, 0);
    assert!(counted.written - before < 1500 * 150, "{} bytes", counted.written - before);
    counted.check();
}

#[test]
fn a_file_that_was_taken_away_is_written_anew() {
    let (_folder, path) = file();
    let store = SessionFile::open(&path).unwrap();
    store.save(&snapshot()).unwrap();
    fs::rename(&path, path.with_extension("old")).unwrap();
    store.save_change(&SnapshotChange::new(3, 2, 8, 6, 3)).unwrap_err();
    assert!(!path.exists());
    store.save(&snapshot()).unwrap();
    store.save_change(&SnapshotChange::new(3, 2, 8, 6, 6)).unwrap();
    let loaded = store.load().unwrap().unwrap();
    assert_eq!((loaded.recv, loaded.unacknowledged.len()), (8, 0));
}

/// What this process has not written it does not go on with.
#[test]
fn the_first_save_of_a_process_is_of_the_whole() {
    let (_folder, path) = file();
    let change = SnapshotChange::new(3, 2, 8, 6, 3);
    let store = SessionFile::open(&path).unwrap();
    store.save_change(&change).unwrap_err();
    store.save(&snapshot()).unwrap();
    store.save_change(&change).unwrap();
    drop(store);
    let store = SessionFile::open(&path).unwrap();
    store.save_change(&change).unwrap_err();
    store.save(&snapshot()).unwrap();
    store.forget().unwrap();
    store.save_change(&change).unwrap_err();
    assert_eq!(store.load().unwrap(), None);
}

/// A change and the session after it.
fn changed() -> (SnapshotChange, Snapshot) {
    let mut change = SnapshotChange::new(4, 3, 8, 7, 4);
    change.token = Some(Bytes::from_static(b"another"));
    change.new.push(message(6, "later".to_owned()));
    let mut session = snapshot();
    assert!(session.apply(change.clone()));
    (change, session)
}

#[test]
fn half_a_line_at_the_end_counts_for_nothing() {
    let (_folder, path) = file();
    let store = SessionFile::open(&path).unwrap();
    store.save(&snapshot()).unwrap();
    let whole = fs::read(&path).unwrap();
    let (change, second) = changed();
    store.save_change(&change).unwrap();
    let both = fs::read(&path).unwrap();
    assert!(both.starts_with(&whole));
    for len in whole.len()..both.len() {
        fs::write(&path, &both[..len]).unwrap();
        assert_eq!(store.load().unwrap(), Some(snapshot()), "{len}");
    }
    fs::write(&path, &both).unwrap();
    assert_eq!(store.load().unwrap(), Some(second));
    // A line in the middle that is none of ours is no accident, nor is one that comes twice.
    for line in [&b"{}\n"[..], &both[whole.len()..]] {
        fs::write(&path, [&whole, line, &both[whole.len()..]].concat()).unwrap();
        assert!(store.load().is_err());
    }
}

/// Half a line stays where the disk is full; nothing is written behind it.
#[cfg(target_os = "linux")]
#[test]
fn behind_what_could_not_be_written_nothing_is() {
    let (_folder, path) = file();
    let store = SessionFile::open(&path).unwrap();
    store.save(&snapshot()).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    store.written().as_mut().unwrap().file = full;
    let (change, _) = changed();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    store.save_change(&change).unwrap_err();
    assert!(store.written().is_none());
    store.save(&snapshot()).unwrap();
    assert_eq!(store.load().unwrap(), Some(snapshot()));
}

#[test]
fn another_session_takes_the_place_of_the_one_before() {
    let (_folder, path) = file();
    let store = SessionFile::open(&path).unwrap();
    store.save(&snapshot()).unwrap();
    let mut other = Snapshot::new(Bytes::from_static(b"other"), 4, 1, 0, 2);
    other.unacknowledged = vec![message(1, "its first".to_owned())];
    store.save(&other).unwrap();
    assert_eq!(store.load().unwrap(), Some(other));
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
