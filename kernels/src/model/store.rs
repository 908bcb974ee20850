//! The cache folder: packed weights, made once and shared by all processes, and fetched models.
//!
//! ```text
//! <root>/packed/<key>            a finished file; whoever maps it holds a shared lock on it
//! <root>/packed/<key>.lock       held exclusively while <key> is being made
//! <root>/packed/<key>.partial/   what its maker has written so far
//! <root>/models/<name>/          a fetched model, as a Hugging Face folder
//! ```
//!
//! Locks are the kernel's (`flock`): they end with the process that holds them, however it ends.

mod entries;
mod error;
mod lock;
mod packed;
mod settings;

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, futimens};

use super::weights::CheckpointError;
pub use entries::{Cleared, Entry, EntryKind};
pub use error::StoreError;

/// Suffix of lock files.
const LOCK_SUFFIX: &str = ".lock";
/// Suffix of the folder in which an entry is made.
const PARTIAL_SUFFIX: &str = ".partial";

/// The cache folder of this user, or of this test.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    limit_bytes: u64,
}

/// A finished file of the cache. It is not removed, by whatever process, while this value lives:
/// keep it as long as the file is mapped.
#[derive(Debug)]
pub struct CachedFile {
    path: PathBuf,
    file: File,
}

impl CachedFile {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for mapping.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Store {
    /// The cache that the environment names: `GOLDLAP_CACHE_DIR`, else `$XDG_CACHE_HOME/goldlap`, else
    /// `~/.cache/goldlap`; packed files in it take at most `GOLDLAP_CACHE_LIMIT_GB` (default 20, of 10^9
    /// bytes). Creates nothing yet.
    ///
    /// # Errors
    /// None of the variables that could name the folder is set, or the limit is not a number.
    pub fn open() -> Result<Self, StoreError> {
        settings::from_environment(|name| std::env::var_os(name))
    }

    /// A cache in `root` whose packed files take at most `limit_bytes`.
    pub fn at(root: PathBuf, limit_bytes: u64) -> Self {
        Self { root, limit_bytes }
    }

    /// The cache folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Most bytes of packed files that are kept when they are not in use.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Where a fetched model of this name is, or would be.
    pub fn model_folder(&self, name: &str) -> PathBuf {
        self.folder(EntryKind::Model).join(name)
    }

    /// The packed file `key`; if there is none yet, `create` writes it to the path it is given, exactly one
    /// process doing so while the others wait. Nobody ever sees a half-written file. Afterwards the least
    /// recently used files beyond the size limit are removed.
    ///
    /// # Errors
    /// Those of `create`; a key that is no plain file name; a folder that cannot be written (the text says
    /// what to do about it).
    pub fn get_or_create<F>(&self, key: &str, create: F) -> Result<CachedFile, StoreError>
    where
        F: FnOnce(&Path) -> Result<(), CheckpointError>,
    {
        check_name(key)?;
        let path = self.folder(EntryKind::Packed).join(key);
        if let Some(found) = open_shared(&path)? {
            return Ok(found);
        }
        let made = self.make(EntryKind::Packed, key, create)?;
        self.evict(made.path())?;
        Ok(made)
    }

    /// The folder of the model `name`; if there is none yet, `create` fills the empty folder it is given,
    /// which then appears complete.
    ///
    /// # Errors
    /// As [`Store::get_or_create`].
    pub fn get_or_create_model<F>(&self, name: &str, create: F) -> Result<PathBuf, StoreError>
    where
        F: FnOnce(&Path) -> Result<(), CheckpointError>,
    {
        check_name(name)?;
        let path = self.model_folder(name);
        if path.is_dir() {
            return Ok(path);
        }
        let in_folder = |path: &Path| {
            fs::create_dir(path)
                .map_err(|e| CheckpointError(format!("{}: cannot be created: {e}", path.display())))?;
            create(path)
        };
        self.make(EntryKind::Model, name, in_folder).map(|made| made.path)
    }

    /// Makes an entry under its lock, unless another process has done so in the meantime.
    fn make<F>(&self, kind: EntryKind, key: &str, create: F) -> Result<CachedFile, StoreError>
    where
        F: FnOnce(&Path) -> Result<(), CheckpointError>,
    {
        let folder = self.folder(kind);
        fs::create_dir_all(&folder).map_err(|error| StoreError::io("create", &folder, error))?;
        self.remove_leftovers(kind)?;
        let path = folder.join(key);
        let _lock = lock::exclusive(&suffixed(&path, LOCK_SUFFIX))?;
        if let Some(found) = open_shared(&path)? {
            return Ok(found);
        }
        let partial = Partial::new(suffixed(&path, PARTIAL_SUFFIX))?;
        let unfinished = partial.0.join(key);
        create(&unfinished)?;
        // Locked before it has its name, so that no other process can remove it in between.
        let file = File::open(&unfinished).map_err(|error| StoreError::io("open", &unfinished, error))?;
        lock::shared(&file, &unfinished)?;
        file.sync_all().map_err(|error| StoreError::io("write", &unfinished, error))?;
        fs::rename(&unfinished, &path).map_err(|error| StoreError::io("rename", &unfinished, error))?;
        Ok(CachedFile { path, file })
    }

    fn folder(&self, kind: EntryKind) -> PathBuf {
        self.root.join(match kind {
            EntryKind::Packed => "packed",
            EntryKind::Model => "models",
        })
    }

    /// Removes what makers left behind that were killed: their locks are free.
    fn remove_leftovers(&self, kind: EntryKind) -> Result<(), StoreError> {
        for path in entries::paths_in(&self.folder(kind))? {
            let Some(entry) = path.to_str().and_then(|text| text.strip_suffix(PARTIAL_SUFFIX)) else {
                continue;
            };
            if let Some(_lock) = lock::try_exclusive(&suffixed(Path::new(entry), LOCK_SUFFIX))? {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes least recently used packed files until the limit holds, except `keep` and those in use.
    fn evict(&self, keep: &Path) -> Result<(), StoreError> {
        let mut packed = entries::list(&self.folder(EntryKind::Packed), EntryKind::Packed)?;
        packed.sort_by_key(|entry| entry.last_used);
        let mut total: u64 = packed.iter().map(|entry| entry.num_bytes).sum();
        for entry in packed {
            if total <= self.limit_bytes {
                break;
            }
            if entry.path != keep && entries::remove_unused(&entry)? {
                total -= entry.num_bytes;
            }
        }
        Ok(())
    }

    /// Everything in the cache, packed files first, each kind by name.
    ///
    /// # Errors
    /// The folder is there but cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut all = entries::list(&self.folder(EntryKind::Packed), EntryKind::Packed)?;
        all.extend(entries::list(&self.folder(EntryKind::Model), EntryKind::Model)?);
        Ok(all)
    }

    /// Removes all entries of the given kinds that are not in use, and leftovers.
    ///
    /// # Errors
    /// The folder cannot be read or changed.
    pub fn clear(&self, kinds: &[EntryKind]) -> Result<Cleared, StoreError> {
        let mut cleared = Cleared::default();
        for &kind in kinds {
            self.remove_leftovers(kind)?;
            for entry in entries::list(&self.folder(kind), kind)? {
                let list =
                    if entries::remove_unused(&entry)? { &mut cleared.removed } else { &mut cleared.in_use };
                list.push(entry);
            }
        }
        Ok(cleared)
    }
}

/// Folders in which this process is making entries.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes everything that this process has begun to make and not finished. For a process that is about to end:
/// whoever was making something waits for that end from now on.
pub fn abandon_unfinished() {
    let unfinished = unfinished();
    for path in unfinished.iter() {
        // A failure leaves what the next maker removes.
        let _ = fs::remove_dir_all(path);
        if let Some(entry) = path.to_str().and_then(|text| text.strip_suffix(PARTIAL_SUFFIX)) {
            let _ = fs::remove_file(suffixed(Path::new(entry), LOCK_SUFFIX));
        }
    }
    std::mem::forget(unfinished);
}

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    // Paths are pushed and removed whole, whatever panics.
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder in which an entry is made; removed with whatever is left in it.
struct Partial(PathBuf);

impl Partial {
    fn new(path: PathBuf) -> Result<Self, StoreError> {
        remove(&path)?;
        let mut unfinished = unfinished();
        fs::create_dir(&path).map_err(|error| StoreError::io("create", &path, error))?;
        unfinished.push(path.clone());
        Ok(Self(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let mut unfinished = unfinished();
        // A failure leaves what the next maker removes.
        let _ = fs::remove_dir_all(&self.0);
        unfinished.retain(|path| *path != self.0);
    }
}

/// Opens `path` under a shared lock and marks it as used; `None` if it is not there.
fn open_shared(path: &Path) -> Result<Option<CachedFile>, StoreError> {
    let Some(file) = lock::shared_existing(path)? else { return Ok(None) };
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    // In a cache that belongs to somebody else the mark cannot be set; the file is as good without.
    let _ = futimens(&file, &Timestamps { last_access: omit, last_modification: now });
    Ok(Some(CachedFile { path: path.to_owned(), file }))
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut text: OsString = path.into();
    text.push(suffix);
    text.into()
}

fn check_name(name: &str) -> Result<(), StoreError> {
    const MAX_LEN: usize = 200;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let reserved = name.starts_with('.') || name.ends_with(LOCK_SUFFIX) || name.ends_with(PARTIAL_SUFFIX);
    if name.is_empty() || name.len() > MAX_LEN || reserved || !name.chars().all(plain) {
        return Err(StoreError::BadName(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
