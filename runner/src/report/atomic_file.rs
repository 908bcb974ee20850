//! Writes a file whole or not at all; what is no file (a pipe, a terminal, `/dev/stdout`) just receives the bytes.

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
/// that no reader and no crash ever sees half a file. A symbolic link stays, and what it leads to is replaced;
/// a device or a pipe is written to, for a rename would destroy it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::metadata(path) {
        // `/dev/stdout` may be a file that others write to as well.
        Ok(there) if !there.is_dir() && (!there.is_file() || path.starts_with("/dev")) => {
            fs::OpenOptions::new().append(true).open(path)?.write_all(bytes)
        }
        Ok(there) if there.is_file() => replace(&fs::canonicalize(path)?, bytes),
        Ok(_) | Err(_) => replace(path, bytes),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
    fn links_and_pipes_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"old").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        write_atomically(&at("link"), b"new").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(fs::read(at("file")).unwrap(), b"new");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        let pipe = at("pipe");
        let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
        write_atomically(&at("pipe"), b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(!fs::symlink_metadata(at("pipe")).unwrap().is_file());
        let open = fs::OpenOptions::new().append(true).open(at("file")).unwrap();
        let through = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
        write_atomically(Path::new(&through), b", appended").unwrap();
        assert_eq!(fs::read(at("file")).unwrap(), b"new, appended");
    }

    #[test]
    fn a_folder_in_the_way_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("x")).unwrap();
        assert!(write_atomically(&folder.path().join("x"), b"").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
