//! What the cache holds: listing and removing its entries.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{LOCK_SUFFIX, PARTIAL_SUFFIX, StoreError, lock, remove};

/// Kinds of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Weights in a backend's own layout; can be made again from their source.
    Packed,
    /// A fetched model; must be downloaded again.
    Model,
}

/// One entry of the cache.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Kind of entry.
    pub kind: EntryKind,
    /// Key or model name.
    pub name: String,
    /// File or folder.
    pub path: PathBuf,
    /// Size, of a folder with all that is in it.
    pub num_bytes: u64,
    /// Last time somebody asked for it; of a model, when it was fetched.
    pub last_used: SystemTime,
    /// Some process has it open now, so that it cannot be removed. Always false for models.
    pub in_use: bool,
}

/// What [`super::Store::clear`] did.
#[derive(Clone, Debug, Default)]
pub struct Cleared {
    /// Entries removed.
    pub removed: Vec<Entry>,
    /// Entries that a process is using.
    pub in_use: Vec<Entry>,
}

/// The entries of one kind, by name. Entries that vanish meanwhile are left out.
pub(super) fn list(folder: &Path, kind: EntryKind) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for path in paths_in(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(LOCK_SUFFIX) || name.ends_with(PARTIAL_SUFFIX) {
            continue;
        }
        let Some((num_bytes, last_used)) = vanished_is_none(measure(&path), &path)? else { continue };
        let in_use = kind == EntryKind::Packed && !can_lock(&path)?;
        entries.push(Entry { kind, name, path, num_bytes, last_used, in_use });
    }
    Ok(entries)
}

/// Removes the entry unless a process holds it; says whether it is gone.
pub(super) fn remove_unused(entry: &Entry) -> Result<bool, StoreError> {
    if entry.kind == EntryKind::Packed {
        let Some(file) = vanished_is_none(File::open(&entry.path), &entry.path)? else { return Ok(true) };
        if !lock::try_lock(&file, &entry.path)? {
            return Ok(false);
        }
        // Removed while locked: whoever waits for the lock then finds the name gone.
        return remove(&entry.path).map(|()| true);
    }
    remove(&entry.path).map(|()| true)
}

/// Paths in `folder`, sorted; none if there is no such folder.
pub(super) fn paths_in(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let Some(listing) = vanished_is_none(fs::read_dir(folder), folder)? else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for item in listing {
        paths.push(item.map_err(|error| StoreError::io("list", folder, error))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn can_lock(path: &Path) -> Result<bool, StoreError> {
    match vanished_is_none(File::open(path), path)? {
        None => Ok(true),
        Some(file) => lock::try_lock(&file, path),
    }
}

/// Bytes in a file, or in all files of a folder, and its modification time.
fn measure(path: &Path) -> io::Result<(u64, SystemTime)> {
    let metadata = fs::symlink_metadata(path)?;
    let mut num_bytes = metadata.len();
    if metadata.is_dir() {
        num_bytes = 0;
        for item in fs::read_dir(path)? {
            num_bytes += measure(&item?.path())?.0;
        }
    }
    Ok((num_bytes, metadata.modified()?))
}

fn vanished_is_none<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("inspect", path, error)),
    }
}
