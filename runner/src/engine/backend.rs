//! A packed model, opened on the backend of its platform with the KV pool that the plan pays for.

use std::fmt;
use std::path::Path;

use goldlap_kernels::cpu::{CpuBackend, Isa};
use goldlap_kernels::model::config::{GptConfig, PositionEmbedding};
use goldlap_kernels::model::gpt::CpuModel;
use goldlap_kernels::model::packed::PackedModel;
use goldlap_kernels::model::step::LanguageModel;

use super::cuda::open_cuda;
use super::limits::{EngineLimits, kv_cache_shape};
use crate::plan::{EnginePlan, Platform};

/// A model that is ready to step, and what an engine may do with it.
pub struct Backend {
    /// The model.
    pub model: Box<dyn LanguageModel>,
    /// Limits of an engine over it.
    pub limits: EngineLimits,
    /// Instruction set or device that runs the kernels.
    pub device: String,
    /// KV blocks in the pool.
    pub num_kv_blocks: usize,
}

/// Why a model cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackendError(String);

impl Backend {
    /// Opens the packed model at `packed`; on a CUDA platform, on device number `device` of this process's driver.
    /// `engine.num_threads` must be resolved.
    pub fn open(
        platform: &Platform,
        packed: &Path,
        engine: &EnginePlan,
        device: usize,
    ) -> Result<Self, BackendError> {
        let opened = match platform {
            Platform::Cpu => open_cpu(packed, engine),
            Platform::Vcuda | Platform::Gpu(_) => open_cuda(platform, packed, engine, device),
        };
        opened.map_err(BackendError)
    }
}

fn open_cpu(packed: &Path, engine: &EnginePlan) -> Result<Backend, String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let num_threads = engine.num_threads.ok_or("the plan leaves open how many threads the kernels have")?;
    let packed = PackedModel::open(packed).map_err(|error| text(&error))?;
    let cache = kv_cache_shape(engine, packed.config()).map_err(|error| text(&error))?;
    let limits = EngineLimits::new(engine, cache)
        .and_then(|limits| limits.with_paused_buffer(engine, packed.config()))
        .map_err(|error| text(&error))?;
    let isa = Isa::from_environment().map_err(|error| text(&error))?;
    let backend = CpuBackend::new(isa, num_threads).map_err(|error| text(&error))?;
    let model = CpuModel::new(backend, &packed, cache).map_err(|error| text(&error))?;
    Ok(Backend {
        model: Box::new(model),
        limits: within_positions(limits, packed.config()),
        device: format!("cpu {isa}, {num_threads} threads"),
        num_kv_blocks: cache.num_blocks,
    })
}

/// A table of learned positions ends somewhere; rotary positions do not.
pub(super) fn within_positions(limits: EngineLimits, config: &GptConfig) -> EngineLimits {
    match config.position_embedding {
        PositionEmbedding::LearnedAbsolute => {
            let max_sequence_length = limits.max_sequence_length.min(config.max_position_embeddings);
            EngineLimits { max_sequence_length, ..limits }
        }
        PositionEmbedding::Rope { .. } => limits,
    }
}
