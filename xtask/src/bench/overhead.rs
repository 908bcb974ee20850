//! `cargo xtask bench overhead` and `bench ranks`: run the benchmark and put its figures into PERFORMANCE.md.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use super::section;

/// Coordinator, engine, discovery.
pub(super) fn run() -> Result<ExitCode> {
    measure("overhead", &[])
}

/// Eight ranks beside eight engines alone.
pub(super) fn run_ranks() -> Result<ExitCode> {
    measure("ranks", &["ranks"])
}

fn measure(command: &str, arguments: &[&str]) -> Result<ExitCode> {
    let mut program = Command::new(super::built()?);
    let program = program.args(arguments).stderr(Stdio::inherit());
    let output = program.output().context("cannot start it")?;
    if !output.status.success() {
        bail!("the benchmark ended with {}", output.status);
    }
    let figures = String::from_utf8(output.stdout)?;
    print!("{figures}");
    let table =
        format!("\nMeasured on {}.\n\n| figure | measured |\n|---|---|\n{figures}\n", section::machine());
    section::write(command, &table)?;
    Ok(ExitCode::SUCCESS)
}
