//! A run's record to the numbers that are reported and compared. Definitions are in the fields' docs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;
use super::efficiency::efficiency;
use super::measured::Measured;
use super::overhead::overhead;
use super::performance::BatchSummary;
use super::record::{RankRecord, RequestOutcome, RequestRecord, RunRecord};

/// Summary of one run. Only completed requests count, except where a field says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Requests that were asked for, whatever became of them.
    pub num_requests: usize,
    /// Requests that were completed.
    pub num_completed: usize,
    /// Prompt tokens of completed requests.
    pub num_prompt_tokens: u64,
    /// Generated tokens of completed requests.
    pub num_generated_tokens: u64,
    /// First send to last final reply, seconds.
    pub wall_s: Measured,
    /// Send to first reply that brought a token, milliseconds.
    pub ttft_ms: Distribution,
    /// Gaps between successive tokens of a request, pooled over requests, milliseconds. A reply that brings
    /// k tokens stands for k equal gaps since the reply before.
    pub itl_ms: Distribution,
    /// (e2el - ttft) / (generated tokens - 1) of each request with two tokens or more, milliseconds.
    pub tpot_ms: Distribution,
    /// Send to final reply, milliseconds.
    pub e2el_ms: Distribution,
    /// Megatron's throughput: of each request, by ascending id, generated tokens / (send to final reply),
    /// tokens per second, queueing included.
    pub throughput: Vec<f64>,
    /// All generated tokens / `wall_s`, tokens per second.
    pub output_throughput: Measured,
    /// Completed requests / `wall_s`, requests per second.
    pub request_throughput: Measured,
    /// Completed requests that met every objective / `wall_s`; `None` where no objective was set.
    pub goodput: Option<Measured>,
    /// Roofline seconds / wall seconds: see [`efficiency`].
    pub efficiency: Measured,
    /// Processor time outside the model / all processor time: see [`overhead`].
    #[serde(default = "unknown_overhead")]
    pub overhead: Measured,
    /// Peak resident set of the rank that had the largest, bytes.
    pub mem_max_allocated_bytes: Measured,
    /// Whether ranks handed over records, as ranks of ours do; without, what is said of steps below is 0 and means nothing.
    #[serde(default = "known")]
    pub ranks_are_known: bool,
    /// Prompt tokens computed, over all ranks.
    pub lifetime_prefill_token_count: u64,
    /// Times a request lost its KV blocks and was computed again, over all ranks.
    #[serde(default)]
    pub num_evictions: u64,
    /// Times a request waited for a KV block and kept those it had, over all ranks.
    #[serde(default)]
    pub num_pauses: u64,
    /// Times a rank was suspended, over all ranks.
    #[serde(default)]
    pub num_suspensions: u64,
    /// Times a request lost its KV blocks to a suspension, over all ranks.
    #[serde(default)]
    pub num_recomputations: u64,
    /// Times a suspended rank's KV cache was brought to the host's memory, over all ranks.
    #[serde(default)]
    pub num_offloads: u64,
    /// Largest step of a rank, in requests.
    #[serde(default)]
    pub max_step_requests: u64,
    /// Largest step of a rank, in tokens.
    #[serde(default)]
    pub max_step_tokens: u64,
    /// Sizes of the CUDA graphs that were replayed at least once on any rank, in token rows, ascending; 0 stands for steps that
    /// ran launch by launch. Without CUDA graphs those are all there are.
    #[serde(default)]
    pub cuda_graph_sizes: Vec<u64>,
    /// Requests that were sent when all before them were answered; the first one does not count.
    #[serde(default)]
    pub num_drains: u64,
    /// By batch size, in a performance case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<BatchSummary>,
}

/// Service-level objectives, in milliseconds; `None` = no objective. A request with no second token has no
/// `tpot` and meets that objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    /// Time to the first token at most.
    pub ttft_ms: Option<f64>,
    /// Time per output token at most.
    pub tpot_ms: Option<f64>,
    /// Time to the final reply at most.
    pub e2el_ms: Option<f64>,
}

/// Latencies of one completed request, milliseconds.
struct Latencies {
    ttft_ms: Option<f64>,
    tpot_ms: Option<f64>,
    e2el_ms: f64,
}

impl Metrics {
    /// Summary of `record`.
    pub fn of(record: &RunRecord, objectives: Option<&Objectives>) -> Self {
        let completed: Vec<&RequestRecord> =
            record.requests.iter().filter(|r| r.outcome == RequestOutcome::Completed).collect();
        let latencies: Vec<Latencies> = completed.iter().filter_map(|r| Latencies::of(r)).collect();
        let wall_s = wall_seconds(&completed);
        let per_wall = |count: f64| match wall_s {
            Some(wall_s) => Measured::rate(count, wall_s),
            None => Measured::not("no request was completed"),
        };
        let num_generated_tokens = completed.iter().map(|r| r.generated_tokens.len() as u64).sum();
        let good = |o: &Objectives| latencies.iter().filter(|l| l.meet(o)).count() as f64;
        Self {
            num_requests: record.requests.len(),
            num_completed: completed.len(),
            num_prompt_tokens: completed.iter().map(|r| r.num_prompt_tokens as u64).sum(),
            num_generated_tokens,
            wall_s: wall_s.map_or_else(|| Measured::not("no request was completed"), Measured::Value),
            ttft_ms: Distribution::of(latencies.iter().filter_map(|l| l.ttft_ms).collect(), "first token"),
            itl_ms: Distribution::of(
                completed.iter().flat_map(|r| gaps_ms(r)).collect(),
                "gap between tokens",
            ),
            tpot_ms: Distribution::of(
                latencies.iter().filter_map(|l| l.tpot_ms).collect(),
                "completed request with two tokens or more",
            ),
            e2el_ms: Distribution::of(latencies.iter().map(|l| l.e2el_ms).collect(), "completed request"),
            throughput: completed.iter().filter_map(|r| request_throughput(r)).collect(),
            output_throughput: per_wall(num_generated_tokens as f64),
            request_throughput: per_wall(completed.len() as f64),
            goodput: objectives.map(|o| per_wall(good(o))),
            efficiency: efficiency(record, wall_s),
            overhead: overhead(record),
            mem_max_allocated_bytes: match record.ranks.iter().map(|rank| rank.peak_rss_bytes).max() {
                Some(bytes) if bytes > 0 => Measured::Value(bytes as f64),
                Some(_) | None => Measured::not("no rank reported its peak memory"),
            },
            ranks_are_known: !record.ranks.is_empty(),
            lifetime_prefill_token_count: over_ranks(record, |rank| rank.num_prefill_tokens),
            num_evictions: over_ranks(record, |rank| rank.num_evictions),
            num_pauses: over_ranks(record, |rank| rank.num_pauses),
            num_suspensions: over_ranks(record, |rank| rank.num_suspensions),
            num_recomputations: over_ranks(record, |rank| rank.num_recomputations),
            num_offloads: over_ranks(record, |rank| rank.num_offloads),
            max_step_requests: record.ranks.iter().map(|rank| rank.max_batch_size).max().unwrap_or(0),
            max_step_tokens: record.ranks.iter().map(|rank| rank.max_step_tokens).max().unwrap_or(0),
            cuda_graph_sizes: cuda_graph_sizes(&record.ranks),
            num_drains: num_drains(&record.requests),
            batches: BatchSummary::all(record),
        }
    }
}

/// Of summaries from before it was noted.
fn known() -> bool {
    true
}

/// Of summaries from before it was measured.
fn unknown_overhead() -> Measured {
    Measured::not("it was not measured")
}

fn over_ranks(record: &RunRecord, count: impl Fn(&RankRecord) -> u64) -> u64 {
    record.ranks.iter().map(count).sum()
}

fn cuda_graph_sizes(ranks: &[RankRecord]) -> Vec<u64> {
    let mut sizes = BTreeSet::new();
    for rank in ranks.iter().filter(|rank| rank.num_steps > 0) {
        match &rank.graphs {
            None => sizes.extend([0]),
            Some(graphs) => {
                sizes.extend(graphs.replays.keys().map(|&size| size as u64));
                sizes.extend((graphs.eager_steps > 0).then_some(0));
            }
        }
    }
    sizes.into_iter().collect()
}

fn num_drains(requests: &[RequestRecord]) -> u64 {
    // When the last of the requests so far was answered; unanswered = never.
    let mut answered_s = f64::NEG_INFINITY;
    let mut num_drains = 0;
    for (i, request) in requests.iter().enumerate() {
        num_drains += u64::from(i > 0 && answered_s <= request.sent_s);
        answered_s = answered_s.max(request.finished_s.unwrap_or(f64::INFINITY));
    }
    num_drains
}

impl Latencies {
    /// `None` where the final reply bears no time.
    fn of(request: &RequestRecord) -> Option<Self> {
        let finished_s = request.finished_s?;
        let first_s = request.arrivals.iter().find(|a| a.num_tokens > 0).map(|a| a.at_s);
        let intervals = request.generated_tokens.len().saturating_sub(1);
        let e2el_ms = (finished_s - request.sent_s) * 1e3;
        let ttft_ms = first_s.map(|at_s| (at_s - request.sent_s) * 1e3);
        let tpot_ms = ttft_ms.filter(|_| intervals > 0).map(|ttft_ms| (e2el_ms - ttft_ms) / intervals as f64);
        Some(Self { ttft_ms, tpot_ms, e2el_ms })
    }

    fn meet(&self, objectives: &Objectives) -> bool {
        let within = |value: Option<f64>, limit: Option<f64>| match (value, limit) {
            (_, None) => true,
            (Some(value), Some(limit)) => value <= limit,
            (None, Some(_)) => false,
        };
        within(self.ttft_ms, objectives.ttft_ms)
            && (self.tpot_ms.is_none() || within(self.tpot_ms, objectives.tpot_ms))
            && within(Some(self.e2el_ms), objectives.e2el_ms)
    }
}

/// First send to last final reply.
fn wall_seconds(completed: &[&RequestRecord]) -> Option<f64> {
    let first = completed.iter().map(|r| r.sent_s).min_by(f64::total_cmp)?;
    let last = completed.iter().filter_map(|r| r.finished_s).max_by(f64::total_cmp)?;
    Some(last - first)
}

/// Tokens per second of one request; `None` where its time is unknown or zero.
fn request_throughput(request: &RequestRecord) -> Option<f64> {
    Measured::rate(request.generated_tokens.len() as f64, request.finished_s? - request.sent_s).value()
}

/// Gaps between tokens: none before the first reply with tokens, whose own tokens count as one moment.
fn gaps_ms(request: &RequestRecord) -> Vec<f64> {
    let arrivals: Vec<_> = request.arrivals.iter().filter(|a| a.num_tokens > 0).collect();
    let gaps = arrivals.windows(2).flat_map(|pair| {
        let tokens = pair[1].num_tokens as usize;
        std::iter::repeat_n((pair[1].at_s - pair[0].at_s) * 1e3 / tokens as f64, tokens)
    });
    gaps.collect()
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
