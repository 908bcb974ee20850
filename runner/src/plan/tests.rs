//! Tests of planning as a whole, from a file's text to what becomes of the case.

mod flag_table;
mod graphs;
mod megatron_corpus;
pub(crate) mod megatron_files;
mod performance_files;
mod resolved_plans;

use std::path::Path;

use super::{AbsentModel, CasePlan, Disposition, PlanInputs, plan_case};
use crate::config::{CaseFile, Environment};

/// Variables as they are without any in the process environment.
pub(crate) fn bare_environment() -> Environment {
    Environment::new(Path::new("/cases"), Path::new("/cache"), |_| None)
}

/// Plans a text as the case `gpt::<folder>`, in a world where the given paths exist.
fn plan_in(folder: &str, text: &str, platform: &str, existing: &[&str]) -> Disposition {
    plan_with(folder, text, platform, existing, AbsentModel::Skips)
}

/// [`plan_in`] on the CPU with random weights for what is missing, which is everything.
fn random_plan_in(folder: &str, text: &str) -> Disposition {
    plan_with(folder, text, "cpu", &[], AbsentModel::IsReplaced)
}

fn plan_with(
    folder: &str,
    text: &str,
    platform: &str,
    existing: &[&str],
    absent: AbsentModel,
) -> Disposition {
    let case = match CaseFile::parse(Path::new("model_config.yaml"), text.to_owned()) {
        Ok(case) => case,
        Err(error) => return Disposition::Invalid(error),
    };
    plan_case(&PlanInputs {
        case: &case,
        name: &format!("gpt::{folder}"),
        folder: &Path::new("/cases/gpt").join(folder),
        golden_root: Path::new("/goldens"),
        platform: &platform.parse().unwrap(),
        environment: &bare_environment(),
        absent,
        exists: &|path| existing.iter().any(|known| path == Path::new(known)),
    })
}

/// Plans a text on the CPU where no path exists.
pub(crate) fn plan(text: &str) -> Disposition {
    plan_in("case", text, "cpu", &[])
}

fn run(disposition: Disposition) -> CasePlan {
    match disposition {
        Disposition::Run(plan) => *plan,
        Disposition::Skip { reason, .. } => panic!("skipped: {reason}"),
        Disposition::Invalid(error) => panic!("invalid:\n{error}"),
    }
}

fn skip(disposition: Disposition) -> String {
    match disposition {
        Disposition::Skip { reason, .. } => reason,
        Disposition::Run(plan) => panic!("runs: {plan:?}"),
        Disposition::Invalid(error) => panic!("invalid:\n{error}"),
    }
}

fn invalid(disposition: Disposition) -> String {
    match disposition {
        Disposition::Invalid(error) => error.to_string(),
        Disposition::Run(plan) => panic!("runs: {plan:?}"),
        Disposition::Skip { reason, .. } => panic!("skipped: {reason}"),
    }
}

/// A small case with random weights; `flags` are lines `--flag: value`, `keys` are top-level lines.
fn small_case(flags: &[&str], keys: &str) -> String {
    let given = |name: &str| flags.iter().any(|flag| flag.starts_with(&format!("{name}:")));
    let base =
        ["--num-layers: 2", "--hidden-size: 64", "--num-attention-heads: 4", "--max-position-embeddings: 64"];
    let base = base.into_iter().filter(|flag| !given(flag.split(':').next().unwrap_or_default()));
    let lines: String = base.chain(flags.iter().copied()).map(|flag| format!("  {flag}\n")).collect();
    format!("MODE: inference\nMODEL_ARGS:\n{lines}METRICS: [generated_tokens]\n{keys}")
}

/// [`small_case`] with one prompt.
fn prompted_case(flags: &[&str], keys: &str) -> String {
    let flags: Vec<&str> = flags.iter().copied().chain(["--prompts: Once upon a time"]).collect();
    small_case(&flags, keys)
}
