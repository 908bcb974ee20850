//! How a process comes to run on the virtual driver: its library, in a private folder, in front of every other.
//!
//! The system's loader reads `LD_LIBRARY_PATH` when a process starts, so a process cannot move itself onto the virtual
//! driver: it is started on it, with [`VirtualDriver::environment`]. Nothing is installed where other programs look, and
//! the library itself finds no device unless the environment also says `GOLDLAP_VIRTUAL_DRIVER=1`.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

use crate::model::store::Store;

/// Names the library, where it does not lie beside the program.
pub const LIBRARY_VARIABLE: &str = "GOLDLAP_VIRTUAL_DRIVER_LIBRARY";
/// Must be `1` for the library to report its devices.
pub const SELECT_VARIABLE: &str = "GOLDLAP_VIRTUAL_DRIVER";
/// Number of devices, 1 where it is not set.
pub const DEVICES_VARIABLE: &str = "GOLDLAP_VIRTUAL_DEVICES";

const LIBRARY: &str = "libgoldlap_virtual_driver.so";
/// The names by which programs load a CUDA driver.
const DRIVER_NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

/// The library is missing, or its private folder cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VirtualDriverError {
    /// The variable names no file.
    #[error("{LIBRARY_VARIABLE}: {0} is not a file")]
    NoFile(PathBuf),
    /// Nothing lies beside the program.
    #[error(
        "the virtual driver ({LIBRARY}) is not beside {0}: build it with `cargo build -p goldlap-virtual-driver`, or set \
         {LIBRARY_VARIABLE} to its path"
    )]
    NotBuilt(PathBuf),
    /// The program does not know where it is.
    #[error("the path of this program cannot be found: {0}")]
    NoProgram(io::Error),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] crate::model::store::StoreError),
    /// The private folder cannot be made.
    #[error("{path}: {error}")]
    Folder {
        /// The folder or link.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Finds the library: where the environment says, else beside this program or where cargo puts it (`deps/` of the
/// program's folder, or the folder above where the program is a test in `deps/`); of several the newest.
///
/// # Errors
/// [`VirtualDriverError::NoFile`], [`VirtualDriverError::NotBuilt`]
pub fn find_library() -> Result<PathBuf, VirtualDriverError> {
    let program = env::current_exe().map_err(VirtualDriverError::NoProgram)?;
    find_library_for(&program, env::var_os(LIBRARY_VARIABLE))
}

fn find_library_for(program: &Path, named: Option<OsString>) -> Result<PathBuf, VirtualDriverError> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let path = PathBuf::from(named);
        let absolute = fs::canonicalize(&path).ok().filter(|path| path.is_file());
        return absolute.ok_or(VirtualDriverError::NoFile(path));
    }
    let folder = program.parent().unwrap_or(Path::new("/"));
    let places = [folder.to_owned(), folder.join("deps"), folder.join(".."), folder.join("../lib")];
    let found = places.iter().filter_map(|place| fs::canonicalize(place.join(LIBRARY)).ok());
    let age = |path: &PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    found.max_by_key(age).ok_or_else(|| VirtualDriverError::NotBuilt(program.to_owned()))
}

/// A private folder in which the library has the names of a CUDA driver.
#[derive(Clone, Debug)]
pub struct VirtualDriver {
    folder: PathBuf,
}

impl VirtualDriver {
    /// The folder in the cache for a library; it only holds links, and stays for the next time.
    ///
    /// # Errors
    /// No cache folder can be found or written.
    pub fn in_cache(library: &Path) -> Result<Self, VirtualDriverError> {
        Self::below(&Store::open()?.root().join("virtual-driver"), library)
    }

    /// A folder of its own below `parent` for a library.
    ///
    /// # Errors
    /// The folder or a link cannot be made.
    pub fn below(parent: &Path, library: &Path) -> Result<Self, VirtualDriverError> {
        let digest = Sha256::digest(library.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let folder = parent.join(name);
        let failed = |path: &Path, error| VirtualDriverError::Folder { path: path.to_owned(), error };
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        for name in DRIVER_NAMES {
            let link = folder.join(name);
            match symlink(library, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed(&link, error));
                }
                // The folder's name stands for the library's path, so a link that is there already is the same.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What to set for a process that shall run on the virtual driver.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        let mut path = self.folder.clone().into_os_string();
        if let Some(rest) = env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
            path.push(":");
            path.push(rest);
        }
        [("LD_LIBRARY_PATH", path), (SELECT_VARIABLE, "1".into())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_beside_the_program_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let program = root.join("goldlap");
        let refused = find_library_for(&program, None).unwrap_err().to_string();
        assert!(refused.contains("cargo build -p goldlap-virtual-driver"), "{refused}");
        fs::create_dir(root.join("deps")).unwrap();
        let (old, new) = (root.join(LIBRARY), root.join("deps").join(LIBRARY));
        fs::write(&old, "").unwrap();
        assert_eq!(find_library_for(&program, None).unwrap(), old);
        fs::write(&new, "").unwrap();
        let earlier = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&old).unwrap().set_modified(earlier).unwrap();
        assert_eq!(find_library_for(&program, None).unwrap(), new);
        assert_eq!(find_library_for(&root.join("deps/test-1"), None).unwrap(), new);
        assert_eq!(find_library_for(&program, Some(old.clone().into())).unwrap(), old);
        assert!(find_library_for(&program, Some("/no/such/file".into())).is_err());
    }

    #[test]
    fn the_private_folder_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join(LIBRARY);
        fs::write(&library, "").unwrap();
        let first = VirtualDriver::below(folder.path(), &library).unwrap();
        let again = VirtualDriver::below(folder.path(), &library).unwrap();
        assert_eq!(first.folder(), again.folder());
        for name in DRIVER_NAMES {
            assert_eq!(fs::read_link(first.folder().join(name)).unwrap(), library);
        }
        let [(variable, path), _] = first.environment();
        assert_eq!(variable, "LD_LIBRARY_PATH");
        assert!(path.to_string_lossy().starts_with(&*first.folder().to_string_lossy()));
    }
}
