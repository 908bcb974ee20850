//! The installed program: `goldlap list | run | compare | explain | generate | serve | rank | bench | init-model |
//! cache | virtual-driver`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod cache;
mod compare;
mod engine_settings;
mod exit;
mod explain;
mod generate;
mod init_model;
mod list;
mod location;
mod output;
mod plan_of_case;
mod rank;
mod run;
mod serve;
mod virtual_driver;

pub use exit::Exit;

#[derive(Parser)]
#[command(name = "goldlap", version, about = "Declarative test-case runner for LLM inference", after_help = exit::TABLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One variant, one file.
#[derive(Subcommand)]
enum Command {
    /// List the cases, and why some are ignored.
    List(list::List),
    /// Run cases and compare them with their goldens.
    Run(run::Run),
    /// Compare an output with a golden as Megatron's own checker does
    Compare(compare::Compare),
    /// Show the resolved plan of a case and every flag that changes nothing.
    Explain(explain::Explain),
    /// Run prompts through one engine in this process and write Megatron's JSON.
    Generate(generate::Generate),
    /// Serve a model to clients of Megatron's coordinator protocol
    Serve(serve::Serve),
    /// Run one rank that joins a coordinator
    Rank(rank::Rank),
    /// Measure how fast a model steps here, beside what the machine could do
    Bench(bench::BenchModel),
    /// Write a random model as a Hugging Face folder.
    InitModel(init_model::InitModel),
    /// List or clear the cache of packed weights and fetched models.
    Cache(cache::Cache),
    /// Run any program on the virtual CUDA driver: `goldlap virtual-driver -- PROGRAM ARGS`.
    VirtualDriver(virtual_driver::OnVirtualDriver),
}

/// A command could not do its work; says what, where and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl CommandError {
    /// Any error, as its text.
    fn from_error(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Runs the program with these arguments (the first is its name) and says how it ended.
pub fn main_with(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap knows which stream each belongs to.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            let _closed_pipe = error.print();
            return exit.into();
        }
    };
    let result = match arguments.command {
        Command::List(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Rank(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::InitModel(command) => command.run(),
        Command::Cache(command) => command.run(),
        Command::VirtualDriver(command) => command.run(),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Usage.into()
        }
    }
}
