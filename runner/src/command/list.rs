//! `goldlap list`: the cases, and why some are ignored.

use clap::Args;

use super::location::{Location, is_meant};
use super::{CommandError, Exit};
use crate::harness::Fate;

#[derive(Args)]
pub(super) struct List {
    /// Only cases whose name contains this
    filter: Option<String>,
    #[command(flatten)]
    location: Location,
}

impl List {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let (setting, choice) = self.location.resolve()?;
        let filter = self.filter.as_deref();
        let cases = setting.list(|name| is_meant(name, filter)).map_err(CommandError::from_error)?;
        let (mut runs, mut skips, mut invalid) = (0, 0, 0);
        for case in &cases {
            match &case.fate {
                Fate::Run(plan) => {
                    runs += 1;
                    println!(
                        "{}: dp{}, checks {}",
                        case.name,
                        plan.topology.data_parallel,
                        plan.metrics.join(", ")
                    );
                }
                Fate::Skip(reason) => {
                    skips += 1;
                    println!("{}: ignored: {reason}", case.name);
                }
                Fate::Invalid(error) => {
                    invalid += 1;
                    println!("{}: invalid: {error}", case.name);
                }
            }
        }
        println!(
            "{runs} to run, {skips} ignored, {invalid} invalid (platform {}: {})",
            choice.platform, choice.reason
        );
        Ok(if invalid == 0 { Exit::Success } else { Exit::Failed })
    }
}
