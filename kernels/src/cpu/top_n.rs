//! The likeliest tokens on the CPU: one task per row.

use super::CpuBackend;
use super::buffer::Disjoint;
use crate::ops::top_n::{TopN, best_first};

/// Runs a checked search.
pub(crate) fn top_n(backend: &CpuBackend, args: TopN<'_, CpuBackend>) {
    args.found.clear();
    args.found.resize(args.rows.len(), Vec::new());
    let found = Disjoint::new(args.found);
    backend.pool.run(args.rows.len(), |_, index| {
        let row = args.rows[index];
        let logits = &args.logits[row.slot * args.vocab_size..][..args.vocab_size];
        // SAFETY: each task has its own entry.
        unsafe { found.set(index, largest(logits, row.count)) };
    });
}

/// 1 <= count <= logits.len()
fn largest(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut order: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
    if count < order.len() {
        order.select_nth_unstable_by(count - 1, best_first);
        order.truncate(count);
    }
    order.sort_unstable_by(best_first);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_ties_go_by_id() {
        let logits = [1.0, 3.0, -2.0, 3.0, 0.5];
        assert_eq!(largest(&logits, 1), [(1, 3.0)]);
        assert_eq!(largest(&logits, 3), [(1, 3.0), (3, 3.0), (0, 1.0)]);
        assert_eq!(largest(&logits, 5).len(), 5);
    }
}
