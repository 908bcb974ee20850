//! Where a run finds its cases and goldens, and where it writes.

use std::path::{Path, PathBuf};

use crate::golden::{Store, shell_word};

/// Environment variables; the command line goes before them.
pub const CASES_VARIABLE: &str = "GOLDLAP_CASES";
/// See [`CASES_VARIABLE`].
pub const GOLDENS_VARIABLE: &str = "GOLDLAP_GOLDENS";
/// See [`CASES_VARIABLE`].
pub const OUTPUT_VARIABLE: &str = "GOLDLAP_OUTPUT";

/// The three folders of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Holds the cases.
    pub cases: PathBuf,
    /// Holds the goldens, laid out as the cases are.
    pub goldens: PathBuf,
    /// Holds records, rank logs and pending goldens.
    pub output: PathBuf,
}

impl Roots {
    /// `workspace/test_cases`, `workspace/golden_values`, `workspace/target/goldlap`, each unless `given`
    /// (by name of the variable) says otherwise.
    pub fn new(workspace: &Path, given: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let cases = given(CASES_VARIABLE);
        let default_goldens = match cases.as_deref() {
            Some(cases) => goldens_of(cases),
            None => workspace.join("golden_values"),
        };
        Self {
            cases: cases.unwrap_or_else(|| workspace.join("test_cases")),
            goldens: given(GOLDENS_VARIABLE).unwrap_or(default_goldens),
            output: given(OUTPUT_VARIABLE).unwrap_or_else(|| workspace.join("target/goldlap")),
        }
    }

    /// As [`Roots::new`], with the process's environment.
    pub fn from_environment(workspace: &Path) -> Self {
        Self::new(workspace, |name| std::env::var_os(name).map(PathBuf::from))
    }

    /// Cases, goldens and pending goldens.
    pub fn golden_store(&self) -> Store {
        let store = Store::new(self.cases.clone(), self.goldens.clone(), &self.output);
        Store { environment: self.environment(), ..store }
    }

    /// What must stand before a `cargo xtask` command for it to look here: nothing in the repository's own folders.
    fn environment(&self) -> String {
        let own = Self::new(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), |_| None);
        let roots = [
            (CASES_VARIABLE, &self.cases, own.cases),
            (GOLDENS_VARIABLE, &self.goldens, own.goldens),
            (OUTPUT_VARIABLE, &self.output, own.output),
        ];
        let differing = roots.into_iter().filter_map(|(name, here, there)| {
            let here = absolute(here);
            (here != absolute(&there)).then(|| format!("{name}={} ", shell_word(&here.to_string_lossy())))
        });
        differing.collect()
    }
}

/// Without links and dots, as far as the path exists.
fn absolute(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(path), _, _) => path,
        (Err(_), Some(parent), Some(name)) if !parent.as_os_str().is_empty() => absolute(parent).join(name),
        (Err(_), _, _) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// `golden_values` beside the cases' root, if it is there; else the cases' root itself: Megatron keeps each golden in
/// its case's folder.
fn goldens_of(cases: &Path) -> PathBuf {
    let beside = cases.parent().map(|parent| parent.join("golden_values"));
    beside.filter(|folder| folder.is_dir()).unwrap_or_else(|| cases.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_for_other_folders_name_them() {
        let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        assert_eq!(Roots::new(workspace, |_| None).golden_store().environment, "");
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let cases = root.join("my cases");
        let given = |name: &str| (name == CASES_VARIABLE).then(|| cases.clone());
        let environment = || Roots::new(workspace, given).golden_store().environment;
        let expected =
            format!("GOLDLAP_CASES='{0}/my cases' GOLDLAP_GOLDENS='{0}/my cases' ", root.display());
        assert_eq!(environment(), expected);
        std::fs::create_dir(root.join("golden_values")).unwrap();
        let expected =
            format!("GOLDLAP_CASES='{0}/my cases' GOLDLAP_GOLDENS={0}/golden_values ", root.display());
        assert_eq!(environment(), expected);
    }

    #[test]
    fn goldens_follow_the_cases_unless_named() {
        let roots = Roots::new(Path::new("/w"), |_| None);
        assert_eq!(roots.goldens, Path::new("/w/golden_values"));
        assert_eq!(roots.output, Path::new("/w/target/goldlap"));
        let root = tempfile::tempdir().unwrap();
        let cases = root.path().join("cases");
        let roots = || Roots::new(Path::new("/w"), |name| (name == CASES_VARIABLE).then(|| cases.clone()));
        assert_eq!(
            (&roots().cases, &roots().goldens),
            (&cases, &cases),
            "without a root, in the cases' folders"
        );
        let beside = root.path().join("golden_values");
        std::fs::create_dir(&beside).unwrap();
        assert_eq!(roots().goldens, beside);
    }
}
