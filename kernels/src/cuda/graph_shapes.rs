//! Which steps are worth a graph, and how many rows the launches of such a step cover: the shapes that were asked for.

use crate::ops::batch::RaggedBatch;

/// Largest size without a list of sizes.
const MOST_ROWS: usize = 512;

/// Room of a graph: token rows, of which some sequences are prompts (or parts of prompts), the others decode one token each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MixedShape {
    /// Token rows.
    pub tokens: usize,
    /// Sequences with a prompt.
    pub prefills: usize,
    /// Sequences that decode.
    pub decodes: usize,
}

/// What a graph has room for, whatever the step that runs in it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Token rows.
    pub tokens: usize,
    /// Sequences.
    pub sequences: usize,
}

/// The shapes of a backend's graphs. A step runs in the smallest shape that holds it, and launch by launch where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphShapes {
    /// Sizes of steps in which every sequence decodes one token, ascending.
    decode: Vec<usize>,
    /// Shapes of the other steps, ascending.
    mixed: Vec<MixedShape>,
}

impl GraphShapes {
    /// No graphs: every step runs launch by launch.
    pub fn none() -> Self {
        Self::default()
    }

    /// These sizes of decode steps, and these shapes of steps with prompts.
    pub fn new(mut decode: Vec<usize>, mut mixed: Vec<MixedShape>) -> Self {
        decode.sort_unstable();
        decode.dedup();
        mixed.sort_unstable();
        mixed.dedup();
        Self { decode, mixed }
    }

    /// Finely graded sizes of decode steps up to 512 rows, no steps with prompts.
    pub fn decode_steps() -> Self {
        Self::new((1..=MOST_ROWS).map(graded).collect(), Vec::new())
    }

    /// There is no shape.
    pub fn is_none(&self) -> bool {
        self.decode.is_empty() && self.mixed.is_empty()
    }

    /// The smallest shape that holds the step.
    pub fn room_for(&self, batch: &RaggedBatch) -> Option<Room> {
        let (rows, total) = (batch.rows(), batch.sequences.len());
        let prefills = batch.sequences.iter().filter(|span| span.rows > 1 || span.start == 0).count();
        if prefills == 0 {
            let size = self.decode.iter().copied().find(|&size| size >= rows)?;
            return Some(Room { tokens: size, sequences: size });
        }
        let holds = |shape: &&MixedShape| {
            shape.tokens >= rows && shape.prefills >= prefills && shape.prefills + shape.decodes >= total
        };
        let shape = self.mixed.iter().find(holds)?;
        Some(Room { tokens: shape.tokens, sequences: shape.prefills + shape.decodes })
    }
}

/// Of the units of work of a step that may come again as a graph: the next number that steps of similar size share.
pub(super) fn graded(count: usize) -> usize {
    match count {
        0..=16 => count.next_power_of_two(),
        17..=64 => count.next_multiple_of(8),
        65..=256 => count.next_multiple_of(32),
        257.. => count.next_multiple_of(128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(spans: &[(usize, usize)]) -> RaggedBatch {
        let mut batch = RaggedBatch::default();
        for &(start, rows) in spans {
            let blocks: Vec<u32> = (0..(start + rows).div_ceil(16) as u32).collect();
            batch.push(&vec![7; rows], start, &blocks, 16).unwrap();
        }
        batch
    }

    #[test]
    fn a_step_takes_the_smallest_shape_that_holds_it() {
        let shape = |tokens, prefills, decodes| MixedShape { tokens, prefills, decodes };
        let shapes = GraphShapes::new(vec![4, 1, 2], vec![shape(32, 2, 2), shape(8, 1, 3), shape(16, 2, 1)]);
        let room = |spans: &[(usize, usize)]| shapes.room_for(&batch(spans)).map(|room| room.tokens);
        assert_eq!(room(&[(5, 1)]), Some(1));
        assert_eq!(room(&[(5, 1), (6, 1), (700, 1)]), Some(4));
        assert_eq!(room(&[(5, 1); 5]), None, "no decode shape has five rows, and mixed ones are for prompts");
        assert_eq!(room(&[(0, 5), (5, 1)]), Some(8));
        assert_eq!(room(&[(0, 1)]), Some(8), "a prompt of one token is a prompt");
        assert_eq!(room(&[(0, 3), (0, 3)]), Some(16));
        assert_eq!(room(&[(0, 3), (16, 3), (5, 1), (9, 1)]), Some(32));
        assert_eq!(room(&[(0, 33)]), None);
        assert_eq!(GraphShapes::none().room_for(&batch(&[(5, 1)])), None);
    }

    #[test]
    fn graded_sizes_hold_their_counts_and_are_few() {
        let sizes: std::collections::BTreeSet<usize> = (1..=MOST_ROWS).map(graded).collect();
        assert!((1..=MOST_ROWS).all(|count| graded(count) >= count));
        assert!(sizes.len() < 24, "{sizes:?}");
        assert_eq!(
            GraphShapes::decode_steps().room_for(&batch(&[(5, 1); 19])),
            Some(Room { tokens: 24, sequences: 24 })
        );
        let mixed = GraphShapes::new(vec![4], vec![MixedShape { tokens: 32, prefills: 2, decodes: 3 }]);
        assert_eq!(mixed.room_for(&batch(&[(0, 5), (5, 1)])), Some(Room { tokens: 32, sequences: 5 }));
    }
}
