//! The GPT on a backend: validates a step, runs the forward pass, samples.

mod extras;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::config::{GptConfig, Normalization, PositionEmbedding};
use super::cost::{step_cost, values_per_layer};
use super::forward::{Architecture, Weights, forward};
use super::packed::PackedModel;
use super::step::{
    Extras, KvCacheShape, LanguageModel, SequenceSlice, StepCost, StepError, StepOutput, clear_outputs,
};
use super::weights::CheckpointError;
use super::workspace::Workspace;
use crate::cpu::{CpuBackend, Isa};
use crate::cuda::CudaBackend;
use crate::ops::batch::{HeadRow, RaggedBatch};
use crate::ops::error::OpError;
use crate::ops::graph_counts::GraphCounts;
use crate::ops::kv_cache::KvGeometry;
use crate::ops::norm::NormKind;
use crate::ops::rotary::RotaryFrequencies;
use crate::ops::sampling::{SampleRow, Sampling, check_args};
use crate::ops::top_n::{TopN, TopRow};
use crate::ops::{Backend, KvCacheInfo};
use extras::{MOST_KEPT_TARGETS, num_kept_targets};

/// A GPT with its weights, its KV cache and its scratch memory.
pub struct Gpt<B: Backend> {
    config: GptConfig,
    architecture: Architecture,
    backend: B,
    weights: Weights<B>,
    cache: B::KvCache,
    workspace: Workspace<B>,
    batch: RaggedBatch,
    sample_rows: Vec<SampleRow>,
    top_rows: Vec<TopRow>,
    num_slots: usize,
    values_per_layer: u64,
    cost: StepCost,
}

/// The GPT on the native backend.
pub type CpuModel = Gpt<CpuBackend>;

impl CpuModel {
    /// Maps a packed model and runs it with `num_threads` threads (the caller counts) on the instruction set that
    /// `GOLDLAP_ISA` names, else on the best one.
    ///
    /// # Errors
    /// The file is damaged, the cache does not fit, the instruction set is unknown or unavailable.
    pub fn open(packed: &Path, kv_shape: KvCacheShape, num_threads: usize) -> Result<Self, CheckpointError> {
        let fail = |error: &dyn std::fmt::Display| CheckpointError(error.to_string());
        let isa = Isa::from_environment().map_err(|error| fail(&error))?;
        let backend = CpuBackend::new(isa, num_threads).map_err(|error| fail(&error))?;
        Self::new(backend, &PackedModel::open(packed)?, kv_shape)
    }
}

/// The GPT on a CUDA device.
pub type CudaModel = Gpt<CudaBackend>;

impl<B: Backend> Gpt<B> {
    /// Brings the weights to `backend` and makes an empty cache.
    ///
    /// # Errors
    /// The backend refuses a tensor, or a cache of this shape.
    pub fn new(
        mut backend: B,
        packed: &PackedModel,
        kv_shape: KvCacheShape,
    ) -> Result<Self, CheckpointError> {
        let config = packed.config().clone();
        let fail = |error: OpError| CheckpointError(error.to_string());
        let weights = Weights::load(&mut backend, packed)?;
        let geometry = KvGeometry {
            layers: config.num_layers,
            kv_heads: config.num_query_groups,
            head_dim: config.kv_channels,
            block_size: kv_shape.block_size,
            num_blocks: kv_shape.num_blocks,
        };
        let cache = backend.kv_cache(geometry).map_err(fail)?;
        let workspace = Workspace::new(&mut backend).map_err(fail)?;
        Ok(Self {
            architecture: Architecture::of(&config),
            values_per_layer: values_per_layer(&config),
            config,
            backend,
            weights,
            cache,
            workspace,
            batch: RaggedBatch::with_room_for(kv_shape.num_blocks),
            sample_rows: Vec::new(),
            top_rows: Vec::new(),
            num_slots: 0,
            cost: StepCost::default(),
        })
    }

    /// Architecture.
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// What it runs on.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Translates the step's sequences, and refuses what makes no sense.
    fn build_batch(&mut self, batch: &[SequenceSlice<'_>], extras: &[Extras]) -> Result<(), StepError> {
        let block_size = self.cache.geometry().block_size;
        self.batch.clear();
        self.sample_rows.clear();
        self.top_rows.clear();
        self.num_slots = 0;
        for (index, sequence) in batch.iter().enumerate() {
            let in_sequence = |message: String| StepError(format!("sequence {index}: {message}"));
            let extras = extras.get(index).copied().unwrap_or_default();
            self.check_sequence(sequence).map_err(in_sequence)?;
            let first_row = self.batch.rows();
            let pushed = self.batch.push(sequence.tokens, sequence.start, sequence.block_table, block_size);
            pushed.map_err(|error| in_sequence(error.message))?;
            for (row, &target) in sequence.targets.iter().enumerate() {
                self.push_head(first_row + row, Some(target));
                if extras.keep_targets() {
                    self.keep_logits(extras.target_alternatives, extras.processed.is_some());
                }
            }
            let Some(args) = sequence.sample else { continue };
            if sequence.targets.len() < sequence.tokens.len() {
                self.push_head(first_row + sequence.tokens.len() - 1, None);
            }
            if args.top_k != 1 || extras.alternatives > 0 || extras.processed.is_some() {
                let slot = self.keep_logits(extras.alternatives, extras.processed.is_some());
                if args.top_k != 1 {
                    self.sample_rows.push(SampleRow { slot, args });
                }
            }
        }
        self.batch
            .check(self.config.vocab_size, &self.cache.geometry())
            .map_err(|error| StepError(error.to_string()))
    }

    fn push_head(&mut self, row: usize, target: Option<u32>) {
        self.batch.head.push(HeadRow { row, target, logits_slot: None });
    }

    /// Gives the head's last row a slot, if it has none. The likeliest tokens of processed logits are found on the host.
    fn keep_logits(&mut self, num_alternatives: usize, is_processed: bool) -> usize {
        let next = self.num_slots;
        let slot = match self.batch.head.last_mut() {
            Some(head) => *head.logits_slot.get_or_insert(next),
            None => next,
        };
        self.num_slots = self.num_slots.max(slot + 1);
        if num_alternatives > 0 && !is_processed {
            self.top_rows.push(TopRow { slot, count: num_alternatives.min(self.config.vocab_size) });
        }
        slot
    }

    fn check_sequence(&self, sequence: &SequenceSlice<'_>) -> Result<(), String> {
        let rows = sequence.tokens.len();
        if rows == 0 {
            return Err("no tokens; a slice needs at least one".to_owned());
        }
        if sequence.targets.len() > rows {
            return Err(format!("{} targets for {rows} tokens", sequence.targets.len()));
        }
        let limit = self.config.max_position_embeddings;
        let learned = self.config.position_embedding == PositionEmbedding::LearnedAbsolute;
        if learned && sequence.start.saturating_add(rows) > limit {
            let start = sequence.start;
            return Err(format!(
                "{rows} tokens from position {start}, but there are {limit} learned positions"
            ));
        }
        match sequence.sample {
            Some(args) if args.top_k != 1 => check_args(&args).map_err(|error| error.message),
            Some(_) | None => Ok(()),
        }
    }

    fn run(&mut self) -> Result<(), OpError> {
        let slots = self.num_slots;
        self.backend.restore_kv_cache(&mut self.cache)?;
        self.workspace.reserve(&mut self.backend, &self.config, self.batch.rows(), slots)?;
        let workspace = &mut self.workspace;
        self.backend.load_batch(&self.batch, &mut workspace.batch)?;
        self.backend.plan_sampling(&self.sample_rows)?;
        forward(&mut self.backend, &self.architecture, &self.weights, &mut self.cache, workspace)?;
        self.backend.sample(Sampling {
            vocab_size: self.config.vocab_size,
            logits: &workspace.logits,
            rows: &self.sample_rows,
            drawn: &mut workspace.drawn,
        })?;
        workspace.found.clear();
        if self.top_rows.is_empty() {
            return Ok(());
        }
        self.backend.top_n(TopN {
            vocab_size: self.config.vocab_size,
            logits: &workspace.logits,
            rows: &self.top_rows,
            found: &mut workspace.found,
        })
    }

    /// One pass over a batch whose kept logits fit; its results are added to `outputs`.
    fn pass(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
        outputs: &mut [StepOutput],
    ) -> Result<(), StepError> {
        self.build_batch(batch, extras)?;
        self.run().map_err(|error| StepError(error.to_string()))?;
        if extras.iter().any(|extras| extras.processed.is_some()) {
            let len = self.num_slots * self.config.vocab_size;
            let Workspace { logits, kept, .. } = &mut self.workspace;
            self.backend.floats_to_host(logits, len, kept).map_err(|error| StepError(error.to_string()))?;
        }
        self.cost += step_cost(&self.config, self.values_per_layer, &self.batch);
        self.collect(batch, extras, outputs);
        Ok(())
    }
}

impl Architecture {
    fn of(config: &GptConfig) -> Self {
        let rotary = match config.position_embedding {
            PositionEmbedding::Rope { base, scaling, .. } => {
                Some(RotaryFrequencies { dim: config.rotary_dim(), base, scaling })
            }
            PositionEmbedding::LearnedAbsolute => None,
        };
        Self {
            norm: match config.normalization {
                Normalization::RmsNorm => NormKind::Rms,
                Normalization::LayerNorm | Normalization::LayerNorm1p => NormKind::Layer,
            },
            epsilon: config.norm_epsilon,
            heads: config.num_attention_heads,
            hidden: config.hidden_size,
            activation: config.activation,
            rotary,
            attention_scale: (1.0 / (config.kv_channels as f64).sqrt()) as f32,
        }
    }
}

impl<B: Backend> LanguageModel for Gpt<B> {
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn kv_cache(&self) -> KvCacheShape {
        let KvGeometry { block_size, num_blocks, .. } = self.cache.geometry();
        KvCacheShape { block_size, num_blocks }
    }

    fn step_into(
        &mut self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
        outputs: &mut Vec<StepOutput>,
    ) -> Result<(), StepError> {
        self.cost = StepCost::default();
        clear_outputs(outputs, batch.len());
        if num_kept_targets(batch, extras) <= MOST_KEPT_TARGETS {
            return self.pass(batch, extras, outputs);
        }
        let of = |index: usize| extras.get(index).copied().unwrap_or_default();
        for (index, (slice, output)) in batch.iter().zip(outputs).enumerate() {
            self.in_parts(slice, of(index), output)?;
        }
        Ok(())
    }

    fn release_kv_cache(&mut self, is_kept: bool) -> Result<bool, StepError> {
        let released = self.backend.release_kv_cache(&mut self.cache, is_kept);
        released.map_err(|error| StepError(error.to_string()))
    }

    fn last_step_cost(&self) -> StepCost {
        self.cost
    }

    fn graph_counts(&self) -> Option<GraphCounts> {
        self.backend.graph_counts()
    }

    fn reset_graph_counts(&mut self) {
        self.backend.reset_graph_counts();
    }
}
