//! What a rank wrote: its standard output and error, in one file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// No tail needs more than this of a log's end.
const MAX_TAIL_BYTES: u64 = 64 * 1024;

/// The last `num_lines` lines of the log; empty if there is none. Broken UTF-8 is replaced.
pub(super) fn tail(log: &Path, num_lines: usize) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_TAIL_BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        return format!("(log {} cannot be read: {error})", log.display());
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(num_lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_long_log_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("rank-0.log");
        let text: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
        std::fs::write(&log, text).unwrap();
        assert_eq!(tail(&log, 2), "line 19998\nline 19999");
        assert!(tail(&folder.path().join("absent"), 2).contains("cannot be read"));
    }
}
