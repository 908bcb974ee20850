//! `goldlap run`: cases against their goldens, as `cargo test` does it.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use clap::Args;
use goldlap_kernels::model::store::Store as Cache;
use libtest_mimic::Arguments;

use super::location::Location;
use super::{CommandError, Exit};
use crate::harness::{CaseContext, CollectedResults, run_trials};
use crate::metrics::WallTime;
use crate::report::{CaseOutcome, CaseResult, Results};
use crate::topology::install_interrupt_handler;

#[derive(Args)]
pub(super) struct Run {
    /// Only cases whose name contains this
    filter: Option<String>,
    #[command(flatten)]
    location: Location,
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
        install_interrupt_handler().map_err(CommandError::from_error)?;
        eprintln!("platform {}: {}", choice.platform, choice.reason);
        let arguments = Arguments { filter: self.filter.clone(), ..Arguments::default() };
        let started_at = WallTime::now().to_string();
        let results = CollectedResults::default();
        let conclusion = run_trials(&setting, &Arc::new(context), arguments, &results)
            .map_err(CommandError::from_error)?;
        let results = results.lock().unwrap_or_else(PoisonError::into_inner);
        results.iter().for_each(show);
        if let Some(path) = &self.json {
            let file = Results::new(started_at, choice.platform.to_string(), results.clone());
            file.write(path).map_err(CommandError::from_error)?;
        }
        let nothing_ran = conclusion.num_passed + conclusion.num_failed == 0;
        if nothing_ran {
            eprintln!(
                "no case ran: {} were ignored, {} did not match",
                conclusion.num_ignored, conclusion.num_filtered_out
            );
        }
        Ok(if conclusion.has_failed() || nothing_ran { Exit::Failed } else { Exit::Success })
    }
}

/// One line per case that has something to say beyond libtest's own lines.
fn show(result: &CaseResult) {
    match &result.outcome {
        CaseOutcome::Passed => println!("{}: {}", result.name, result.summary),
        CaseOutcome::KnownFailure { reason, issue } => {
            println!("{}: failed, as is known ({reason}; {issue}); {}", result.name, result.summary);
        }
        CaseOutcome::Failed { .. } | CaseOutcome::Skipped { .. } => {}
    }
}
