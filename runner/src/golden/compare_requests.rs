//! Compares the metrics that each request has: tokens, text, logprobs.

use super::comparator::Comparator;
use super::compare::Rules;
use super::golden_file::{Golden, GoldenRequest};
use super::json::Json;
use super::metric::Metric;
use super::request_fact::compare_fact;
use super::text_diff;
use super::verdict::{Difference, MetricVerdict, Outcome};
use crate::metrics::{RequestRecord, RunRecord};

/// Compares one metric over all requests that both sides have.
pub(super) fn compare_requests(
    metric: Metric,
    rules: &Rules<'_>,
    record: &RunRecord,
    golden: &Golden,
) -> MetricVerdict {
    let comparator = metric.comparator(rules.platform, golden.origin(), None, rules.tolerance(metric));
    let mut verdict = MetricVerdict::new(metric.name(), comparator.to_string());
    let mut num_requests = 0;
    let mut differing = 0;
    for request in &record.requests {
        let Some(expected) = golden.requests.get(&request.id) else {
            continue;
        };
        num_requests += 1;
        let before = verdict.num_differences;
        compare_one(metric, comparator, expected, request, &mut verdict);
        differing += u64::from(verdict.num_differences > before);
    }
    verdict.summary = match differing {
        0 => format!("{} comparisons in {num_requests} requests, all equal by the rule", verdict.assertions),
        _ => format!(
            "{} of {} comparisons differ, in {differing} of {num_requests} requests",
            verdict.num_differences, verdict.assertions
        ),
    };
    if verdict.assertions == 0 {
        verdict.outcome = Outcome::Failed;
        verdict.summary = "no test performed: no request on both sides has anything to compare".to_owned();
    }
    verdict.finished()
}

fn compare_one(
    metric: Metric,
    comparator: Comparator,
    golden: &GoldenRequest,
    request: &RequestRecord,
    verdict: &mut MetricVerdict,
) {
    let id = request.id;
    if !golden.holds(metric) {
        return verdict.assert(false, || whole(id, "(the golden's entry lacks it)", "(not compared)"));
    }
    match metric {
        Metric::GeneratedTokens => {
            let expected = golden.generated_tokens.as_deref().unwrap_or_default();
            compare_tokens(id, expected, &request.generated_tokens, verdict);
        }
        Metric::GeneratedText => {
            let expected = golden.generated_text.as_deref().unwrap_or_default();
            compare_text(id, comparator, expected, &request.generated_text, verdict);
        }
        Metric::Logprobs | Metric::PromptLogprobs | Metric::GeneratedLogprobs => {
            let expected = golden.logprobs_of(metric).unwrap_or_default();
            match current_logprobs(metric, request) {
                Some(current) => compare_logprobs(id, comparator, expected, &current, verdict),
                None => verdict.assert(false, || {
                    whole(id, &count(expected.len(), "value"), "none; does the case pass --return-log-probs?")
                }),
            }
        }
        Metric::Fact(kind) => {
            let expected = golden.other(metric.name()).unwrap_or(&Json::Null);
            compare_fact((metric, kind), comparator, expected, request, verdict);
        }
        Metric::Throughput
        | Metric::OutputThroughput
        | Metric::Efficiency
        | Metric::MemMaxAllocatedBytes
        | Metric::LifetimePrefillTokenCount
        | Metric::Count(_)
        | Metric::Peak(_)
        | Metric::CudaGraphSizes
        | Metric::Latency(_, _)
        | Metric::Batch(_) => {}
    }
}

fn compare_tokens(id: u64, golden: &[u32], current: &[u32], verdict: &mut MetricVerdict) {
    compare_lengths(id, golden.len(), current.len(), "token", verdict);
    for (index, (expected, got)) in golden.iter().zip(current).enumerate() {
        verdict.assert(expected == got, || Difference {
            request: Some(id),
            index: Some(index),
            golden: expected.to_string(),
            current: got.to_string(),
            size: None,
        });
    }
    if golden != current && verdict.diff.is_none() {
        verdict.diff = Some(format!("token ids of request {id}:\n{}", text_diff::tokens(golden, current)));
    }
}

/// Foreign texts may have their newlines as a backslash and an `n`, as Megatron's coordinator script writes.
fn compare_text(id: u64, rule: Comparator, golden: &str, current: &str, verdict: &mut MetricVerdict) {
    let holds = match rule {
        Comparator::CommonPrefix => {
            let (golden, current) = (golden.replace('\n', "\\n"), current.replace('\n', "\\n"));
            let (golden, current): (Vec<char>, Vec<char>) =
                (golden.chars().collect(), current.chars().collect());
            let common = golden.len().min(current.len());
            common > 0 && golden[..common] == current[..common]
        }
        Comparator::Exact
        | Comparator::Occurrence
        | Comparator::SameBits
        | Comparator::Within(_)
        | Comparator::MedianBand(_)
        | Comparator::RatioBand(_)
        | Comparator::AtMost(_) => golden == current,
    };
    verdict.assert(holds, || whole(id, &excerpt(golden, current), &excerpt(current, golden)));
    if !holds && verdict.diff.is_none() {
        verdict.diff = Some(format!("text of request {id}: {}", text_diff::words(golden, current)));
    }
}

fn compare_logprobs(id: u64, rule: Comparator, golden: &[f32], current: &[f32], verdict: &mut MetricVerdict) {
    compare_lengths(id, golden.len(), current.len(), "value", verdict);
    for (index, (&expected, &got)) in golden.iter().zip(current).enumerate() {
        let (wide_expected, wide_got) = (f64::from(expected), f64::from(got));
        verdict.assert(rule.holds(wide_expected, wide_got), || Difference {
            request: Some(id),
            index: Some(index),
            golden: expected.to_string(),
            current: got.to_string(),
            size: Some((wide_expected - wide_got).abs()),
        });
    }
}

/// Lists of different lengths differ where the shorter one ends. No assertion of its own where they agree, so
/// that empty lists assert nothing.
fn compare_lengths(id: u64, golden: usize, current: usize, unit: &str, verdict: &mut MetricVerdict) {
    if golden != current {
        verdict.assert(false, || Difference {
            index: Some(golden.min(current)),
            ..whole(id, &count(golden, unit), &count(current, unit))
        });
    }
}

/// The run's logprobs that a metric means: Megatron's `logprobs` are the prompt's, then the generated ones'.
pub(super) fn current_logprobs(metric: Metric, request: &RequestRecord) -> Option<Vec<f32>> {
    match metric {
        Metric::PromptLogprobs => request.prompt_logprobs.clone(),
        Metric::GeneratedLogprobs => request.generated_logprobs.clone(),
        Metric::Logprobs => {
            let generated = request.generated_logprobs.as_ref()?;
            let prompt = request.prompt_logprobs.as_deref().unwrap_or_default();
            Some(prompt.iter().chain(generated).copied().collect())
        }
        Metric::GeneratedTokens
        | Metric::GeneratedText
        | Metric::Fact(_)
        | Metric::Throughput
        | Metric::OutputThroughput
        | Metric::Efficiency
        | Metric::MemMaxAllocatedBytes
        | Metric::LifetimePrefillTokenCount
        | Metric::Count(_)
        | Metric::Peak(_)
        | Metric::CudaGraphSizes
        | Metric::Latency(_, _)
        | Metric::Batch(_) => None,
    }
}

fn whole(id: u64, golden: &str, current: &str) -> Difference {
    Difference {
        request: Some(id),
        index: None,
        golden: golden.to_owned(),
        current: current.to_owned(),
        size: None,
    }
}

fn count(n: usize, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

/// `text` around the place where it leaves `other`.
fn excerpt(text: &str, other: &str) -> String {
    let common = text.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let shown: String = text.chars().skip(common.saturating_sub(10)).take(40).collect();
    format!("{shown:?}")
}
