//! What a step gives beside tokens and raw logprobs: alternatives to sampled tokens and targets, processed logprobs.

use super::Gpt;
use crate::cpu::Processed;
use crate::model::step::{Extras, SampledToken, SequenceSlice, StepError, StepOutput};
use crate::ops::Backend;
use crate::ops::lm_head::HeadStatistics;
use crate::ops::sampling::Drawn;

/// Targets whose logits one pass keeps: 32 MiB at 131,072 tokens. A batch with more goes in parts, which changes no bit.
pub(super) const MOST_KEPT_TARGETS: usize = 64;

/// Targets of a batch whose logits must be kept.
pub(super) fn num_kept_targets(batch: &[SequenceSlice<'_>], extras: &[Extras]) -> usize {
    let kept = batch.iter().zip(extras).filter(|(_, extras)| extras.keep_targets());
    kept.map(|(slice, _)| slice.targets.len()).sum()
}

/// A row of the head as it is read: its statistics, and the slot of its logits.
struct HeadResult {
    statistics: HeadStatistics,
    slot: Option<usize>,
}

impl<B: Backend> Gpt<B> {
    /// One sequence by itself, a bounded number of tokens at a time.
    pub(super) fn in_parts(
        &mut self,
        slice: &SequenceSlice<'_>,
        extras: Extras,
        output: &mut StepOutput,
    ) -> Result<(), StepError> {
        let len = slice.tokens.len();
        for from in (0..len.max(1)).step_by(MOST_KEPT_TARGETS) {
            let to = len.min(from + MOST_KEPT_TARGETS);
            let targets = slice.targets.len().min(from)..slice.targets.len().min(to);
            let part = SequenceSlice {
                tokens: &slice.tokens[from..to],
                start: slice.start + from,
                block_table: slice.block_table,
                targets: &slice.targets[targets],
                sample: slice.sample.filter(|_| to == len),
            };
            self.pass(&[part], &[extras], std::slice::from_mut(output))?;
        }
        Ok(())
    }

    /// Sorts the head's results by sequence, and adds them to `outputs`.
    pub(super) fn collect(&self, batch: &[SequenceSlice<'_>], extras: &[Extras], outputs: &mut [StepOutput]) {
        let rows = self.workspace.statistics.iter().zip(&self.batch.head);
        let mut rows = rows.map(|(&statistics, head)| HeadResult { statistics, slot: head.logits_slot });
        let mut found = self.workspace.found.iter().map(Vec::as_slice);
        let mut drawn = self.workspace.drawn.iter();
        let mut processed = Processed::default();
        for (index, (slice, output)) in batch.iter().zip(outputs).enumerate() {
            let mut reader = RowReader {
                extras: extras.get(index).copied().unwrap_or_default(),
                found: &mut found,
                processed: &mut processed,
                kept: &self.workspace.kept,
                vocab_size: self.config.vocab_size,
            };
            let last = reader.read_targets(slice, &mut rows, output);
            let Some(args) = slice.sample else { continue };
            // The last token's row is that of its target, if it has one.
            let is_extra = slice.targets.len() < slice.tokens.len();
            let Some(at) = (if is_extra { rows.next() } else { last }) else { continue };
            let drawn = if args.top_k == 1 { None } else { drawn.next() };
            reader.read_sampled(&at, drawn, output);
        }
    }
}

/// Reads rows of one sequence.
struct RowReader<'a, 'b, F> {
    extras: Extras,
    /// Likeliest tokens of raw rows, in the order in which they were asked for.
    found: &'a mut F,
    processed: &'a mut Processed,
    kept: &'b [f32],
    vocab_size: usize,
}

impl<'b, F: Iterator<Item = &'b [(u32, f32)]>> RowReader<'_, 'b, F> {
    /// Takes the rows of a sequence's targets; the last of them, if there is one.
    fn read_targets(
        &mut self,
        slice: &SequenceSlice<'_>,
        rows: &mut impl Iterator<Item = HeadResult>,
        (output, detail): &mut StepOutput,
    ) -> Option<HeadResult> {
        let mut last = None;
        for (&target, at) in slice.targets.iter().zip(rows) {
            let logit = at.statistics.target_logit;
            let (logprob, others) = self.read(&at, target, logit, self.extras.target_alternatives);
            output.target_logprobs.push(logprob);
            if self.extras.target_alternatives > 0 {
                detail.target_alternatives.push(others);
            }
            last = Some(at);
        }
        last
    }

    /// The token that was drawn from a row; without one, the likeliest.
    fn read_sampled(&mut self, at: &HeadResult, drawn: Option<&Drawn>, (output, detail): &mut StepOutput) {
        let greedy = (at.statistics.argmax, at.statistics.max_logit);
        let (token, logit) = drawn.map_or(greedy, |drawn| (drawn.token, drawn.logit));
        let (logprob, others) = self.read(at, token, logit, self.extras.alternatives);
        detail.alternatives = others;
        output.sampled = Some(SampledToken { token, logprob });
    }

    /// Logprob of a token of the row, and its `count` likeliest tokens.
    fn read(&mut self, at: &HeadResult, token: u32, logit: f32, count: usize) -> (f32, Vec<SampledToken>) {
        let log_sum_exp = at.statistics.log_sum_exp;
        let (Some(args), Some(slot)) = (self.extras.processed, at.slot) else {
            let found = (count > 0).then(|| self.found.next()).flatten().unwrap_or_default();
            let other = |&(token, logit): &(u32, f32)| SampledToken { token, logprob: logit - log_sum_exp };
            return (logit - log_sum_exp, found.iter().map(other).collect());
        };
        let vocab_size = self.vocab_size;
        self.processed.load(&self.kept[slot * vocab_size..][..vocab_size], &args);
        let others = self.processed.likeliest(count).into_iter();
        let others = others.map(|(token, logprob)| SampledToken { token, logprob }).collect();
        (self.processed.logprob(token), others)
    }
}
