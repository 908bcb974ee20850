//! Per-head norm of queries and keys, rotary embedding, and the append to the paged KV cache, fused.

use super::error::{OpError, require, require_len};
use super::{Backend, BatchInfo, Buffer, KvCacheInfo};
use crate::model::config::RopeScaling;

/// How positions become angles: pair `i` of `dim / 2` turns by `position * base^(-2 i / dim)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryFrequencies {
    /// Rotated width of a head, even, `<= head_dim`.
    pub dim: usize,
    /// Base of the series.
    pub base: f64,
    /// Llama-3 scaling of the low frequencies.
    pub scaling: Option<RopeScaling>,
}

/// Computes cosines and sines of a step's positions, once for all layers. Angles in f64, rounded to f32 at the end.
pub struct RotaryAngles<'a, B: Backend> {
    /// Positions.
    pub batch: &'a B::Batch,
    /// Frequencies.
    pub frequencies: RotaryFrequencies,
    /// `[rows, dim]`: `dim / 2` cosines, then `dim / 2` sines.
    pub angles: &'a mut B::Floats,
}

impl<B: Backend> RotaryAngles<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "rotary_angles";
        let RotaryFrequencies { dim, base, .. } = self.frequencies;
        require(OP, dim > 0 && dim.is_multiple_of(2), || {
            format!("rotated width {dim} is not positive and even")
        })?;
        require(OP, base.is_finite() && base > 0.0, || format!("base {base} is not a positive number"))?;
        require_len(OP, "angles", self.angles.len(), self.batch.rows() * dim)
    }
}

/// RMS norm of each query and key head before the rotation (Qwen3).
pub struct HeadNorm<'a, B: Backend> {
    /// `[head_dim]`
    pub query_weight: &'a B::Floats,
    /// `[head_dim]`
    pub key_weight: &'a B::Floats,
    /// Added to the mean square.
    pub epsilon: f32,
}

/// Splits `[query heads | key heads | value heads]`, normalises and rotates queries and keys (element `i` of the
/// first half with element `i` of the second), rounds all three, writes keys and values to the cache.
pub struct RotateAndAppend<'a, B: Backend> {
    /// Sequences and their blocks.
    pub batch: &'a B::Batch,
    /// Layer of the cache.
    pub layer: usize,
    /// Query heads; a multiple of the cache's key/value heads.
    pub heads: usize,
    /// Per-head norm, if the architecture has one.
    pub head_norm: Option<HeadNorm<'a, B>>,
    /// `([rows, dim], dim)` from [`RotaryAngles`]; `None` without rotary embedding.
    pub angles: Option<(&'a B::Floats, usize)>,
    /// `[rows, (heads + 2 * kv_heads) * head_dim]`
    pub qkv: &'a B::Floats,
    /// `[rows, heads, query_stride(head_dim)]` operands.
    pub queries: &'a mut B::Halves,
    /// Written at each row's position.
    pub cache: &'a mut B::KvCache,
}

/// Elements between two query heads: a whole number of 16-lane vectors, zeros after `head_dim`.
pub fn query_stride(head_dim: usize) -> usize {
    head_dim.next_multiple_of(16)
}

impl<B: Backend> RotateAndAppend<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "rotate_and_append";
        let cache = self.cache.geometry();
        let rows = self.batch.rows();
        require(OP, self.layer < cache.layers, || format!("layer {} of {}", self.layer, cache.layers))?;
        require(OP, self.heads > 0 && self.heads.is_multiple_of(cache.kv_heads), || {
            format!("{} query heads do not divide among {} key/value heads", self.heads, cache.kv_heads)
        })?;
        if let Some((angles, dim)) = self.angles {
            require(OP, dim.is_multiple_of(2) && dim <= cache.head_dim, || {
                format!("rotated width {dim} of a head of {}", cache.head_dim)
            })?;
            require_len(OP, "angles", angles.len(), rows * dim)?;
        }
        if let Some(norm) = &self.head_norm {
            require_len(OP, "query norm", norm.query_weight.len(), cache.head_dim)?;
            require_len(OP, "key norm", norm.key_weight.len(), cache.head_dim)?;
        }
        require_len(OP, "qkv", self.qkv.len(), rows * (self.heads + 2 * cache.kv_heads) * cache.head_dim)?;
        require_len(OP, "queries", self.queries.len(), rows * self.heads * query_stride(cache.head_dim))
    }
}
