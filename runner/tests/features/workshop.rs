//! A copy of one shipped case in a workspace of its own, with lines changed, beside the true goldens and data.

use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use goldlap::golden::{Outcome, Policy};
use goldlap::harness::{CaseContext, Fate, Roots, Setting, run_case};
use goldlap::plan::{AbsentModel, CasePlan, Platforms};
use goldlap::report::{CaseOutcome, CaseResult};
use goldlap_kernels::model::store::Store as Cache;
use libtest_mimic::Failed;
use tempfile::TempDir;

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is changed in a case's file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    /// The line of this flag or key goes.
    Without(&'static str),
    /// The flag or key gets this value, whether it was given or not.
    With(&'static str, &'static str),
    /// This line goes.
    WithoutLine(&'static str),
}

impl Edit {
    fn apply(self, text: &str) -> Result<String, Failed> {
        let of = |line: &str, name: &str| line.trim_start().starts_with(&format!("{name}:"));
        let without = |gone: &dyn Fn(&str) -> bool| {
            let kept: Vec<&str> = text.lines().filter(|line| !gone(line)).collect();
            format!("{}\n", kept.join("\n"))
        };
        let edited =
            match self {
                Self::Without(name) => without(&|line| of(line, name)),
                Self::WithoutLine(gone) => without(&|line| line == gone),
                Self::With(name, value) if name.starts_with("--") => without(&|line| of(line, name))
                    .replacen("MODEL_ARGS:\n", &format!("MODEL_ARGS:\n  {name}: {value}\n"), 1),
                Self::With(name, value) => format!("{}{name}: {value}\n", without(&|line| of(line, name))),
            };
        if edited == text { Err(format!("{self} changes nothing").into()) } else { Ok(edited) }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Without(name) => write!(f, "without {name}"),
            Self::With(name, value) => write!(f, "{name} {value}"),
            Self::WithoutLine(line) => write!(f, "without the line {:?}", line.trim()),
        }
    }
}

/// Name of the group and the folder of a case that the table calls by the end of its name, without `_zmq`.
pub(crate) fn find(case: &str) -> Result<(String, String), Failed> {
    let cases = repository().join("test_cases");
    for group in ["gpt", "performance"] {
        for entry in fs::read_dir(cases.join(group))? {
            let folder = entry?.file_name().to_string_lossy().into_owned();
            let short = folder.strip_prefix("gpt_dynamic_inference_tp1_pp1_").unwrap_or(&folder);
            if short.strip_suffix("_zmq").unwrap_or(short) == case {
                return Ok((group.to_owned(), folder));
            }
        }
    }
    Err(format!("there is no shipped case {case}").into())
}

pub(crate) struct Workshop {
    root: TempDir,
    name: String,
}

impl Workshop {
    /// The case with its edits.
    pub(crate) fn new(case: &str, edits: &[Edit]) -> Result<Self, Failed> {
        let (group, folder) = find(case)?;
        let root = TempDir::new()?;
        let (from, to) = (repository().join("test_cases"), root.path().join("test_cases"));
        link_all(&from, &to, &group)?;
        link_all(&from.join(&group), &to.join(&group), &folder)?;
        let own = to.join(&group).join(&folder);
        link_all(&from.join(&group).join(&folder), &own, "model_config.yaml")?;
        symlink(fs::canonicalize(repository().join("golden_values"))?, root.path().join("golden_values"))?;
        let mut text = fs::read_to_string(from.join(&group).join(&folder).join("model_config.yaml"))?;
        for edit in edits {
            text = edit.apply(&text)?;
        }
        fs::write(own.join("model_config.yaml"), text)?;
        Ok(Self { root, name: format!("{group}::{folder}") })
    }

    fn roots(&self) -> Roots {
        Roots::new(self.root.path(), |_| None)
    }

    /// What is to be done, or why the file is wrong.
    fn plan(&self, cache: &Cache) -> Result<Result<Box<CasePlan>, String>, Failed> {
        let setting = Setting {
            roots: self.roots(),
            platforms: Platforms::Found { gpu: None },
            cache_root: cache.root().to_owned(),
            absent: AbsentModel::Skips,
        };
        match setting.list(|name| name == self.name)?.into_iter().next().map(|case| case.fate) {
            Some(Fate::Run(plan)) => Ok(Ok(plan)),
            Some(Fate::Invalid(why)) => Ok(Err(why)),
            other => Err(format!("{} is not to run: {other:?}", self.name).into()),
        }
    }

    /// Runs the case, and compares it with the true golden.
    pub(crate) fn run(&self) -> Result<CaseResult, Failed> {
        let cache = Cache::open()?;
        let plan = self.plan(&cache)?.map_err(Failed::from)?;
        // Nothing may be written beside the true goldens.
        let context = CaseContext { policy: Policy::Verify, ..CaseContext::new(&self.roots(), cache)? };
        Ok(run_case(&plan, &context))
    }
}

/// `to` becomes a folder of links to everything in `from` but one entry.
fn link_all(from: &Path, to: &Path, but: &str) -> Result<(), Failed> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(fs::canonicalize(from)?)? {
        let entry = entry?;
        if entry.file_name().to_str() != Some(but) {
            symlink(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The copy itself changes nothing: what fails after an edit fails because of it.
pub(crate) fn passes_unchanged(case: &str) -> Result<(), Failed> {
    let result = Workshop::new(case, &[])?.run()?;
    if matches!(result.outcome, CaseOutcome::Passed) {
        return Ok(());
    }
    Err(format!("{:?}", result.outcome).into())
}

/// Names of the metrics that differ from the golden, and what else is wrong.
pub(crate) fn complaints(result: &CaseResult) -> (Vec<&str>, Vec<&str>) {
    let verdicts = || result.judgement.iter().flat_map(|judgement| &judgement.verdicts);
    let metrics = verdicts().flat_map(|verdict| &verdict.metrics);
    let failed = metrics.filter(|metric| metric.outcome == Outcome::Failed && metric.num_differences > 0);
    let problems = verdicts().flat_map(|verdict| &verdict.problems).map(String::as_str);
    (failed.map(|metric| metric.metric.as_str()).collect(), problems.collect())
}
