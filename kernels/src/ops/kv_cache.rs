//! Shape of the paged key/value cache that `rotary` writes and `attention` reads.

use super::error::{OpError, require};

/// Keys that one cache group holds; blocks are a multiple of it.
pub const KEY_GROUP: usize = 16;

/// Everything that decides the size of the cache. How elements lie in memory is the backend's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvGeometry {
    /// Layers, each with a cache of its own.
    pub layers: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Tokens in a block; a multiple of [`KEY_GROUP`].
    pub block_size: usize,
    /// Blocks in the pool.
    pub num_blocks: usize,
}

impl KvGeometry {
    /// Refuses shapes no backend can serve.
    pub fn check(&self) -> Result<(), OpError> {
        const OP: &str = "kv_cache";
        require(OP, self.block_size > 0 && self.block_size.is_multiple_of(KEY_GROUP), || {
            format!("block size {} is not a positive multiple of {KEY_GROUP}", self.block_size)
        })?;
        require(
            OP,
            self.num_blocks > 0 && self.layers > 0 && self.kv_heads > 0 && self.head_dim > 0,
            || format!("nothing may be zero in {self:?}"),
        )?;
        let sizes = [
            2,
            self.layers,
            self.kv_heads,
            self.head_dim.next_multiple_of(16),
            self.block_size,
            self.num_blocks,
        ];
        let bytes = sizes.iter().try_fold(2usize, |product, &size| product.checked_mul(size));
        require(OP, bytes.is_some_and(|bytes| bytes < isize::MAX as usize), || {
            format!("{self:?} overflows memory")
        })
    }

    /// Bytes of K and V of one token over all layers (bf16).
    pub fn bytes_per_token(&self) -> usize {
        2 * 2 * self.layers * self.kv_heads * self.head_dim
    }
}
