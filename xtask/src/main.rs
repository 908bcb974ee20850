//! The project's own chores, each a file: `cargo xtask --help` lists them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod fetch_model;
mod gpu_bundle;
mod ptx;
mod schema;
mod tidy;
mod update_goldens;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// One variant, one file.
#[derive(Subcommand)]
enum Command {
    /// Measure what the runner costs besides the kernels, or count the instructions of hot paths.
    Bench(bench::Bench),
    FetchModel(fetch_model::FetchModel),
    /// Pack everything that a GPU host without Rust or network needs to test and time the CUDA backend.
    GpuBundle(gpu_bundle::GpuBundle),
    /// Compile the CUDA kernels to the committed PTX, check that it is up to date, or report their resources.
    Ptx(ptx::Ptx),
    /// Write the JSON Schema of model_config.yaml, or check that it is up to date.
    Schema(schema::Schema),
    /// Check the house rules that no compiler checks.
    Tidy(tidy::Tidy),
    /// Review pending goldens: accept, reject, list or check them.
    UpdateGoldens(goldlap::golden::UpdateGoldens),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Bench(command) => command.run(),
        Command::FetchModel(command) => command.run(),
        Command::GpuBundle(command) => command.run(),
        Command::Ptx(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Tidy(command) => command.run(),
        Command::UpdateGoldens(command) => update_goldens::run(&command),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository this xtask was built in.
fn workspace_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ lies in the workspace root")
        .to_path_buf()
}
