//! The ragged batch of one step: which rows belong to which sequence, where they stand, which blocks they own.

use super::error::{OpError, require};
use super::kv_cache::KvGeometry;

const OP: &str = "batch";

/// One sequence's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceSpan {
    /// Index of its first row in the batch.
    pub first_row: usize,
    /// Number of new tokens, at least one.
    pub rows: usize,
    /// Position of the first row; keys `0..start` are in the cache.
    pub start: usize,
    /// Its blocks are `RaggedBatch::blocks[first_block..first_block + num_blocks]`.
    pub first_block: usize,
    /// Blocks it owns, covering `start + rows` positions at least.
    pub num_blocks: usize,
}

/// Where a row's key and value are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KvPlace {
    /// Block of the pool.
    pub block: u32,
    /// Token in the block.
    pub slot: u32,
}

/// One row whose next-token distribution is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// Row of the batch.
    pub row: usize,
    /// Token whose logit is wanted.
    pub target: Option<u32>,
    /// Keep all logits of this row in this slot of the logits buffer (0, 1, 2, ... in order), for sampling.
    pub logits_slot: Option<usize>,
}

/// One step's batch as the host knows it. Rows of a sequence are adjacent and in order.
#[derive(Debug, Default)]
pub struct RaggedBatch {
    /// `[rows]` token ids.
    pub tokens: Vec<u32>,
    /// `[rows]` absolute positions.
    pub positions: Vec<u32>,
    /// `[rows]` places in the KV cache.
    pub places: Vec<KvPlace>,
    /// Sequences in row order.
    pub sequences: Vec<SequenceSpan>,
    /// Block tables of all sequences, one after the other.
    pub blocks: Vec<u32>,
    /// Rows that go through the LM head, in row order.
    pub head: Vec<HeadRow>,
    /// Scratch of [`Self::check`].
    sorted_places: Vec<KvPlace>,
}

impl Clone for RaggedBatch {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    /// Into the memory that `self` has: the derived one would drop it, once for each list of each step.
    fn clone_from(&mut self, source: &Self) {
        let Self { tokens, positions, places, sequences, blocks, head, sorted_places: _ } = source;
        self.tokens.clone_from(tokens);
        self.positions.clone_from(positions);
        self.places.clone_from(places);
        self.sequences.clone_from(sequences);
        // Tables grow from step to step: where the source has made room, so does the copy.
        self.blocks.clear();
        self.blocks.reserve(blocks.capacity());
        self.blocks.extend_from_slice(blocks);
        self.head.clone_from(head);
    }
}

impl RaggedBatch {
    /// An empty batch with room for tables of so many blocks together.
    pub fn with_room_for(num_blocks: usize) -> Self {
        Self { blocks: Vec::with_capacity(num_blocks), ..Self::default() }
    }

    /// Number of token rows.
    pub fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Number of rows whose logits are kept.
    pub fn logits_slots(&self) -> usize {
        self.head.iter().filter(|head| head.logits_slot.is_some()).count()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.places.clear();
        self.sequences.clear();
        self.blocks.clear();
        self.head.clear();
    }

    /// Appends a sequence's rows.
    ///
    /// # Errors
    /// The block table does not cover the new positions, or they do not fit in 32 bits.
    pub fn push(
        &mut self,
        tokens: &[u32],
        start: usize,
        blocks: &[u32],
        block_size: usize,
    ) -> Result<(), OpError> {
        let span = SequenceSpan {
            first_row: self.rows(),
            rows: tokens.len(),
            start,
            first_block: self.blocks.len(),
            num_blocks: blocks.len(),
        };
        let covered = blocks.len() * block_size;
        let end = start.checked_add(tokens.len()).filter(|&end| end <= covered && u32::try_from(end).is_ok());
        let end = end.ok_or_else(|| {
            let (count, held) = (tokens.len(), blocks.len());
            OpError::new(
                "batch",
                format!("{count} tokens from position {start}, but its {held} blocks hold {covered}"),
            )
        })?;
        self.tokens.extend_from_slice(tokens);
        self.blocks.extend_from_slice(blocks);
        for position in start..end {
            self.positions.push(position as u32);
            self.places
                .push(KvPlace { block: blocks[position / block_size], slot: (position % block_size) as u32 });
        }
        self.sequences.push(span);
        Ok(())
    }

    /// Everything that the operators rely on; checked once per step.
    pub fn check(&mut self, vocab_size: usize, cache: &KvGeometry) -> Result<(), OpError> {
        let rows = self.rows();
        require(OP, self.positions.len() == rows && self.places.len() == rows, || {
            format!("{rows} tokens, {} positions, {} places", self.positions.len(), self.places.len())
        })?;
        let mut next_row = 0;
        for (index, span) in self.sequences.iter().enumerate() {
            require(OP, span.first_row == next_row && span.rows > 0, || {
                format!(
                    "sequence {index} has {} rows from {}, expected some from {next_row}",
                    span.rows, span.first_row
                )
            })?;
            next_row += span.rows;
            self.check_rows(index, span, rows, cache)?;
        }
        require(OP, next_row == rows, || format!("sequences cover {next_row} rows of {rows}"))?;
        for (row, &token) in self.tokens.iter().enumerate() {
            require(OP, (token as usize) < vocab_size, || {
                format!("row {row}: token {token} of a vocabulary of {vocab_size}")
            })?;
        }
        self.check_places()?;
        self.check_head(vocab_size)
    }

    fn check_rows(
        &self,
        index: usize,
        span: &SequenceSpan,
        rows: usize,
        cache: &KvGeometry,
    ) -> Result<(), OpError> {
        let blocks = self.blocks.get(span.first_block..span.first_block + span.num_blocks);
        let blocks =
            blocks.ok_or_else(|| OpError::new(OP, format!("sequence {index}: block table out of range")))?;
        for &block in blocks {
            require(OP, (block as usize) < cache.num_blocks, || {
                format!("sequence {index}: block {block} of a pool of {}", cache.num_blocks)
            })?;
        }
        require(OP, span.first_row + span.rows <= rows, || {
            format!("sequence {index} ends after row {rows}")
        })?;
        for row in 0..span.rows {
            let expected = span.start + row;
            let (position, place) = (self.positions[span.first_row + row], self.places[span.first_row + row]);
            let slot = (expected % cache.block_size) as u32;
            let owned = blocks.get(expected / cache.block_size).map(|&block| KvPlace { block, slot });
            require(OP, position as usize == expected && owned == Some(place), || {
                format!(
                    "sequence {index} row {row}: position {position} at {place:?}, expected {expected} at {owned:?}"
                )
            })?;
        }
        Ok(())
    }

    /// No place is written twice.
    fn check_places(&mut self) -> Result<(), OpError> {
        self.sorted_places.clone_from(&self.places);
        self.sorted_places.sort_unstable();
        match self.sorted_places.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(()),
            Some(pair) => Err(OpError::new(OP, format!("two rows would write {:?}", pair[0]))),
        }
    }

    fn check_head(&self, vocab_size: usize) -> Result<(), OpError> {
        let mut slots = 0;
        for head in &self.head {
            require(OP, head.row < self.rows(), || {
                format!("LM head row {} of {} rows", head.row, self.rows())
            })?;
            require(OP, head.target.is_none_or(|token| (token as usize) < vocab_size), || {
                format!("target {:?} of a vocabulary of {vocab_size}", head.target)
            })?;
            require(OP, head.logits_slot.is_none_or(|slot| slot == slots), || {
                "logits slots out of order".to_owned()
            })?;
            slots += usize::from(head.logits_slot.is_some());
        }
        Ok(())
    }
}
