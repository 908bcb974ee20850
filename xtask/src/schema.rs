//! The JSON Schema of `model_config.yaml`, committed so that editors can use it without building anything.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

/// `cargo xtask schema [--check]`.
#[derive(Args)]
pub(crate) struct Schema {
    /// Write nothing; fail if the committed schema differs from what the code says.
    #[arg(long)]
    check: bool,
}

impl Schema {
    /// Writes or checks the schema.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let path = crate::workspace_root().join("runner/model_config.schema.json");
        let expected = goldlap::config::schema::schema_json();
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed == expected {
            println!("{} is up to date", path.display());
            return Ok(ExitCode::SUCCESS);
        }
        if self.check {
            eprintln!("{} differs from the code: run `cargo xtask schema` and commit it", path.display());
            return Ok(ExitCode::FAILURE);
        }
        let folder = path.parent().context("the schema lies in a folder")?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(expected.as_bytes())?;
        // A temporary file is private to its owner; a committed one is not.
        #[cfg(unix)]
        fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.persist(&path).with_context(|| format!("writing {}", path.display()))?;
        println!("wrote {}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}
