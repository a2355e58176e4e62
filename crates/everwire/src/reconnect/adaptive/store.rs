//! Where it is remembered which silence a path tolerates.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// What is known of one path. Plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathRecord {
    /// The longest silence that was survived.
    pub tolerated: Duration,
    /// The shortest that was not.
    pub refused: Option<Duration>,
    /// When the search for the limit ended.
    pub settled: Option<SystemTime>,
    /// When this was last confirmed.
    pub used: Option<SystemTime>,
}

/// Remembers what is known of paths, by a label of the network and the host.
///
/// The methods are called on a thread where they may block, and seldom: when a connection opens,
/// and when something was learnt. Losing what was saved costs another search, nothing else.
///
/// # Examples
/// ```
/// use std::{collections::HashMap, sync::Mutex};
/// use everwire::reconnect::{AdaptiveKeepalive, KeepaliveStore, PathRecord};
///
/// /// As many paths as a device meets in its life.
/// #[derive(Default)]
/// struct Paths(Mutex<HashMap<String, PathRecord>>);
///
/// impl KeepaliveStore for Paths {
///     fn load(&self, label: &str) -> Option<PathRecord> {
///         self.0.lock().expect("nobody panics").get(label).copied()
///     }
///
///     fn save(&self, label: &str, record: PathRecord) {
///         self.0.lock().expect("nobody panics").insert(label.to_owned(), record);
///     }
/// }
///
/// let keepalive = AdaptiveKeepalive::new(Paths::default());
/// ```
pub trait KeepaliveStore: Send + Sync + 'static {
    /// Returns what is known of the path with this label.
    fn load(&self, label: &str) -> Option<PathRecord>;

    /// Remembers what is known of it.
    fn save(&self, label: &str, record: PathRecord);
}

/// Remembers nothing beyond the life of the process.
#[derive(Default)]
pub struct MemoryStore(std::sync::Mutex<std::collections::HashMap<String, PathRecord>>);

impl KeepaliveStore for MemoryStore {
    fn load(&self, label: &str) -> Option<PathRecord> {
        self.lock().get(label).copied()
    }

    fn save(&self, label: &str, record: PathRecord) {
        self.lock().insert(label.to_owned(), record);
    }
}

impl MemoryStore {
    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<String, PathRecord>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("paths", &self.lock().len()).finish()
    }
}
