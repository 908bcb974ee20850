//! `goldlap list`: the cases, and why some are ignored.

use clap::Args;

use super::location::{Location, is_meant};
use super::output::print;
use super::{CommandError, Exit};
use crate::harness::{Fate, PlatformChoice};

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
        let (mut runs, mut opt_ins, mut skips, mut invalid) = (0, 0, 0, 0);
        let mut text = String::new();
        for case in &cases {
            let what = match &case.fate {
                Fate::Run(plan) => {
                    let what = format!(
                        "dp{} on {}, checks {}",
                        plan.topology.data_parallel,
                        plan.platform,
                        plan.metrics.join(", ")
                    );
                    match &plan.opt_in {
                        None => {
                            runs += 1;
                            what
                        }
                        Some(why) => {
                            opt_ins += 1;
                            format!("opt-in: {why}; {what}")
                        }
                    }
                }
                Fate::Skip(reason) => {
                    skips += 1;
                    format!("ignored: {reason}")
                }
                Fate::Invalid(error) => {
                    invalid += 1;
                    format!("invalid: {error}")
                }
            };
            text.push_str(&format!("{}: {what}\n", case.name));
        }
        let PlatformChoice { platform, reason, .. } = choice;
        print(&format!(
            "{text}{runs} to run, {opt_ins} opt-in, {skips} ignored, {invalid} invalid (platform {platform}: {reason})\n"
        ))?;
        Ok(if invalid == 0 { Exit::Success } else { Exit::Failed })
    }
}
