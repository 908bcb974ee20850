//! `goldlap run`: cases against their goldens, as `cargo test` does it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use clap::Args;
use goldlap_kernels::model::store::Store as Cache;
use libtest_mimic::Arguments;

use super::location::Location;
use super::output::print;
use super::{CommandError, Exit};
use crate::harness::{CaseContext, CollectedResults, install_interrupts, run_trials};
use crate::metrics::WallTime;
use crate::report::{CaseOutcome, CaseResult, Results};

#[derive(Args)]
pub(super) struct Run {
    /// Only cases whose name contains this
    filter: Option<String>,
    #[command(flatten)]
    location: Location,
    /// Run opt-in cases, too; `cargo test` takes --include-ignored for it
    #[arg(long)]
    opt_in: bool,
    /// Send the requests to the coordinator at tcp://HOST:PORT, Megatron's or any other, instead of starting ranks
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// Write all results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let (setting, choice) = match self.endpoint {
            None => self.location.resolve()?,
            Some(_) => self.location.resolve_elsewhere()?,
        };
        let cache = Cache::open().map_err(CommandError::from_error)?;
        let mut context = CaseContext::new(&setting.roots, cache).map_err(CommandError::from_error)?;
        context.endpoint.clone_from(&self.endpoint);
        install_interrupts().map_err(CommandError::from_error)?;
        eprintln!("platform {}: {}", choice.platform, choice.reason);
        let arguments =
            Arguments { filter: self.filter.clone(), include_ignored: self.opt_in, ..Arguments::default() };
        let started_at = WallTime::now().to_string();
        let results = CollectedResults::default();
        let conclusion = run_trials(&setting, &Arc::new(context), arguments, &results)
            .map_err(CommandError::from_error)?;
        let results = results.lock().unwrap_or_else(PoisonError::into_inner);
        print(&results.iter().filter_map(remark).collect::<String>())?;
        if let Some(path) = &self.json {
            let file = Results::new(started_at, choice.platform.to_string(), results.clone());
            file.write(path).map_err(CommandError::from_error)?;
        }
        let nothing_ran = conclusion.num_passed + conclusion.num_failed == 0;
        if nothing_ran {
            eprintln!("no case ran: {}", why_none(self.filter.as_deref(), conclusion.num_ignored));
        }
        Ok(if conclusion.has_failed() || nothing_ran { Exit::Failed } else { Exit::Success })
    }
}

fn why_none(filter: Option<&str>, num_ignored: u64) -> String {
    match (filter, num_ignored) {
        (Some(filter), 0) => format!("no name contains {filter:?}; `goldlap list` shows the names"),
        (None, 0) => "there is none".to_owned(),
        (_, 1..) => format!("{num_ignored} were ignored"),
    }
}

/// What a case has to say beyond libtest's own lines.
fn remark(result: &CaseResult) -> Option<String> {
    match &result.outcome {
        CaseOutcome::Passed => Some(format!("{}: {}\n", result.name, result.summary)),
        CaseOutcome::KnownFailure { reason, issue } => {
            Some(format!("{}: failed, as is known ({reason}; {issue}); {}\n", result.name, result.summary))
        }
        CaseOutcome::Failed { .. } | CaseOutcome::Skipped { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_cases_says_why() {
        assert_eq!(why_none(Some("dp9"), 0), "no name contains \"dp9\"; `goldlap list` shows the names");
        assert_eq!(why_none(Some("dp9"), 2), "2 were ignored");
        assert_eq!(why_none(None, 0), "there is none");
    }
}
