//! The paged KV cache in the layout that the dot kernel reads.
//!
//! `[block][layer][kv head]` holds the keys, then the values of one block and head. Keys: `[group of keys][d/2][keys of the group][2]`,
//! so that 16 keys are a tile of the scores, and a group of 64 (smaller ones where the block size asks for them) is read line after
//! line; values: `[key pair][d][2]`, so that 16 channels are a tile of the output.
//! `d` is the head's width rounded up to 16; the padding stays zero. The memory is an anonymous mapping without reserve: zero,
//! and committed page by page as tokens are first written. A block that is full moves to huge pages, and one that a single step fills
//! (prefill of a long prompt) starts there. (For all blocks from the start, they
//! commit whole blocks: eight ranks of the 583M throughput case needed 2,787 MiB with them instead of 1,649.)

use memmap2::{MmapMut, MmapOptions};

use crate::ops::KvCacheInfo;
use crate::ops::attention::KEY_TILE;
use crate::ops::batch::KvPlace;
use crate::ops::error::OpError;
use crate::ops::kv_cache::KvGeometry;

/// Size of a huge page; where it is another one, fewer blocks are made of such.
const HUGE_PAGE: usize = 2 << 20;

/// What the system is told about a block's memory.
#[derive(Clone, Copy)]
enum Advice {
    HugeFromNowOn,
    MoveToHuge,
}

/// Keys and values of all layers.
pub struct CpuKvCache {
    memory: MmapMut,
    geometry: KvGeometry,
}

impl KvCacheInfo for CpuKvCache {
    fn geometry(&self) -> KvGeometry {
        self.geometry
    }
}

impl CpuKvCache {
    /// An empty cache.
    pub(crate) fn new(geometry: KvGeometry) -> Result<Self, OpError> {
        geometry.check()?;
        let bytes =
            geometry.layers * geometry.num_blocks * geometry.kv_heads * chunk_words(&geometry) * 2 * 4;
        let memory = MmapOptions::new().len(bytes).no_reserve_swap().map_anon();
        let memory =
            memory.map_err(|error| OpError::new("kv_cache", format!("cannot map {bytes} bytes: {error}")))?;
        Ok(Self { memory, geometry })
    }

    /// Width of a head in the cache.
    pub(crate) fn padded_dim(&self) -> usize {
        self.geometry.head_dim.next_multiple_of(16)
    }

    fn chunk(&self, layer: usize, block: u32, head: usize) -> usize {
        let index = (block as usize * self.geometry.layers + layer) * self.geometry.kv_heads + head;
        index * 2 * chunk_words(&self.geometry)
    }

    fn words(&self) -> &[u32] {
        bytemuck::cast_slice(&self.memory)
    }

    /// Keys that lie side by side.
    pub(crate) fn key_width(&self) -> usize {
        key_width(&self.geometry)
    }

    /// Keys of one block and head, in words (pairs of channels).
    pub(crate) fn keys(&self, layer: usize, block: u32, head: usize) -> &[u32] {
        &self.words()[self.chunk(layer, block, head)..][..chunk_words(&self.geometry)]
    }

    /// Values of one block and head, in words (pairs of keys).
    pub(crate) fn values(&self, layer: usize, block: u32, head: usize) -> &[u32] {
        &self.words()[self.chunk(layer, block, head) + chunk_words(&self.geometry)..]
            [..chunk_words(&self.geometry)]
    }

    /// Lets a block whose places are all about to be written start in huge pages, so that it need not move to them.
    pub(crate) fn expect_full(&mut self, block: u32) {
        self.advise(block, Advice::HugeFromNowOn);
    }

    /// Moves a block whose places are all written to huge pages. Attention read such blocks 1.04 to 1.09 times as fast on an EPYC and
    /// 1.2 times on a Xeon, in virtual machines, where the translation of an address has twice the levels. Where the system
    /// cannot (Linux before 6.1, no free huge page, a block smaller than one), the block stays as it is.
    pub(crate) fn consolidate(&mut self, block: u32) {
        self.advise(block, Advice::MoveToHuge);
    }

    /// Advises the system about the huge pages that lie in a block as a whole; what it makes of that changes no contents.
    fn advise(&mut self, block: u32, advice: Advice) {
        let first_byte = self.memory.as_ptr() as usize;
        let [start, end] = [block, block + 1].map(|block| first_byte + self.chunk(0, block, 0) * 4);
        let inside = start.next_multiple_of(HUGE_PAGE)..end / HUGE_PAGE * HUGE_PAGE;
        #[cfg(target_os = "linux")]
        if !inside.is_empty() {
            let advice = match advice {
                Advice::HugeFromNowOn => libc::MADV_HUGEPAGE,
                Advice::MoveToHuge => libc::MADV_COLLAPSE,
            };
            // SAFETY: the pages belong to the mapping, whose contents neither advice changes.
            unsafe { libc::madvise(inside.start as *mut _, inside.len(), advice) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (inside, advice);
    }

    /// A view for tasks that append different tokens.
    pub(crate) fn writer(&mut self) -> KvWriter<'_> {
        let halves: &mut [u16] = bytemuck::cast_slice_mut(&mut self.memory);
        KvWriter {
            halves: halves.as_mut_ptr(),
            len: halves.len(),
            geometry: self.geometry,
            cache: std::marker::PhantomData,
        }
    }
}

/// Keys of a group: a tile of attention if blocks consist of such, else the largest part of one that they consist of.
fn key_width(geometry: &KvGeometry) -> usize {
    1 << geometry.block_size.trailing_zeros().min(KEY_TILE.trailing_zeros())
}

/// Words of the keys (or of the values) of one block and head.
fn chunk_words(geometry: &KvGeometry) -> usize {
    geometry.block_size * geometry.head_dim.next_multiple_of(16) / 2
}

/// Writes keys and values of single tokens.
pub(crate) struct KvWriter<'a> {
    halves: *mut u16,
    len: usize,
    geometry: KvGeometry,
    cache: std::marker::PhantomData<&'a mut CpuKvCache>,
}

// SAFETY: writes go to elements that belong to one token, under `append`'s promise.
unsafe impl Send for KvWriter<'_> {}
// SAFETY: as above.
unsafe impl Sync for KvWriter<'_> {}

impl KvWriter<'_> {
    /// Writes key and value of the token at `slot` of `block`, `head_dim` operands each.
    ///
    /// # Panics
    /// The place does not lie in the cache.
    ///
    /// # Safety
    /// No other thread writes the same (layer, block, slot, head) meanwhile, and none reads the cache.
    pub(crate) unsafe fn append(
        &self,
        layer: usize,
        place: KvPlace,
        head: usize,
        key: &[u16],
        value: &[u16],
    ) {
        let (block, slot) = (place.block as usize, place.slot as usize);
        let geometry = &self.geometry;
        let padded = geometry.head_dim.next_multiple_of(16);
        let half_chunk = 2 * chunk_words(geometry);
        let index = (block * geometry.layers + layer) * geometry.kv_heads + head;
        let start = index * 2 * half_chunk;
        assert!(start + 2 * half_chunk <= self.len && slot < geometry.block_size);
        assert!(key.len() <= padded && value.len() <= padded);
        let width = key_width(geometry);
        let group = start + slot / width * width * padded;
        for (channel, &element) in key.iter().enumerate() {
            let at = group + channel / 2 * width * 2 + slot % width * 2 + channel % 2;
            // SAFETY: inside the chunk, which lies in the cache (asserted); exclusive by the caller's promise.
            unsafe { *self.halves.add(at) = element };
        }
        let pair = start + half_chunk + slot / 2 * padded * 2;
        for (channel, &element) in value.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *self.halves.add(pair + channel * 2 + slot % 2) = element };
        }
    }
}
