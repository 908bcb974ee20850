//! Which commit of the code under test this is, for the record.

use std::path::Path;
use std::process::{Command, Stdio};

/// `git describe` of the repository that holds the case: the commit, with `-dirty` where the tree had changes.
/// `None` without git or outside a repository; nothing depends on it.
pub(super) fn commit_of(folder: &Path) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
