//! The original's rules for what a run has as a whole: throughput, memory, and a count that breaks its checker.

use super::json::Json;
use super::megatron_check::Check;
use super::number::as_f64;
use super::verdict::{Difference, MetricVerdict};
use crate::metrics::{median, significant};

/// What Python says where the rule for throughput meets a value it was not made for.
const NO_MEDIAN: &str = "no median of all but the first element: it takes a list of at least two numbers";

/// Compares the system metrics that METRICS names and the golden holds.
pub(super) fn compare_system_keys(check: &mut Check<'_>) {
    for (name, rule, compare) in [
        ("throughput", "median of all but the first in [0.9, 1.2) of the golden's", throughput as Rule),
        ("mem-max-allocated-bytes", "within [0.95, 1.05] of the golden's", memory as Rule),
        ("lifetime_prefill_token_count", "none: the original raises TypeError", prefill as Rule),
    ] {
        let Some(expected) = check.golden.get(name).filter(|_| check.names(name)) else { continue };
        let mut verdict = MetricVerdict::new(name, rule.to_owned());
        let result = match check.output.get(name) {
            Some(got) => compare(expected, got),
            None => Err("the output does not have it (KeyError)".to_owned()),
        };
        match result {
            Ok((expected, got, holds)) => {
                verdict.summary = super::compare_system::in_words(expected, got);
                if !holds {
                    check.stops(&format!("{name}: {}", verdict.summary));
                }
                // A number that is not finite fails none of Python's comparisons, and proves nothing.
                verdict.assert(holds && expected.is_finite() && got.is_finite(), || Difference {
                    request: None,
                    index: None,
                    golden: significant(expected),
                    current: significant(got),
                    size: Some((expected - got).abs()),
                });
                check.add(verdict);
            }
            Err(why) => {
                check.stops(&format!("{name}: {why}"));
                check.add(MetricVerdict::failed(name, why));
            }
        }
    }
}

/// Golden's number, output's number, and whether the original is content.
type Compared = Result<(f64, f64, bool), String>;
type Rule = fn(&Json, &Json) -> Compared;

fn throughput(golden: &Json, output: &Json) -> Compared {
    let settled = |json| match numbers(json)?.as_slice() {
        [_, rest @ ..] if !rest.is_empty() => median(rest).ok_or_else(|| NO_MEDIAN.to_owned()),
        _ => Err(NO_MEDIAN.to_owned()),
    };
    let (expected, got) = (settled(golden)?, settled(output)?);
    let fails = got < 0.9 * expected || got >= 1.2 * expected;
    Ok((expected, got, !fails))
}

fn memory(golden: &Json, output: &Json) -> Compared {
    let value = |json: &Json| match as_f64(json) {
        Some(number) => Ok(number),
        None => match numbers(json)?.as_slice() {
            [] => Err("an empty list has no median".to_owned()),
            [only] => Ok(*only),
            [_, rest @ ..] => median(rest).ok_or_else(|| "no median".to_owned()),
        },
    };
    let (expected, got) = (value(golden)?, value(output)?);
    Ok((expected, got, 0.95 * expected <= got && got <= 1.05 * expected))
}

fn prefill(_golden: &Json, _output: &Json) -> Compared {
    Err("METRICS cannot name it: the original's checker raises TypeError".to_owned())
}

fn numbers(json: &Json) -> Result<Vec<f64>, String> {
    let Json::Array(items) = json else {
        return Err(format!("expected a list of numbers, got {} (TypeError)", json.kind()));
    };
    let number = |item: &Json| {
        as_f64(item).ok_or_else(|| format!("expected a number, got {} (TypeError)", item.kind()))
    };
    items.iter().map(number).collect()
}
