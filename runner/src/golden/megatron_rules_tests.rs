//! The rules of Megatron-LM's own checker, one by one, on goldens that it wrote (they have no provenance),
//! and where Goldlap is stricter on purpose.

use super::*;
use crate::golden::settled;

const GPU: &str = "dgx_h100";

/// A run and the foreign golden of the same run.
fn pair() -> (RunRecord, Golden) {
    let run = record(GPU);
    let golden = foreign(&golden_of(&run));
    (run, golden)
}

#[test]
fn empty_metrics_pass_there_and_fail_here() {
    let (run, golden) = pair();
    assert!(!judge(&run, &golden, &[]).passed());
}

#[test]
fn ids_must_be_the_same_on_both_sides() {
    let (mut run, golden) = pair();
    run.requests.pop();
    assert!(!judge(&run, &golden, &["generated_tokens"]).passed());
    let (run, mut golden) = pair();
    golden.requests.remove(&2);
    assert!(!judge(&run, &golden, &["generated_tokens"]).passed());
}

#[test]
fn throughput_counts_only_where_metrics_names_it() {
    let (run, mut golden) = pair();
    scale(&mut golden, "throughput", 100.0);
    assert!(judge(&run, &golden, &["generated_tokens"]).passed());
    assert!(!judge(&run, &golden, &["generated_tokens", "throughput"]).passed());
}

#[test]
fn the_throughput_band_is_minus_10_plus_20_percent_on_the_median_of_all_but_the_first() {
    let (run, mut golden) = pair();
    let settled = settled(&Metrics::of(&run, None).throughput).unwrap();
    for (factor, passes) in [(0.8999, false), (0.9001, true), (1.1999, true), (1.2001, false)] {
        let value = settled / factor;
        golden.system = vec![("throughput".to_owned(), SystemValue::List(vec![1e9, value, value]))];
        assert_eq!(judge(&run, &golden, &["throughput"]).passed(), passes, "{factor}");
    }
}

#[test]
fn a_throughput_of_one_element_is_an_error_there_and_stands_for_itself_here() {
    let (run, mut golden) = pair();
    let settled = settled(&Metrics::of(&run, None).throughput).unwrap();
    golden.system = vec![("throughput".to_owned(), SystemValue::List(vec![settled]))];
    assert!(judge(&run, &golden, &["throughput"]).passed());
}

#[test]
fn memory_may_differ_by_5_percent_and_a_list_counts_by_its_median_without_the_first() {
    let (run, mut golden) = pair();
    let bytes = f64::from(1 << 20);
    for (factor, passes) in [(0.951, true), (1.049, true), (0.949, false), (1.051, false)] {
        for value in [
            SystemValue::Number(bytes / factor),
            SystemValue::List(vec![1.0, bytes / factor]),
            SystemValue::List(vec![bytes / factor]),
        ] {
            golden.system = vec![("mem-max-allocated-bytes".to_owned(), value.clone())];
            assert_eq!(judge(&run, &golden, &["mem-max-allocated-bytes"]).passed(), passes, "{value:?}");
        }
    }
}

#[test]
fn the_prefill_count_crashes_there_and_is_compared_here() {
    let (mut run, golden) = pair();
    assert!(judge(&run, &golden, &["lifetime_prefill_token_count"]).passed());
    run.ranks[0].num_prefill_tokens += 1;
    assert!(!judge(&run, &golden, &["lifetime_prefill_token_count"]).passed());
}

#[test]
fn logprobs_may_differ_by_a_thousandth_and_never_in_length() {
    for (shift, passes) in [(0.0009_f32, true), (-0.0009, true), (0.0011, false), (0.002, false)] {
        let (mut run, golden) = pair();
        run.requests[0].generated_logprobs.as_mut().unwrap()[3] += shift;
        assert_eq!(judge(&run, &golden, &["logprobs"]).passed(), passes, "{shift}");
    }
    let (mut run, golden) = pair();
    run.requests[0].generated_logprobs.as_mut().unwrap().pop();
    assert!(!judge(&run, &golden, &["logprobs"]).passed());
}

#[test]
fn nan_equals_nothing_not_even_nan() {
    let (mut run, mut golden) = pair();
    run.requests[0].prompt_logprobs.as_mut().unwrap()[0] = f32::NAN;
    golden.requests.get_mut(&0).unwrap().logprobs.as_mut().unwrap()[0] = f32::NAN;
    assert!(!judge(&run, &golden, &["logprobs"]).passed());
}

#[test]
fn text_is_compared_on_the_common_length_which_must_not_be_zero() {
    for (text, passes) in [
        ("reply 0\nof ten words", true),
        ("reply 0\\nof ten words", true), // newlines as the coordinator script writes them
        ("reply 0", true),
        ("reply 0\nof ten words and more", true),
        ("reply 1", false),
        ("", false),
    ] {
        let (run, mut golden) = pair();
        golden.requests.get_mut(&0).unwrap().generated_text = Some(text.to_owned());
        assert_eq!(judge(&run, &golden, &["generated_text"]).passed(), passes, "{text:?}");
    }
}

#[test]
fn tokens_must_be_equal_in_value_and_number() {
    let (mut run, golden) = pair();
    run.requests[0].generated_tokens.push(1);
    assert!(!judge(&run, &golden, &["generated_tokens"]).passed());
}

#[test]
fn a_metric_that_no_entry_has_is_skipped_there_and_red_here() {
    let (run, mut golden) = pair();
    for request in golden.requests.values_mut() {
        request.logprobs = None;
    }
    assert!(!judge(&run, &golden, &["generated_tokens", "logprobs"]).passed());
    assert!(judge(&run, &golden, &["generated_tokens"]).passed());
}

#[test]
fn what_the_checker_ignores_may_differ() {
    let (run, mut golden) = pair();
    let request = golden.requests.get_mut(&0).unwrap();
    request.other = vec![("latency".to_owned(), crate::golden::Json::float(1e9))];
    golden.system.push(("async_sched_step_count".to_owned(), SystemValue::Number(7.0)));
    assert!(judge(&run, &reread(&golden), &["generated_tokens", "logprobs"]).passed());
}

#[test]
fn a_throughput_only_golden_gates_throughput_and_nothing_else() {
    let (run, mut golden) = pair();
    golden.requests.clear();
    assert!(judge(&run, &golden, &["throughput"]).passed());
    // The original test's METRICS after the check became conditional: it passed there without checking anything.
    let verdict = judge(&run, &golden, &["generated_tokens", "logprobs"]);
    assert!(!verdict.passed());
    assert!(texts(&verdict).contains("METRICS names it, but the golden does not have it"));
}
