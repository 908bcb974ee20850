//! Every case of a cases root with what becomes of it, decided before anything starts.

use std::path::{Path, PathBuf};

use super::Roots;
use crate::config::discovery::{DiscoveryError, FoundCase, discover};
use crate::config::{CaseFile, Environment};
use crate::plan::{CasePlan, Disposition, PlanInputs, Platform, plan_case};

/// One case of the list.
#[derive(Clone, Debug)]
pub struct ListedCase {
    /// `group::folder`.
    pub name: String,
    /// The case's folder.
    pub folder: PathBuf,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a case.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It runs.
    Run(Box<CasePlan>),
    /// It is listed as ignored, for this reason.
    Skip(String),
    /// Its folder or file is wrong: it fails with this text.
    Invalid(String),
}

/// What planning needs to know besides the files.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Cases, goldens, output.
    pub roots: Roots,
    /// Platform to plan for.
    pub platform: Platform,
    /// The cache folder: packed weights and fetched models.
    pub cache_root: PathBuf,
    /// Random weights where a checkpoint is missing.
    pub random_weights: bool,
}

impl Setting {
    /// All cases that `is_wanted` by name, in the order of their paths. Reads the wanted cases' files; starts nothing.
    pub fn list(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<ListedCase>, DiscoveryError> {
        let environment =
            Environment::new(&self.roots.cases, &self.cache_root, |name| std::env::var(name).ok());
        let found = discover(&self.roots.cases)?;
        let wanted = found.into_iter().filter(|case| is_wanted(&case.name));
        Ok(wanted.map(|case| self.decide(case, &environment)).collect())
    }

    fn decide(&self, case: FoundCase, environment: &Environment) -> ListedCase {
        let fate = match case.file {
            Ok(file) => self.plan(&case.name, &case.folder, &file, environment),
            Err(reason) => Fate::Invalid(reason),
        };
        ListedCase { name: case.name, folder: case.folder, fate }
    }

    fn plan(&self, name: &str, folder: &Path, file: &Path, environment: &Environment) -> Fate {
        let case = match CaseFile::read(file) {
            Ok(case) => case,
            Err(error) => return Fate::Invalid(error.to_string()),
        };
        let disposition = plan_case(&PlanInputs {
            case: &case,
            name,
            folder,
            golden_root: &self.roots.goldens,
            platform: &self.platform,
            environment,
            random_weights: self.random_weights,
            exists: &|path: &Path| path.exists(),
        });
        match disposition {
            Disposition::Run(plan) => Fate::Run(plan),
            Disposition::Skip { reason, .. } => Fate::Skip(reason),
            Disposition::Invalid(error) => Fate::Invalid(error.to_string()),
        }
    }
}
