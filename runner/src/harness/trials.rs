//! Cases as libtest-mimic trials: the same list, run and verdict under `cargo test`, nextest and `goldlap run`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};

use super::catalogue::{Fate, ListError, ListedCase, Setting};
use super::run_case::{CaseContext, run_case};
use crate::engine::{limits_main, rank_main};
use crate::plan::CasePlan;
use crate::report::{CaseOutcome, CaseResult};
use crate::topology::{ROLE_LIMITS, ROLE_RANK, ROLE_VARIABLE};

/// Worker threads of libtest-mimic. Cases never overlap (`CaseContext` holds a lock); with one thread,
/// however, libtest-mimic prints half a line before a case runs, which progress bars would overwrite.
const WORKERS: usize = 2;

/// Environment variable that nextest sets for every test process.
const NEXTEST_VARIABLE: &str = "NEXTEST";

/// Results in the order in which the cases ended.
pub type CollectedResults = Arc<Mutex<Vec<CaseResult>>>;

/// Acts as a rank, or measures a rank's device, if this process was started as one. Every executable that launches a fleet calls this first.
pub fn rank_role() -> Option<ExitCode> {
    let role = std::env::var_os(ROLE_VARIABLE)?;
    match role.to_str() {
        Some(ROLE_RANK) => Some(rank_main()),
        Some(ROLE_LIMITS) => Some(limits_main()),
        Some(_) | None => None,
    }
}

/// Runs the cases that `arguments` select and prints what libtest prints; results are also collected.
pub fn run_trials(
    setting: &Setting,
    context: &Arc<CaseContext>,
    mut arguments: Arguments,
    results: &CollectedResults,
) -> Result<Conclusion, ListError> {
    arguments.test_threads = Some(WORKERS);
    let static_skips = arguments.list || std::env::var_os(NEXTEST_VARIABLE).is_some();
    let cases = setting.list(|name| is_selected(name, &arguments))?;
    let trials = cases.into_iter().map(|case| trial(case, context, results, static_skips)).collect();
    Ok(libtest_mimic::run(&arguments, trials))
}

/// Only what the filter selects is planned: nextest starts this process once per case, with `--exact`.
fn is_selected(name: &str, arguments: &Arguments) -> bool {
    match &arguments.filter {
        None => true,
        Some(filter) if arguments.exact => name == filter,
        Some(filter) => name.contains(filter.as_str()),
    }
}

fn trial(
    case: ListedCase,
    context: &Arc<CaseContext>,
    results: &CollectedResults,
    static_skips: bool,
) -> Trial {
    let context = Arc::clone(context);
    let results = Arc::clone(results);
    let name = case.name.clone();
    match case.fate {
        Fate::Run(plan) => {
            let opt_in = plan.opt_in.is_some();
            Trial::ignorable_test(name, move || run(&plan, &context, &results)).with_ignored_flag(opt_in)
        }
        Fate::Invalid(error) => {
            Trial::ignorable_test(name, move || finish(CaseResult::failed(&case.name, error), &results))
        }
        // nextest and `--list --ignored` know only skips that are decided in the list; elsewhere the
        // line says why.
        Fate::Skip(reason) => Trial::ignorable_test(name, move || {
            add(CaseResult::skipped(&case.name, reason.clone()), &results);
            Ok(Completion::ignored_with(reason))
        })
        .with_ignored_flag(static_skips),
    }
}

fn run(plan: &CasePlan, context: &CaseContext, results: &CollectedResults) -> Result<Completion, Failed> {
    finish(run_case(plan, context), results)
}

fn finish(result: CaseResult, results: &CollectedResults) -> Result<Completion, Failed> {
    let verdict = match &result.outcome {
        CaseOutcome::Passed | CaseOutcome::KnownFailure { .. } => Ok(Completion::Completed),
        CaseOutcome::Skipped { reason } => Ok(Completion::ignored_with(reason.clone())),
        CaseOutcome::Failed { why } => Err(Failed::from(why)),
    };
    add(result, results);
    verdict
}

fn add(result: CaseResult, results: &CollectedResults) {
    // A result is pushed whole; a panic elsewhere leaves the list intact.
    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
}
