//! What a launch has to do at the least, counted from shapes: the floor that its time is measured against.

use super::launch::Launch;
use super::registry::Kernel;
use crate::ops::attention::KEY_SPLIT;
use crate::ops::matrix::TILE;

/// Bytes of a chunk of 32 inputs of one tile of 16 outputs.
const CHUNK_BYTES: u64 = 1024;
const CHUNK_INPUTS: u64 = 32;
/// Bytes of a running maximum, of a running sum and of an id.
const STATE_BYTES: u64 = 12;

/// Bytes that must pass between memory and multiprocessors, and floating-point operations of the tensor cores (a
/// multiply-add counts twice).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaunchWork {
    /// Each operand read once, each result written once.
    pub bytes: u64,
    /// Of matrix products; what other kernels compute is small against what they move.
    pub flops: u64,
}

/// Sequences of a step, all of one length: a pure decode step or a pure prefill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformStep {
    /// How many.
    pub sequences: usize,
    /// New tokens of each.
    pub rows: usize,
    /// Tokens of each that are in the KV cache already.
    pub start: usize,
    /// A token is drawn for each (else the likeliest is taken).
    pub draws: bool,
}

impl UniformStep {
    fn total_rows(&self) -> u64 {
        (self.sequences * self.rows) as u64
    }

    /// Keys that are looked at by all queries together.
    fn query_keys(&self) -> u64 {
        let (rows, start) = (self.rows as u64, self.start as u64);
        self.sequences as u64 * (rows * start + rows * (rows + 1) / 2)
    }

    /// Keys that are in memory at the end of the step.
    fn keys(&self) -> u64 {
        (self.sequences * (self.start + self.rows)) as u64
    }
}

/// The work of one launch of a step.
pub(super) fn launch_work(launch: &Launch, step: &UniformStep) -> LaunchWork {
    let words: Vec<u64> = launch.words().map(u64::from).collect();
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let (rows, sequences) = (step.total_rows(), step.sequences as u64);
    let blocks = u64::from(launch.grid[0]) * u64::from(launch.grid[1]);
    let kv_heads = launch.layout().map_or(0, |layout| u64::from(layout.kv_heads));
    let moves = |bytes: u64| LaunchWork { bytes, flops: 0 };
    match launch.kernel {
        Kernel::EmbedRows => moves(rows * word(0) * (2 + 4)),
        Kernel::NormRows => {
            let selected = if word(3) == 1 { sequences } else { rows };
            moves(selected * word(0) * (4 + 2))
        }
        Kernel::RotaryAngles => moves(rows * word(0) * 8),
        Kernel::RotateAndAppend => moves(rows * (word(1) + 2 * kv_heads) * word(2) * (2 + 2)),
        Kernel::MatmulFew | Kernel::MatmulFewGated | Kernel::MatmulBlock | Kernel::MatmulLarge => {
            let (stride, tiles, chunks, outputs) = (word(1), word(2), word(3), word(4));
            // A residual sum is read and written in f32; everything else is written in bf16.
            let result = if word(5) == 1 { 8 } else { 2 };
            LaunchWork { bytes: rows * outputs * result, flops: 0 } + product(rows, stride, tiles, chunks)
        }
        Kernel::LmHeadFew | Kernel::LmHeadMany => {
            let kept = if step.draws { sequences * word(3) * 4 } else { 0 };
            let states = sequences * u64::from(launch.grid[1]) * STATE_BYTES;
            moves(kept + states) + product(sequences, word(0), word(1), word(2))
        }
        Kernel::LmHeadCombine => moves(sequences * word(0) * STATE_BYTES),
        Kernel::SampleRows | Kernel::FindTop => moves(sequences * word(0) * 4),
        Kernel::AttentionCombine => {
            let splits = (step.start + step.rows).div_ceil(KEY_SPLIT) as u64;
            moves(rows * word(1) * (splits * (word(2) * 4 + 8) + word(2) * 2))
        }
        Kernel::AttentionFew32
        | Kernel::AttentionMany32
        | Kernel::AttentionFew64
        | Kernel::AttentionMany64
        | Kernel::AttentionFew80
        | Kernel::AttentionMany80
        | Kernel::AttentionFew96
        | Kernel::AttentionMany96
        | Kernel::AttentionFew128
        | Kernel::AttentionMany128 => {
            let (heads, head_dim) = (word(1), word(2));
            let bytes = step.keys() * 2 * kv_heads * head_dim * 2 + rows * heads * head_dim * (2 + 2);
            LaunchWork { bytes, flops: 4 * step.query_keys() * heads * head_dim }
        }
        Kernel::ReadAll => moves(word(0) * 16),
        // Eight warps a block, eight products of 16 x 8 x 16 a step.
        Kernel::MultiplyAll => LaunchWork { bytes: 0, flops: blocks * 8 * word(0) * 8 * 4096 },
    }
}

/// rows x inputs times a matrix of whole tiles.
fn product(rows: u64, stride: u64, tiles: u64, chunks: u64) -> LaunchWork {
    LaunchWork {
        bytes: tiles * chunks * CHUNK_BYTES + rows * stride * 2,
        flops: 2 * rows * tiles * TILE as u64 * stride.min(chunks * CHUNK_INPUTS),
    }
}

impl std::ops::Add for LaunchWork {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, flops: self.flops + other.flops }
    }
}
