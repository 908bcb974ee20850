//! What plans resolve to: defaults, overrides, sources.

use std::path::Path;
use std::time::Duration;

use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};

use super::{invalid, plan, plan_in, prompted_case, run, skip, small_case};
use crate::plan::explain::{explain, explain_json};
use crate::plan::{
    Arrival, CasePlan, Disposition, ModelPlan, Origin, OutputScript, PromptSource, TerminationPlan,
    TokenizerPlan,
};

fn config(flags: &[&str]) -> GptConfig {
    let model = run(plan(&prompted_case(flags, ""))).model;
    let ModelPlan::Random { config, .. } = model else { panic!("{model:?}") };
    config
}

#[test]
fn the_architecture_has_megatrons_defaults() {
    let plain = config(&[]);
    assert_eq!(plain.ffn_hidden_size, 256);
    assert_eq!(plain.kv_channels, 16);
    assert_eq!(plain.num_query_groups, 4);
    assert_eq!(plain.normalization, Normalization::LayerNorm);
    assert_eq!(plain.position_embedding, PositionEmbedding::LearnedAbsolute);
    assert_eq!(plain.activation, Activation::GeluTanh);
    assert!(plain.qkv_bias && plain.attention_output_bias && plain.mlp_bias && plain.tied_embeddings);
    assert_eq!(plain.vocab_size, 101_376);
    assert_eq!(plain.norm_epsilon, 1e-5);
}

#[test]
fn activations_follow_megatrons_fusion() {
    assert_eq!(config(&["--disable-bias-linear: true"]).activation, Activation::Gelu);
    assert_eq!(config(&["--no-bias-gelu-fusion: true"]).activation, Activation::Gelu);
    assert_eq!(config(&["--openai-gelu: true"]).activation, Activation::GeluTanh);
    assert_eq!(config(&["--squared-relu: true"]).activation, Activation::SquaredRelu);
    let gated = config(&["--swiglu: true", "--hidden-size: 1152", "--num-attention-heads: 16"]);
    assert_eq!((gated.activation, gated.ffn_hidden_size), (Activation::SwiGlu, 3072));
}

#[test]
fn biases_can_be_those_of_queries_keys_and_values_only() {
    let config = config(&["--disable-bias-linear: true", "--add-qkv-bias: true"]);
    assert!(config.qkv_bias && !config.attention_output_bias && !config.mlp_bias);
}

#[test]
fn the_583m_model_is_described_by_flags() {
    let config = config(&[
        "--num-layers: 24",
        "--hidden-size: 1152",
        "--num-attention-heads: 16",
        "--group-query-attention: true",
        "--num-query-groups: 8",
        "--kv-channels: 128",
        "--ffn-hidden-size: 3168",
        "--swiglu: true",
        "--normalization: RMSNorm",
        "--position-embedding-type: rope",
        "--rotary-base: 1000000",
        "--padded-vocab-size: 131072",
        "--disable-bias-linear: true",
    ]);
    let attention = 2 * 1152 * 16 * 128 + 2 * 1152 * 8 * 128;
    let layer = attention + 3 * 1152 * 3168 + 2 * 1152;
    assert_eq!(config.num_layers * layer + 1152 + config.vocab_size * config.hidden_size, 583_687_296);
}

#[test]
fn engine_and_workload_have_megatrons_defaults() {
    let plan = run(plan(&prompted_case(&[], "")));
    assert_eq!(plan.engine.kv_buffer_bytes, 40 << 30);
    assert_eq!((plan.engine.block_size, plan.engine.max_tokens), (256, 16384));
    assert_eq!(
        (plan.engine.max_requests, plan.engine.max_sequence_length),
        (None, 64),
        "the learned positions"
    );
    let rotary = run(super::plan(&prompted_case(&["--position-embedding-type: rope"], "")));
    assert_eq!(rotary.engine.max_sequence_length, 2560);
    assert_eq!(plan.workload.num_tokens_to_generate, 30);
    assert_eq!(plan.workload.arrival, Arrival::Poisson { requests_per_second: 100.0, seed: 1234 });
    assert_eq!((plan.workload.sampling.top_k, plan.workload.sampling.top_p), (1, 0.0));
    assert_eq!(plan.workload.sampling.termination, TerminationPlan::TokenizerEod);
    assert_eq!((plan.time_limit, plan.num_repeats), (Duration::from_secs(600), 1));
    assert!(matches!(plan.tokenizer, TokenizerPlan::BuiltIn));
    assert_eq!(plan.golden_folder, Path::new("/goldens/gpt/case"));
}

#[test]
fn synthetic_prompts_are_sized_by_rate_and_duration() {
    let plan = run(plan(&small_case(&["--incoming-requests-per-sec: 2.5"], "")));
    let PromptSource::Synthetic { min_tokens, max_tokens, num_requests } = plan.workload.source else {
        panic!("{:?}", plan.workload.source)
    };
    assert_eq!((min_tokens, max_tokens, num_requests), (64, 1024, 25));
}

#[test]
fn a_platform_replaces_adds_and_removes() {
    let keys = "TOLERANCES: {efficiency: 0.5}\nTIME_LIMIT_S: 100\nN_REPEAT: 3\nPLATFORMS:\n  cpu:\n    MODEL_ARGS:\n      \
                --num-tokens-to-generate: 4\n      --swiglu: ~\n      --top_k: 2\n    METRICS: [efficiency]\n    \
                TOLERANCES: {efficiency: 0.9}\n    TIME_LIMIT_S: 50\n    N_REPEAT: 2\n";
    let text = prompted_case(&["--num-tokens-to-generate: 9", "--swiglu: true"], keys);
    let facts = |plan: &CasePlan| {
        let ModelPlan::Random { config, .. } = &plan.model else { panic!("{:?}", plan.model) };
        (plan.workload.num_tokens_to_generate, config.activation, plan.workload.sampling.top_k)
    };
    let cpu = run(plan_in("case", &text, "cpu", &[]));
    assert_eq!(facts(&cpu), (4, Activation::GeluTanh, 2));
    assert_eq!((cpu.metrics, cpu.tolerances), (vec!["efficiency".into()], vec![("efficiency".into(), 0.9)]));
    assert_eq!((cpu.time_limit, cpu.num_repeats), (Duration::from_secs(50), 2));
    let gpu = run(plan_in("case", &text, "h100x1", &[]));
    assert_eq!(facts(&gpu), (9, Activation::SwiGlu, 1));
    assert_eq!((gpu.time_limit, gpu.num_repeats), (Duration::from_secs(100), 3));
    let origin =
        |plan: &[crate::plan::Setting], name: &str| plan.iter().find(|s| s.name == name).unwrap().origin;
    assert_eq!(origin(&cpu.settings, "--num-tokens-to-generate"), Origin::Platform);
    assert_eq!(origin(&gpu.settings, "--num-tokens-to-generate"), Origin::Case);
}

#[test]
fn mistakes_under_another_platform_show_here_too() {
    let keys = "PLATFORMS:\n  dgx_h100:\n    MODEL_ARGS: {--sed: 1}\n";
    assert!(
        invalid(plan(&prompted_case(&[], keys)))
            .contains("PLATFORMS.dgx_h100.MODEL_ARGS.--sed: unknown flag")
    );
}

#[test]
fn the_topology_comes_from_name_or_key() {
    let degrees =
        |folder: &str, keys: &str| run(plan_in(folder, &prompted_case(&[], keys), "cpu", &[])).topology;
    assert_eq!(degrees("gpt_tp1_pp1_dp8_tiny", "").data_parallel, 8);
    assert_eq!(degrees("gpt_tp1_pp1_dp8_tiny", "DP: 8\n").data_parallel, 8);
    assert_eq!(degrees("gpt_tiny", "DP: 3\n").data_parallel, 3);
    assert_eq!(degrees("gpt_tiny", "").data_parallel, 1);
    let error = invalid(plan_in("gpt_dp8", &prompted_case(&[], "DP: 4\n"), "cpu", &[]));
    assert!(error.contains("DP: DP is 4, but the folder's name says 8"), "{error}");
    let error =
        invalid(plan_in("gpt_tp2", &prompted_case(&["--tensor-model-parallel-size: 1"], ""), "cpu", &[]));
    assert!(
        error.contains("--tensor-model-parallel-size: the flag says 1, but the folder's name says 2"),
        "{error}"
    );
}

#[test]
fn absent_models_and_data_are_skips_that_say_what_to_do() {
    let load = |path: &str| plan(&prompted_case(&[&format!("--load: {path}")], ""));
    assert_eq!(
        skip(load("${FETCHED_MODELS}/smollm2-135m")),
        "model absent: run `cargo xtask fetch-model smollm2-135m`"
    );
    assert_eq!(
        skip(load("${CHECKPOINT_LOAD_PATH}/m")),
        "the environment variable CHECKPOINT_LOAD_PATH is not set"
    );
    let reason = skip(plan(&small_case(&["--prompt-file: ${DATA_PATH}/x.jsonl"], "")));
    assert_eq!(
        reason,
        "--prompt-file: /cases/x.jsonl does not exist (from the environment variable DATA_PATH)"
    );
}

#[test]
fn a_checkpoint_folder_must_be_hugging_faces() {
    let text = prompted_case(&["--load: m"], "");
    let folder = "/cases/gpt/case/m";
    let plan = run(plan_in("case", &text, "cpu", &[folder, "/cases/gpt/case/m/config.json"]));
    assert!(matches!(plan.tokenizer, TokenizerPlan::HuggingFace { .. }));
    let error = invalid(plan_in("case", &text, "cpu", &[folder]));
    assert!(error.contains("has no config.json: expected a Hugging Face folder"), "{error}");
    let reason = skip(plan_in("case", &text, "cpu", &[folder, "/cases/gpt/case/m/metadata.json"]));
    assert!(reason.contains("Megatron's own format"), "{reason}");
}

#[test]
fn scripts_are_not_run() {
    let reason = skip(plan(&prompted_case(&[], "BEFORE_SCRIPT: rm -rf /\n")));
    assert_eq!(reason, "BEFORE_SCRIPT: shell scripts are not run");
}

#[test]
fn mistakes_outrank_obstacles() {
    let text = prompted_case(&["--enable-chunked-prefill: true", "--top_k: one"], "");
    assert!(!invalid(plan(&text)).contains("chunked"));
}

#[test]
fn repeats_may_come_from_the_environment_variables() {
    let repeats = |keys: &str| run(plan(&prompted_case(&[], keys))).num_repeats;
    assert_eq!(repeats("ENV_VARS: {N_REPEAT: 5}\n"), 5);
    assert_eq!(repeats("ENV_VARS: {N_REPEAT: 5}\nN_REPEAT: 2\n"), 2);
}

#[test]
fn repeats_inside_a_run_multiply_the_runs() {
    let flags: &[&str] = &["--inference-repeat-n: 3"];
    assert_eq!(run(plan(&prompted_case(flags, ""))).num_repeats, 3);
    assert_eq!(run(plan(&prompted_case(flags, "N_REPEAT: 2\n"))).num_repeats, 6);
    let many = invalid(plan(&prompted_case(&["--inference-repeat-n: 100000"], "N_REPEAT: 2\n")));
    assert!(many.contains("--inference-repeat-n") && many.contains("100000 times 2"), "{many}");
    let none = invalid(plan(&prompted_case(&["--inference-repeat-n: 0"], "")));
    assert!(none.contains("--inference-repeat-n"), "{none}");
}

#[test]
fn the_output_is_that_of_the_script_which_the_folders_name_tells() {
    let output = |folder: &str, flags: &[&str], keys: &str| {
        let flags: Vec<&str> = flags.iter().copied().chain(["--output-path: out.json"]).collect();
        let plan = run(plan_in(folder, &prompted_case(&flags, keys), "cpu", &[]));
        plan.output.map(|output| (output.script, output.every_n_results, output.num_repeats))
    };
    let direct = |throughput| OutputScript::Direct { throughput };
    let all = ["--output-every-n-results: 4", "--no-record-throughput: true", "--inference-repeat-n: 3"];
    assert_eq!(output("dp1_tiny", &[], ""), Some((direct(true), 1, 1)));
    assert_eq!(output("dp1_tiny", &all, "N_REPEAT: 2\n"), Some((direct(false), 4, 3)));
    assert_eq!(output("dp1_tiny_zmq", &all, ""), Some((OutputScript::Coordinator, 1, 3)));
    let only = ["--throughput-check-only: true"];
    assert_eq!(output("dp1_tiny", &only, ""), Some((OutputScript::ThroughputOnly, 1, 1)));
    assert_eq!(run(plan(&prompted_case(&[], ""))).output, None);
}

#[test]
fn processed_logprobs_of_what_a_filter_drops_are_refused() {
    const MODE: &str = "--inference-dynamic-batching-logprobs-mode: processed_logprobs";
    let is_processed = |flags: &[&str]| {
        let plan = run(plan(&prompted_case(&[&[MODE], flags].concat(), "")));
        plan.engine.features.processed_logprobs
    };
    assert!(is_processed(&["--return-log-probs: true", "--skip-prompt-log-probs: true"]));
    assert!(is_processed(&["--return-log-probs: true", "--top_k: 0"]));
    assert!(!is_processed(&[]), "there are no logprobs");
    let refused = invalid(plan(&prompted_case(&[MODE, "--return-log-probs: true"], "")));
    assert!(refused.contains("minus infinity") && refused.contains("--skip-prompt-log-probs"), "{refused}");
}

#[test]
fn a_plan_is_explained_in_text_and_json() {
    let text = prompted_case(&["--bf16: true", "--seed: 7"], "KNOWN_FAILURE: {reason: slow, issue: 12}\n");
    let disposition = plan(&text);
    let shown = explain(&disposition);
    for expected in
        ["gpt::case on cpu", "golden_values_dev_cpu.json", "--seed ", "file", "default", "--bf16: true"]
    {
        assert!(shown.contains(expected), "{expected} is missing in\n{shown}");
    }
    let json = explain_json(&disposition);
    assert_eq!(json["run"]["known_failure"]["issue"], "12");
    assert!(json["settings"].as_array().unwrap().len() > 30);
    assert!(json["run"].get("settings").is_none());
    let skipped = Disposition::Skip { name: "gpt::x".into(), reason: "why".into() };
    assert_eq!(explain_json(&skipped)["skip"]["reason"], "why");
    assert_eq!(explain_json(&plan("MODE: 3\n"))["invalid"][0]["line"], 1);
}

#[test]
fn the_built_in_vocabulary_has_the_size_that_plans_assume() {
    let tokenizer = crate::workload::Tokenizer::load(&TokenizerPlan::BuiltIn).unwrap();
    assert_eq!(tokenizer.vocab_size(), super::super::architecture::BUILT_IN_VOCABULARY);
}
