//! Where goldens, pending goldens and cases lie: `<root>/<group>/.../<folder>/`, one layout in all three
//! roots. Goldens may also lie beside their cases: then two roots are one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::plan::Platform;

/// The file that makes a folder a case.
const CASE_FILE: &str = "model_config.yaml";

/// The three roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Cases: `gpt/<folder>/model_config.yaml`.
    pub cases: PathBuf,
    /// Goldens: `gpt/<folder>/golden_values_dev_<platform>.json`.
    pub goldens: PathBuf,
    /// Pending goldens, laid out as the goldens are.
    pub pending: PathBuf,
}

/// One golden file of one case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoldenId {
    /// `gpt::<folder>`.
    pub case: String,
    /// Platform that the file's name says.
    pub platform: Platform,
}

impl GoldenId {
    /// The file below a root.
    pub fn below(&self, root: &Path) -> PathBuf {
        let folder = self.case.split("::").fold(root.to_owned(), |path, part| path.join(part));
        folder.join(self.platform.golden_file_name())
    }

    /// Whether the case's name contains `filter`, and the platform is the one asked for.
    pub fn matches(&self, filter: &str, platform: Option<&Platform>) -> bool {
        self.case.contains(filter) && platform.is_none_or(|platform| *platform == self.platform)
    }
}

impl Store {
    /// Pending goldens lie in `output/pending`.
    pub fn new(cases: PathBuf, goldens: PathBuf, output: &Path) -> Self {
        Self { cases, goldens, pending: output.join("pending") }
    }

    /// Pending goldens, sorted.
    pub fn pending(&self) -> io::Result<BTreeSet<GoldenId>> {
        goldens_below(&self.pending)
    }

    /// Goldens, sorted.
    pub fn goldens(&self) -> io::Result<BTreeSet<GoldenId>> {
        goldens_below(&self.goldens)
    }

    /// Names of the cases, sorted.
    pub fn cases(&self) -> io::Result<BTreeSet<String>> {
        let folders = case_folders(&self.cases)?;
        Ok(folders
            .into_iter()
            .filter(|(_, path)| path.join(CASE_FILE).is_file())
            .map(|(name, _)| name)
            .collect())
    }
}

/// `(group::folder, path)` of every folder below `root`, at any depth; none where there is no root. Hidden folders
/// and links back to a folder above are passed over, as discovery does.
fn case_folders(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    if !root.is_dir() {
        return Ok(found);
    }
    let visible =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    let walk = WalkDir::new(root).min_depth(1).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) => return Err(error.into()),
        };
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
        if entry.file_type().is_dir()
            && let Some(below) = below.to_str()
        {
            found.push((below.replace(std::path::MAIN_SEPARATOR, "::"), entry.path().to_owned()));
        }
    }
    Ok(found)
}

/// Entries with a name in UTF-8; none where the folder does not exist.
fn entries(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str() {
            found.push((name.to_owned(), entry.path()));
        }
    }
    Ok(found)
}

fn goldens_below(root: &Path) -> io::Result<BTreeSet<GoldenId>> {
    let mut found = BTreeSet::new();
    for (case, folder) in case_folders(root)? {
        for (name, path) in entries(&folder)? {
            let platform =
                name.strip_prefix("golden_values_dev_").and_then(|rest| rest.strip_suffix(".json"));
            if let Some(Ok(platform)) = platform.map(str::parse)
                && path.is_file()
            {
                found.insert(GoldenId { case: case.clone(), platform });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_lies_there_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let store = Store {
            cases: root.path().join("test_cases"),
            goldens: root.path().join("golden_values"),
            pending: root.path().join("none"),
        };
        let id = GoldenId { case: "gpt::a".to_owned(), platform: Platform::Cpu };
        for file in [
            store.cases.join("gpt/a/model_config.yaml"),
            store.cases.join("gpt/no_case/readme.txt"),
            id.below(&store.goldens),
            store.goldens.join("gpt/a/golden_values_dev_H100.json"),
            store.goldens.join("gpt/a/notes.txt"),
            store.goldens.join("gpt/stray.json"),
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(store.cases().unwrap(), ["gpt::a".to_owned()].into());
        assert_eq!(store.goldens().unwrap(), [id.clone()].into());
        assert!(store.pending().unwrap().is_empty());
        assert!(id.below(&store.goldens).ends_with("golden_values/gpt/a/golden_values_dev_cpu.json"));
        assert!(id.matches("t::a", None) && id.matches("", Some(&Platform::Cpu)));
        assert!(!id.matches("b", None) && !id.matches("a", Some(&Platform::Vcuda)));
    }
}
