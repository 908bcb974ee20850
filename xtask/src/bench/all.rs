//! `cargo xtask bench all`: everything that PERFORMANCE.md tabulates, one after the other.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{operators, overhead, versus};

/// Operators, overhead and ranks, and the peers that are there; takes about twelve minutes on two quiet cores.
#[derive(Args)]
pub(super) struct All {
    /// Folder with llama.cpp's llama-batched-bench; without it that section stays
    #[arg(long, value_name = "DIR")]
    peer_bin: Option<PathBuf>,
    /// Folder with one built without AVX-512
    #[arg(long, value_name = "DIR", requires = "peer_bin")]
    peer_avx2_bin: Option<PathBuf>,
    /// Python with torch and transformers; without it that section stays
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
}

impl All {
    pub(super) fn run(&self) -> Result<ExitCode> {
        if let Some(bin) = &self.peer_bin {
            versus::BenchPeers::llama_cpp(bin, self.peer_avx2_bin.as_deref()).run()?;
        }
        if let Some(python) = &self.python {
            versus::BenchPeers::transformers(python).run()?;
        }
        operators::Operators::everything().run()?;
        overhead::run()?;
        overhead::run_ranks()
    }
}
