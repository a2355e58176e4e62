//! Paths in a JSON file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use super::{KeepaliveStore, PathRecord};

/// How many paths are remembered.
const PATHS: usize = 32;

/// How long a path is remembered that is not used.
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Remembers the 32 paths that were used last, for 30 days, in a JSON file.
///
/// The file is written anew and renamed, so a crash leaves the old or the new one. One that cannot
/// be read or is not what was written is ignored with a warning, and replaced at the next save.
/// Processes may share a file; of what they save at the same moment, the last one counts.
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    /// Held while the file is read and written anew.
    writing: Mutex<()>,
}

impl JsonFile {
    /// Returns a store in this file, which need not exist yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), writing: Mutex::default() }
    }

    fn read(&self) -> Map<String, Value> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Map::new(),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "keepalive file is not readable");
                return Map::new();
            }
        };
        match serde_json::from_slice(&text) {
            Ok(Value::Object(paths)) => paths,
            Ok(_) => {
                tracing::warn!(path = %self.path.display(), "keepalive file is ignored: expected a JSON object");
                Map::new()
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "keepalive file is ignored");
                Map::new()
            }
        }
    }

    fn write(&self, paths: &Map<String, Value>) -> io::Result<()> {
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = Path::new(&temporary);
        let text = serde_json::to_vec_pretty(paths)?;
        let written = fs::write(temporary, text).and_then(|()| fs::rename(temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(temporary);
        }
        written
    }
}

impl KeepaliveStore for JsonFile {
    fn load(&self, label: &str) -> Option<PathRecord> {
        let record = decode(self.read().get(label)?);
        if record.is_none() {
            tracing::warn!(path = %self.path.display(), label, "what the keepalive file says is ignored");
        }
        record.filter(|record| is_fresh(record, SystemTime::now()))
    }

    fn save(&self, label: &str, record: PathRecord) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut paths = self.read();
        paths.insert(label.to_owned(), encode(&record));
        let now = SystemTime::now();
        paths.retain(|_, value| decode(value).is_some_and(|record| is_fresh(&record, now)));
        let used = |value: &Value| decode(value).and_then(|record| record.used);
        while paths.len() > PATHS {
            let oldest =
                paths.iter().filter(|path| path.0 != label).min_by_key(|path| used(path.1));
            let Some(oldest) = oldest.map(|path| path.0.clone()) else { break };
            paths.remove(&oldest);
        }
        if let Err(error) = self.write(&paths) {
            tracing::warn!(path = %self.path.display(), %error, "keepalive file cannot be written");
        }
    }
}

fn is_fresh(record: &PathRecord, now: SystemTime) -> bool {
    record.used.is_some_and(|used| now.duration_since(used).is_ok_and(|age| age < LIFE))
}

/// Durations are milliseconds, times are seconds since 1970.
fn encode(record: &PathRecord) -> Value {
    let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
    let unix = |it: SystemTime| it.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    json!({
        "tolerated_ms": millis(record.tolerated),
        "refused_ms": record.refused.map(millis),
        "settled": record.settled.map(unix),
        "used": record.used.map(unix),
    })
}

fn decode(value: &Value) -> Option<PathRecord> {
    let time = |value: &Value| UNIX_EPOCH.checked_add(Duration::from_secs(value.as_u64()?));
    let millis = |value: &Value| value.as_u64().map(Duration::from_millis);
    Some(PathRecord {
        tolerated: millis(value.get("tolerated_ms")?)?,
        refused: value.get("refused_ms").and_then(millis),
        settled: value.get("settled").and_then(time),
        used: value.get("used").and_then(time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(secs: u64, used: SystemTime) -> PathRecord {
        // As exact as the file is.
        let unix = used.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let used = UNIX_EPOCH + Duration::from_secs(unix);
        PathRecord {
            tolerated: Duration::from_secs(secs),
            refused: Some(Duration::from_secs(secs + 10)),
            settled: Some(used),
            used: Some(used),
        }
    }

    fn store() -> (tempfile::TempDir, JsonFile) {
        let folder = tempfile::tempdir().unwrap();
        let store = JsonFile::new(folder.path().join("keepalive.json"));
        (folder, store)
    }

    #[test]
    fn what_was_saved_is_loaded_also_by_another_process() {
        let (folder, store) = store();
        assert_eq!(store.load("home"), None);
        let now = SystemTime::now();
        store.save("home", record(100, now));
        store.save("work", record(50, now));
        let other = JsonFile::new(folder.path().join("keepalive.json"));
        assert_eq!(other.load("home"), Some(record(100, now)));
        assert_eq!(other.load("work"), Some(record(50, now)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn a_broken_file_is_ignored_and_replaced() {
        let (_folder, store) = store();
        for broken in
            ["", "{", "[]", "null", "{\"home\": 7}", "{\"home\": {\"tolerated_ms\": -1}}", "\u{0}"]
        {
            fs::write(&store.path, broken).unwrap();
            assert_eq!(store.load("home"), None, "{broken}");
            let now = SystemTime::now();
            store.save("home", record(100, now));
            assert_eq!(store.load("home"), Some(record(100, now)), "{broken}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_trouble() {
        let store = JsonFile::new("/nowhere/at/all/keepalive.json");
        store.save("home", record(100, SystemTime::now()));
        assert_eq!(store.load("home"), None);
    }

    #[test]
    fn what_was_not_used_for_a_month_is_forgotten_and_so_is_the_oldest_of_many() {
        let (_folder, store) = store();
        let now = SystemTime::now();
        store.save("old", record(100, now - LIFE));
        assert_eq!(store.load("old"), None);
        for n in 0..40 {
            store.save(&n.to_string(), record(100, now - Duration::from_secs(1000 - n)));
        }
        assert_eq!(store.load("7"), None);
        assert!(store.load("8").is_some() && store.load("39").is_some());
    }
}
