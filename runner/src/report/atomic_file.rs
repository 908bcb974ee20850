//! Writes a file whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// Held for reading by whoever writes a file.
static WRITERS: RwLock<()> = RwLock::new(());

/// Waits for files that are being written; while the guard lives, nobody starts another.
pub(crate) fn hold_writers() -> RwLockWriteGuard<'static, ()> {
    // Nothing is guarded but the files, and those are whole or not there.
    WRITERS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Writes `bytes` to a temporary file in the folder of `path` (which is made if need be), then renames it, so
/// that no reader and no crash ever sees half a file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let _writer = WRITERS.read().unwrap_or_else(PoisonError::into_inner);
    fs::create_dir_all(folder)?;
    // Temporary files are private by default; these are to be read by whoever may read the folder.
    let mut file = tempfile::Builder::new()
        .prefix(".goldlap-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.json");
        write_atomically(&path, b"first").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("x")).unwrap();
        assert!(write_atomically(&folder.path().join("x"), b"").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
