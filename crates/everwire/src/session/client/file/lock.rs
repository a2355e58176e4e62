//! Who has a file: one process at a time, by a lock file beside it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A locked file that goes when its owner does. One whose owner was killed stays, without a lock, for
/// the next one to take.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock; `None` if somebody else has it.
    ///
    /// # Errors
    /// The file cannot be made, opened or locked.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            match file.try_lock() {
                // The one before may have removed it behind our opening it: then others lock another.
                Ok(()) if is_at(&file, path) => {
                    return Ok(Some(Self { path: path.to_owned(), file }));
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked: whoever opens the name afterwards makes another file. Where it cannot be
        // told that it is ours, or an open file cannot be removed, it stays.
        if cfg!(unix) && is_at(&self.file, &self.path) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Returns whether this is the file that lies there: somebody may have removed or replaced it.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let id = |it: io::Result<fs::Metadata>| it.ok().map(|it| (it.dev(), it.ino()));
        let there = id(fs::metadata(path));
        there.is_some() && there == id(file.metadata())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU32, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn a_lock_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(lock);
        assert!(!path.exists());
        // One that was left behind by a process that was killed.
        fs::write(&path, "").unwrap();
        drop(Lock::take(&path).unwrap().unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_lock_that_somebody_replaced_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        let other = Lock::take(&path).unwrap().unwrap();
        drop(lock);
        assert!(path.exists());
        assert!(Lock::take(&path).unwrap().is_none());
        drop(other);
    }

    #[test]
    fn of_many_that_come_and_go_one_has_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (is_taken, n_taken) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let Some(lock) = Lock::take(&path).unwrap() else { continue };
                        assert!(!is_taken.swap(true, Ordering::SeqCst), "two have it");
                        n_taken.fetch_add(1, Ordering::Relaxed);
                        thread::yield_now();
                        is_taken.store(false, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(n_taken.into_inner() > 0 && !path.exists());
    }
}
