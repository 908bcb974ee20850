//! `cargo xtask bench overhead`: runs the benchmark and puts its figures into PERFORMANCE.md.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use super::section;

pub(super) fn run() -> Result<ExitCode> {
    let output =
        Command::new(super::built()?).stderr(Stdio::inherit()).output().context("cannot start it")?;
    if !output.status.success() {
        bail!("the benchmark ended with {}", output.status);
    }
    let figures = String::from_utf8(output.stdout)?;
    print!("{figures}");
    let table =
        format!("\nMeasured on {}.\n\n| figure | measured |\n|---|---|\n{figures}\n", section::machine());
    section::write("overhead", &table)?;
    Ok(ExitCode::SUCCESS)
}
