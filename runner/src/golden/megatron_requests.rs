//! The original's rules for what each request has: tokens, logprobs, text, routing indices.

use super::json::Json;
use super::megatron_check::Check;
use super::number::as_f64;
use super::verdict::{Difference, MetricVerdict};

/// Largest difference of two logprobs; Python's `math.isclose` adds a relative part of 1e-9.
const LOGPROB_TOLERANCE: f64 = 0.001;

/// One metric's rule on one request: adds its assertions, or says why Python raises.
type Rule = fn(&str, &Json, &Json, &Json, &mut MetricVerdict) -> Result<(), String>;

const RULES: [(&str, &str, Rule); 4] = [
    ("generated_tokens", "exactly equal", tokens),
    ("logprobs", "equal length, each within 0.001", logprobs),
    ("generated_text", "equal on the common prefix", text),
    ("routing_indices", "the golden's rows, sorted, exactly equal", routing_indices),
];

/// Compares every request of the golden that the output has too, by every rule that METRICS names.
pub(super) fn compare_entries(check: &mut Check<'_>, golden_ids: &[&str]) {
    let (golden, output) = (check.golden, check.output);
    let entries = |id: &str| Some((golden.get(id)?, output.get(id)?));
    for (name, rule, compare) in RULES {
        if !check.names(name) {
            continue;
        }
        let mut verdict = MetricVerdict::new(name, rule.to_owned());
        for &id in golden_ids {
            let Some((expected, got)) = entries(id) else { continue };
            let Some(expected_value) = expected.get(name) else { continue };
            let before = verdict.num_differences;
            let result = match got.get(name) {
                Some(got_value) => compare(id, expected, expected_value, got_value, &mut verdict),
                None => Err(format!("the output's request {id} does not have it (KeyError)")),
            };
            if let Err(why) = result {
                check.stops(&format!("{name}: {why}"));
                verdict.assert(false, || place(id, None, "something to compare", &why, None));
            } else if verdict.num_differences > before {
                check.stops(&format!("{name} of request {id} differs"));
            }
        }
        if verdict.assertions > 0 {
            verdict.summary =
                format!("{} of {} assertions differ", verdict.num_differences, verdict.assertions);
            check.add(verdict);
        }
    }
    for &id in golden_ids {
        let applies = |name: &str| check.names(name) && golden.get(id).is_some_and(|e| e.get(name).is_some());
        if output.get(id).is_some() && !RULES.iter().any(|(name, _, _)| applies(name)) {
            check.problem(format!(
                "no test performed for request {id}: the golden has none of METRICS for it"
            ));
        }
    }
}

fn tokens(
    id: &str,
    _entry: &Json,
    golden: &Json,
    output: &Json,
    verdict: &mut MetricVerdict,
) -> Result<(), String> {
    let (Json::Array(expected), Json::Array(got)) = (golden, output) else {
        // Python compares whatever is there.
        verdict.assert(golden == output, || place(id, None, golden.kind(), output.kind(), None));
        return Ok(());
    };
    lengths(id, expected, got, verdict);
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        verdict.assert(expected == got, || {
            place(id, Some(index), &expected.to_string(), &got.to_string(), None)
        });
    }
    Ok(())
}

fn logprobs(
    id: &str,
    _entry: &Json,
    golden: &Json,
    output: &Json,
    verdict: &mut MetricVerdict,
) -> Result<(), String> {
    let list = |json: &Json| match json {
        Json::Array(items) => items
            .iter()
            .map(|item| as_f64(item).ok_or_else(|| format!("request {id}: {} (TypeError)", item.kind())))
            .collect::<Result<Vec<f64>, String>>(),
        Json::Null
        | Json::Bool(_)
        | Json::Number(_)
        | Json::NonFinite(_)
        | Json::String(_)
        | Json::Object(_) => Err(format!("request {id}: {} has no length (TypeError)", json.kind())),
    };
    let (expected, got) = (list(golden)?, list(output)?);
    lengths(id, &expected, &got, verdict);
    for (index, (&expected, &got)) in expected.iter().zip(&got).enumerate() {
        verdict.assert(is_close(expected, got), || {
            let size = Some((expected - got).abs());
            place(id, Some(index), &expected.to_string(), &got.to_string(), size)
        });
    }
    Ok(())
}

/// Python's `math.isclose(a, b, abs_tol=0.001)`: NaN is close to nothing, an infinity to itself only.
fn is_close(a: f64, b: f64) -> bool {
    if a == b {
        return true;
    }
    if !a.is_finite() || !b.is_finite() {
        return false;
    }
    (a - b).abs() <= LOGPROB_TOLERANCE.max(1e-9 * a.abs().max(b.abs()))
}

fn text(
    id: &str,
    _entry: &Json,
    golden: &Json,
    output: &Json,
    verdict: &mut MetricVerdict,
) -> Result<(), String> {
    let (Json::String(expected), Json::String(got)) = (golden, output) else {
        return Err(format!("request {id}: {} against {} (TypeError)", golden.kind(), output.kind()));
    };
    let (expected, got): (Vec<char>, Vec<char>) = (expected.chars().collect(), got.chars().collect());
    let length = expected.len().min(got.len());
    let same = expected.iter().zip(&got).take_while(|(a, b)| a == b).count();
    verdict.assert(length > 0 && same == length, || {
        let from = |text: &[char]| format!("{:?}", text.iter().skip(same).take(40).collect::<String>());
        place(id, Some(same), &from(&expected), &from(&got), None)
    });
    Ok(())
}

/// Rows of the output that the golden names, each sorted along its last axis, against the golden's rows.
fn routing_indices(
    id: &str,
    entry: &Json,
    golden: &Json,
    output: &Json,
    verdict: &mut MetricVerdict,
) -> Result<(), String> {
    let rows = |json: &Json| {
        let Json::Array(rows) = json else {
            return Err(format!("request {id}: expected a list of rows, got {}", json.kind()));
        };
        Ok(rows.iter().map(sorted_last_axis).collect::<Vec<_>>())
    };
    let selected = entry.get("routing_indices_token_indices").ok_or_else(|| {
        format!("request {id} of the golden lacks routing_indices_token_indices (KeyError)")
    })?;
    let Json::Array(selected) = selected else {
        return Err(format!("request {id}: routing_indices_token_indices is {}", selected.kind()));
    };
    let (expected, all) = (rows(golden)?, rows(output)?);
    let pick = |at: &Json| {
        let row = as_f64(at).and_then(|at| {
            // Python counts negative indices from the end.
            let at = if at < 0.0 { at + all.len() as f64 } else { at };
            (at >= 0.0 && at.fract() == 0.0).then_some(at as usize)
        });
        let row = row.and_then(|row| all.get(row));
        row.ok_or_else(|| format!("request {id}: the output has no row {at} (IndexError)"))
    };
    let got = selected.iter().map(pick).collect::<Result<Vec<_>, _>>()?;
    lengths(id, &expected, &got, verdict);
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        verdict.assert(expected == got, || {
            place(id, Some(index), &expected.to_string(), &got.to_string(), None)
        });
    }
    Ok(())
}

fn sorted_last_axis(json: &Json) -> Json {
    let Json::Array(items) = json else { return json.clone() };
    if items.iter().any(|item| matches!(item, Json::Array(_))) {
        return Json::Array(items.iter().map(sorted_last_axis).collect());
    }
    let mut sorted = items.clone();
    let key = |json: &Json| as_f64(json).unwrap_or(f64::NAN);
    sorted.sort_by(|a, b| key(a).total_cmp(&key(b)));
    Json::Array(sorted)
}

/// Lists of different lengths fail by one assertion; equal lengths assert nothing of their own.
fn lengths<A, B>(id: &str, golden: &[A], output: &[B], verdict: &mut MetricVerdict) {
    if golden.len() != output.len() {
        verdict.assert(false, || {
            let words = |n: usize| format!("{n} elements");
            let at = golden.len().min(output.len());
            place(id, Some(at), &words(golden.len()), &words(output.len()), None)
        });
    }
}

fn place(id: &str, index: Option<usize>, golden: &str, output: &str, size: Option<f64>) -> Difference {
    Difference {
        request: id.parse().ok(),
        index,
        golden: golden.to_owned(),
        current: output.to_owned(),
        size,
    }
}
