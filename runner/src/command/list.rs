//! `goldlap list`: the cases, and why some are ignored; on demand, what their goldens would compare.

use std::path::Path;

use clap::Args;

use super::location::{Location, is_meant};
use super::output::print;
use super::{CommandError, Exit};
use crate::config::discovery::CASE_FILE_NAME;
use crate::config::{CaseFile, RawFile};
use crate::golden::{Asked, GoldenAssertions};
use crate::harness::{Fate, ListedCase, PlatformChoice};
use crate::plan::CasePlan;

#[derive(Args)]
pub(super) struct List {
    /// Only cases whose name contains this
    filter: Option<String>,
    /// Tabulate the assertions that each golden file gives rise to, by metric
    #[arg(long)]
    assertions: bool,
    #[command(flatten)]
    location: Location,
}

impl List {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let (setting, choice) = self.location.resolve()?;
        let filter = self.filter.as_deref();
        let cases = setting.list(|name| is_meant(name, filter)).map_err(CommandError::from_error)?;
        let count = |is_it: fn(&Fate) -> bool| cases.iter().filter(|case| is_it(&case.fate)).count();
        let runs = count(|fate| matches!(fate, Fate::Run(plan) if plan.opt_in.is_none()));
        let opt_ins = count(|fate| matches!(fate, Fate::Run(plan) if plan.opt_in.is_some()));
        let skips = count(|fate| matches!(fate, Fate::Skip(_)));
        let invalid = count(|fate| matches!(fate, Fate::Invalid(_)));
        let text: String = if self.assertions {
            assertions_table(&cases, &setting.roots.goldens)?
        } else {
            cases.iter().map(|case| format!("{}: {}\n", case.name, fate_in_words(&case.fate))).collect()
        };
        let PlatformChoice { platform, reason, .. } = choice;
        print(&format!(
            "{text}{runs} to run, {opt_ins} opt-in, {skips} ignored, {invalid} invalid (platform {platform}: {reason})\n"
        ))?;
        Ok(if invalid == 0 { Exit::Success } else { Exit::Failed })
    }
}

fn fate_in_words(fate: &Fate) -> String {
    match fate {
        Fate::Run(plan) => {
            let opt_in = plan.opt_in.as_ref().map(|why| format!("opt-in: {why}; ")).unwrap_or_default();
            format!("{opt_in}dp{} on {}, {}", plan.topology.data_parallel, plan.platform, checks(plan))
        }
        Fate::Skip(reason) => format!("ignored: {reason}"),
        Fate::Invalid(error) => format!("invalid: {error}"),
    }
}

/// What a run would compare, and what it cannot because random weights stand for the case's own.
fn checks(plan: &CasePlan) -> String {
    let (checked, not) = (plan.metrics.join(", "), plan.uncompared.join(", "));
    match (checked.as_str(), not.as_str()) {
        ("", not) => format!("checks nothing on random weights ({not})"),
        (checked, "") => format!("checks {checked}"),
        (checked, not) => format!("checks {checked}; not on random weights: {not}"),
    }
}

/// One line per golden file: total, file, parts, and what keeps it from comparing all that METRICS names.
fn assertions_table(cases: &[ListedCase], goldens: &Path) -> Result<String, CommandError> {
    let mut text = format!("{:>10}  case, golden: assertions by metric\n", "assertions");
    let mut total = 0;
    for case in cases {
        let folder = case.name.split("::").fold(goldens.to_path_buf(), |path, part| path.join(part));
        let Ok(file) = CaseFile::read(&case.folder.join(CASE_FILE_NAME)) else { continue };
        let found = match (&file.content, Asked::by(&file.content)) {
            (RawFile::Performance(file), _) => GoldenAssertions::of_performance_folder(&folder, &file.case),
            (RawFile::Functional(_) | RawFile::Training(_) | RawFile::Frontend, Some(asked)) => {
                GoldenAssertions::of_folder(&folder, &asked)
            }
            // No case of inference.
            (RawFile::Functional(_) | RawFile::Training(_) | RawFile::Frontend, None) => continue,
        };
        let found = found.map_err(CommandError::from_error)?;
        if found.is_empty() {
            text.push_str(&format!("{:>10}  {}: no golden file\n", "-", case.name));
        }
        for golden in found {
            let parts: Vec<String> = golden.by_metric.iter().map(|(name, n)| format!("{name} {n}")).collect();
            let problem = golden.problem.as_ref().map(|why| format!(" [{why}]")).unwrap_or_default();
            let (sum, file) = (golden.total(), &golden.file);
            total += sum;
            text.push_str(&format!("{sum:>10}  {}, {file}: {}{problem}\n", case.name, parts.join(", ")));
        }
    }
    text.push_str(&format!("{total:>10}  in all\n"));
    Ok(text)
}
