//! Causal attention of a ragged batch over the paged KV cache: prefill, chunks and decode alike.

use super::error::{OpError, require, require_len};
use super::rotary::query_stride;
use super::{Backend, BatchInfo, Buffer, KvCacheInfo, row_stride};

/// Keys that share one softmax maximum.
pub const KEY_TILE: usize = 64;
/// Keys of one split; splits are reduced on their own and combined in index order.
pub const KEY_SPLIT: usize = 512;

/// `output[row, h] = softmax(scale * q . K^T over positions 0..=position[row]) . V` for each query head `h`, which
/// reads key/value head `h / (heads / kv_heads)`.
///
/// Order, per query: splits of [`KEY_SPLIT`] keys, each from an empty state `(m, l, o)`; in a split, tiles of
/// [`KEY_TILE`] keys. A tile: `s = scale * (q . k)`; `m' = max(m, max s)`; `c = exp(m - m')`; `p = exp(s - m')`
/// rounded to an operand; `l = fma(l, c, sum p)` (of the rounded `p`); `o = fma(o, c, P . V)` where `P . V` is a chain
/// over key pairs from zero. Splits combine as `(m, l, o)` with `m' = max(m1, m2)`, `fma(x1, exp(m1 - m'), x2 * exp(m2 - m'))`;
/// finally `o * (1 / l)`. A key that is masked or not yet written has `p = 0` and adds exactly nothing.
pub struct Attention<'a, B: Backend> {
    /// Sequences and their blocks.
    pub batch: &'a B::Batch,
    /// Layer of the cache.
    pub layer: usize,
    /// Query heads.
    pub heads: usize,
    /// Multiplies every score.
    pub scale: f32,
    /// `[rows, heads, query_stride(head_dim)]`
    pub queries: &'a B::Halves,
    /// Keys and values of positions `0..=position` of every row.
    pub cache: &'a B::KvCache,
    /// `[rows, row_stride(heads * head_dim)]` operands.
    pub output: &'a mut B::Halves,
}

impl<B: Backend> Attention<'_, B> {
    /// Preconditions.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "attention";
        let cache = self.cache.geometry();
        let rows = self.batch.rows();
        require(OP, self.layer < cache.layers, || format!("layer {} of {}", self.layer, cache.layers))?;
        require(OP, self.heads > 0 && self.heads.is_multiple_of(cache.kv_heads), || {
            format!("{} query heads do not divide among {} key/value heads", self.heads, cache.kv_heads)
        })?;
        require_len(OP, "queries", self.queries.len(), rows * self.heads * query_stride(cache.head_dim))?;
        require_len(OP, "output", self.output.len(), rows * row_stride(self.heads * cache.head_dim))
    }
}
