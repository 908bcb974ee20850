//! Every case of a cases root with what becomes of it, decided before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use goldlap_kernels::cuda::virtual_driver::find_library;

use super::Roots;
use super::machine::num_cores;
use crate::config::discovery::{DiscoveryError, FoundCase, NoCase, discover};
use crate::config::{CaseFile, Environment, RawFile};
use crate::golden::GoldenId;
use crate::plan::{AbsentModel, CasePlan, Disposition, PlanInputs, Platform, Platforms, plan_case};

/// Fewer cases than this are planned before a thread has started.
const MIN_CASES_PER_THREAD: usize = 32;

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
    /// Platforms to plan for.
    pub platforms: Platforms,
    /// The cache folder: packed weights and fetched models.
    pub cache_root: PathBuf,
    /// What becomes of cases whose checkpoint is missing.
    pub absent: AbsentModel,
}

/// The cases or their goldens cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cases.
    #[error(transparent)]
    Cases(#[from] DiscoveryError),
    /// The goldens.
    #[error("golden files: {0}")]
    Goldens(#[from] io::Error),
}

impl Setting {
    /// All cases that `is_wanted` by name, in the order of their paths, then goldens that have no case: whoever
    /// renames or deletes a case and leaves its golden has a test that is silently gone, so these fail.
    /// Reads the wanted cases' files; starts nothing.
    pub fn list(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<ListedCase>, ListError> {
        let found = discover(&self.roots.cases)?;
        let orphans = self.orphans(&found)?;
        let mut wanted = found;
        wanted.retain(|case| is_wanted(&case.name));
        let mut listed = self.decide_all(&wanted);
        listed.extend(orphans.into_iter().filter(|orphan| is_wanted(&orphan.name)));
        Ok(listed)
    }

    /// Golden files whose case is gone, one entry a case.
    fn orphans(&self, found: &[FoundCase]) -> io::Result<Vec<ListedCase>> {
        let cases: BTreeSet<&str> = found.iter().map(|case| case.name.as_str()).collect();
        let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for id in self.roots.golden_store().goldens()? {
            if !cases.contains(id.case.as_str()) {
                let file = id.below(&self.roots.goldens);
                files.entry(id.case).or_default().push(file);
            }
        }
        Ok(files.into_iter().map(|(name, files)| self.orphan(name, &files)).collect())
    }

    fn orphan(&self, name: String, files: &[PathBuf]) -> ListedCase {
        let folder = name.split("::").fold(self.roots.cases.clone(), |path, part| path.join(part));
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let reason = format!(
            "a golden without a case: {}\nits case would be {}; bring the case back, or delete the golden",
            files.join(", "),
            folder.display()
        );
        ListedCase { name, folder, fate: Fate::Invalid(reason) }
    }

    /// On all cores: a thousand cases list in no time, even where nothing is optimised.
    fn decide_all(&self, cases: &[FoundCase]) -> Vec<ListedCase> {
        let environment =
            Environment::new(&self.roots.cases, &self.cache_root, |name| std::env::var(name).ok());
        let decide = |cases: &[FoundCase]| -> Vec<ListedCase> {
            cases.iter().map(|case| self.decide(case, &environment)).collect()
        };
        let share = cases.len().div_ceil(num_cores()).max(MIN_CASES_PER_THREAD);
        let Some((first, rest)) = cases.split_at_checked(share) else {
            return decide(cases);
        };
        thread::scope(|scope| {
            let others: Vec<_> = rest.chunks(share).map(|cases| scope.spawn(|| decide(cases))).collect();
            let mut listed = decide(first);
            for other in others {
                listed.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            listed
        })
    }

    fn decide(&self, case: &FoundCase, environment: &Environment) -> ListedCase {
        let fate = match &case.file {
            Ok(file) => self.plan(&case.name, &case.folder, file, environment),
            Err(NoCase::Other(reason)) => Fate::Skip(reason.clone()),
            Err(NoCase::Wrong(reason)) => Fate::Invalid(reason.clone()),
        };
        ListedCase { name: case.name.clone(), folder: case.folder.clone(), fate }
    }

    fn plan(&self, name: &str, folder: &Path, file: &Path, environment: &Environment) -> Fate {
        let case = match CaseFile::read(file) {
            Ok(case) => case,
            Err(error) => return Fate::Invalid(error.to_string()),
        };
        // A file's mistakes are told even where its case does not run.
        let (platform, not_here) = match self.platform_of(name, &case) {
            Ok(platform) => (platform, None),
            Err(why) => (self.platforms.any(), Some(why)),
        };
        let disposition = plan_case(&PlanInputs {
            case: &case,
            name,
            folder,
            golden_root: &self.roots.goldens,
            platform: &platform,
            environment,
            absent: self.absent,
            exists: &|path: &Path| path.exists(),
        });
        match (disposition, not_here) {
            (Disposition::Invalid(error), _) => Fate::Invalid(error.to_string()),
            (Disposition::Run(_) | Disposition::Skip { .. }, Some(why)) => Fate::Skip(why),
            (Disposition::Run(plan), None) => Fate::Run(plan),
            (Disposition::Skip { reason, .. }, None) => Fate::Skip(reason),
        }
    }

    fn platform_of(&self, name: &str, case: &CaseFile) -> Result<Platform, String> {
        let case = match &case.content {
            RawFile::Functional(case) => case,
            RawFile::Performance(_) | RawFile::Training(_) | RawFile::Frontend => {
                return Ok(self.platforms.any());
            }
        };
        let golden = |platform: &Platform| GoldenId { case: name.to_owned(), platform: platform.clone() };
        let platform =
            self.platforms.of_case(case, |platform| golden(platform).below(&self.roots.goldens).is_file())?;
        match (&platform, &self.platforms) {
            // Whoever asked for it was told before.
            (Platform::Vcuda, Platforms::Found { .. }) => match find_library() {
                Ok(_) => Ok(platform),
                Err(why) => Err(why.to_string()),
            },
            (Platform::Cpu | Platform::Gpu(_) | Platform::Vcuda, _) => Ok(platform),
        }
    }
}
