//! Embedding rows, gathered from the packed table that the LM head multiplies with.

use super::CpuBackend;
use super::buffer::Disjoint;
use crate::ops::MatrixInfo;
use crate::ops::embedding::Embedding;

/// Runs a checked embedding.
pub(crate) fn embed(backend: &CpuBackend, args: Embedding<'_, CpuBackend>) {
    let batch = &args.batch.0;
    let width = args.token_table.layout().inputs;
    let hidden = Disjoint::new(args.hidden);
    backend.pool.run(batch.rows(), |_, row| {
        // SAFETY: each task has its own row.
        let hidden = unsafe { hidden.part(row * width, width) };
        for (pair, values) in args.token_table.row_pairs(batch.tokens[row] as usize).zip(hidden.chunks_mut(2))
        {
            for (value, bits) in values.iter_mut().zip([pair << 16, pair & 0xffff_0000]) {
                *value = f32::from_bits(bits);
            }
        }
        if let Some(table) = args.position_table {
            for (pair, values) in table.row_pairs(batch.positions[row] as usize).zip(hidden.chunks_mut(2)) {
                for (value, bits) in values.iter_mut().zip([pair << 16, pair & 0xffff_0000]) {
                    *value += f32::from_bits(bits);
                }
            }
        }
    });
}
