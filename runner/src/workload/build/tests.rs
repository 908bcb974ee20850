//! Tests of whole workloads.

use proptest::prelude::*;

use super::*;
use crate::plan::TokenizerPlan;

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&TokenizerPlan::BuiltIn).unwrap()
}

fn sampling() -> SamplingPlan {
    SamplingPlan {
        temperature: 1.0,
        top_k: 1,
        top_p: 0.0,
        seed: 1234,
        return_log_probs: true,
        skip_prompt_log_probs: false,
        top_n_logprobs: 0,
        stop_words: Vec::new(),
        termination: TerminationPlan::TokenizerEod,
    }
}

fn plan(source: PromptSource, arrival: Arrival) -> WorkloadPlan {
    WorkloadPlan {
        source,
        arrival,
        sampling: sampling(),
        num_tokens_to_generate: 30,
        num_tokens_from_file: false,
        max_tokens_to_generate: None,
        conduct: crate::plan::Conduct::default(),
        max_prompt_tokens: None,
    }
}

fn inline(texts: &[&str]) -> PromptSource {
    PromptSource::Inline(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn file(content: &str) -> (tempfile::NamedTempFile, PromptSource) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, content).unwrap();
    let path = file.path().to_owned();
    (file, PromptSource::File { path, truncate: None })
}

fn outputs(requests: &[TimedRequest]) -> Vec<usize> {
    requests.iter().map(|request| request.num_tokens_to_generate).collect()
}

#[test]
fn inline_prompts_become_requests_in_their_order() {
    let tokenizer = tokenizer();
    let plan = plan(inline(&["Hello world", "<s><s>Who?"]), Arrival::AllAtOnce);
    let requests = build(&plan, &tokenizer, 2560).unwrap().requests;
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].prompt_tokens, [10906, 2917]);
    assert_eq!(requests[0].prompt.as_deref(), Some("Hello world"));
    assert_eq!(requests[0].arrival_s, -1.0);
    assert_eq!(requests[0].sampling.termination, TerminationPlan::Id(2));
    assert_eq!(requests[1].prompt_tokens, tokenizer.encode("Who?").unwrap(), "BOS in front is dropped");
}

#[test]
fn requests_of_a_group_generate_more_by_their_place_in_it() {
    let mut plan = plan(inline(&["a"; 7]), Arrival::PerStep { num_requests: 3 });
    let tokenizer = tokenizer();
    assert_eq!(outputs(&build(&plan, &tokenizer, 100).unwrap().requests), [30, 31, 32, 30, 31, 32, 30]);
    plan.max_tokens_to_generate = Some(31);
    assert_eq!(outputs(&build(&plan, &tokenizer, 100).unwrap().requests), [30, 31, 31, 30, 31, 31, 30]);
    plan.arrival = Arrival::PerStep { num_requests: 0 };
    assert_eq!(outputs(&build(&plan, &tokenizer, 100).unwrap().requests), [30; 7]);
}

#[test]
fn output_lengths_come_from_the_file_if_asked_for() {
    let (_file, source) = file(
        "{\"text\": \"one\", \"chatgpt_output_token_length\": 5}\n{\"text\": \"two\", \"chatgpt_output_token_length\": 900}\n",
    );
    let mut plan = plan(source, Arrival::AllAtOnce);
    let tokenizer = tokenizer();
    assert_eq!(outputs(&build(&plan, &tokenizer, 2560).unwrap().requests), [30, 30]);
    plan.num_tokens_from_file = true;
    assert_eq!(outputs(&build(&plan, &tokenizer, 2560).unwrap().requests), [5, 900]);
    plan.max_tokens_to_generate = Some(64);
    assert_eq!(outputs(&build(&plan, &tokenizer, 2560).unwrap().requests), [5, 64]);
    assert_eq!(
        outputs(&build(&plan, &tokenizer, 50).unwrap().requests),
        [5, 49],
        "what the engine has room for"
    );
}

#[test]
fn a_reply_is_as_long_as_its_tokens() {
    let reply = "Hello world, hello world.";
    let (_file, source) = file(&format!(
        r#"[{{"conversations": [{{"from": "human", "value": "Hi"}}, {{"from": "gpt", "value": "{reply}"}}]}}]"#
    ));
    let mut plan = plan(source, Arrival::AllAtOnce);
    plan.num_tokens_from_file = true;
    let tokenizer = tokenizer();
    let expected = tokenizer.encode(reply).unwrap().len();
    assert_eq!(outputs(&build(&plan, &tokenizer, 2560).unwrap().requests), [expected]);
}

#[test]
fn long_prompts_are_cut_where_the_plan_says_so() {
    let mut plan = plan(inline(&["one two three four"]), Arrival::AllAtOnce);
    plan.max_prompt_tokens = Some(2);
    let requests = build(&plan, &tokenizer(), 2560).unwrap().requests;
    assert_eq!(requests[0].prompt_tokens.len(), 2);
    assert_eq!(requests[0].prompt.as_deref(), Some("one two"));
}

#[test]
fn synthetic_prompts_have_the_originals_lengths() {
    let source = PromptSource::Synthetic { min_tokens: 4, max_tokens: 16, num_requests: 8 };
    let arrival = Arrival::Poisson { requests_per_second: 100.0, seed: 1234 };
    let requests = build(&plan(source, arrival), &tokenizer(), 2560).unwrap().requests;
    let lengths: Vec<usize> = requests.iter().map(|request| request.prompt_tokens.len()).collect();
    assert_eq!(lengths, [6, 5, 6, 15, 5, 4, 12, 11], "CPython's draws after the eight offsets");
    assert_eq!(requests[5].prompt.as_deref(), Some("hi hi hi hi"));
    assert_eq!(requests[0].arrival_s, 0.0);
    assert!((requests[7].arrival_s - 0.0788269866970242).abs() < 1e-12);
}

#[test]
fn what_cannot_be_run_says_why() {
    let poisson = Arrival::Poisson { requests_per_second: 0.0, seed: 1 };
    let synthetic = |min_tokens, max_tokens, num_requests| PromptSource::Synthetic {
        min_tokens,
        max_tokens,
        num_requests,
    };
    let from_file = |source| WorkloadPlan { num_tokens_from_file: true, ..plan(source, Arrival::AllAtOnce) };
    let silent = WorkloadPlan { num_tokens_to_generate: 0, ..plan(inline(&["a"]), Arrival::AllAtOnce) };
    let cases = [
        (
            plan(inline(&[]), Arrival::AllAtOnce),
            "the workload has no request: no prompt is given (--prompts, --prompt-file)",
        ),
        (
            plan(inline(&["a", ""]), Arrival::AllAtOnce),
            "--prompts entry 1 (\"\") has no token: expected at least one after tokenisation",
        ),
        (plan(inline(&["<s>"]), Arrival::AllAtOnce), "--prompts entry 0 (\"<s>\") has no token"),
        (
            plan(inline(&["one two three"]), Arrival::AllAtOnce),
            "--prompts entry 0: 3 prompt tokens leave no room to generate within 3",
        ),
        (silent, "--prompts entry 0: no token to generate: expected 1 or more (--num-tokens-to-generate)"),
        (plan(inline(&["a"]), poisson), "requests per second must be a finite number above 0, got 0"),
        (from_file(inline(&["a"])), "--num-tokens-from-file needs --prompt-file"),
        (
            plan(synthetic(1, 2, 0), Arrival::AllAtOnce),
            "the workload has no request: --incoming-requests-per-sec x",
        ),
        (
            plan(synthetic(1, 2, 1 << 40), Arrival::AllAtOnce),
            "1099511627776 requests, at most 1000000 are run",
        ),
        (
            plan(synthetic(2, 1, 5), Arrival::AllAtOnce),
            "--num-tokens-to-prompt 2 1: expected 1 <= first <= second <= 3",
        ),
        (
            plan(synthetic(1, usize::MAX, 5), Arrival::AllAtOnce),
            "--num-tokens-to-prompt 1 18446744073709551615: expected",
        ),
    ];
    for (plan, expected) in cases {
        let error = build(&plan, &tokenizer(), 3).unwrap_err().to_string();
        assert!(error.starts_with(expected), "got      {error}\nexpected {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_same_plan_gives_the_same_workload(
        texts in prop::collection::vec("[a-z ]{1,12}", 1..8), seed: u64, per_step in 1_usize..4, kind in 0..3,
    ) {
        let arrival = match kind {
            0 => Arrival::AllAtOnce,
            1 => Arrival::PerStep { num_requests: per_step },
            _ => Arrival::Poisson { requests_per_second: 50.0, seed },
        };
        let plan = plan(PromptSource::Inline(texts.clone()), arrival);
        let tokenizer = tokenizer();
        let (first, second) = (build(&plan, &tokenizer, 64), build(&plan, &tokenizer, 64));
        prop_assert_eq!(format!("{first:?}"), format!("{second:?}"));
        if let Ok(requests) = first {
            let kept: Vec<_> = requests.requests.into_iter().filter_map(|request| request.prompt).collect();
            prop_assert_eq!(kept, texts, "in their order");
        }
    }
}
