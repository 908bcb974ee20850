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
    /// (by name of the variable) says otherwise. Goldens of foreign cases lie beside them by default.
    pub fn new(workspace: &Path, given: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let cases = given(CASES_VARIABLE);
        let default_goldens = match cases.as_deref().and_then(Path::parent) {
            Some(parent) => parent.join("golden_values"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goldens_follow_the_cases_unless_named() {
        let roots = Roots::new(Path::new("/w"), |_| None);
        assert_eq!(roots.goldens, Path::new("/w/golden_values"));
        let roots = Roots::new(Path::new("/w"), |name| (name == CASES_VARIABLE).then(|| "/x/cases".into()));
        assert_eq!(
            (roots.cases.as_path(), roots.goldens.as_path()),
            (Path::new("/x/cases"), Path::new("/x/golden_values"))
        );
        assert_eq!(roots.output, Path::new("/w/target/goldlap"));
    }
}
