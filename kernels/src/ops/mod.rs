//! The operator contract: what a backend must compute, to the last bit where the hardware allows it.
//!
//! One file per operator: an argument struct that documents shapes and dtypes, and `check`, the preconditions that every
//! backend calls before it touches a buffer. A forward pass is a sequence of these operators ([`crate::model::gpt`]).
//!
//! # Numerics
//!
//! The bits of a row's result depend on that row's inputs only: not on the batch, the chunk, the block size, the
//! number of threads or the instruction set.
//! - Weights and operands are bf16 inside the operand window ([`operand`]): rounded to nearest even, magnitudes below
//!   2^-50 flushed to zero, above 2^50 clamped. The residual stream, scores, norms, softmax and logits are f32.
//! - A dot product is one chain from zero over pairs of operands: for pair `k`, first `sum = fma(a[2k+1], b[2k+1], sum)`, then
//!   `sum = fma(a[2k], b[2k], sum)`. An odd length is padded with a zero. (This is the order of `vdpbf16ps`.) It is never
//!   split. Where hardware fixes another order (tensor cores), that order must still depend on the shape of the weight alone.
//! - A sum over a row uses 16 lanes (`lane = index % 16`), each in index order, then the tree
//!   `x[i] + x[i + 8]`, `+ [i + 4]`, `+ [i + 2]`, `+ [i + 1]`.
//! - Attention and log-softmax work on tiles, splits and chunks of fixed size, combined in index order.
//! - `exp`, `ln`, `erf`, `sin`, `cos` and powers are the polynomials of `cpu/elementary.rs` and `cpu/elementary64.rs`, made of IEEE
//!   operations in a fixed order; no system library takes part.
//! - Everything is finite: weights are (checked when they are packed), and no operator makes anything else of finite inputs.
//! - Every f32 and f64 operation rounds to nearest with denormals kept: no backend touches the floating-point environment.

pub mod attention;
pub mod batch;
pub mod embedding;
pub mod error;
pub mod graph_counts;
pub mod kv_cache;
pub mod lm_head;
pub mod matmul;
pub mod matrix;
pub mod norm;
pub mod operand;
pub mod rotary;
pub mod sampling;
pub mod top_n;

use batch::RaggedBatch;
use error::OpError;
use kv_cache::KvGeometry;
use matrix::{MatrixLayout, PackedMatrix};

/// Elements between two rows of a bf16 buffer: pairs are never cut in two. The element after an odd width is zero in every
/// input and stays zero in every output: buffers start as zeros, and each is used with one width.
pub fn row_stride(width: usize) -> usize {
    width.next_multiple_of(2)
}

/// A buffer of a backend.
pub trait Buffer {
    /// Elements.
    fn len(&self) -> usize;

    /// No elements.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A weight matrix of a backend.
pub trait MatrixInfo {
    /// Its logical shape.
    fn layout(&self) -> MatrixLayout;
}

/// A KV cache of a backend.
pub trait KvCacheInfo {
    /// Its shape.
    fn geometry(&self) -> KvGeometry;
}

/// A batch where the backend can read it.
pub trait BatchInfo {
    /// Token rows.
    fn rows(&self) -> usize;
    /// Rows that go through the LM head.
    fn head_rows(&self) -> usize;
    /// Rows whose logits are kept.
    fn logits_slots(&self) -> usize;
    /// Largest position of any row.
    fn max_position(&self) -> usize;
}

/// A device that can run the operators, in the order in which they are called. Operators that fill host memory
/// (`lm_head`, `sample`, `top_n`) wait for the device; the others need not.
pub trait Backend: Sized {
    /// Packed weights on the device.
    type Matrix: MatrixInfo;
    /// f32 values on the device.
    type Floats: Buffer;
    /// bf16 operands on the device.
    type Halves: Buffer;
    /// Keys and values of all layers on the device.
    type KvCache: KvCacheInfo;
    /// A step's batch on the device.
    type Batch: BatchInfo;

    /// Brings a matrix to the device, or refers to it where it is.
    fn matrix(&mut self, host: &PackedMatrix) -> Result<Self::Matrix, OpError>;
    /// Brings f32 values to the device.
    fn floats_from(&mut self, values: &[f32]) -> Result<Self::Floats, OpError>;
    /// `len` zeros.
    fn floats(&mut self, len: usize) -> Result<Self::Floats, OpError>;
    /// `len` zeros.
    fn halves(&mut self, len: usize) -> Result<Self::Halves, OpError>;
    /// Brings the first `len` values of a buffer to the host, after all operators that were called before.
    fn floats_to_host(
        &mut self,
        buffer: &Self::Floats,
        len: usize,
        into: &mut Vec<f32>,
    ) -> Result<(), OpError>;
    /// An empty cache; its memory is zero, and committed as it is used where the platform can.
    fn kv_cache(&mut self, geometry: KvGeometry) -> Result<Self::KvCache, OpError>;
    /// Gives up a cache's place on the device until [`Self::restore_kv_cache`]; `is_kept`: what is in it goes to the host's memory
    /// meanwhile. Nothing happens where caches lie in the host's memory anyway, or where it was given up before. Gives whether
    /// the cache was brought to the host's memory now.
    fn release_kv_cache(&mut self, cache: &mut Self::KvCache, is_kept: bool) -> Result<bool, OpError> {
        let _ = (cache, is_kept);
        Ok(false)
    }
    /// Gives a cache its place back, with what was kept of it, else with zeros; nothing happens where it has its place.
    fn restore_kv_cache(&mut self, cache: &mut Self::KvCache) -> Result<(), OpError> {
        let _ = cache;
        Ok(())
    }
    /// An empty batch, to be loaded again and again.
    fn batch(&mut self) -> Result<Self::Batch, OpError>;
    /// Brings a checked batch to the device.
    fn load_batch(&mut self, host: &RaggedBatch, device: &mut Self::Batch) -> Result<(), OpError>;

    /// Says, after `load_batch`, what `sample` will ask for at the end of this step, so that a backend can draw in the same
    /// sequence of work as the forward pass. `sample` must give the same tokens whether it was called or not.
    fn plan_sampling(&mut self, rows: &[sampling::SampleRow]) -> Result<(), OpError> {
        let _ = rows;
        Ok(())
    }

    /// How steps ran as captured graphs since the last reset; `None` where the backend captures none.
    fn graph_counts(&self) -> Option<graph_counts::GraphCounts> {
        None
    }
    /// Starts [`Backend::graph_counts`] anew.
    fn reset_graph_counts(&mut self) {}

    /// See [`embedding::Embedding`].
    fn embed(&mut self, args: embedding::Embedding<'_, Self>) -> Result<(), OpError>;
    /// See [`norm::Norm`].
    fn norm(&mut self, args: norm::Norm<'_, Self>) -> Result<(), OpError>;
    /// See [`matmul::Matmul`].
    fn matmul(&mut self, args: matmul::Matmul<'_, Self>) -> Result<(), OpError>;
    /// See [`rotary::RotaryAngles`].
    fn rotary_angles(&mut self, args: rotary::RotaryAngles<'_, Self>) -> Result<(), OpError>;
    /// See [`rotary::RotateAndAppend`].
    fn rotate_and_append(&mut self, args: rotary::RotateAndAppend<'_, Self>) -> Result<(), OpError>;
    /// See [`attention::Attention`].
    fn attention(&mut self, args: attention::Attention<'_, Self>) -> Result<(), OpError>;
    /// See [`lm_head::LmHead`].
    fn lm_head(&mut self, args: lm_head::LmHead<'_, Self>) -> Result<(), OpError>;
    /// See [`sampling::Sampling`].
    fn sample(&mut self, args: sampling::Sampling<'_, Self>) -> Result<(), OpError>;
    /// See [`top_n::TopN`].
    fn top_n(&mut self, args: top_n::TopN<'_, Self>) -> Result<(), OpError>;
}
