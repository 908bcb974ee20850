//! Locks on files that may be removed by whoever holds them: after waiting, a lock counts only if the file
//! still has its name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// An exclusively held lock file; removed, then released, on drop.
pub(super) struct ExclusiveLock {
    path: PathBuf,
    _file: File,
}

impl Drop for ExclusiveLock {
    fn drop(&mut self) {
        // A lock file that stays is empty and harmless.
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until this process holds the lock file `path`, creating it if need be.
pub(super) fn exclusive(path: &Path) -> Result<ExclusiveLock, StoreError> {
    loop {
        let file = open_lock_file(path)?;
        wait(|| file.lock()).map_err(|error| StoreError::io("lock", path, error))?;
        if still_named(&file, path)? {
            return Ok(ExclusiveLock { path: path.to_owned(), _file: file });
        }
    }
}

/// The lock file `path`, unless another process holds it.
pub(super) fn try_exclusive(path: &Path) -> Result<Option<ExclusiveLock>, StoreError> {
    let file = open_lock_file(path)?;
    let held = try_lock(&file, path)? && still_named(&file, path)?;
    Ok(held.then(|| ExclusiveLock { path: path.to_owned(), _file: file }))
}

/// Takes a shared lock on an open file.
pub(super) fn shared(file: &File, path: &Path) -> Result<(), StoreError> {
    wait(|| file.lock_shared()).map_err(|error| StoreError::io("lock", path, error))
}

/// Opens `path` and takes a shared lock on it; `None` if there is no such file.
pub(super) fn shared_existing(path: &Path) -> Result<Option<File>, StoreError> {
    loop {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", path, error)),
        };
        shared(&file, path)?;
        if still_named(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Takes an exclusive lock on an open file, unless another process has any lock on it.
pub(super) fn try_lock(file: &File, path: &Path) -> Result<bool, StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path, error)),
    }
}

fn open_lock_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| StoreError::io("create", path, error))
}

/// The open file and the one now at `path` are the same.
fn still_named(file: &File, path: &Path) -> Result<bool, StoreError> {
    let ours = file.metadata().map_err(|error| StoreError::io("inspect", path, error))?;
    match fs::metadata(path) {
        Ok(now) => Ok((now.dev(), now.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("inspect", path, error)),
    }
}

/// A signal must not end the wait.
fn wait(lock: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
