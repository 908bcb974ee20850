//! Who takes part in the next step: first come, first served, within tokens, sequences and KV blocks.
//!
//! Running sequences always go on: one token each, in the order of their admission. When the pool has no
//! block left for one of them, the sequence admitted last gives up its blocks and goes back to the head of the
//! queue, to be computed again from its prompt and the tokens it has; since numerics and sampling depend on
//! positions only, its tokens do not change. The oldest sequence is thus never disturbed, and each request can
//! finish alone (or was refused), so every step brings somebody closer to the end.
//!
//! Where a paused buffer is given, a sequence that finds no block may instead keep its blocks and wait, as long as an older
//! one goes on and the blocks of all that wait fit the buffer; nothing new is admitted meanwhile.
//!
//! New prompts come after, while sequences, tokens and blocks allow; the first one that does not fit
//! stops the rest. Output is not reserved: blocks are taken when a sequence grows into them. One sequence at most is fed
//! in chunks (a recomputed one, or with chunked prefill any prompt), it is the last one of the batch, and its last
//! chunk is never a single token, which would look like a decode.
//!
//! With prefix caching a sequence starts after the complete prompt blocks that are cached. One that needs a block which
//! another of the same step is about to compute waits for the next step, and later ones may overtake it.

use std::collections::{HashSet, VecDeque};

use super::block_pool::BlockPool;
use super::limits::EngineLimits;
use super::prefix_cache::CacheChanges;
use super::sequence::Sequence;

#[derive(Debug)]
pub(super) struct Scheduler {
    limits: EngineLimits,
    blocks: BlockPool,
    waiting: VecDeque<Sequence>,
    /// In the order of admission: decoding ones, then at most one that is fed in chunks.
    running: Vec<Sequence>,
    /// Admitted, and waiting for a block; the last one goes on first.
    paused: Vec<Sequence>,
    /// Ids of all sequences here.
    ids: HashSet<u64>,
}

/// What [`Scheduler::schedule`] did, besides the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scheduled {
    /// Sequences that had to give up their blocks.
    pub(super) num_evicted: usize,
    /// Sequences that wait for a block from now on, and keep those they have.
    pub(super) num_paused: usize,
    /// Tokens of the sequences admitted that were in the prefix cache.
    pub(super) num_cached_tokens: usize,
    /// Sequences that wait for a block of this step.
    pub(super) num_deferred: usize,
}

impl Scheduler {
    pub(super) fn new(limits: EngineLimits) -> Self {
        Self {
            limits,
            blocks: BlockPool::new(limits.num_usable_blocks, limits.features.prefix_caching),
            waiting: VecDeque::new(),
            running: Vec::new(),
            paused: Vec::new(),
            ids: HashSet::new(),
        }
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }

    pub(super) fn num_sequences(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn blocks(&self) -> &BlockPool {
        &self.blocks
    }

    /// Admitted sequences.
    pub(super) fn running(&self) -> &[Sequence] {
        &self.running
    }

    /// The batch of the step that [`Self::schedule`] composed: all that run, except for one whose next chunk waits.
    pub(super) fn batch(&self) -> &[Sequence] {
        &self.running[..self.batch_len()]
    }

    pub(super) fn batch_mut(&mut self) -> &mut [Sequence] {
        let len = self.batch_len();
        &mut self.running[..len]
    }

    fn batch_len(&self) -> usize {
        let is_idle = |last: &Sequence| last.num_scheduled_tokens() == 0;
        self.running.len() - usize::from(self.running.last().is_some_and(is_idle))
    }

    pub(super) fn enqueue(&mut self, sequence: Sequence) {
        self.ids.insert(sequence.id);
        self.waiting.push_back(sequence);
    }

    /// Composes the next step.
    pub(super) fn schedule(&mut self) -> Scheduled {
        self.blocks.cache_mut().tick();
        let (num_evicted, num_paused) = self.grow_running();
        self.resume_paused();
        let num_tokens_left = self.schedule_running();
        // A sequence evicted just now cannot come back at once: one of its blocks is already somebody else's.
        let (num_cached_tokens, num_deferred) = self.admit_waiting(num_tokens_left);
        Scheduled { num_evicted, num_paused, num_cached_tokens, num_deferred }
    }

    /// Gives every running sequence the blocks for the tokens it has, oldest first. Returns how many were evicted
    /// and how many wait.
    fn grow_running(&mut self) -> (usize, usize) {
        let (mut index, mut num_evicted, mut num_paused) = (0, 0, 0);
        while let Some(sequence) = self.running.get_mut(index) {
            if grow(sequence, &self.limits, &mut self.blocks) {
                index += 1;
            } else if self.may_pause(index) {
                let sequence = self.running.remove(index);
                self.paused.push(sequence);
                num_paused += 1;
            } else {
                self.evict_latest();
                num_evicted += 1;
            }
        }
        (num_evicted, num_paused)
    }

    /// The oldest sequence always goes on, so that those that wait do not wait forever.
    fn may_pause(&self, index: usize) -> bool {
        let kept: usize = self.paused.iter().map(|sequence| sequence.block_table.len()).sum();
        index > 0 && kept + self.running[index].block_table.len() <= self.limits.num_paused_blocks
    }

    /// Sequences that wait go on where blocks are free again.
    fn resume_paused(&mut self) {
        while self.running.len() < self.limits.max_requests {
            let Some(mut sequence) = self.paused.pop() else { return };
            if !grow(&mut sequence, &self.limits, &mut self.blocks) {
                self.paused.push(sequence);
                return;
            }
            // Before one that is fed in chunks, which is always the last.
            let is_fed = |last: &Sequence| !last.is_decoding();
            let at = self.running.len() - usize::from(self.running.last().is_some_and(is_fed));
            self.running.insert(at, sequence);
        }
    }

    /// The oldest running sequence is never the one: alone it has all blocks, or those that wait go first.
    fn evict_latest(&mut self) {
        let victim = if self.running.len() > 1 { self.running.pop() } else { self.paused.pop() };
        let Some(mut victim) = victim.or_else(|| self.running.pop()) else { return };
        self.blocks.free(&mut victim.block_table);
        victim.restart();
        self.waiting.push_front(victim);
    }

    /// Returns the tokens left. Limits make sure that every decoding sequence gets its token.
    fn schedule_running(&mut self) -> usize {
        let mut num_tokens_left = self.limits.max_tokens;
        for sequence in &mut self.running {
            let share = self.limits.share(sequence.num_remaining(), num_tokens_left, true);
            let num_tokens = share.unwrap_or(0);
            sequence.schedule(num_tokens);
            num_tokens_left -= num_tokens;
        }
        num_tokens_left
    }

    /// Returns prompt tokens that were cached, and how many sequences wait for a block of this step.
    fn admit_waiting(&mut self, mut num_tokens_left: usize) -> (usize, usize) {
        let (mut num_cached_tokens, mut deferred) = (0, Vec::new());
        let mut in_progress: HashSet<u64> = HashSet::new();
        let is_open = self.paused.is_empty();
        while is_open && self.running.len() < self.limits.max_requests && !self.is_feeding_chunks() {
            let Some(mut head) = self.waiting.pop_front() else { break };
            if self.next_block_of(&head).is_some_and(|hash| in_progress.contains(&hash)) {
                deferred.push(head);
                continue;
            }
            if !self.admit(&mut head, num_tokens_left) {
                self.waiting.push_front(head);
                break;
            }
            num_tokens_left -= head.num_scheduled_tokens();
            num_cached_tokens += head.num_computed_tokens();
            in_progress.extend(head.block_hashes());
            self.running.push(head);
        }
        let num_deferred = deferred.len();
        deferred.into_iter().rev().for_each(|sequence| self.waiting.push_front(sequence));
        (num_cached_tokens, num_deferred)
    }

    /// The sequence admitted last needs more steps for what it has.
    fn is_feeding_chunks(&self) -> bool {
        self.running.last().is_some_and(|last| last.num_scheduled_tokens() < last.num_remaining())
    }

    /// Blocks of a waiting sequence that are cached and of use: two tokens at least are computed. Where prompt logprobs
    /// are wanted, the last block of the hit is computed again: its last row gives the logprob of the token after it.
    fn num_shared_blocks(&self, sequence: &Sequence) -> usize {
        if sequence.needs_all_rows(self.limits.features.processed_logprobs) {
            return 0;
        }
        let needs_logprobs = sequence.lacks_prompt_logprobs();
        let run = self.blocks.cache().longest_run(sequence.block_hashes(), needs_logprobs);
        let longest = sequence.len().saturating_sub(2) / self.limits.block_size;
        run.saturating_sub(usize::from(needs_logprobs)).min(longest)
    }

    /// The first prompt block that a waiting sequence would share if it were cached.
    fn next_block_of(&self, sequence: &Sequence) -> Option<u64> {
        if sequence.needs_all_rows(self.limits.features.processed_logprobs) {
            return None;
        }
        let hashes = sequence.block_hashes();
        let run = self.blocks.cache().longest_run(hashes, sequence.lacks_prompt_logprobs());
        let longest = sequence.len().saturating_sub(2) / self.limits.block_size;
        hashes.get(run).filter(|_| run < longest).copied()
    }

    /// Gives a waiting sequence its blocks and its share of the step, or nothing if it does not fit.
    fn admit(&mut self, head: &mut Sequence, num_tokens_left: usize) -> bool {
        let num_shared = self.num_shared_blocks(head);
        let num_cached_tokens = num_shared * self.limits.block_size;
        let may_be_chunked = self.limits.features.chunked_prefill || head.is_recomputed();
        let num_remaining = head.len() - num_cached_tokens;
        let Some(num_tokens) = self.limits.share(num_remaining, num_tokens_left, may_be_chunked) else {
            return false;
        };
        let mut table = std::mem::take(&mut head.block_table);
        self.blocks.share(&head.block_hashes()[..num_shared], &mut table);
        // Before blocks are allocated: that may evict the last block of the hit, which is not shared.
        let logprobs = self.cached_logprobs(head, num_shared);
        let num_missing = self.limits.blocks_for(head.len()) - num_shared;
        let fits = self.blocks.allocate(num_missing, &mut table);
        if fits {
            table.reserve_exact(self.limits.blocks_for(head.max_len()) - table.len());
            head.begin_after(num_cached_tokens, &logprobs);
            head.schedule(num_tokens);
        } else {
            self.blocks.free(&mut table);
        }
        head.block_table = table;
        fits
    }

    /// Of the prompt positions up to the first one that is computed, inclusive, where they are wanted.
    fn cached_logprobs(&self, head: &Sequence, num_shared: usize) -> Vec<f32> {
        if num_shared == 0 || !head.lacks_prompt_logprobs() {
            return Vec::new();
        }
        let hashes = &head.block_hashes()[..=num_shared];
        let logprobs = hashes.iter().flat_map(|&hash| self.blocks.cache().logprobs(hash)).copied();
        logprobs.take(num_shared * self.limits.block_size).collect()
    }

    /// What the prefix cache learned and forgot since this was asked last.
    pub(super) fn take_cache_changes(&mut self) -> CacheChanges {
        self.blocks.cache_mut().take_changes()
    }

    /// The step is done: what it computed can be shared.
    pub(super) fn share_computed(&mut self) {
        let (cache, block_size) = (self.blocks.cache_mut(), self.limits.block_size);
        let keeps_logprobs = !self.limits.features.processed_logprobs;
        for sequence in &mut self.running {
            let Some(num_blocks) = sequence.newly_computed_blocks(block_size) else { continue };
            let hashes = &sequence.block_hashes()[..num_blocks];
            cache.register(&sequence.block_table, hashes);
            for (block, &hash) in hashes.iter().enumerate().filter(|_| keeps_logprobs) {
                if let Some(logprobs) = sequence.logprobs_of_block(block, block_size) {
                    cache.keep_logprobs(hash, logprobs);
                }
            }
        }
    }

    /// Gives up all of the cache: whoever was admitted is computed again, in the same order.
    pub(super) fn restart_all(&mut self) -> usize {
        let mut admitted: Vec<Sequence> = self.running.drain(..).chain(self.paused.drain(..)).collect();
        for sequence in &mut admitted {
            self.blocks.free(&mut sequence.block_table);
            sequence.restart();
        }
        let num_restarted = admitted.len();
        admitted.into_iter().rev().for_each(|sequence| self.waiting.push_front(sequence));
        self.blocks.drop_idle();
        num_restarted
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
        let len = self.batch_len();
        let mut batch: Vec<Sequence> = self.running.drain(..len).collect();
        self.release(&mut batch);
        batch
    }

    /// Removes a sequence wherever it is.
    pub(super) fn remove(&mut self, id: u64) -> Option<Sequence> {
        let is_it = |sequence: &Sequence| sequence.id == id;
        let mut removed = match self.running.iter().position(is_it) {
            Some(index) => self.running.remove(index),
            None if self.paused.iter().any(is_it) => {
                let index = self.paused.iter().position(is_it)?;
                self.paused.remove(index)
            }
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
        let admitted = self.running.iter().chain(&self.paused);
        self.blocks.check(admitted.map(|sequence| sequence.block_table.as_slice()))?;
        let ids: HashSet<u64> = self
            .waiting
            .iter()
            .chain(&self.running)
            .chain(&self.paused)
            .map(|sequence| sequence.id)
            .collect();
        let num_chunked = self.running.iter().filter(|sequence| !sequence.is_decoding()).count();
        let num_paused_blocks: usize = self.paused.iter().map(|sequence| sequence.block_table.len()).sum();
        let waiting_own_nothing = self.waiting.iter().all(|sequence| sequence.block_table.is_empty());
        let holds = [
            ("ids name the sequences", ids == self.ids),
            (
                "each sequence is in one place",
                ids.len() == self.waiting.len() + self.running.len() + self.paused.len(),
            ),
            ("paused blocks", num_paused_blocks <= self.limits.num_paused_blocks),
            ("max_requests", self.running.len() <= self.limits.max_requests),
            ("one chunked sequence at most", num_chunked <= 1),
            ("waiting sequences own no blocks", waiting_own_nothing),
        ];
        holds.iter().find(|(_, holds)| !holds).map_or(Ok(()), |(what, _)| Err(format!("broken: {what}")))
    }
}

/// Gives a sequence the blocks for the tokens it has, or none.
fn grow(sequence: &mut Sequence, limits: &EngineLimits, blocks: &mut BlockPool) -> bool {
    let num_missing = limits.blocks_for(sequence.len()) - sequence.block_table.len();
    num_missing == 0 || blocks.allocate(num_missing, &mut sequence.block_table)
}
