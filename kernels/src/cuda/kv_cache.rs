//! The KV cache in device memory (kernels/cu/attention.cuh), and in the host's while its place is given up.

use std::sync::Arc;

use super::device::Device;
use super::launch::KvLayout;
use super::operators::{attention_width, word};
use crate::ops::KvCacheInfo;
use crate::ops::error::OpError;
use crate::ops::kv_cache::KvGeometry;

/// Bytes that move between device and host at a time: large enough for the bus, small enough for pinned memory.
const PIECE_BYTES: usize = 16 << 20;

/// Keys and values of all layers.
pub struct CudaKvCache<D: Device> {
    geometry: KvGeometry,
    pub(super) layout: KvLayout,
    /// A placeholder while the cache has no place.
    pub(super) memory: Arc<D::Memory>,
    released: Option<Released>,
}

/// A cache without a place on the device.
enum Released {
    /// What was in it.
    Kept(Vec<u8>),
    /// Nothing of it is needed.
    Dropped,
}

impl<D: Device> KvCacheInfo for CudaKvCache<D> {
    fn geometry(&self) -> KvGeometry {
        self.geometry
    }
}

/// Bytes of device memory that a cache takes: heads are padded to a width that attention is compiled for.
///
/// # Errors
/// There is no such cache, or it is larger than memory can be.
pub fn kv_cache_bytes(geometry: KvGeometry) -> Result<usize, OpError> {
    geometry.check()?;
    let (width, ..) = attention_width(geometry.head_dim)?;
    let KvGeometry { layers, kv_heads, block_size, num_blocks, .. } = geometry;
    let sizes = [2, layers, num_blocks, kv_heads, 2, block_size, width];
    let bytes = sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    bytes.ok_or_else(|| OpError::new("kv_cache", format!("{geometry:?} overflows memory")))
}

impl<D: Device> CudaKvCache<D> {
    pub(super) fn new(device: &mut D, geometry: KvGeometry) -> Result<Self, OpError> {
        let bytes = kv_cache_bytes(geometry)?;
        let (width, ..) = attention_width(geometry.head_dim)?;
        let KvGeometry { kv_heads, block_size, num_blocks, .. } = geometry;
        let layout = KvLayout {
            num_blocks: word(num_blocks)?,
            kv_heads: word(kv_heads)?,
            block_size: word(block_size)?,
            width: word(width)?,
        };
        Ok(Self { geometry, layout, memory: Arc::new(device.allocate(bytes)?), released: None })
    }

    /// See [`crate::ops::Backend::release_kv_cache`]. After an error the cache is where it was.
    pub(super) fn release(&mut self, device: &mut D, is_kept: bool) -> Result<bool, OpError> {
        if self.released.is_some() {
            return Ok(false);
        }
        let released = if is_kept {
            let mut host = zeros(kv_cache_bytes(self.geometry)?)?;
            for (index, piece) in host.chunks_mut(PIECE_BYTES).enumerate() {
                device.download(&self.memory, index * PIECE_BYTES, piece)?;
            }
            Released::Kept(host)
        } else {
            Released::Dropped
        };
        self.memory = Arc::new(device.allocate(1)?);
        self.released = Some(released);
        Ok(is_kept)
    }

    /// See [`crate::ops::Backend::restore_kv_cache`]. After an error the cache still has no place.
    pub(super) fn restore(&mut self, device: &mut D) -> Result<(), OpError> {
        let Some(released) = &self.released else { return Ok(()) };
        let memory = device.allocate(kv_cache_bytes(self.geometry)?)?;
        if let Released::Kept(host) = released {
            for (index, piece) in host.chunks(PIECE_BYTES).enumerate() {
                device.upload(piece, &memory, index * PIECE_BYTES)?;
            }
        }
        self.memory = Arc::new(memory);
        self.released = None;
        Ok(())
    }
}

fn zeros(bytes: usize) -> Result<Vec<u8>, OpError> {
    let mut host = Vec::new();
    host.try_reserve_exact(bytes).map_err(|_| {
        OpError::new("kv_cache", format!("the host has no {bytes} bytes to keep the cache in"))
    })?;
    host.resize(bytes, 0);
    Ok(host)
}
