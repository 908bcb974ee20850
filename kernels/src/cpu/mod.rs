//! The native backend: runs on any CPU, with the same bits on each.

mod attention;
mod buffer;
mod dot;
mod elementary;
mod elementary64;
mod embedding;
mod isa;
mod kv_cache;
pub mod limits;
mod lm_head;
mod matmul;
mod matrix;
mod norm;
mod peak;
mod pool;
mod processed;
mod rotary;
mod row_operands;
mod sampling;
mod scratch;
mod simd;
mod stream;
#[cfg(test)]
mod tests;
mod top_n;

pub use buffer::Aligned;
pub use isa::{ISA_VARIABLE, Isa, IsaError};
pub use kv_cache::CpuKvCache;
pub use matrix::CpuMatrix;
pub(crate) use processed::Processed;
pub(crate) use rotary::frequency as rotary_frequency;

use crate::ops::batch::RaggedBatch;
use crate::ops::error::{OpError, require_len};
use crate::ops::kv_cache::KvGeometry;
use crate::ops::matrix::PackedMatrix;
use crate::ops::rotary::RotaryFrequencies;
use crate::ops::{
    Backend, BatchInfo, attention as op_attention, embedding as op_embedding, lm_head as op_lm_head,
};
use crate::ops::{
    matmul as op_matmul, norm as op_norm, rotary as op_rotary, sampling as op_sampling, top_n as op_top_n,
};
use isa::Path;
use pool::Pool;
use row_operands::RowOperands;
use scratch::Scratch;

/// Threads and scratch memory of one model.
pub struct CpuBackend {
    path: Path,
    pool: Pool,
    scratch: Scratch,
    row_operands: RowOperands,
    attention_tasks: Vec<attention::AttentionTask>,
    chunk_statistics: Vec<lm_head::ChunkStatistics>,
    target_logits: Vec<f32>,
    /// Rotary frequencies, computed once for the arguments beside them.
    frequencies: Option<(RotaryFrequencies, Vec<f64>)>,
}

/// A step's batch; on the CPU it is what the host has.
#[derive(Default)]
pub struct CpuBatch(RaggedBatch);

impl BatchInfo for CpuBatch {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn head_rows(&self) -> usize {
        self.0.head.len()
    }
    fn logits_slots(&self) -> usize {
        self.0.logits_slots()
    }
    fn max_position(&self) -> usize {
        self.0.positions.iter().max().map_or(0, |&position| position as usize)
    }
}

impl CpuBackend {
    /// A backend with `num_threads` threads (the caller counts; 0 is taken as 1) on `isa`.
    ///
    /// # Errors
    /// The machine lacks the instruction set, or the system refuses a thread.
    pub fn new(isa: Isa, num_threads: usize) -> Result<Self, OpError> {
        let error = |message: String| OpError::new("cpu", message);
        let path = Path::new(isa).ok_or_else(|| error(IsaError::Unavailable(isa).to_string()))?;
        let pool = Pool::new(num_threads);
        let pool = pool.map_err(|cause| error(format!("cannot start {num_threads} threads: {cause}")))?;
        Ok(Self {
            path,
            scratch: Scratch::new(pool.threads()),
            pool,
            row_operands: RowOperands::default(),
            attention_tasks: Vec::new(),
            chunk_statistics: Vec::new(),
            target_logits: Vec::new(),
            frequencies: None,
        })
    }
}

impl Backend for CpuBackend {
    type Matrix = CpuMatrix;
    type Floats = Aligned<f32>;
    type Halves = Aligned<u16>;
    type KvCache = CpuKvCache;
    type Batch = CpuBatch;

    fn matrix(&mut self, host: &PackedMatrix) -> Result<CpuMatrix, OpError> {
        Ok(CpuMatrix::new(host.clone()))
    }
    fn floats_from(&mut self, values: &[f32]) -> Result<Aligned<f32>, OpError> {
        Ok(Aligned::from_slice(values))
    }
    fn floats(&mut self, len: usize) -> Result<Aligned<f32>, OpError> {
        Ok(Aligned::zeroed(len))
    }
    fn halves(&mut self, len: usize) -> Result<Aligned<u16>, OpError> {
        Ok(Aligned::zeroed(len))
    }
    fn kv_cache(&mut self, geometry: KvGeometry) -> Result<CpuKvCache, OpError> {
        CpuKvCache::new(geometry)
    }
    fn batch(&mut self) -> Result<CpuBatch, OpError> {
        Ok(CpuBatch::default())
    }
    fn floats_to_host(
        &mut self,
        buffer: &Aligned<f32>,
        len: usize,
        into: &mut Vec<f32>,
    ) -> Result<(), OpError> {
        require_len("floats_to_host", "buffer", buffer.len(), len)?;
        into.clear();
        into.extend_from_slice(&buffer[..len]);
        Ok(())
    }
    fn load_batch(&mut self, host: &RaggedBatch, device: &mut CpuBatch) -> Result<(), OpError> {
        device.0.clone_from(host);
        Ok(())
    }

    fn embed(&mut self, args: op_embedding::Embedding<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        embedding::embed(self, args);
        Ok(())
    }
    fn norm(&mut self, args: op_norm::Norm<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        norm::norm(self, args);
        Ok(())
    }
    fn matmul(&mut self, args: op_matmul::Matmul<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        matmul::matmul(self, args);
        Ok(())
    }
    fn rotary_angles(&mut self, args: op_rotary::RotaryAngles<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        rotary::rotary_angles(self, args);
        Ok(())
    }
    fn rotate_and_append(&mut self, args: op_rotary::RotateAndAppend<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        rotary::rotate_and_append(self, args);
        Ok(())
    }
    fn attention(&mut self, args: op_attention::Attention<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        attention::attention(self, args);
        Ok(())
    }
    fn lm_head(&mut self, args: op_lm_head::LmHead<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        lm_head::lm_head(self, args);
        Ok(())
    }
    fn sample(&mut self, args: op_sampling::Sampling<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        sampling::sample(self, args);
        Ok(())
    }
    fn top_n(&mut self, args: op_top_n::TopN<'_, Self>) -> Result<(), OpError> {
        args.check()?;
        top_n::top_n(self, args);
        Ok(())
    }
}
