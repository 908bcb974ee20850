//! Judges the runs of a case, and leaves a pending golden where they differ. Never touches a golden, except
//! under [`Policy::Accept`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::compare::{Rules, Run, compare, mishaps};
use super::golden_file::{Golden, GoldenError};
use super::review::{Acceptance, Review, reject};
use super::store::{GoldenId, Store};
use super::verdict::Verdict;
use crate::plan::CasePlan;

/// What a mismatch does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is reported.
    Verify,
    /// It is reported, and a pending golden is written that a person can accept.
    #[default]
    Pend,
    /// The golden is replaced, unless it would move the wrong way.
    Accept,
}

/// Verdict on all runs of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// One by repeat; all must pass.
    pub verdicts: Vec<Verdict>,
    /// The golden that it is about.
    pub golden: PathBuf,
    /// The pending golden that was written.
    pub pending: Option<PathBuf>,
    /// What to do next, in sentences; empty where all passed.
    pub next_steps: Vec<String>,
}

impl Judgement {
    /// Every run passed, and there was one.
    pub fn passed(&self) -> bool {
        !self.verdicts.is_empty() && self.verdicts.iter().all(Verdict::passed)
    }

    /// Something was found out about the runs: values were compared with the golden, or a run itself went wrong.
    /// False where there is no golden to compare with, or none that can be used.
    pub fn has_verdict(&self) -> bool {
        self.num_assertions() > 0 || self.verdicts.iter().any(|verdict| verdict.has_mishap)
    }

    /// Assertions over all runs.
    pub fn num_assertions(&self) -> u64 {
        self.verdicts.iter().map(Verdict::num_assertions).sum()
    }
}

/// The command that accepts a case's pending golden.
pub fn accept_command(case: &str) -> String {
    format!("cargo xtask update-goldens {} --accept", shell_word(case))
}

/// A name as one word of a command line: quoted if a shell would take it apart.
pub(crate) fn shell_word(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-.,:/+@%".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("'{}'", name.replace('\'', r"'\''")))
}

/// Compares the runs (repeats of one case) with the golden in `store`, and acts by `policy`.
pub fn judge(plan: &CasePlan, runs: &[Run<'_>], policy: Policy, store: &Store) -> Judgement {
    let id = GoldenId { case: plan.name.clone(), platform: plan.platform.clone() };
    let command = accept_command(&id.case);
    let environment = &store.environment;
    let mut judgement = verify(plan, runs, store, &id);
    if judgement.passed() {
        // A pending file of an earlier run is out of date now; if it stays, `--check` reports it.
        if policy != Policy::Verify
            && let Err(error) = reject(store, &id)
        {
            judgement
                .next_steps
                .push(format!("a pending golden of an earlier run was left in place: {error}"));
        }
        return judgement;
    }
    if policy == Policy::Verify {
        judgement.next_steps.push(format!(
            "nothing was written, since this run only verifies; to record a new golden: cargo test -- {}",
            shell_word(&id.case)
        ));
        return judgement;
    }
    if let Err(why) = pend(plan, runs, store, &id, &command) {
        judgement.next_steps.push(format!("this run cannot become the golden: {why}"));
        return judgement;
    }
    if policy == Policy::Accept {
        let how = Acceptance { command: command.clone(), ..Acceptance::default() };
        match Review::load(store, &id).and_then(|review| review.accept(store, &how)) {
            Ok(()) => return verify(plan, runs, store, &id),
            Err(error) => judgement.next_steps.push(format!("not accepted: {error}")),
        }
    }
    judgement.pending = Some(id.below(&store.pending));
    let case = shell_word(&id.case);
    let review = format!("{environment}cargo xtask update-goldens {case}");
    judgement.next_steps.push(format!("review what would change: {review}"));
    judgement.next_steps.push(format!("accept it:                {review} --accept"));
    judgement
}

fn verify(plan: &CasePlan, runs: &[Run<'_>], store: &Store, id: &GoldenId) -> Judgement {
    let path = id.below(&store.goldens);
    let command = format!("{}{}", store.environment, accept_command(&id.case));
    let rules = Rules::of(plan, runs.len(), &command);
    let verdicts = match load(plan, &path) {
        Err(error) => vec![uncompared(format!("the golden cannot be used: {error}"), runs)],
        Ok(None) => vec![uncompared(format!("there is no golden yet: {}", path.display()), runs)],
        Ok(Some(_)) if runs.is_empty() => vec![Verdict::failure("the case was not run")],
        Ok(Some(golden)) => runs.iter().map(|run| compare(&rules, *run, &golden)).collect(),
    };
    Judgement { verdicts, golden: path, pending: None, next_steps: Vec::new() }
}

/// The case's golden; of a performance case that has none of ours, the original's baseline.
fn load(plan: &CasePlan, path: &Path) -> Result<Option<Golden>, GoldenError> {
    let golden = Golden::load(path)?;
    match (golden, path.parent(), &plan.performance) {
        (None, Some(folder), Some(_)) => Golden::from_baseline(folder, &plan.platform),
        (golden, _, _) => Ok(golden),
    }
}

/// The verdict on runs that have nothing to be compared with; what went wrong in them is said all the same.
fn uncompared(why: String, runs: &[Run<'_>]) -> Verdict {
    let mut verdict = Verdict::failure(why);
    let mishaps: Vec<String> = runs.iter().flat_map(|run| mishaps(run.record)).collect();
    verdict.has_mishap = !mishaps.is_empty();
    verdict.problems.extend(mishaps);
    verdict
}

fn pend(
    plan: &CasePlan,
    runs: &[Run<'_>],
    store: &Store,
    id: &GoldenId,
    command: &str,
) -> Result<(), String> {
    if plan.metrics.is_empty() {
        return Err("METRICS is empty, so nothing would be compared with it".to_owned());
    }
    let golden = Golden::from_runs(&plan.platform, &plan.metrics, runs, command)?;
    golden.save(&id.below(&store.pending)).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
