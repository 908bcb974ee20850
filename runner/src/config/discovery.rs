//! Finding cases: every folder with a `model_config.yaml` under the cases' root. Starts nothing, parses nothing.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// Name of a case's file.
pub const CASE_FILE_NAME: &str = "model_config.yaml";

/// A folder that is a case, or should be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCase {
    /// `group::folder`: the path below the root, joined with `::`.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// The case's file, or why there is none.
    pub file: Result<PathBuf, NoCase>,
}

/// Why a folder holds no case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCase {
    /// It should: it is listed as a case that fails.
    Wrong(String),
    /// It holds a test of another kind: it is listed as ignored.
    Other(String),
}

/// The root itself cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cases folder {}: {reason}", root.display())]
pub struct DiscoveryError {
    root: PathBuf,
    reason: String,
}

/// All cases below `root`, in the order of their paths. Plain files and hidden folders are ignored; a folder without
/// a case and without folders is a case that fails, so that no misnamed file goes unnoticed, unless it has a script and no
/// YAML: such are those tests of Megatron-LM's that declare nothing.
pub fn discover(root: &Path) -> Result<Vec<FoundCase>, DiscoveryError> {
    let failed = |reason: String| DiscoveryError { root: root.to_owned(), reason };
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(failed("is not a folder".to_owned())),
        Err(error) => return Err(failed(error.to_string())),
    }
    let mut folders = Folders { root, found: Vec::new(), parents: Vec::new() };
    let visible =
        |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
    for entry in WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter().filter_entry(visible) {
        match entry {
            Ok(entry) => folders.visit(&entry),
            Err(error) => folders.unreadable(&error),
        }
    }
    let found = folders.finish();
    // A suite without a case would pass without testing anything.
    if found.is_empty() { Err(failed(format!("holds no folder with a {CASE_FILE_NAME}"))) } else { Ok(found) }
}

struct Folder {
    path: PathBuf,
    depth: usize,
    has_case: bool,
    has_folders: bool,
    inside_case: bool,
    has_yaml: bool,
    /// The first of its scripts.
    script: Option<String>,
}

struct Folders<'a> {
    root: &'a Path,
    found: Vec<FoundCase>,
    /// The folder being listed and those above it.
    parents: Vec<Folder>,
}

impl Folders<'_> {
    fn visit(&mut self, entry: &DirEntry) {
        self.close(entry.depth());
        if entry.file_type().is_dir() {
            let mut inside_case = false;
            if let Some(parent) = self.parents.last_mut() {
                parent.has_folders = true;
                inside_case = parent.has_case || parent.inside_case;
            }
            let (path, depth) = (entry.path().to_owned(), entry.depth());
            let has_case = path.join(CASE_FILE_NAME).is_file();
            let (has_folders, has_yaml, script) = (false, false, None);
            self.parents.push(Folder { path, depth, has_case, has_folders, inside_case, has_yaml, script });
        } else if let Some(parent) = self.parents.last_mut() {
            let name = entry.file_name().to_string_lossy();
            let is_script = [".py", ".sh"].iter().any(|end| name.ends_with(end));
            parent.has_yaml |= [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
            if is_script && parent.script.is_none() {
                parent.script = Some(name.into_owned());
            }
        }
    }

    fn unreadable(&mut self, error: &walkdir::Error) {
        self.close(error.depth());
        if let Some(parent) = self.parents.last_mut() {
            parent.has_folders = true;
        }
        let path = error.path().unwrap_or(self.root).to_owned();
        self.add(path, Err(NoCase::Wrong(error.to_string())));
    }

    /// Closes folders at `depth` and below: all their entries have been seen.
    fn close(&mut self, depth: usize) {
        while let Some(folder) = self.parents.pop_if(|folder| folder.depth >= depth) {
            if folder.has_case {
                let file = folder.path.join(CASE_FILE_NAME);
                self.add(folder.path, Ok(file));
            } else if !folder.has_folders && !folder.inside_case && folder.depth > 0 {
                let why = match folder.script {
                    Some(script) if !folder.has_yaml => NoCase::Other(format!(
                        "{script} is a test by itself: there is no {CASE_FILE_NAME} to run"
                    )),
                    Some(_) | None => {
                        NoCase::Wrong(format!("no {CASE_FILE_NAME} in {}", folder.path.display()))
                    }
                };
                self.add(folder.path, Err(why));
            }
        }
    }

    fn add(&mut self, folder: PathBuf, file: Result<PathBuf, NoCase>) {
        let below = folder.strip_prefix(self.root).unwrap_or(&folder);
        let below = if below.as_os_str().is_empty() {
            Path::new(folder.file_name().unwrap_or_default())
        } else {
            below
        };
        let parts: Vec<_> =
            below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let legible = below.to_str().is_some() && !parts.iter().any(|part| part.contains("::"));
        let file = if legible {
            file
        } else {
            Err(NoCase::Wrong(format!("{}: a case's name is UTF-8 without `::`", folder.display())))
        };
        self.found.push(FoundCase { name: parts.join("::"), folder, file });
    }

    fn finish(mut self) -> Vec<FoundCase> {
        self.close(0);
        self.found.sort_by(|a, b| a.folder.cmp(&b.folder));
        self.found
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn outcomes(root: &Path) -> Vec<(String, bool)> {
        discover(root).unwrap().into_iter().map(|case| (case.name, case.file.is_ok())).collect()
    }

    fn pairs(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
        expected.iter().map(|(name, ok)| ((*name).to_owned(), *ok)).collect()
    }

    #[test]
    fn folders_with_a_case_file_are_cases() {
        let root = tree(&[
            "data.json",
            "gpt/b/model_config.yaml",
            "gpt/a/model_config.yaml",
            "gpt/a/sub/x.txt",
            ".git/x/y",
        ]);
        assert_eq!(outcomes(root.path()), pairs(&[("gpt::a", true), ("gpt::b", true)]));
    }

    #[test]
    fn a_leaf_without_a_case_fails() {
        let root = tree(&["gpt/typo/model_confg.yaml", "gpt/deep/er/model_config.yaml"]);
        fs::create_dir(root.path().join("empty")).unwrap();
        let found = discover(root.path()).unwrap();
        assert_eq!(
            found.iter().map(|case| (case.name.as_str(), case.file.is_ok())).collect::<Vec<_>>(),
            [("empty", false), ("gpt::deep::er", true), ("gpt::typo", false)]
        );
        assert!(matches!(&found[2].file, Err(NoCase::Wrong(why)) if why.contains("no model_config.yaml in")));
    }

    #[test]
    fn a_leaf_with_a_script_and_no_yaml_is_a_test_of_another_kind() {
        let root =
            tree(&["gpt/smoke/serve.py", "gpt/smoke/notes.md", "gpt/typo/run.sh", "gpt/typo/model.yaml"]);
        let found = discover(root.path()).unwrap();
        let reason = "serve.py is a test by itself: there is no model_config.yaml to run";
        assert_eq!(found[0].file, Err(NoCase::Other(reason.to_owned())));
        assert!(matches!(&found[1].file, Err(NoCase::Wrong(_))), "{found:?}");
    }

    #[test]
    fn equal_folder_names_of_two_groups_are_two_cases() {
        let root = tree(&["a/x/model_config.yaml", "b/x/model_config.yaml"]);
        assert_eq!(outcomes(root.path()), pairs(&[("a::x", true), ("b::x", true)]));
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_loop_is_an_error_case() {
        let root = tree(&["gpt/a/model_config.yaml"]);
        std::os::unix::fs::symlink("..", root.path().join("gpt/loop")).unwrap();
        let found = discover(root.path()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(matches!(&found[1].file, Err(NoCase::Wrong(why)) if why.contains("loop")), "{found:?}");
    }

    #[test]
    fn a_missing_root_is_an_error() {
        let error = discover(Path::new("/nonexistent/cases")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/cases"), "{error}");
    }

    #[test]
    fn a_root_without_cases_is_an_error() {
        let root = tree(&["data.json"]);
        assert!(
            discover(root.path())
                .unwrap_err()
                .to_string()
                .contains("holds no folder with a model_config.yaml")
        );
    }

    #[test]
    fn a_root_may_be_a_case_itself() {
        let root = tree(&["model_config.yaml"]);
        assert_eq!(discover(root.path()).unwrap().len(), 1);
    }
}
