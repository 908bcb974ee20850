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
    /// Weights and vocabularies that are not there are replaced: random weights of the case's architecture, the
    /// built-in vocabulary. What such a run generates is compared with nothing.
    pub random_weights: bool,
    /// Whether a file or folder exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
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
