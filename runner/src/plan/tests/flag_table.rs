//! Every flag of the table does what its row says.

use super::{Disposition, plan_in, prompted_case, run, skip, small_case};
use crate::config::flags::{self, FlagSpec, Support, ValueType};
use crate::plan::Origin;

/// A value of the flag's type that is not its default.
fn sample(flag: &FlagSpec) -> String {
    match (flag.name, flag.value) {
        ("--inference-dynamic-batching-prefix-caching-routing-alpha", _) => "0.25".to_owned(),
        ("--top_p" | "--rotary-percent" | "--norm-epsilon", _) => "0.5".to_owned(),
        ("--num-attention-heads", _) => "8".to_owned(),
        ("--hidden-size", _) => "128".to_owned(),
        ("--tensor-model-parallel-size" | "--pipeline-model-parallel-size", _) => "1".to_owned(),
        ("--tokenizer-type", _) => "TikTokenizer".to_owned(),
        ("--batch-boundaries", _) => "\"0,8\"".to_owned(),
        ("--normalization", _) => "RMSNorm".to_owned(),
        ("--position-embedding-type", _) => "rope".to_owned(),
        ("--inference-dynamic-batching-block-size", _) => "32".to_owned(),
        (_, ValueType::Switch) => "true".to_owned(),
        (_, ValueType::Integer(_)) => "2".to_owned(),
        (_, ValueType::Number) => "3.5".to_owned(),
        (_, ValueType::Text | ValueType::Words | ValueType::Anything) => "word".to_owned(),
        (_, ValueType::Path) => "file".to_owned(),
        (_, ValueType::Range) => "\"[8 16]\"".to_owned(),
        (_, ValueType::Choice(known)) => {
            (*known.iter().find(|word| Some(**word) != flag.default).unwrap()).to_owned()
        }
    }
}

/// What else a case must say, so that the flag decides something.
fn context(flag: &str) -> &'static [&'static str] {
    match flag {
        "--top_p" => &["--top_k: 0"],
        "--num-query-groups" => &["--group-query-attention: true"],
        "--rotary-base" | "--rotary-percent" | "--use-rope-scaling" => &["--position-embedding-type: rope"],
        "--rope-scaling-factor" => &["--position-embedding-type: rope", "--use-rope-scaling: true"],
        "--qk-layernorm" => &["--normalization: RMSNorm"],
        "--num-tokens-from-file" | "--prompt-file-num-truncate" => &["--prompt-file: file"],
        "--tokenizer-model" => &["--tokenizer-type: TikTokenizer"],
        "--skip-prompt-log-probs" | "--top-n-logprobs" => &["--return-log-probs: true"],
        "--inference-dynamic-batching-logprobs-mode" => {
            &["--return-log-probs: true", "--skip-prompt-log-probs: true"]
        }
        "--suspend-timeout" => &["--suspend-resume-interval: 4"],
        "--batch-boundaries" => &["--drain-between-batches: true"],
        "--inference-dynamic-batching-prefix-caching-coordinator-policy"
        | "--inference-dynamic-batching-prefix-caching-routing-alpha"
        | "--inference-dynamic-batching-prefix-caching-eviction-policy" => {
            &["--inference-dynamic-batching-prefix-caching: true"]
        }
        "--cuda-graph-impl" => &[],
        "--decode-only-cuda-graphs" => &["--cuda-graph-impl: local"],
        _ if flag.contains("-cuda-graph-") || flag.ends_with("-cuda-graphs") => &["--cuda-graph-impl: local"],
        _ => &[],
    }
}

/// Used where there are CUDA graphs.
fn is_of_graphs(flag: &FlagSpec) -> bool {
    flag.name.contains("cuda-graph") && flag.support == Support::Used
}

const SYNTHETIC: [&str; 2] = ["--num-tokens-to-prompt", "--incoming-requests-duration"];

fn disposition(flag: &FlagSpec, value: &str) -> Disposition {
    let line = format!("{}: {value}", flag.name);
    let flags: Vec<&str> = context(flag.name).iter().copied().chain([line.as_str()]).collect();
    let from_file = flags.iter().any(|flag| flag.starts_with("--prompt-file:"));
    let given = SYNTHETIC.contains(&flag.name) || from_file || flag.name == "--prompts";
    let text = if given { small_case(&flags, "") } else { prompted_case(&flags, "") };
    let platform = if is_of_graphs(flag) { "vcuda" } else { "cpu" };
    plan_in("case", &text, platform, &["/cases/gpt/case/file", "/cases/gpt/case/file/config.json"])
}

#[test]
fn used_flags_reach_the_plan() {
    for flag in flags::all().filter(|flag| flag.support == Support::Used) {
        let plan = run(disposition(flag, &sample(flag)));
        let setting = plan.settings.iter().find(|setting| setting.name == flag.name);
        let setting = setting.unwrap_or_else(|| panic!("{} left no setting", flag.name));
        assert_eq!(setting.origin, Origin::Case, "{}", flag.name);
        let ignored = plan.ignored_flags.iter().any(|ignored| ignored.flag == flag.name);
        assert!(!ignored, "{} is used and ignored", flag.name);
    }
}

#[test]
fn irrelevant_and_removed_flags_are_listed_with_their_reason() {
    for flag in flags::all() {
        if let Support::Irrelevant(reason) | Support::Removed(reason) = flag.support {
            let plan = run(disposition(flag, &sample(flag)));
            let listed = plan.ignored_flags.iter().find(|ignored| ignored.flag == flag.name);
            assert_eq!(listed.map(|ignored| ignored.reason.as_ref()), Some(reason), "{}", flag.name);
        }
    }
}

#[test]
fn flags_of_later_versions_skip_the_case_unless_they_say_the_default() {
    for flag in flags::all() {
        if let Support::NotYet(reason) = flag.support {
            let skipped = skip(disposition(flag, &sample(flag)));
            assert_eq!(skipped, format!("{}: {reason}", flag.name));
            if let Some(default) = flag.default {
                let plan = run(disposition(flag, default));
                assert!(
                    plan.ignored_flags.iter().any(|ignored| ignored.reason == "its default"),
                    "{}",
                    flag.name
                );
            }
        }
    }
}

#[test]
fn every_flag_refuses_a_value_of_another_type() {
    for flag in flags::all() {
        let wrong = match flag.value {
            ValueType::Switch => "false",
            ValueType::Integer(_) | ValueType::Number | ValueType::Choice(_) | ValueType::Range => "wrong",
            ValueType::Text | ValueType::Path | ValueType::Words => "true",
            ValueType::Anything => panic!("{}: a row of the table knows its type", flag.name),
        };
        let error = super::invalid(disposition(flag, wrong));
        assert!(error.contains(&format!("MODEL_ARGS.{}: expected {}", flag.name, flag.value)), "{error}");
    }
}

#[test]
fn flags_of_the_original_that_have_no_counterpart_skip_the_case_whatever_their_value() {
    for value in ["true", "3", "1.5e-3", "a/${UNSET}/b", "\"[1 2 3]\"", "\"it's\""] {
        let skipped = skip(super::plan(&prompted_case(&[&format!("--multi-latent-attention: {value}")], "")));
        let expected = "--multi-latent-attention: an option of Megatron-LM that has no counterpart here";
        assert!(skipped.starts_with(expected), "{value}: {skipped}");
    }
    let dropped = run(super::plan(&prompted_case(&["--multi-latent-attention: \"\""], "")));
    assert!(dropped.ignored_flags.iter().any(|ignored| ignored.flag == "--multi-latent-attention"));
    let misspelt = super::invalid(super::plan(&prompted_case(&["--multi-latent-attentoin: true"], "")));
    assert!(misspelt.contains("unknown flag"), "{misspelt}");
}
