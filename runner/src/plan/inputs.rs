//! What a plan is made from, and the three things it can become.

use std::fmt;
use std::path::Path;

use super::case_plan::CasePlan;
use super::platform::Platform;
use crate::config::{CaseFile, ConfigError, Environment};

/// Everything a plan depends on.
#[derive(Clone, Copy)]
pub struct PlanInputs<'a> {
    /// The case's file.
    pub case: &'a CaseFile,
    /// `group::folder`.
    pub name: &'a str,
    /// The case's folder; relative paths in the file start here.
    pub folder: &'a Path,
    /// Root of the golden files; a case's own folder lies under it at the same place as under the cases' root.
    pub golden_root: &'a Path,
    /// Platform to plan for.
    pub platform: &'a Platform,
    /// Values of `${NAME}`.
    pub environment: &'a Environment,
    /// What becomes of a case whose checkpoint is not there.
    pub absent: AbsentModel,
    /// Whether a file or folder exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

/// What becomes of a case whose weights or vocabulary are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AbsentModel {
    /// It does not run.
    #[default]
    Skips,
    /// It runs with random weights of its architecture and the built-in vocabulary; what it generates is compared with
    /// nothing.
    IsReplaced,
    /// Somebody else serves: the weights are theirs. The vocabulary is needed here all the same, to make the requests.
    IsElsewhere,
}

impl fmt::Debug for PlanInputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanInputs")
            .field("name", &self.name)
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}

/// What becomes of a case, decided before anything runs.
#[derive(Clone, Debug)]
pub enum Disposition {
    /// It runs like this.
    Run(Box<CasePlan>),
    /// It cannot run here or in this version.
    Skip {
        /// `group::folder`.
        name: String,
        /// Why, and what would change that.
        reason: String,
    },
    /// Its file is wrong: the case fails.
    Invalid(ConfigError),
}
