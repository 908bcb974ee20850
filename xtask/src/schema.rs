//! The JSON Schemas of `model_config.yaml`, committed so that editors can use them without building anything.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use goldlap::report::write_atomically;

/// `cargo xtask schema [--check]`.
#[derive(Args)]
pub(crate) struct Schema {
    /// Write nothing; fail if a committed schema differs from what the code says.
    #[arg(long)]
    check: bool,
}

impl Schema {
    /// Writes or checks the schemas.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut exit = ExitCode::SUCCESS;
        for (name, expected) in goldlap::config::schema::schemas() {
            let path = crate::workspace_root().join("runner").join(name);
            if fs::read_to_string(&path).unwrap_or_default() == expected {
                println!("{} is up to date", path.display());
            } else if self.check {
                eprintln!("{} differs from the code: run `cargo xtask schema` and commit it", path.display());
                exit = ExitCode::FAILURE;
            } else {
                write_atomically(&path, expected.as_bytes())
                    .with_context(|| format!("writing {}", path.display()))?;
                println!("wrote {}", path.display());
            }
        }
        Ok(exit)
    }
}
