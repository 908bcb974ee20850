//! Who takes part in the next step: first come, first served, within tokens, sequences and KV blocks.
//!
//! Running sequences always go on: one token each, in the order of their admission. When the pool has no
//! block left for one of them, the sequence admitted last gives up its blocks and goes back to the head of the
//! queue, to be computed again from its prompt and the tokens it has; since numerics and sampling depend on
//! positions only, its tokens do not change. The oldest sequence is thus never disturbed, and each request can
//! finish alone (or was refused), so every step brings somebody closer to the end.
//!
//! New prompts come after, while sequences, tokens and blocks allow; the first one that does not fit
//! stops the rest. Output is not reserved: blocks are taken when a sequence grows into them.

use std::collections::{HashSet, VecDeque};

use super::block_allocator::BlockAllocator;
use super::limits::EngineLimits;
use super::sequence::Sequence;

#[derive(Debug)]
pub(super) struct Scheduler {
    limits: EngineLimits,
    blocks: BlockAllocator,
    waiting: VecDeque<Sequence>,
    /// In the order of admission: decoding ones, then at most one that is fed in chunks.
    running: Vec<Sequence>,
    /// Ids of all sequences here.
    ids: HashSet<u64>,
}

impl Scheduler {
    pub(super) fn new(limits: EngineLimits) -> Self {
        Self {
            limits,
            blocks: BlockAllocator::new(limits.num_usable_blocks),
            waiting: VecDeque::new(),
            running: Vec::new(),
            ids: HashSet::new(),
        }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn num_sequences(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn blocks(&self) -> &BlockAllocator {
        &self.blocks
    }

    /// The batch of the step that [`Self::schedule`] composed.
    pub(super) fn batch(&self) -> &[Sequence] {
        &self.running
    }

    pub(super) fn batch_mut(&mut self) -> &mut [Sequence] {
        &mut self.running
    }

    pub(super) fn enqueue(&mut self, sequence: Sequence) {
        self.ids.insert(sequence.id);
        self.waiting.push_back(sequence);
    }

    /// Composes the next step; returns how many sequences had to give up their blocks.
    pub(super) fn schedule(&mut self) -> usize {
        let num_evicted = self.grow_running();
        let num_tokens_left = self.schedule_running();
        // A sequence evicted just now cannot come back at once: one of its blocks is already somebody else's.
        self.admit_waiting(num_tokens_left);
        num_evicted
    }

    /// Gives every running sequence the blocks for the tokens it has, oldest first.
    fn grow_running(&mut self) -> usize {
        let (mut index, mut num_evicted) = (0, 0);
        while let Some(sequence) = self.running.get_mut(index) {
            let num_missing = self.limits.blocks_for(sequence.len()) - sequence.block_table.len();
            if num_missing == 0 || self.blocks.allocate(num_missing, &mut sequence.block_table) {
                index += 1;
            } else {
                self.evict_latest();
                num_evicted += 1;
            }
        }
        num_evicted
    }

    fn evict_latest(&mut self) {
        let Some(mut victim) = self.running.pop() else { return };
        self.blocks.free(&mut victim.block_table);
        victim.restart();
        self.waiting.push_front(victim);
    }

    /// Returns the tokens left. Limits make sure that every sequence gets one at least.
    fn schedule_running(&mut self) -> usize {
        let mut num_tokens_left = self.limits.max_tokens;
        for sequence in &mut self.running {
            let num_tokens = sequence.num_remaining().min(num_tokens_left);
            sequence.schedule(num_tokens);
            num_tokens_left -= num_tokens;
        }
        num_tokens_left
    }

    fn admit_waiting(&mut self, mut num_tokens_left: usize) {
        while self.running.len() < self.limits.max_requests {
            let Some(mut head) = self.waiting.pop_front() else { return };
            let mut num_tokens = head.num_remaining();
            if head.may_be_chunked() {
                num_tokens = num_tokens.min(num_tokens_left);
            }
            let fits = (1..=num_tokens_left).contains(&num_tokens)
                && self.blocks.allocate(self.limits.blocks_for(head.len()), &mut head.block_table);
            if !fits {
                self.waiting.push_front(head);
                return;
            }
            head.schedule(num_tokens);
            num_tokens_left -= num_tokens;
            self.running.push(head);
        }
    }

    /// Removes the sequences that got their last token.
    pub(super) fn take_finished(&mut self) -> Vec<Sequence> {
        let mut finished: Vec<Sequence> =
            self.running.extract_if(.., |sequence| sequence.finish_reason().is_some()).collect();
        self.release(&mut finished);
        finished
    }

    /// Removes the whole batch.
    pub(super) fn take_batch(&mut self) -> Vec<Sequence> {
        let mut batch = std::mem::take(&mut self.running);
        self.release(&mut batch);
        batch
    }

    /// Removes a sequence wherever it is.
    pub(super) fn remove(&mut self, id: u64) -> Option<Sequence> {
        let is_it = |sequence: &Sequence| sequence.id == id;
        let mut removed = match self.running.iter().position(is_it) {
            Some(index) => self.running.remove(index),
            None => self.waiting.iter().position(is_it).and_then(|index| self.waiting.remove(index))?,
        };
        self.release(std::slice::from_mut(&mut removed));
        Some(removed)
    }

    fn release(&mut self, sequences: &mut [Sequence]) {
        for sequence in sequences {
            self.blocks.free(&mut sequence.block_table);
            self.ids.remove(&sequence.id);
        }
    }

    /// Block accounting is exact and limits hold.
    #[cfg(test)]
    pub(super) fn check(&self) -> Result<(), String> {
        self.blocks.check(self.running.iter().map(|sequence| sequence.block_table.as_slice()))?;
        let ids: HashSet<u64> =
            self.waiting.iter().chain(&self.running).map(|sequence| sequence.id).collect();
        let num_chunked = self.running.iter().filter(|sequence| !sequence.is_decoding()).count();
        let waiting_own_nothing = self.waiting.iter().all(|sequence| sequence.block_table.is_empty());
        let holds = [
            ("ids name the sequences", ids == self.ids),
            ("each sequence is in one place", ids.len() == self.waiting.len() + self.running.len()),
            ("max_requests", self.running.len() <= self.limits.max_requests),
            ("one chunked sequence at most", num_chunked <= 1),
            ("waiting sequences own no blocks", waiting_own_nothing),
        ];
        holds.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(what, _)| Err(format!("broken: {what}")))
    }
}
