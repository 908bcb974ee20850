//! `goldlap compare`: two of Megatron's files, by the rules of its own checker.

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::print;
use super::{CommandError, Exit};
use crate::config::CaseFile;
use crate::golden::{Asked, Json, MegatronCheck, Theirs, check_as_megatron, read_megatron_json};
use crate::report::verdict_text;

#[derive(Args)]
pub(super) struct Compare {
    /// What is expected: a golden_values_*.json
    golden: PathBuf,
    /// What a run wrote
    output: PathBuf,
    /// The case, whose METRICS are compared [default: every metric that the golden holds]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Compare {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let (golden, output) = (read(&self.golden)?, read(&self.output)?);
        let asked = self.config.as_deref().map(asked).transpose()?.unwrap_or_default();
        let check = check_as_megatron(&golden, &output, &asked);
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
fn asked(path: &Path) -> Result<Asked, CommandError> {
    let file = CaseFile::read(path).map_err(CommandError::from_error)?;
    Asked::by(&file.content).ok_or_else(|| {
        let what = "is no inference case: it has no METRICS to compare by";
        CommandError(format!("{}: {what}", path.display()))
    })
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
