//! Where goldens, pending goldens and cases lie: `<root>/<group>/.../<folder>/`, one layout in all three
//! roots. Goldens may also lie beside their cases: then two roots are one.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::config::discovery::CASE_FILE_NAME;
use crate::plan::Platform;

/// The three roots, and how a command is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Cases: `gpt/<folder>/model_config.yaml`, at any depth.
    pub cases: PathBuf,
    /// Goldens: `gpt/<folder>/golden_values_dev_<platform>.json`.
    pub goldens: PathBuf,
    /// Pending goldens, laid out as the goldens are.
    pub pending: PathBuf,
    /// What must stand before `cargo xtask update-goldens` for it to look here: nothing, or `VARIABLE=folder `.
    pub environment: String,
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
        Self { cases, goldens, pending: output.join("pending"), environment: String::new() }
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
        let root_name = self.cases.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let files = files_below(&self.cases)?.into_iter().filter(|(_, file)| file == CASE_FILE_NAME);
        // A root that is itself a case has its own name.
        Ok(files.map(|(case, _)| if case.is_empty() { root_name.to_owned() } else { case }).collect())
    }
}

/// `(group::folder, file name)` of every file below `root`, however deep; hidden ones, links that lead nowhere and
/// names that are not UTF-8 aside. None where there is no root.
fn files_below(root: &Path) -> io::Result<Vec<(String, String)>> {
    let visible =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    let mut found = Vec::new();
    for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => continue,
            Err(error) if error.io_error().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => continue,
            Err(error) => return Err(error.into()),
        };
        let below = entry.path().strip_prefix(root).ok().and_then(Path::to_str);
        if let Some(below) = below.filter(|_| entry.file_type().is_file()) {
            let (folder, file) = below.rsplit_once('/').unwrap_or(("", below));
            found.push((folder.replace('/', "::"), file.to_owned()));
        }
    }
    Ok(found)
}

fn goldens_below(root: &Path) -> io::Result<BTreeSet<GoldenId>> {
    let mut found = BTreeSet::new();
    for (case, file) in files_below(root)? {
        let platform = file.strip_prefix("golden_values_dev_").and_then(|rest| rest.strip_suffix(".json"));
        if let Some(Ok(platform)) = platform.map(str::parse)
            && !case.is_empty()
        {
            found.insert(GoldenId { case, platform });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn cases_and_goldens_are_found_at_any_depth() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("cases"), root.path().join("goldens"), root.path());
        let ids = ["cases", "flat", "gpt::a", "gpt::deep::b"].map(str::to_owned);
        for case in &ids {
            let folder = case.split("::").fold(store.cases.clone(), |path, part| path.join(part));
            let folder = if case == "cases" { store.cases.clone() } else { folder };
            let golden = GoldenId { case: case.clone(), platform: Platform::Cpu }.below(&store.goldens);
            fs::create_dir_all(&folder).unwrap();
            fs::create_dir_all(golden.parent().unwrap()).unwrap();
            fs::write(folder.join(CASE_FILE_NAME), "").unwrap();
            fs::write(golden, "").unwrap();
        }
        std::os::unix::fs::symlink("/nowhere", store.goldens.join("dangling")).unwrap();
        std::os::unix::fs::symlink("..", store.cases.join("gpt/loop")).unwrap();
        assert_eq!(store.cases().unwrap(), ids.clone().into());
        let goldens: Vec<String> = store.goldens().unwrap().into_iter().map(|id| id.case).collect();
        assert_eq!(goldens, ids);
    }

    #[test]
    fn finds_what_lies_there_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let store = Store::new(at("test_cases"), at("golden_values"), &at("none"));
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
