//! The step's batch as one array of words (kernels/cu/batch.cuh): what the kernels need to know of rows, sequences and blocks, and
//! which blocks of threads take which part of attention.

use std::cell::RefCell;
use std::sync::Arc;

use super::device::Device;
use super::graph_shapes::{Room, graded};
use crate::ops::BatchInfo;
use crate::ops::attention::KEY_SPLIT;
use crate::ops::batch::RaggedBatch;
use crate::ops::error::OpError;

/// Query vectors that a block of a few-kernel takes, and of a many-kernel.
const FEW_VECTORS: usize = 16;
const MANY_VECTORS: usize = 64;
/// "None" in a table.
const NONE: u32 = u32::MAX;

/// Words of the head of the array, in order.
#[derive(Clone, Copy)]
enum Word {
    Rows,
    HeadRows,
    FewTasks,
    ManyTasks,
    Combines,
    Tokens,
    Positions,
    Places,
    Head,
    Sequences,
    Few,
    Many,
    Combine,
}

const WORDS: usize = Word::Combine as usize + 1;

/// How many blocks each part of attention needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AttentionTasks {
    pub(super) few: usize,
    pub(super) many: usize,
    pub(super) combines: usize,
    /// Splits whose results wait in memory to be combined.
    pub(super) partial_slots: usize,
}

/// A step's batch in device memory.
pub struct CudaBatch<D: Device> {
    pub(super) host: RaggedBatch,
    /// Made again when an attention with another number of heads comes by, which is once in a model's life.
    pub(super) encoded: RefCell<Encoded<D>>,
}

/// The array on the device, and what the launchers must know of it.
pub(super) struct Encoded<D: Device> {
    pub(super) memory: Option<Arc<D::Memory>>,
    pub(super) capacity: usize,
    /// Query heads per key/value head that the tasks were made for.
    pub(super) group: usize,
    pub(super) tasks: AttentionTasks,
    /// Rows that the step's launches cover, where it may come again as a graph.
    pub(super) room: Option<Room>,
}

impl<D: Device> Default for CudaBatch<D> {
    fn default() -> Self {
        let tasks = AttentionTasks::default();
        let encoded = Encoded { memory: None, capacity: 0, group: 0, tasks, room: None };
        Self { host: RaggedBatch::default(), encoded: RefCell::new(encoded) }
    }
}

impl<D: Device> BatchInfo for CudaBatch<D> {
    fn rows(&self) -> usize {
        self.host.rows()
    }
    fn head_rows(&self) -> usize {
        self.host.head.len()
    }
    fn logits_slots(&self) -> usize {
        self.host.logits_slots()
    }
    fn max_position(&self) -> usize {
        self.host.positions.iter().max().map_or(0, |&position| position as usize)
    }
}

impl<D: Device> CudaBatch<D> {
    /// The array.
    pub(super) fn memory(&self) -> Result<Arc<D::Memory>, OpError> {
        let memory = self.encoded.borrow().memory.clone();
        memory.ok_or_else(|| OpError::new("batch", "it was never loaded (Backend::load_batch)"))
    }

    /// How many blocks a launch gets for `count` units of work: the launches of a step that may come again as a graph cover
    /// more, so that steps of similar size are the same sequence of launches.
    pub(super) fn covered(&self, count: usize) -> usize {
        match self.encoded.borrow().room {
            None => count,
            Some(room) if count == self.host.rows() => room.tokens,
            Some(_) => graded(count),
        }
    }
}

/// Writes the array for `group` query heads per key/value head.
pub(super) fn encode(batch: &RaggedBatch, group: usize, words: &mut Vec<u32>) -> AttentionTasks {
    let number = |value: usize| u32::try_from(value).unwrap_or(NONE);
    words.clear();
    words.resize(WORDS, 0);
    words[Word::Rows as usize] = number(batch.rows());
    words[Word::HeadRows as usize] = number(batch.head.len());
    let table = |words: &mut Vec<u32>, which: Word, rows: &mut dyn Iterator<Item = u32>| {
        words[which as usize] = number(words.len());
        words.extend(rows);
    };
    table(words, Word::Tokens, &mut batch.tokens.iter().copied());
    table(words, Word::Positions, &mut batch.positions.iter().copied());
    table(words, Word::Places, &mut batch.places.iter().flat_map(|place| [place.block, place.slot]));
    let head = |row: &crate::ops::batch::HeadRow| {
        [number(row.row), row.target.unwrap_or(NONE), row.logits_slot.map_or(NONE, number)]
    };
    table(words, Word::Head, &mut batch.head.iter().flat_map(head));
    let blocks = words.len();
    words.extend_from_slice(&batch.blocks);
    table(
        words,
        Word::Sequences,
        &mut batch
            .sequences
            .iter()
            .flat_map(|span| [span.first_row, span.rows, span.start, blocks + span.first_block].map(number)),
    );
    let mut plan = Plan::default();
    for (index, span) in batch.sequences.iter().enumerate() {
        plan.add(number(index), span.rows * group, span.start + span.rows);
    }
    // Later vectors of a sequence attend to more keys: the long tasks go first.
    plan.many.reverse();
    let tasks = plan.tasks();
    words[Word::FewTasks as usize] = number(tasks.few);
    words[Word::ManyTasks as usize] = number(tasks.many);
    words[Word::Combines as usize] = number(tasks.combines);
    table(words, Word::Few, &mut plan.few.into_iter().flatten());
    table(words, Word::Many, &mut plan.many.into_iter().flatten());
    table(words, Word::Combine, &mut plan.combine.into_iter().flatten());
    tasks
}

/// Who computes what of attention.
#[derive(Default)]
struct Plan {
    /// Sequence, split, partial slot.
    few: Vec<[u32; 3]>,
    /// Sequence, first query vector.
    many: Vec<[u32; 2]>,
    /// Sequence, first partial slot, splits.
    combine: Vec<[u32; 3]>,
    slots: usize,
}

impl Plan {
    fn add(&mut self, sequence: u32, vectors: usize, keys: usize) {
        if vectors > FEW_VECTORS {
            self.many.extend((0..vectors).step_by(MANY_VECTORS).map(|first| [sequence, first as u32]));
            return;
        }
        let splits = keys.div_ceil(KEY_SPLIT);
        if splits == 1 {
            self.few.push([sequence, 0, NONE]);
            return;
        }
        self.combine.push([sequence, self.slots as u32, splits as u32]);
        self.few.extend((0..splits).map(|split| [sequence, split as u32, (self.slots + split) as u32]));
        self.slots += splits;
    }

    fn tasks(&self) -> AttentionTasks {
        AttentionTasks {
            few: self.few.len(),
            many: self.many.len(),
            combines: self.combine.len(),
            partial_slots: self.slots,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::batch::HeadRow;

    fn batch(spans: &[(usize, usize)]) -> RaggedBatch {
        let mut batch = RaggedBatch::default();
        for &(start, rows) in spans {
            let blocks: Vec<u32> = (0..(start + rows).div_ceil(16) as u32).collect();
            batch.push(&vec![7; rows], start, &blocks, 16).unwrap();
        }
        batch
    }

    #[test]
    fn every_table_is_where_the_head_says() {
        let mut batch = batch(&[(3, 2), (600, 1)]);
        batch.head.push(HeadRow { row: 2, target: None, logits_slot: Some(0) });
        let mut words = Vec::new();
        let tasks = encode(&batch, 2, &mut words);
        let at = |which: Word, index: usize| words[words[which as usize] as usize + index];
        assert_eq!([0, 1, 2].map(|row| at(Word::Tokens, row)), [7; 3]);
        assert_eq!([0, 1, 2].map(|row| at(Word::Positions, row)), [3, 4, 600]);
        assert_eq!([4, 5].map(|i| at(Word::Places, i)), [37, 8]);
        assert_eq!([0, 1, 2].map(|i| at(Word::Head, i)), [2, NONE, 0]);
        assert_eq!([4, 5, 6].map(|i| at(Word::Sequences, i)), [2, 1, 600]);
        assert_eq!(words[at(Word::Sequences, 7) as usize + 37], 37);
        assert_eq!(tasks, AttentionTasks { few: 3, many: 0, combines: 1, partial_slots: 2 });
        assert_eq!((0..9).map(|i| at(Word::Few, i)).collect::<Vec<_>>(), [0, 0, NONE, 1, 0, 0, 1, 1, 1]);
        assert_eq!([0, 1, 2].map(|i| at(Word::Combine, i)), [1, 0, 2]);
    }

    #[test]
    fn long_chunks_are_cut_into_blocks_of_vectors_and_the_last_goes_first() {
        let mut words = Vec::new();
        let tasks = encode(&batch(&[(0, 70), (5, 8)]), 2, &mut words);
        assert_eq!(tasks, AttentionTasks { few: 1, many: 3, combines: 0, partial_slots: 0 });
        let many = words[Word::Many as usize] as usize;
        assert_eq!(words[many..many + 6], [0, 128, 0, 64, 0, 0]);
    }
}
