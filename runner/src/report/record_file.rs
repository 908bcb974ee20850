//! `runs/<id>/record.json`: everything measured in one run.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::atomic_file::write_atomically;
use super::run_id::RunId;
use crate::metrics::{Metrics, RunRecord};

/// The record with its summary.
#[derive(Serialize)]
struct Recorded<'a> {
    #[serde(flatten)]
    record: &'a RunRecord,
    summary: &'a Metrics,
}

/// Folder of a run below the output root: the record, rank logs, whatever else belongs to it.
pub fn run_folder(output: &Path, id: &RunId) -> PathBuf {
    output.join("runs").join(id.to_string())
}

/// Writes the record, with its summary under `summary`; gives the file's path.
pub fn write_record(output: &Path, id: &RunId, record: &RunRecord, summary: &Metrics) -> io::Result<PathBuf> {
    let path = run_folder(output, id).join("record.json");
    let text = serde_json::to_string_pretty(&Recorded { record, summary })?;
    write_atomically(&path, text.as_bytes())
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::test_run::record;
    use crate::metrics::WallTime;

    #[test]
    fn a_record_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let run = record("cpu");
        let id = RunId::new(WallTime::now());
        let path = write_record(folder.path(), &id, &run, &Metrics::of(&run, None)).unwrap();
        assert_eq!(path, folder.path().join("runs").join(id.to_string()).join("record.json"));
        let text = std::fs::read_to_string(path).unwrap();
        let back: RunRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&run).unwrap());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema_version"], 1);
        assert_eq!(value["summary"]["num_completed"], 3);
    }
}
