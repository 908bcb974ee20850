//! `cargo xtask bench`: what the runner costs besides the kernels, in seconds and in instructions; and the kernels, operator by operator
//! and beside a peer's.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

mod all;
mod instructions;
mod operators;
mod overhead;
mod section;
mod versus;

/// `cargo xtask bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    versus: versus::BenchPeers,
}

#[derive(Subcommand)]
enum What {
    /// Measure coordinator, engine and discovery, and write the figures into PERFORMANCE.md.
    Overhead,
    /// Measure eight ranks of the 583M case beside eight engines that serve the same requests without coordinator and client,
    /// and write the figures into PERFORMANCE.md.
    Ranks,
    /// Measure every CPU operator on every instruction set.
    Operators(operators::Operators),
    /// Measure everything that PERFORMANCE.md tabulates, and write it there.
    All(all::All),
    /// Count the instructions of hot paths under valgrind; fails where one needs more than its committed count.
    Instructions(instructions::Instructions),
}

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.what {
            None => self.versus.run(),
            Some(What::Overhead) => overhead::run(),
            Some(What::Ranks) => overhead::run_ranks(),
            Some(What::Operators(command)) => command.run(),
            Some(What::All(command)) => command.run(),
            Some(What::Instructions(command)) => command.run(),
        }
    }
}

/// Builds the benchmark with the runner optimised, on dependencies as the dev profile has them: those are there already,
/// and a release build of all takes ten times as long. (With the whole workspace, since dependencies of a package alone have other features.)
fn built() -> Result<PathBuf> {
    let optimised = ["opt-level=3", "debug-assertions=false", "overflow-checks=false"];
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace_root());
    cargo.args([
        "build",
        "--workspace",
        "--bench",
        "overhead",
        "--message-format",
        "json-render-diagnostics",
    ]);
    cargo.args(
        optimised
            .iter()
            .flat_map(|how| ["--config".to_owned(), format!("profile.dev.package.goldlap.{how}")]),
    );
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the benchmark does not build ({})", output.status);
    }
    let messages = String::from_utf8(output.stdout).context("what cargo says is not UTF-8")?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut executables = artifacts
        .filter(|artifact| artifact["target"]["name"] == "overhead")
        .filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
    executables.next_back().context("cargo names no executable of the benchmark")
}
