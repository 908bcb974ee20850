//! What a performance case measures of each batch size, with the original's definitions and, beside its TPOT, the true one.

use serde::{Deserialize, Serialize};

use super::measured::Measured;
use super::record::{Iteration, RequestOutcome, RequestRecord, RunRecord};

/// The measured iterations of one batch size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// Requests submitted together.
    pub batch_size: usize,
    /// Measured iterations.
    pub num_iters: usize,
    /// Prompt tokens of a request, mean.
    pub num_input_tokens_avg: f64,
    /// Generated tokens of a request, mean.
    pub num_output_tokens: f64,
    /// Mean of generated tokens over mean of wall seconds (first send to last reply) of the iterations.
    pub throughput_tok_per_sec: Measured,
    /// Send to final reply of a request, milliseconds: mean.
    pub avg_latency_ms: Measured,
    /// The same: element `int(n * 0.5)` of the sorted sample.
    pub p50_latency_ms: Measured,
    /// The same: element `int(n * 0.99)`.
    pub p99_latency_ms: Measured,
    /// Megatron's TPOT: mean wall milliseconds of an iteration over the tokens of a request, prefill included.
    pub tpot_ms_per_tok: Measured,
    /// The true TPOT: mean over requests of (final reply - first token) / (tokens - 1), milliseconds.
    pub decode_tpot_ms: Measured,
    /// Send to first token, milliseconds: mean.
    pub batch_ttft_ms: Measured,
}

/// One number of a [`BatchSummary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchMetric {
    /// `throughput_tok_per_sec`.
    Throughput,
    /// `avg_latency_ms`.
    AverageLatency,
    /// `p50_latency_ms`.
    MedianLatency,
    /// `p99_latency_ms`.
    P99Latency,
    /// `tpot_ms_per_tok`.
    WallTpot,
    /// `decode_tpot_ms`.
    DecodeTpot,
    /// `batch_ttft_ms`.
    Ttft,
}

impl BatchSummary {
    /// Of every batch size of a run, ascending; empty where the run had no iterations.
    pub fn all(record: &RunRecord) -> Vec<Self> {
        let timed = || record.workload.iterations.iter().filter(|iteration| !iteration.is_warm_up);
        let mut sizes: Vec<usize> = timed().map(|iteration| iteration.batch_size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let of = |size: usize| {
            let iterations: Vec<&Iteration> = timed().filter(|i| i.batch_size == size).collect();
            Self::of(size, &iterations, &record.requests)
        };
        sizes.into_iter().map(of).collect()
    }

    fn of(batch_size: usize, iterations: &[&Iteration], requests: &[RequestRecord]) -> Self {
        let batches: Vec<&[RequestRecord]> = iterations.iter().map(|i| batch(i, requests)).collect();
        let all: Vec<&RequestRecord> = batches.iter().copied().flatten().collect();
        let mut latencies: Vec<f64> = all.iter().filter_map(|request| latency_ms(request)).collect();
        latencies.sort_by(f64::total_cmp);
        // One request without an answer leaves nothing that could be called the batch's speed.
        let is_complete = !all.is_empty() && latencies.len() == all.len();
        let measured = |value: Option<f64>, what: &str| match value {
            Some(value) if is_complete => Measured::finite(value, what),
            Some(_) | None => Measured::not(format!("batch size {batch_size} was not completed")),
        };
        let walls: Vec<f64> = batches.iter().filter_map(|batch| wall_s(batch)).collect();
        let tokens = |request: &&RequestRecord| request.generated_tokens.len() as f64;
        let output_tokens = mean(all.iter().map(tokens)).unwrap_or_default();
        let (wall_s, at) = (mean(walls.into_iter()), |share| nth(&latencies, share));
        let batch_tokens = output_tokens * all.len() as f64 / iterations.len().max(1) as f64;
        Self {
            batch_size,
            num_iters: iterations.len(),
            num_input_tokens_avg: mean(all.iter().map(|r| r.num_prompt_tokens as f64)).unwrap_or_default(),
            num_output_tokens: output_tokens,
            throughput_tok_per_sec: measured(wall_s.map(|wall_s| batch_tokens / wall_s), "the throughput"),
            avg_latency_ms: measured(mean(latencies.iter().copied()), "a latency"),
            p50_latency_ms: measured(at(0.5), "a latency"),
            p99_latency_ms: measured(at(0.99), "a latency"),
            tpot_ms_per_tok: measured(
                wall_s.map(|wall_s| wall_s * 1e3 / output_tokens),
                "the time per token",
            ),
            decode_tpot_ms: measured(mean(all.iter().filter_map(|r| decode_ms(r))), "the time per token"),
            batch_ttft_ms: measured(mean(all.iter().filter_map(|r| ttft_ms(r))), "a time to the first token"),
        }
    }

    /// One of its numbers.
    pub fn get(&self, metric: BatchMetric) -> &Measured {
        match metric {
            BatchMetric::Throughput => &self.throughput_tok_per_sec,
            BatchMetric::AverageLatency => &self.avg_latency_ms,
            BatchMetric::MedianLatency => &self.p50_latency_ms,
            BatchMetric::P99Latency => &self.p99_latency_ms,
            BatchMetric::WallTpot => &self.tpot_ms_per_tok,
            BatchMetric::DecodeTpot => &self.decode_tpot_ms,
            BatchMetric::Ttft => &self.batch_ttft_ms,
        }
    }
}

fn batch<'a>(iteration: &Iteration, requests: &'a [RequestRecord]) -> &'a [RequestRecord] {
    let first = iteration.first_request.min(requests.len());
    let end = first.saturating_add(iteration.num_requests).min(requests.len());
    &requests[first..end]
}

/// What is wrong with the requests of a performance case beyond how they ended, each a sentence: an output of another
/// length than was asked for measures something else, and on platforms whose arithmetic is ours to the last bit, one
/// prompt gives one output in whatever batch it is.
pub fn batch_faults(record: &RunRecord) -> Vec<String> {
    if record.workload.iterations.is_empty() {
        return Vec::new();
    }
    let done = || record.requests.iter().filter(|request| request.outcome == RequestOutcome::Completed);
    let short = done().find(|request| request.generated_tokens.len() != request.num_tokens_to_generate);
    let short = short.map(|request| {
        let (asked, got) = (request.num_tokens_to_generate, request.generated_tokens.len());
        format!("request {} generated {got} tokens, expected exactly {asked}", request.id)
    });
    let is_ours = matches!(record.platform.as_str(), "cpu" | "vcuda");
    let mut outputs = std::collections::HashMap::new();
    let differs = done().filter(|_| is_ours).find_map(|request| {
        let (id, tokens) = outputs.entry(&request.prompt).or_insert((request.id, &request.generated_tokens));
        let same = **tokens == request.generated_tokens;
        (!same).then(|| {
            format!("requests {id} and {} have one prompt and generated different tokens", request.id)
        })
    });
    short.into_iter().chain(differs).collect()
}

fn latency_ms(request: &RequestRecord) -> Option<f64> {
    let finished_s = request.finished_s.filter(|_| request.outcome == RequestOutcome::Completed)?;
    Some((finished_s - request.sent_s) * 1e3)
}

fn ttft_ms(request: &RequestRecord) -> Option<f64> {
    let first = request.arrivals.iter().find(|arrival| arrival.num_tokens > 0)?;
    Some((first.at_s - request.sent_s) * 1e3)
}

fn decode_ms(request: &RequestRecord) -> Option<f64> {
    let gaps = request.generated_tokens.len().checked_sub(1).filter(|gaps| *gaps > 0)?;
    Some((latency_ms(request)? - ttft_ms(request)?) / gaps as f64)
}

fn wall_s(batch: &[RequestRecord]) -> Option<f64> {
    let start = batch.iter().map(|request| request.sent_s).min_by(f64::total_cmp)?;
    let end = batch.iter().filter_map(|request| request.finished_s).max_by(f64::total_cmp)?;
    Some(end - start)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// Element `int(n * share)` of an ascending sample, as the original takes percentiles.
fn nth(sorted: &[f64], share: f64) -> Option<f64> {
    sorted.get((sorted.len() as f64 * share) as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::test_run::performance_record;

    #[test]
    fn numbers_are_the_originals_by_hand() {
        let batches = BatchSummary::all(&performance_record("cpu"));
        assert_eq!(batches.iter().map(|b| (b.batch_size, b.num_iters)).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
        // Two requests of 5 tokens in each iteration, ending after 1.0 and 1.2 s, the first tokens after 0.2 s.
        let two = &batches[1];
        let close = |metric, expected: f64| {
            let value = two.get(metric).value().unwrap();
            assert!((value - expected).abs() < 1e-9, "{metric:?}: {value} is not {expected}");
        };
        close(BatchMetric::Throughput, 10.0 / 1.2);
        close(BatchMetric::AverageLatency, 1100.0);
        close(BatchMetric::MedianLatency, 1200.0);
        close(BatchMetric::P99Latency, 1200.0);
        close(BatchMetric::WallTpot, 240.0);
        close(BatchMetric::DecodeTpot, (200.0 + 250.0) / 2.0);
        close(BatchMetric::Ttft, 200.0);
    }

    #[test]
    fn a_batch_with_a_hole_has_no_speed() {
        let mut record = performance_record("cpu");
        let last = record.requests.len() - 1;
        record.requests[last].outcome = RequestOutcome::Unanswered;
        let batches = BatchSummary::all(&record);
        assert!(batches[0].throughput_tok_per_sec.value().is_some());
        assert_eq!(batches[1].throughput_tok_per_sec, Measured::not("batch size 2 was not completed"));
    }

    #[test]
    fn lengths_and_outputs_are_checked() {
        let mut record = performance_record("cpu");
        assert_eq!(batch_faults(&record), [""; 0]);
        record.requests[1].generated_tokens[2] = 77;
        record.requests[3].generated_tokens.pop();
        assert_eq!(
            batch_faults(&record),
            [
                "request 3 generated 4 tokens, expected exactly 5",
                "requests 0 and 1 have one prompt and generated different tokens"
            ]
        );
        record.platform = "h100x1".to_owned();
        assert_eq!(batch_faults(&record).len(), 1, "elsewhere a batch may change a token");
    }
}
