//! `goldlap compare`: two of Megatron's files, by the rules of its own checker.

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::print;
use super::{CommandError, Exit};
use crate::config::{CaseFile, RawFile};
use crate::golden::{
    Asked, BaselineRules, Json, MegatronCheck, Theirs, check_as_megatron, check_baselines, is_baseline,
    read_megatron_json,
};
use crate::report::verdict_text;

#[derive(Args)]
pub(super) struct Compare {
    /// What is expected: a golden_values_*.json, or a baseline_values.json
    golden: PathBuf,
    /// What a run wrote; beside a baseline, the results of a performance run or another baseline
    output: PathBuf,
    /// The case, whose METRICS (and tolerances) hold [default: every metric that the golden holds; 10 and 20 %]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Of a baseline with several platforms, the one that is meant
    #[arg(long, value_name = "NAME")]
    platform: Option<String>,
}

impl Compare {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let (golden, output) = (read(&self.golden)?, read(&self.output)?);
        let file =
            self.config.as_deref().map(CaseFile::read).transpose().map_err(CommandError::from_error)?;
        let check = if is_baseline(&golden) {
            let rules = baseline_rules(file.as_ref(), &golden)?;
            check_baselines(&golden, &output, &rules, self.platform.as_deref()).map_err(CommandError)?
        } else {
            let asked = file.as_ref().map(asked).transpose()?.unwrap_or_default();
            check_as_megatron(&golden, &output, &asked)
        };
        print(&text(&check))?;
        Ok(if check.verdict.passed() { Exit::Success } else { Exit::Failed })
    }
}

fn read(path: &Path) -> Result<Json, CommandError> {
    let error = |what: String| CommandError(format!("{}: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|cause| error(format!("cannot be read: {cause}")))?;
    let text = String::from_utf8(bytes).map_err(|_| error("is not UTF-8 text".to_owned()))?;
    read_megatron_json(&text).map_err(error)
}

/// METRICS and the switch that keeps the original from comparing.
fn asked(file: &CaseFile) -> Result<Asked, CommandError> {
    Asked::by(&file.content).ok_or_else(|| {
        let what = "is no inference case: it has no METRICS to compare by";
        CommandError(format!("{}: {what}", file.path.display()))
    })
}

/// What a performance case says, or without one the original's tolerances for every metric that the baseline holds.
fn baseline_rules(file: Option<&CaseFile>, baseline: &Json) -> Result<BaselineRules, CommandError> {
    match file.map(|file| (file, &file.content)) {
        None => Ok(BaselineRules::held_by(baseline)),
        Some((_, RawFile::Performance(file))) => Ok(BaselineRules::of(&file.case)),
        Some((file, RawFile::Functional(_) | RawFile::Training(_) | RawFile::Frontend)) => {
            let what = "is no performance case, and the first file is a baseline of one";
            Err(CommandError(format!("{}: {what}", file.path.display())))
        }
    }
}

fn text(check: &MegatronCheck) -> String {
    let mut text = verdict_text(&check.verdict);
    for metric in &check.verdict.metrics {
        text.push_str(&format!("  {}: {} assertions\n", metric.metric, metric.assertions));
    }
    let theirs = match &check.theirs {
        Theirs::Passes => "passes".to_owned(),
        Theirs::Skips(why) => format!("skips: {why}"),
        Theirs::Fails(why) => format!("fails: {why}"),
    };
    text.push_str(&format!("Megatron's checker: {theirs}\n"));
    text.push_str(if check.verdict.passed() { "Goldlap: passes\n" } else { "Goldlap: fails\n" });
    text
}
