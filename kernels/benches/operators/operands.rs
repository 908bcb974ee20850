//! Buffers, weights and batches that operators are called with: arbitrary numbers of ordinary size.

use std::sync::{Arc, OnceLock};

use goldlap_kernels::cpu::{Aligned, CpuBackend, CpuMatrix, Isa};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::ops::Backend;
use goldlap_kernels::ops::batch::RaggedBatch;
use goldlap_kernels::ops::kv_cache::KvGeometry;
use goldlap_kernels::ops::matrix::{MatrixLayout, PackedMatrix, SharedBytes};

pub(crate) const CONFIG: GptConfig = GptConfig::GPT_583M;
pub(crate) const BLOCK_SIZE: usize = 256;

/// `1 row`, `8 rows`: how cases are named.
pub(crate) fn counted(rows: usize) -> String {
    format!("{rows} row{}", if rows == 1 { "" } else { "s" })
}

/// A backend for what is not measured.
pub(crate) fn helper() -> CpuBackend {
    CpuBackend::new(Isa::best(), 1).expect("an available instruction set")
}

/// Numbers between -1 and 1, none of them tiny: a linear congruential generator does for operands.
fn numbers() -> impl Iterator<Item = f32> {
    let mut state = 1_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0 + f32::EPSILON
    })
}

pub(crate) fn floats(len: usize) -> Aligned<f32> {
    let mut buffer = Aligned::zeroed(len);
    buffer.iter_mut().zip(numbers()).for_each(|(value, number)| *value = number);
    buffer
}

/// bf16 operands.
pub(crate) fn halves(len: usize) -> Aligned<u16> {
    let mut buffer = Aligned::zeroed(len);
    let operands = numbers().map(|number| half::bf16::from_f32(number).to_bits());
    buffer.iter_mut().zip(operands).for_each(|(value, operand)| *value = operand);
    buffer
}

/// As many bytes as the largest matrix has.
struct Memory(Aligned<u16>);

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Matrices of one layout, one after the other in memory that is larger than caches: calls that take turns on them read weights from
/// memory, as the layers of a step do.
pub(crate) fn matrices(layout: MatrixLayout) -> Vec<CpuMatrix> {
    static MEMORY: OnceLock<Arc<Memory>> = OnceLock::new();
    let memory = MEMORY.get_or_init(|| {
        let mut memory = Aligned::zeroed(CONFIG.vocab_size * CONFIG.hidden_size);
        let some = halves(1 << 20);
        for part in memory.chunks_mut(some.len()) {
            part.copy_from_slice(&some[..part.len()]);
        }
        Arc::new(Memory(memory))
    });
    let bytes = layout.bytes();
    let mut backend = helper();
    let count = (memory.as_ref().as_ref().len() / bytes).min(CONFIG.num_layers);
    let matrix = |index: usize| {
        let shared = SharedBytes::new(Arc::clone(memory) as _, index * bytes..(index + 1) * bytes);
        let packed = shared.and_then(|shared| PackedMatrix::new(layout, shared));
        backend.matrix(&packed.expect("inside the memory, aligned")).expect("a matrix")
    };
    (0..count).map(matrix).collect()
}

/// Sequences of `rows` new tokens each behind `start` cached ones.
#[derive(Clone, Copy)]
pub(crate) struct Sequences {
    pub(crate) count: usize,
    pub(crate) rows: usize,
    pub(crate) start: usize,
}

impl Sequences {
    pub(crate) fn rows(self) -> usize {
        self.count * self.rows
    }

    fn blocks_each(self) -> usize {
        (self.start + self.rows).div_ceil(BLOCK_SIZE)
    }

    /// One layer's cache, or `layers` of them.
    pub(crate) fn geometry(self, layers: usize) -> KvGeometry {
        KvGeometry {
            layers,
            kv_heads: CONFIG.num_query_groups,
            head_dim: CONFIG.kv_channels,
            block_size: BLOCK_SIZE,
            num_blocks: self.count * self.blocks_each(),
        }
    }

    /// The step's batch; the last row of each sequence goes through the head.
    pub(crate) fn host_batch(self) -> RaggedBatch {
        let mut batch = RaggedBatch::default();
        let tokens: Vec<u32> = (0..self.rows).map(|row| (row * 7919 % CONFIG.vocab_size) as u32).collect();
        for sequence in 0..self.count {
            let first = sequence * self.blocks_each();
            let blocks: Vec<u32> = (first..first + self.blocks_each()).map(|block| block as u32).collect();
            batch.push(&tokens, self.start, &blocks, BLOCK_SIZE).expect("blocks cover the rows");
        }
        batch
    }

    pub(crate) fn batch(self) -> <CpuBackend as Backend>::Batch {
        loaded(&self.host_batch())
    }
}

pub(crate) fn loaded(host: &RaggedBatch) -> <CpuBackend as Backend>::Batch {
    let mut backend = helper();
    let mut batch = backend.batch().expect("a batch");
    backend.load_batch(host, &mut batch).expect("a batch");
    batch
}
