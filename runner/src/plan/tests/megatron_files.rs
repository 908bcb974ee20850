//! Case files of the kinds that Megatron-LM has, written anew with its flags and our own prompts.

use super::{invalid, plan, plan_in, prompted_case, random_plan_in, run, skip, small_case};
use crate::plan::{
    AbsentModel, Arrival, CacheEviction, Conduct, EngineFeatures, ModelPlan, PromptSource, TokenizerPlan,
};

/// What every inference case of the original starts with.
const COMMON: &str = "\
ENV_VARS:
  CUDA_DEVICE_MAX_CONNECTIONS: 1
  NVTE_ALLOW_NONDETERMINISTIC_ALGO: 0
  NCCL_ALGO: Ring
  CUBLAS_WORKSPACE_CONFIG: :4096:8
TEST_TYPE: frozen-start
MODE: inference
MODEL_ARGS:
  --tiktoken-pattern: v2
  --use-mcore-models: true
  --tokenizer-type: TikTokenizer
  --tokenizer-model: ${CHECKPOINT_LOAD_PATH}/model/some/vocab.json
  --auto-detect-ckpt-format: true
  --max-tokens-to-oom: 3600000
  --inference-max-seq-length: 4096
  --attention-backend: flash
  --use-checkpoint-args: true
  --micro-batch-size: 1
  --no-load-optim: true
  --no-use-tokenizer-model-from-checkpoint-args: true
  --timing-log-level: 0
  --load: ${CHECKPOINT_LOAD_PATH}/model/some/
  --distributed-backend: nccl
  --log-interval: 1
  --transformer-impl: transformer_engine
  --ckpt-format: torch_dist
  --bf16: true
  --log-memory-to-tensorboard: true
  --log-num-zeros-in-grad: true
  --log-validation-ppl-to-tensorboard: true
  --log-timers-to-tensorboard: true
  --num-layers: 24
  --hidden-size: 1152
  --num-attention-heads: 16
  --max-position-embeddings: 1024
  --seq-length: 1024
  --temperature: 1.0
  --return-log-probs: true
  --inference-dynamic-batching-buffer-size-gb: 20
  --dist-ckpt-strictness: log_unexpected
  --inference-ckpt-non-strict: true # extra state in old checkpoints
  --output-path: ${INFERENCE_OUTPUT_PATH}
  --inference-logging-step-interval: 1
";
const ENDING: &str = "METRICS:\n  - \"generated_tokens\"\n  - \"logprobs\"\nLAUNCHER: ft_launcher\n";
const PROMPT: &str = "  --prompts: \"The harbour was quiet, and the boats, one by one, came home\"\n";

fn case(flags: &str) -> String {
    format!("{COMMON}{flags}{ENDING}")
}

/// The original's throughput test, which also gives a flag that is gone.
pub(crate) fn throughput_case() -> String {
    case(
        "  --tensor-model-parallel-size: 1
  --pipeline-model-parallel-size: 1
  --top_k: 1
  --seed: 42
  --num-tokens-from-file: true
  --cuda-graph-impl: local
  --disable-chunked-prefill: true
  --output-every-n-results: 32
  --prompt-file: ${DATA_PATH}/text/processed.jsonl
  --prompt-file-num-truncate: 1024
  --incoming-requests-per-step: 128
  --use-flashinfer-fused-rope: true
  --throughput-check-only: true
",
    )
}

fn one_prompt(flags: &str) -> String {
    case(&format!("{PROMPT}  --num-tokens-to-generate: 30\n{flags}"))
}

const UNSET: &str = "the environment variable CHECKPOINT_LOAD_PATH is not set";
/// A world that has the checkpoint and the data.
const MODEL: &str = "/cases/gpt/case/model/some/";

#[test]
fn without_the_checkpoint_every_case_is_skipped_for_that_reason() {
    for flags in ["  --top_k: 1\n  --deterministic-mode: true\n", "  --top_k: 0\n  --top_p: 0.9\n"] {
        assert_eq!(skip(plan_in("tp1_pp1_dp8", &one_prompt(flags), "dgx_h100", &[])), UNSET);
    }
}

#[test]
fn features_of_later_versions_are_named() {
    for (flags, reason) in [
        (
            "  --fp8-recipe: tensorwise\n  --fp8-format: hybrid\n  --first-last-layers-bf16: true\n",
            "--fp8-format: fp8 is not implemented yet",
        ),
        (
            "  --tensor-model-parallel-size: 2\n  --pipeline-model-parallel-size: 2\n  --sequence-parallel: true\n",
            "TP 2: tensor parallelism is not implemented yet; PP 2: pipeline parallelism is not implemented yet",
        ),
    ] {
        let folder = if reason.starts_with("TP") { "tp2_pp2_dp2" } else { "tp1_pp1" };
        let skipped = skip(plan_in(folder, &one_prompt(flags), "dgx_h100", &[]));
        assert_eq!(skipped, format!("{reason}; {UNSET}"));
    }
}

#[test]
fn features_of_the_dynamic_engine_reach_it() {
    let features = |flags: &[&str]| run(plan(&prompted_case(flags, ""))).engine.features;
    assert_eq!(features(&[]), EngineFeatures::OFF);
    assert!(features(&["--enable-chunked-prefill: true"]).chunked_prefill);
    let caching = "--inference-dynamic-batching-prefix-caching: true";
    let policy = "--inference-dynamic-batching-prefix-caching-eviction-policy: lru";
    assert_eq!(features(&[caching]).prefix_caching, Some(CacheEviction::RefZero));
    assert_eq!(features(&[caching, policy]).prefix_caching, Some(CacheEviction::Lru));
    assert_eq!(features(&[policy]).prefix_caching, None, "a policy alone switches nothing on");
}

#[test]
fn suspensions_and_batches_reach_the_client() {
    let conduct = |flags: &[&str]| run(plan(&prompted_case(flags, ""))).workload.conduct;
    assert_eq!(conduct(&["--batch-boundaries: \"0,8\""]), Conduct::default());
    let drained = conduct(&["--drain-between-batches: true", "--batch-boundaries: \"0, 8,16\""]);
    assert_eq!(drained.batch_starts, [0, 8, 16]);
    let suspended = conduct(&["--suspend-resume-interval: 4", "--suspend-timeout: 0.5"]);
    assert_eq!((suspended.suspend_interval, suspended.suspend_time.as_millis()), (Some(4), 500));
    let wrong =
        invalid(plan(&prompted_case(&["--drain-between-batches: true", "--batch-boundaries: \"8,0\""], "")));
    assert!(wrong.to_string().contains("expected ascending request numbers"), "{wrong}");
}

#[test]
fn stop_words_and_alternatives_reach_the_requests() {
    let sampling = |flags: &[&str]| run(plan(&prompted_case(flags, ""))).workload.sampling;
    let words = sampling(&["--stop-words: \"[the END]\""]);
    assert_eq!(words.stop_words, ["the", "END"]);
    assert_eq!(sampling(&["--return-log-probs: true", "--top-n-logprobs: 4"]).top_n_logprobs, 4);
    let alone = invalid(plan(&prompted_case(&["--top-n-logprobs: 4"], "")));
    assert!(alone.to_string().contains("needs --return-log-probs"), "{alone}");
}

#[test]
fn with_the_checkpoint_the_throughput_test_runs_as_written() {
    let text = throughput_case().replace("${CHECKPOINT_LOAD_PATH}/", "");
    let config = format!("{MODEL}config.json");
    let existing = [MODEL, &config, "/cases/gpt/case/model/some/vocab.json", "/cases/text/processed.jsonl"];
    let text = text.replace("/case/", "/");
    let plan = run(plan_in(
        "case",
        &text.replace("model/some", "/cases/gpt/case/model/some"),
        "dgx_h100",
        &existing,
    ));
    assert!(matches!(&plan.model, ModelPlan::Checkpoint { .. }));
    assert!(matches!(&plan.tokenizer, TokenizerPlan::TikToken { pattern, .. } if pattern == "v2"));
    assert!(matches!(&plan.workload.source, PromptSource::File { truncate: Some(1024), .. }));
    assert_eq!(plan.workload.arrival, Arrival::PerStep { num_requests: 128 });
    assert_eq!(plan.engine.kv_buffer_bytes, 20 << 30);
    assert_eq!(plan.engine.max_sequence_length, 4096);
    assert!(plan.workload.num_tokens_from_file);
    assert_eq!(plan.workload.sampling.seed, 42);
    assert_eq!(plan.metrics, ["generated_tokens", "logprobs"]);
    assert_eq!(plan.output, None);
    let reason = |flag: &str| plan.ignored_flags.iter().find(|i| i.flag == flag).map(|i| i.reason.as_ref());
    assert!(reason("--disable-chunked-prefill").unwrap().contains("removed from Megatron-LM"));
    assert!(reason("--output-path").unwrap().contains("INFERENCE_OUTPUT_PATH is not set"));
    assert!(reason("--num-layers").unwrap().contains("checkpoint's own config"));
    assert!(reason("ENV_VARS.NCCL_ALGO").is_some() && reason("LAUNCHER").is_some());
}

#[test]
fn a_prompt_file_that_is_named_from_the_checkout_is_found_below_the_cases() {
    let file = "tests/functional_tests/test_cases/gpt/case/prompts.jsonl";
    for spelling in [file.to_owned(), format!("./{file}")] {
        let flag = format!("--prompt-file: \"{spelling}\"");
        for existing in ["/cases/gpt/case/prompts.jsonl", &format!("/cases/gpt/case/{file}")] {
            let plan = run(plan_in("case", &small_case(&[&flag], ""), "cpu", &[existing]));
            let PromptSource::File { path, .. } = plan.workload.source else { panic!("{flag}") };
            let path: std::path::PathBuf = path.components().collect();
            assert_eq!(path, std::path::Path::new(existing));
        }
        let error = invalid(plan_in("case", &small_case(&[&flag], ""), "cpu", &[]));
        assert!(error.contains("no folder above this case has gpt/case/prompts.jsonl"), "{error}");
    }
    let beside = small_case(&["--prompt-file: prompts.jsonl"], "");
    let error = invalid(plan_in("case", &beside, "cpu", &["/cases/prompts.jsonl"]));
    assert!(error.contains("/cases/gpt/case/prompts.jsonl does not exist"), "{error}");
}

#[test]
fn of_a_flag_given_twice_the_last_one_counts_on_the_command_line() {
    let repeated = ["--seed: 1", "--model-provider: hybrid", "--seed: x"];
    let error = invalid(plan(&prompted_case(&repeated, "")));
    assert!(error.contains("--seed: expected an integer"), "a wrong value stays one: {error}");
    let reason = skip(plan(&prompted_case(&["--num-experts: 2", "--num-experts: 2"], "")));
    assert_eq!(reason, "--num-experts: mixture of experts is not implemented yet");
}

#[test]
fn what_only_goldlap_minds_is_told_where_the_case_could_run() {
    for keys in ["TEST_TYPE: regular\n", "TEST_EVALUATION: xpass\n", "ENV_VARS: {SKIP_PYTEST: 1}\n"] {
        assert!(matches!(plan(&prompted_case(&[], keys)), crate::plan::Disposition::Invalid(_)), "{keys}");
        let reason = skip(plan(&prompted_case(&["--num-experts: 2"], keys)));
        assert_eq!(reason, "--num-experts: mixture of experts is not implemented yet");
        let absent = "--load: ${CHECKPOINT_LOAD_PATH}/m";
        let error = invalid(plan(&prompted_case(&[absent], keys)));
        assert!(!error.contains("CHECKPOINT_LOAD_PATH"), "a missing checkpoint excuses nothing: {error}");
    }
}

#[test]
fn performance_cases_are_recognised() {
    let text = "MODEL: gpt_583m\nTP: 1\nPP: 1\nDP: 8\nNUM_INPUT_TOKENS: 512\nNUM_OUTPUT_TOKENS: 128\n\
                NUM_WARMUP_ITERS: 2\nNUM_TIMED_ITERS: 5\nBATCH_SIZES:\n  - 1\n  - 8\nTOLERANCE_PCT: 10\n\
                METRICS:\n  - throughput_tok_per_sec\n";
    let error = invalid(plan_in("gpt_583m_perf", text, "cpu", &[]));
    assert!(error.contains("MODEL: a text that is no file has no MODEL.args beside it"), "{error}");
}

#[test]
fn training_cases_are_recognised() {
    let anchored =
        "BASE_MODEL_ARGS: &base\n  --lr: 1\nMODEL_ARGS:\n  <<: *base\n  --new-flag: 1\nMODEL_ARGS_2: {}\n";
    for (text, expected) in [
        ("MODE: rl\nMODEL_ARGS:\n  --some-training-flag: 3\n", "MODE rl: only inference"),
        ("MODE: pretraining\nMODEL_ARGS: {}\n", "MODE pretraining: only inference"),
        (
            "TEST_TYPE: regular\nMODEL_ARGS:\n  --some-training-flag: 3\n",
            "MODE is absent, which means pretraining",
        ),
        (anchored, "MODE is absent, which means pretraining"),
    ] {
        let reason = skip(plan_in("case", text, "cpu", &[]));
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn random_weights_stand_for_what_is_there_in_a_foreign_format() {
    let text = one_prompt("").replace("${CHECKPOINT_LOAD_PATH}/", "");
    let existing = [
        "/cases/gpt/case/model/some/",
        "/cases/gpt/case/model/some/vocab.json",
        "/cases/gpt/case/model/some/latest_checkpointed_iteration.txt",
    ];
    let planned = |absent| super::plan_with("case", &text, "cpu", &existing, absent);
    let reason = skip(planned(AbsentModel::Skips));
    assert!(
        reason.contains("a checkpoint in Megatron's own format, which this version does not read"),
        "{reason}"
    );
    let replaced = run(planned(AbsentModel::IsReplaced));
    assert!(matches!(&replaced.model, ModelPlan::Random { .. }));
    assert!(matches!(&replaced.tokenizer, TokenizerPlan::TikToken { .. }), "the vocabulary can be read");
    assert_eq!(replaced.uncompared, ["generated_tokens", "logprobs"]);
    assert!(matches!(run(planned(AbsentModel::IsElsewhere)).model, ModelPlan::Elsewhere));
}

#[test]
fn no_random_weights_stand_for_a_checkpoint_that_alone_knows_its_sizes() {
    let text = one_prompt("").replace("  --num-layers: 24\n  --hidden-size: 1152\n", "");
    let reason = skip(random_plan_in("tp1_pp1_dp8", &text));
    assert!(
        reason.starts_with("--load: not there, and only the checkpoint knows the model's sizes"),
        "{reason}"
    );
}

#[test]
fn random_weights_stand_for_a_missing_checkpoint_and_tokens_are_not_compared() {
    let text = one_prompt("  --top_k: 1\n");
    let both = text.replace("METRICS:\n", "METRICS:\n  - throughput\n");
    for (text, metrics) in [(&text, &[][..]), (&both, &["throughput"])] {
        let plan = run(random_plan_in("tp1_pp1_dp8", text));
        assert!(matches!(&plan.model, ModelPlan::Random { config, .. } if config.num_layers == 24));
        assert!(matches!(&plan.tokenizer, TokenizerPlan::BuiltIn));
        assert_eq!(plan.engine.max_sequence_length, 1024, "the learned positions, not the checkpoint's 4096");
        assert_eq!(plan.metrics, metrics);
        assert_eq!(plan.uncompared, ["generated_tokens", "logprobs"]);
    }
}
