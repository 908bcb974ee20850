//! A new golden from one or more runs of the same case.

use std::collections::BTreeSet;

use super::batches::GoldenBatch;
use super::comparator::{Comparator, settled};
use super::compare::Run;
use super::compare_requests::current_logprobs;
use super::compare_system::{current_number, graph_sizes};
use super::golden_file::{Golden, GoldenRequest, Integrity, SystemValue};
use super::json::Json;
use super::metric::{Happening, METRICS, Metric, Origin, Scope};
use super::number::rounded;
use super::provenance::{Band, GOLDEN_SCHEMA_VERSION, Provenance, Spread};
use super::request_fact::fact;
use crate::metrics::{RequestOutcome, RequestRecord, batch_faults, median};
use crate::plan::Platform;

impl Golden {
    /// The golden that these runs (repeats of one case on one platform) would pass. It has every request's
    /// tokens and text, logprobs where METRICS names them, and every system metric that was measured except
    /// latencies and counts that METRICS does not name. Of repeats, numbers are medians and the spread is kept.
    ///
    /// Runs that cannot be a golden are refused with the reason: a request or rank that did not end well, repeats
    /// that disagree, numbers that are not finite, a metric of METRICS that was not measured.
    pub fn from_runs(
        platform: &Platform,
        metrics: &[String],
        runs: &[Run<'_>],
        command: &str,
    ) -> Result<Self, String> {
        let Some(first) = runs.first() else {
            return Err("there was no run".to_owned());
        };
        for run in runs {
            check_complete(*run)?;
        }
        for other in &runs[1..] {
            check_agreement(*first, *other)?;
        }
        let named: Vec<Metric> = metrics.iter().map(|name| name.parse()).collect::<Result<_, String>>()?;
        let mut golden = Self { integrity: Integrity::Unsealed, ..Self::default() };
        let is_performance = !first.record.workload.iterations.is_empty();
        golden.batches = GoldenBatch::all(runs)?.into_iter().collect();
        // Of a performance case only numbers are kept: its requests are many, and all alike.
        for request in first.record.requests.iter().filter(|_| !is_performance) {
            golden.requests.insert(request.id, entry(request, &named)?);
        }
        let mut provenance = provenance(platform, runs, command);
        for row in METRICS.iter().filter(|row| row.scope == Scope::System) {
            let metric = row.metric;
            let only_if_named = is_performance
                || matches!(
                    metric,
                    Metric::Latency(_, _) | Metric::Count(_) | Metric::Peak(_) | Metric::CudaGraphSizes
                );
            if only_if_named && !named.contains(&metric) {
                continue;
            }
            match system_value(metric, platform, runs, &mut provenance) {
                Ok(value) => golden.system.push((metric.name().to_owned(), value)),
                Err(why) if named.contains(&metric) => {
                    return Err(format!("METRICS names {metric}, which was not measured: {why}"));
                }
                Err(_) => {}
            }
        }
        golden.provenance = Some(provenance);
        Ok(golden)
    }
}

fn check_complete(run: Run<'_>) -> Result<(), String> {
    if run.record.requests.is_empty() {
        return Err("the run had no requests".to_owned());
    }
    if let Some(request) = run.record.requests.iter().find(|r| r.outcome != RequestOutcome::Completed) {
        return Err(format!("request {} did not complete", request.id));
    }
    match run.record.rank_faults.iter().cloned().chain(batch_faults(run.record)).next() {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Repeats must agree in what is right or wrong; an unstable result makes no golden.
fn check_agreement(first: Run<'_>, other: Run<'_>) -> Result<(), String> {
    let (a, b) = (&first.record.requests, &other.record.requests);
    if !a.iter().map(|r| r.id).eq(b.iter().map(|r| r.id)) {
        return Err("repeats served different requests".to_owned());
    }
    let bits = |r: &RequestRecord| {
        let lists = [&r.prompt_logprobs, &r.generated_logprobs];
        lists.map(|list| list.as_ref().map(|list| list.iter().map(|x| x.to_bits()).collect::<Vec<_>>()))
    };
    for (a, b) in a.iter().zip(b) {
        if let Some(at) = a.generated_tokens.iter().zip(&b.generated_tokens).position(|(x, y)| x != y) {
            return Err(format!(
                "repeats disagree: request {}, token {at} is {} in one and {} in another",
                a.id, a.generated_tokens[at], b.generated_tokens[at]
            ));
        }
        if a.generated_tokens.len() != b.generated_tokens.len() {
            return Err(format!("repeats disagree in the number of tokens of request {}", a.id));
        }
        if bits(a) != bits(b) {
            return Err(format!("repeats disagree in the logprobs of request {}", a.id));
        }
    }
    Ok(())
}

fn entry(request: &RequestRecord, named: &[Metric]) -> Result<GoldenRequest, String> {
    let logprobs = |metric: Metric| -> Result<Option<Vec<f32>>, String> {
        if !named.contains(&metric) {
            return Ok(None);
        }
        let list = current_logprobs(metric, request)
            .ok_or_else(|| format!("METRICS names {metric}, but request {} has none", request.id))?;
        match list.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(format!("request {}, {metric}[{at}] is not a finite number", request.id)),
            None => Ok(Some(list)),
        }
    };
    Ok(GoldenRequest {
        input_prompt: request.prompt.clone(),
        generated_text: Some(request.generated_text.clone()),
        generated_tokens: Some(request.generated_tokens.clone()),
        logprobs: logprobs(Metric::Logprobs)?,
        prompt_logprobs: logprobs(Metric::PromptLogprobs)?,
        generated_logprobs: logprobs(Metric::GeneratedLogprobs)?,
        other: facts(request, named)?,
    })
}

fn facts(request: &RequestRecord, named: &[Metric]) -> Result<Vec<(String, Json)>, String> {
    let kinds = named.iter().filter_map(|&metric| {
        let Metric::Fact(kind) = metric else { return None };
        Some((metric, kind))
    });
    let values = kinds.map(|(metric, kind)| match fact(kind, request) {
        Some(value) => Ok((metric.name().to_owned(), value)),
        None => Err(format!("METRICS names {metric}, but request {} has none", request.id)),
    });
    values.collect()
}

/// The metric's value over all runs; its spread, and a band that is wide enough for it, go to the provenance.
fn system_value(
    metric: Metric,
    platform: &Platform,
    runs: &[Run<'_>],
    provenance: &mut Provenance,
) -> Result<SystemValue, String> {
    if metric == Metric::Count(Happening::Repeats) {
        return Ok(SystemValue::Number(runs.len() as f64));
    }
    if metric == Metric::CudaGraphSizes {
        return agreed_sizes(runs);
    }
    let mut sample = Vec::new();
    for run in runs {
        let number = current_number(metric, run.summary);
        sample.push(number.value().ok_or_else(|| number.to_string())?);
    }
    let (Some(middle), Some(spread)) = (median(&sample), Spread::of(&sample)) else {
        return Err("there was no run".to_owned());
    };
    let largest = spread.max;
    let spread = Spread { min: rounded(spread.min), max: rounded(spread.max) };
    provenance.spread.insert(metric.name().to_owned(), spread);
    if let Comparator::MedianBand(default) | Comparator::RatioBand(default) =
        metric.comparator(platform, Origin::Own, None, None)
    {
        let widened = default.widened(middle, spread);
        if widened != default {
            let outward = Band { low: widened.low * (1.0 - 1e-6), high: widened.high * (1.0 + 1e-6) };
            provenance.bands.insert(metric.name().to_owned(), outward);
        }
    }
    if metric == Metric::Throughput {
        return Ok(SystemValue::List(typical_throughput(runs)));
    }
    // What no step may exceed, no repeat may.
    let is_peak = matches!(metric, Metric::Peak(_));
    Ok(SystemValue::Number(if is_peak { largest } else { middle }))
}

fn agreed_sizes(runs: &[Run<'_>]) -> Result<SystemValue, String> {
    let mut sizes: Vec<Vec<f64>> = runs.iter().map(|run| graph_sizes(run.summary)).collect();
    sizes.dedup();
    match sizes.pop() {
        Some(agreed) if sizes.is_empty() && !agreed.is_empty() => Ok(SystemValue::List(agreed)),
        Some(_) | None => Err("repeats disagree in it, or no rank made a step".to_owned()),
    }
}

/// The list of the run whose settled throughput is in the middle.
fn typical_throughput(runs: &[Run<'_>]) -> Vec<f64> {
    let mut lists: Vec<&Vec<f64>> = runs.iter().map(|run| &run.summary.throughput).collect();
    let key = |list: &Vec<f64>| settled(list).unwrap_or_default();
    lists.sort_by(|a, b| key(a).total_cmp(&key(b)));
    lists[lists.len() / 2].clone()
}

fn provenance(platform: &Platform, runs: &[Run<'_>], command: &str) -> Provenance {
    let devices: BTreeSet<&str> =
        runs.iter().flat_map(|run| &run.record.ranks).map(|rank| rank.device.as_str()).collect();
    let named: Vec<_> = devices.into_iter().filter(|device| !device.is_empty()).collect();
    let first = &runs[0].record;
    Provenance {
        schema_version: GOLDEN_SCHEMA_VERSION,
        content_hash: String::new(),
        case_hash: super::case_hash(&first.plan),
        platform: platform.to_string(),
        device: named.join(", "),
        commit: first.commit.clone(),
        command: command.to_owned(),
        date: first.started_at.clone(),
        repeats: u32::try_from(runs.len()).unwrap_or(u32::MAX),
        spread: Default::default(),
        bands: Default::default(),
        reason: None,
        accepted_metrics: Vec::new(),
    }
}
