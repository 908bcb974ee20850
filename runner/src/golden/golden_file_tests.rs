//! Goldens: round trips to the bit, Megatron's layouts, the seal, and a corpus of broken files.

use proptest::prelude::*;

use super::*;
use crate::golden::{Band, Spread};

fn provenance() -> Provenance {
    Provenance {
        schema_version: 1,
        content_hash: String::new(),
        case_hash: "c0ffee".to_owned(),
        platform: "cpu".to_owned(),
        device: "avx2".to_owned(),
        commit: Some("abc".to_owned()),
        command: "cargo xtask update-goldens gpt::tiny --accept".to_owned(),
        date: "2026-01-01T00:00:00Z".to_owned(),
        repeats: 2,
        spread: [("efficiency".to_owned(), Spread { min: 0.4, max: 0.5 })].into(),
        bands: [("efficiency".to_owned(), Band { low: 0.6, high: 1.6 })].into(),
        reason: None,
        accepted_metrics: Vec::new(),
    }
}

fn read(text: &str) -> Result<Golden, String> {
    Golden::from_bytes(text.as_bytes())
}

fn megatron_offline() -> Golden {
    let text = include_str!("fixtures/offline.json");
    read(text).unwrap()
}

#[test]
fn megatrons_offline_layout_is_read() {
    let golden = megatron_offline();
    let request = &golden.requests[&0];
    assert_eq!(request.generated_tokens.as_deref(), Some(&[3060, 2430, 1636][..]));
    assert_eq!(request.logprobs.as_ref().map(Vec::len), Some(5));
    assert_eq!(request.logprobs_of(Metric::PromptLogprobs).map(<[f32]>::len), Some(2));
    assert!(request.other.iter().any(|(field, _)| field == "latency"));
    assert_eq!(golden.system(Metric::MemMaxAllocatedBytes), Some(&SystemValue::Number(22_786_866_688.0)));
    assert_eq!(golden.system(Metric::Throughput).unwrap().numbers().len(), 3);
    assert_eq!((golden.origin(), golden.integrity.clone()), (Origin::Foreign, Integrity::Unsealed));
    assert_eq!(
        golden.held_metrics(),
        [
            "generated_tokens",
            "generated_text",
            "logprobs",
            "prompt_logprobs",
            "generated_logprobs",
            "throughput",
            "mem-max-allocated-bytes",
            "lifetime_prefill_token_count"
        ]
    );
}

#[test]
fn a_file_that_is_json_in_a_json_string_is_read() {
    let inner = include_str!("fixtures/offline.json");
    let outer = serde_json::Value::from(inner).to_string();
    assert_eq!(read(&outer), Ok(megatron_offline()));
}

#[test]
fn a_throughput_only_golden_is_read() {
    let golden = read(r#"{"throughput": [94.6, 115.85, 138.9]}"#).unwrap();
    assert!(golden.requests.is_empty());
    assert_eq!(golden.held_metrics(), ["throughput"]);
}

#[test]
fn foreign_nan_is_kept_and_never_written() {
    let golden = read(r#"{"0": {"logprobs": [-0.5, NaN]}, "throughput": [Infinity]}"#).unwrap();
    assert!(golden.requests[&0].logprobs.as_ref().unwrap()[1].is_nan());
    let folder = tempfile::tempdir().unwrap();
    let error = golden.save(&folder.path().join("g.json")).unwrap_err().to_string();
    assert!(error.contains("0.logprobs[1] is not a finite number"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_seal_survives_layout_and_breaks_on_any_edit() {
    let golden = Golden { provenance: Some(provenance()), ..megatron_offline() };
    let text = golden.to_json().pretty();
    assert_eq!(read(&text).unwrap().integrity, Integrity::Intact);
    assert_eq!(read(&golden.to_json().to_string()).unwrap().integrity, Integrity::Intact);
    for (from, to) in [("2430", "2431"), ("0.6", "0.1"), ("-1.9342774", "-1.9342775"), ("avx2", "avx3")] {
        assert!(text.contains(from), "{from}");
        assert_eq!(read(&text.replacen(from, to, 1)).unwrap().integrity, Integrity::Edited, "{from} -> {to}");
    }
}

#[test]
fn save_then_load_is_the_same_and_absence_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden_values_dev_cpu.json");
    assert_eq!(Golden::load(&path), Ok(None));
    let golden = Golden { provenance: Some(provenance()), ..megatron_offline() };
    golden.save(&path).unwrap();
    let back = Golden::load(&path).unwrap().unwrap();
    assert_eq!((&back.requests, &back.system), (&golden.requests, &golden.system));
    assert_eq!(back.integrity, Integrity::Intact);
}

/// File content and what the error must say.
#[rustfmt::skip]
const BROKEN: &[(&str, &str)] = &[
    ("", "not valid JSON: line 1, column 1: the file ends where a JSON value was expected"),
    ("{\"0\": {}", "not valid JSON: line 1, column 9: expected ',' or '}' in an object"),
    ("[1]", "expected an object of request ids and system metrics, got a list"),
    ("\"nonsense\"", "JSON inside a JSON string: not valid JSON: line 1, column 1: \"nonsense\" is not a JSON value"),
    ("\"\\\"twice\\\"\"", "expected an object of request ids and system metrics, got a string"),
    ("{}", "holds no request and no system metric: nothing could be compared with it"),
    ("{\"0\": {}, \"0\": {}}", "line 1, column 11: the key \"0\" appears twice in the same object"),
    ("{\"00\": {}}", "key \"00\" is neither a request id (a decimal number) nor a system metric (throughput, "),
    ("{\"-1\": {}}", "key \"-1\" is neither a request id"),
    ("{\"througput\": [1.0]}", "key \"througput\" is neither a request id"),
    ("{\"0\": []}", "request 0: expected an object, got a list"),
    ("{\"7\": {\"generated_tokens\": 3}}", "request 7, generated_tokens: expected a list, got an integer"),
    ("{\"7\": {\"generated_tokens\": [1, \"2\"]}}", "request 7, generated_tokens[1]: expected a token id, got a string"),
    ("{\"7\": {\"generated_tokens\": [1, -2]}}", "request 7, generated_tokens[1]: expected a token id, got -2"),
    ("{\"7\": {\"generated_tokens\": [1.5]}}", "request 7, generated_tokens[0]: expected a token id, got 1.5"),
    ("{\"7\": {\"generated_tokens\": [4294967296]}}", "request 7, generated_tokens[0]: expected a token id, got 4294967296"),
    ("{\"7\": {\"generated_text\": [\"a\"]}}", "request 7, generated_text: expected a string, got a list"),
    ("{\"7\": {\"logprobs\": [-0.5, null]}}", "request 7, logprobs[1]: expected a logprob, got null"),
    ("{\"7\": {\"logprobs\": [1e300]}}", "request 7, logprobs[0]: expected a logprob, got 1e+300"),
    ("{\"7\": {\"logprobs\": [-0.5, nan]}}", "\"nan\" is not a JSON value"),
    ("{\"throughput\": []}", "throughput: expected a number or a list of numbers, got an empty list"),
    ("{\"throughput\": \"fast\"}", "throughput: expected a number or a list of numbers, got a string"),
    ("{\"throughput\": [1.0, null]}", "throughput[1]: expected a number, got null"),
    ("{\"0\": {}, \"provenance\": 3}", "provenance: invalid type: integer `3`, expected struct Provenance"),
    ("{\"0\": {}, \"provenance\": {\"schema_version\": 99}}", "provenance.schema_version is 99, written by a newer Goldlap"),
    ("{\"0\": {}, \"provenance\": {\"schema_version\": 1}}", "provenance: missing field `content_hash`"),
    ("{\"0\": {}, \"provenance\": {\"schema_version\": 1, \"author\": \"me\"}}", "provenance.author: unknown field `author`"),
    ("{\"0\": {}, \"provenance\": {\"repeats\": NaN}}", "provenance.repeats: not a finite number"),
];

#[test]
fn broken_goldens_are_refused_with_key_expected_and_got() {
    for (text, expected) in BROKEN {
        let error = read(text).expect_err(text);
        assert!(error.contains(expected), "{text}\n  said: {error}\n  not:  {expected}");
    }
    let error = Golden::from_bytes(b"{\"0\": \xff}").unwrap_err();
    assert_eq!(error, "not UTF-8 text: byte 6 is no part of a character");
}

#[test]
fn a_bad_band_in_a_sealed_golden_is_refused() {
    let mut broken = provenance();
    broken.bands.insert("efficiency".to_owned(), Band { low: 1.5, high: 1.6 });
    let text = Golden { provenance: Some(broken), ..megatron_offline() }.to_json().pretty();
    let error = read(&text).unwrap_err();
    assert!(error.contains("provenance.bands.efficiency: a band needs 0 < low <= 1 <= high"), "{error}");
}

fn finite_f32() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite())
}

fn any_request() -> impl Strategy<Value = GoldenRequest> {
    (
        prop::option::of(".*"),
        prop::option::of(prop::collection::vec(any::<u32>(), 0..20)),
        prop::option::of(prop::collection::vec(finite_f32(), 0..20)),
    )
        .prop_map(|(generated_text, generated_tokens, logprobs)| GoldenRequest {
            input_prompt: generated_text.clone(),
            generated_text,
            generated_tokens,
            generated_logprobs: logprobs.clone(),
            logprobs,
            ..GoldenRequest::default()
        })
}

proptest! {
    #[test]
    fn write_then_read_is_the_identity(requests in prop::collection::btree_map(any::<u64>(), any_request(), 1..5)) {
        let golden = Golden { requests, provenance: Some(provenance()), ..Golden::default() };
        let back = read(&golden.to_json().pretty()).unwrap();
        prop_assert_eq!(back.integrity, Integrity::Intact);
        for (id, request) in &golden.requests {
            let bits = |r: &GoldenRequest| r.logprobs.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(request), bits(&back.requests[id]));
            prop_assert_eq!(request, &back.requests[id]);
        }
    }
}

#[test]
fn what_was_written_is_written_the_same_again() {
    let first = read(r#"{"mem-max-allocated-bytes": 22786866.688, "throughput": [94.6]}"#)
        .unwrap()
        .to_json()
        .pretty();
    assert!(first.contains("\"mem-max-allocated-bytes\": 22786900,"), "{first}");
    assert_eq!(read(&first).unwrap().to_json().pretty(), first);
}
