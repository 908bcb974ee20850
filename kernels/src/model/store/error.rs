//! What can go wrong with the cache, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::weights::CheckpointError;

/// Why an entry of the cache could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing says where the cache is.
    #[error("no folder for the cache: neither GOLDLAP_CACHE_DIR nor XDG_CACHE_HOME nor HOME is set")]
    NoHome,
    /// The limit is not a number.
    #[error("GOLDLAP_CACHE_LIMIT_GB: expected a number of gigabytes, 0 or more, got {0:?}")]
    BadLimit(String),
    /// An entry's name could leave its folder.
    #[error(
        "cache entry {0:?}: expected a name of at most 200 letters, digits, dots, dashes and underscores"
    )]
    BadName(String),
    /// A file or folder of the cache could not be used.
    #[error("{path}: cannot {action}: {source}{hint}", path = path.display(), hint = hint(source))]
    Io {
        /// Verb: what was tried.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The entry's own maker failed.
    #[error(transparent)]
    Create(#[from] CheckpointError),
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the standard library's, and growing")]
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space (`goldlap cache clear`) or set GOLDLAP_CACHE_DIR to a folder on another disk"
        }
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory => "; set GOLDLAP_CACHE_DIR to a folder that can be written",
        io::ErrorKind::Unsupported => "; set GOLDLAP_CACHE_DIR to a folder on a file system that has locks",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_read_only_folder_come_with_advice() {
        let text = |errno| {
            StoreError::io("write", Path::new("/cache/x"), io::Error::from_raw_os_error(errno)).to_string()
        };
        const ENOSPC: i32 = 28;
        const EROFS: i32 = 30;
        assert!(text(ENOSPC).starts_with("/cache/x: cannot write: No space left"), "{}", text(ENOSPC));
        assert!(text(ENOSPC).contains("goldlap cache clear"));
        assert!(text(EROFS).contains("set GOLDLAP_CACHE_DIR to a folder that can be written"));
    }
}
