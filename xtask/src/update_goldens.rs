//! `cargo xtask update-goldens`: a front for the library's command.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::Result;
use goldlap::golden::UpdateGoldens;
use goldlap::harness::Roots;

/// Runs the command on this workspace's goldens, or on those that the environment names.
pub(crate) fn run(command: &UpdateGoldens) -> Result<ExitCode> {
    let roots = Roots::from_environment(&crate::workspace_root());
    let store = roots.golden_store();
    let stdin = io::stdin();
    let mut person = (stdin.is_terminal() && io::stdout().is_terminal()).then(|| stdin.lock());
    let person = person.as_mut().map(|person| person as &mut dyn BufRead);
    let success = command.run(&store, &mut io::stdout().lock(), person)?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        crate::Arguments::command().debug_assert();
    }
}
