//! What a step gives beside tokens and raw logprobs: alternatives to sampled tokens and targets, processed logprobs.

use super::Gpt;
use crate::cpu::Processed;
use crate::model::step::{Detail, Extras, SampledToken, SequenceOutput, SequenceSlice, StepError};
use crate::ops::Backend;
use crate::ops::lm_head::HeadStatistics;

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
    ) -> Result<(SequenceOutput, Detail), StepError> {
        let mut whole = (SequenceOutput::default(), Detail::default());
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
            for (output, detail) in self.pass(&[part], &[extras])? {
                whole.0.target_logprobs.extend(output.target_logprobs);
                whole.0.sampled = output.sampled;
                whole.1.target_alternatives.extend(detail.target_alternatives);
                whole.1.alternatives = detail.alternatives;
            }
        }
        Ok(whole)
    }

    /// Sorts the head's results by sequence.
    pub(super) fn collect(
        &self,
        batch: &[SequenceSlice<'_>],
        extras: &[Extras],
    ) -> Vec<(SequenceOutput, Detail)> {
        let rows = self.workspace.statistics.iter().zip(&self.batch.head);
        let rows: Vec<HeadResult> =
            rows.map(|(&statistics, head)| HeadResult { statistics, slot: head.logits_slot }).collect();
        let mut found = self.workspace.found.iter().map(Vec::as_slice);
        let mut drawn = self.workspace.drawn.iter();
        let mut processed = Processed::default();
        let mut head = 0;
        let sequences = batch.iter().enumerate();
        sequences
            .map(|(index, slice)| {
                let extras = extras.get(index).copied().unwrap_or_default();
                let mut row = Row {
                    extras,
                    found: &mut found,
                    processed: &mut processed,
                    kept: &self.workspace.kept,
                    vocab_size: self.config.vocab_size,
                };
                let mut result = (SequenceOutput::default(), Detail::default());
                for (target, at) in slice.targets.iter().zip(&rows[head..]) {
                    let logit = at.statistics.target_logit;
                    let (logprob, others) = row.read(at, *target, logit, extras.target_alternatives);
                    result.0.target_logprobs.push(logprob);
                    if extras.target_alternatives > 0 {
                        result.1.target_alternatives.push(others);
                    }
                }
                head += slice.targets.len();
                result.0.sampled = slice.sample.map(|args| {
                    head += usize::from(slice.targets.len() < slice.tokens.len());
                    let at = &rows[head - 1];
                    let greedy = (at.statistics.argmax, at.statistics.max_logit);
                    let (token, logit) = if args.top_k == 1 {
                        greedy
                    } else {
                        drawn.next().map_or(greedy, |drawn| (drawn.token, drawn.logit))
                    };
                    let (logprob, others) = row.read(at, token, logit, extras.alternatives);
                    result.1.alternatives = others;
                    SampledToken { token, logprob }
                });
                result
            })
            .collect()
    }
}

/// Reads rows of one sequence.
struct Row<'a, 'b, F> {
    extras: Extras,
    /// Likeliest tokens of raw rows, in the order in which they were asked for.
    found: &'a mut F,
    processed: &'a mut Processed,
    kept: &'b [f32],
    vocab_size: usize,
}

impl<'b, F: Iterator<Item = &'b [(u32, f32)]>> Row<'_, 'b, F> {
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
