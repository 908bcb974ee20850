//! The original's checker, rule by rule, on files as it meets them.

use crate::golden::{Asked, MegatronCheck, Theirs, check_as_megatron, read_megatron_json};

fn check(golden: &str, output: &str, metrics: &[&str]) -> MegatronCheck {
    let read = |text| read_megatron_json(text).unwrap();
    let metrics = metrics.iter().map(|&name| name.to_owned()).collect();
    let asked = Asked { metrics: Some(metrics), lightweight: false };
    check_as_megatron(&read(golden), &read(output), &asked)
}

/// Whether the original passes, and whether Goldlap does.
fn passes(golden: &str, output: &str, metrics: &[&str]) -> (bool, bool) {
    let check = check(golden, output, metrics);
    (check.theirs == Theirs::Passes, check.verdict.passed())
}

#[test]
fn a_check_that_checks_nothing_is_a_pass_there_and_none_here() {
    let throughput_only = r#"{"throughput": [1, 100, 100]}"#;
    assert_eq!(passes(throughput_only, r#"{"throughput": [1, 1, 1]}"#, &["generated_tokens"]), (true, false));
    assert_eq!(passes(throughput_only, throughput_only, &[]), (true, false));
    assert_eq!(passes(throughput_only, throughput_only, &["throughput"]), (true, true));
    let file = read_megatron_json(throughput_only).unwrap();
    let asked = Asked { metrics: Some(vec!["throughput".to_owned()]), lightweight: true };
    let lightweight = check_as_megatron(&file, &file, &asked);
    assert!(matches!(lightweight.theirs, Theirs::Skips(_)) && !lightweight.verdict.passed());
    let unknown = check(throughput_only, throughput_only, &["throughput", "tpot"]);
    assert!(unknown.theirs == Theirs::Passes && !unknown.verdict.passed());
}

#[test]
fn a_file_may_be_json_in_a_string_and_hold_pythons_numbers() {
    let json = read_megatron_json(r#""{\"0\": {\"logprobs\": [NaN, -Infinity]}}""#).unwrap();
    assert!(json.get("0").is_some());
    assert!(read_megatron_json("[1]").unwrap_err().contains("expected an object"));
}

#[test]
fn ids_of_the_output_are_the_goldens() {
    let (one, two) = (
        r#"{"0": {"generated_tokens": [1]}}"#,
        r#"{"0": {"generated_tokens": [1]}, "1": {"generated_tokens": [1]}}"#,
    );
    assert_eq!(passes(one, two, &["generated_tokens"]), (false, false));
    let missing = check(two, one, &["generated_tokens"]);
    assert_eq!(
        missing.theirs,
        Theirs::Fails("the output lacks the golden's request 1 (KeyError)".to_owned())
    );
    assert_eq!(passes("{}", "{}", &["generated_tokens"]), (false, false));
}

#[test]
fn throughput_is_a_half_open_band_around_the_median_of_all_but_the_first() {
    let golden = r#"{"throughput": [1, 100, 100, 100]}"#;
    for (value, expected) in [("89.9", false), ("90", true), ("119.9", true), ("120", false)] {
        let output = format!(r#"{{"throughput": [7000, {value}, {value}]}}"#);
        assert_eq!(passes(golden, &output, &["throughput"]), (expected, expected), "{value}");
    }
    // One element leaves nothing for a median.
    assert_eq!(passes(golden, r#"{"throughput": [100]}"#, &["throughput"]), (false, false));
    assert_eq!(passes(golden, r#"{}"#, &["throughput"]), (false, false));
    // NaN fails neither of Python's two comparisons.
    assert_eq!(passes(golden, r#"{"throughput": [1, NaN]}"#, &["throughput"]), (true, false));
}

#[test]
fn memory_is_a_closed_band_on_a_number_or_a_median() {
    let golden = r#"{"mem-max-allocated-bytes": 1000}"#;
    for (value, expected) in [
        ("949", false),
        ("950", true),
        ("1050", true),
        ("1051", false),
        ("[1000]", true),
        ("[9, 1000]", true),
    ] {
        let output = format!(r#"{{"mem-max-allocated-bytes": {value}}}"#);
        assert_eq!(passes(golden, &output, &["mem-max-allocated-bytes"]), (expected, expected), "{value}");
    }
}

#[test]
fn the_prefill_count_breaks_the_checker() {
    let file = r#"{"lifetime_prefill_token_count": 9}"#;
    let check = check(file, file, &["lifetime_prefill_token_count"]);
    let Theirs::Fails(why) = check.theirs else { panic!("{:?}", check.theirs) };
    assert!(why.contains("TypeError"));
}

#[test]
fn logprobs_are_close_as_python_has_it() {
    let entry = |list: &str| format!(r#"{{"0": {{"logprobs": {list}}}}}"#);
    for (golden, output, expected) in [
        ("[-1.0]", "[-1.0009]", true),
        ("[-1.0]", "[-1.0011]", false),
        ("[-5000000.0]", "[-5000000.004]", true),
        ("[NaN]", "[NaN]", false),
        ("[-Infinity]", "[-Infinity]", true),
        ("[-Infinity]", "[-1.0]", false),
        ("[-1.0, -2.0]", "[-1.0]", false),
        ("[-1.0]", "null", false),
    ] {
        let result = passes(&entry(golden), &entry(output), &["logprobs"]);
        assert_eq!(result, (expected, expected), "{golden} {output}");
    }
    // Two empty lists agree, and assert nothing.
    assert_eq!(passes(&entry("[]"), &entry("[]"), &["logprobs"]), (true, false));
}

#[test]
fn text_counts_on_the_common_length_in_characters() {
    let entry = |text: &str| format!(r#"{{"0": {{"generated_text": {text}}}}}"#);
    for (golden, output, expected) in [
        (r#""abc""#, r#""ab""#, true),
        (r#""äbc""#, r#""äbd""#, false),
        (r#""abc""#, r#""""#, false),
        (r#""a\nb""#, r#""a\\nb""#, false),
    ] {
        assert_eq!(passes(&entry(golden), &entry(output), &["generated_text"]), (expected, expected));
    }
}

#[test]
fn routing_rows_are_selected_and_sorted() {
    let golden =
        r#"{"0": {"routing_indices": [[[1, 2]], [[3, 0]]], "routing_indices_token_indices": [0, 2]}}"#;
    let output = r#"{"0": {"routing_indices": [[[2, 1]], [[9, 9]], [[0, 3]]]}}"#;
    assert_eq!(passes(golden, output, &["routing_indices"]), (true, true));
    assert_eq!(passes(golden, &output.replace("[0, 3]", "[0, 4]"), &["routing_indices"]), (false, false));
    assert_eq!(
        passes(golden, r#"{"0": {"routing_indices": [[[1, 2]]]}}"#, &["routing_indices"]),
        (false, false)
    );
}

#[test]
fn a_request_without_any_of_the_metrics_is_no_test_performed() {
    let golden = r#"{"0": {"generated_tokens": [1]}, "1": {"latency": 3}}"#;
    let Theirs::Fails(why) = check(golden, golden, &["generated_tokens"]).theirs else { panic!("passed") };
    assert!(why.starts_with("no test performed for request 1"), "{why}");
    let partly = r#"{"0": {"generated_tokens": [1], "logprobs": [-1.0]}, "1": {"generated_tokens": [2]}}"#;
    let check = check(partly, partly, &["generated_tokens", "logprobs"]);
    let counts: Vec<_> = check.verdict.metrics.iter().map(|m| (m.metric.as_str(), m.assertions)).collect();
    assert_eq!(counts, [("generated_tokens", 2), ("logprobs", 1)]);
    assert!(check.verdict.passed() && check.theirs == Theirs::Passes);
}

#[test]
fn without_metrics_everything_the_golden_holds_is_compared() {
    let file = read_megatron_json(r#"{"0": {"generated_tokens": [1], "latency": 2}, "throughput": [1, 2]}"#)
        .unwrap();
    let check = check_as_megatron(&file, &file, &Asked::default());
    let names: Vec<_> = check.verdict.metrics.iter().map(|m| m.metric.as_str()).collect();
    assert_eq!(names, ["throughput", "generated_tokens"]);
}
