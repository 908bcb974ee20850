//! Where a run finds its cases and goldens, and where it writes.

use std::path::{Path, PathBuf};

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
