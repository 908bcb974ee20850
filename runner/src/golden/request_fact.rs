//! Facts about a request that a golden may keep as they are: what the prefix cache had, when it arrived, alternatives to tokens.
//! They live beside the fields of Megatron's layout and are compared as JSON, number by number under the metric's rule.

use super::comparator::Comparator;
use super::json::Json;
use super::metric::{Metric, RequestFact};
use super::number::{as_f64, logprob_to_json};
use super::verdict::{Difference, MetricVerdict};
use crate::metrics::RequestRecord;

/// The run's value; `None` if it was not asked for, or who served the request does not say.
pub(super) fn fact(fact: RequestFact, request: &RequestRecord) -> Option<Json> {
    match fact {
        RequestFact::CachedTokens => request.num_cached_tokens.map(Json::from),
        RequestFact::ArrivalOffset => Some(Json::float(request.arrival_s)),
        RequestFact::GeneratedTopN => request.generated_top_n_logprobs.as_deref().map(alternatives),
        RequestFact::PromptTopN => request.prompt_top_n_logprobs.as_deref().map(alternatives),
    }
}

/// A list of positions, each a list of `[text, logprob]`: a map would lose tokens whose texts are equal.
fn alternatives(positions: &[Vec<(String, f32)>]) -> Json {
    let one = |(text, logprob): &(String, f32)| {
        Json::Array(vec![Json::String(text.clone()), logprob_to_json(*logprob)])
    };
    Json::Array(positions.iter().map(|list| Json::Array(list.iter().map(one).collect())).collect())
}

/// Compares one fact of one request.
pub(super) fn compare_fact(
    (metric, kind): (Metric, RequestFact),
    rule: Comparator,
    golden: &Json,
    request: &RequestRecord,
    verdict: &mut MetricVerdict,
) {
    let place = Difference {
        request: Some(request.id),
        index: None,
        golden: golden.to_string(),
        current: match kind {
            RequestFact::CachedTokens => "unknown: who served the request does not say".to_owned(),
            RequestFact::ArrivalOffset | RequestFact::GeneratedTopN | RequestFact::PromptTopN => {
                format!("none; does the case ask for {metric}?")
            }
        },
        size: None,
    };
    match fact(kind, request) {
        Some(current) => compare_json(&place, rule, golden, &current, verdict),
        None => verdict.assert(false, || place),
    }
}

/// Numbers by the rule, lists item by item, everything else exactly. Empty lists assert nothing.
fn compare_json(
    place: &Difference,
    rule: Comparator,
    golden: &Json,
    current: &Json,
    verdict: &mut MetricVerdict,
) {
    let differ = || Difference {
        golden: golden.to_string(),
        current: current.to_string(),
        size: as_f64(golden).zip(as_f64(current)).map(|(a, b)| (a - b).abs()),
        ..place.clone()
    };
    let (Json::Array(expected), Json::Array(got)) = (golden, current) else {
        let holds = match (as_f64(golden), as_f64(current)) {
            (Some(golden), Some(current)) => rule.holds(golden, current),
            (None, _) | (_, None) => golden == current,
        };
        return verdict.assert(holds, differ);
    };
    if expected.len() != got.len() {
        let count = |list: &[Json]| format!("{} entries", list.len());
        verdict.assert(false, || Difference {
            golden: count(expected),
            current: count(got),
            ..place.clone()
        });
    }
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        let place = Difference { index: place.index.or(Some(index)), ..place.clone() };
        compare_json(&place, rule, expected, got, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::Outcome;

    fn judge(kind: RequestFact, golden: &str, request: &RequestRecord) -> (u64, u64, Outcome) {
        let metric = Metric::Fact(kind);
        let mut verdict = MetricVerdict::new(metric.name(), String::new());
        let golden = Json::parse(golden).unwrap();
        compare_fact((metric, kind), Comparator::SameBits, &golden, request, &mut verdict);
        let verdict = verdict.finished();
        (verdict.assertions, verdict.num_differences, verdict.outcome)
    }

    #[test]
    fn every_number_and_text_counts() {
        let list =
            vec![vec![("a".to_owned(), -0.5_f32), ("a".to_owned(), -1.25)], vec![("b".to_owned(), -0.1)]];
        let request = RequestRecord { generated_top_n_logprobs: Some(list), ..RequestRecord::default() };
        let same = r#"[[["a", -0.5], ["a", -1.25]], [["b", -0.1]]]"#;
        assert_eq!(judge(RequestFact::GeneratedTopN, same, &request), (6, 0, Outcome::Passed));
        for (other, num_differences) in [
            (r#"[[["a", -0.5], ["a", -1.25]], [["c", -0.2]]]"#, 2),
            (r#"[[["a", -0.5]], [["b", -0.1]]]"#, 1),
            (r#"[[["a", -0.5], ["a", -1.25]]]"#, 1),
        ] {
            assert_eq!(judge(RequestFact::GeneratedTopN, other, &request).1, num_differences, "{other}");
        }
        assert_eq!(judge(RequestFact::PromptTopN, "[]", &request).2, Outcome::Failed, "the run has none");
    }

    #[test]
    fn cached_tokens_and_arrivals_are_numbers() {
        let request =
            RequestRecord { num_cached_tokens: Some(64), arrival_s: 0.25, ..RequestRecord::default() };
        assert_eq!(judge(RequestFact::CachedTokens, "64", &request), (1, 0, Outcome::Passed));
        assert_eq!(judge(RequestFact::CachedTokens, "0", &request).1, 1);
        assert_eq!(judge(RequestFact::ArrivalOffset, "0.25", &request), (1, 0, Outcome::Passed));
    }
}
