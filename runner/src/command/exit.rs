//! Exit codes of the installed program, in one place.

use std::process::ExitCode;

/// The table printed by `goldlap --help`.
pub(super) const TABLE: &str = "Exit codes:
  0    success; every case that ran passed
  1    at least one case or request failed
  2    wrong usage or unusable input: nothing ran
  128+N  ended by signal N; all ranks were ended first";

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that ran passed.
    Success,
    /// A case or a request failed.
    Failed,
    /// Wrong usage or unusable input.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => ExitCode::SUCCESS,
            Exit::Failed => ExitCode::from(1),
            Exit::Usage => ExitCode::from(2),
        }
    }
}
