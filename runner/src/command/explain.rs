//! `goldlap explain`: the resolved plan of a case.

use clap::Args;

use super::location::Location;
use super::output::print;
use super::{CommandError, Exit};
use crate::harness::{Fate, ListedCase};
use crate::plan::Disposition;
use crate::plan::explain::{explain, explain_json};

#[derive(Args)]
pub(super) struct Explain {
    /// The case: its full name, its folder's name, or a part that no other case has
    case: String,
    #[command(flatten)]
    location: Location,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<Exit, CommandError> {
        let (setting, _choice) = self.location.resolve()?;
        let listed = setting.list(|name| name.contains(&self.case)).map_err(CommandError::from_error)?;
        let case = self.choose(listed)?;
        let disposition = match case.fate {
            Fate::Invalid(error) => {
                print(&format!("{error}\n"))?;
                return Ok(Exit::Failed);
            }
            Fate::Run(plan) => Disposition::Run(plan),
            Fate::Skip(reason) => Disposition::Skip { name: case.name, reason },
        };
        print(&if self.json {
            format!("{:#}\n", explain_json(&disposition))
        } else {
            explain(&disposition)
        })?;
        Ok(Exit::Success)
    }

    fn choose(&self, mut listed: Vec<ListedCase>) -> Result<ListedCase, CommandError> {
        let is_named =
            |case: &ListedCase| case.name == self.case || case.name.rsplit("::").next() == Some(&*self.case);
        if let Some(index) = listed.iter().position(is_named) {
            return Ok(listed.swap_remove(index));
        }
        match listed.len() {
            1 => Ok(listed.swap_remove(0)),
            0 => Err(CommandError(format!(
                "no case's name contains {:?}; `goldlap list` shows them",
                self.case
            ))),
            _ => {
                let names: Vec<&str> = listed.iter().map(|case| case.name.as_str()).collect();
                Err(CommandError(format!(
                    "{:?} is part of several names, expected one of: {}",
                    self.case,
                    names.join(", ")
                )))
            }
        }
    }
}
