//! Performance cases, from the two files of one to what becomes of it.

use std::fs;

use super::{bare_environment, run, skip};
use crate::config::CaseFile;
use crate::plan::{
    AbsentModel, Arrival, CasePlan, Disposition, PlanInputs, PromptSource, TerminationPlan, plan_case,
};

const ARGS: &str = "\
# a model
--tokenizer-type TikTokenizer
--bf16
--num-layers 2 --hidden-size 64 --num-attention-heads 4
--max-position-embeddings 4096
--tensor-model-parallel-size 1
";
const CASE: &str = "MODEL: m\nDP: 4\nNUM_OUTPUT_TOKENS: 128\nBATCH_SIZES: [1, 8]\n";

fn plan(case: &str, args: &str, prompts: Option<&str>) -> Disposition {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("test_cases/gpt/m_perf");
    fs::create_dir_all(&folder).unwrap();
    let args_file = root.path().join("server/model_args/m.args");
    fs::create_dir_all(args_file.parent().unwrap()).unwrap();
    fs::write(args_file, args).unwrap();
    fs::write(folder.join("model_config.yaml"), case).unwrap();
    if let Some(prompts) = prompts {
        fs::write(folder.join("prompts.jsonl"), prompts).unwrap();
    }
    let file = match CaseFile::read(&folder.join("model_config.yaml")) {
        Ok(file) => file,
        Err(error) => return Disposition::Invalid(error),
    };
    plan_case(&PlanInputs {
        case: &file,
        name: "gpt::m_perf",
        folder: &folder,
        golden_root: root.path(),
        platform: &crate::plan::Platform::Cpu,
        environment: &bare_environment(),
        absent: AbsentModel::Skips,
        exists: &|path| path.exists(),
    })
}

fn planned(more: &str) -> CasePlan {
    run(plan(&format!("{CASE}{more}"), ARGS, Some("{\"text\": \"one\"}\n")))
}

fn errors(case: &str, args: &str) -> Vec<String> {
    let disposition = plan(case, args, None);
    let Disposition::Invalid(error) = disposition else { panic!("{disposition:?}") };
    error.diagnostics.into_iter().map(|d| d.message).collect()
}

#[test]
fn a_test_of_the_originals_frontend_is_no_case_of_ours() {
    let text = "MODEL: frontend\nPATHS: [client, http]\nCONCURRENCY: \"1,8\"\nNUM_OUTPUT_TOKENS: 64\nNUM_ENGINES: 1\n";
    assert!(skip(plan(text, ARGS, None)).contains("Megatron-LM's own HTTP frontend"));
}

#[test]
fn flags_that_are_not_implemented_are_told_with_prompts_that_are_not_here() {
    let reason = skip(plan(&format!("{CASE}DATASET: gsm8k\n"), &format!("{ARGS}--num-experts 8\n"), None));
    let (flag, dataset) = reason.split_once("; ").unwrap();
    assert_eq!(flag, "--num-experts: mixture of experts is not implemented yet");
    assert!(dataset.starts_with("DATASET gsm8k: its prompts are not part of Goldlap"), "{dataset}");
}

#[test]
fn the_schemas_defaults_are_the_originals() {
    let plan = planned("");
    let performance = plan.performance.unwrap();
    assert_eq!(performance.batch_sizes, [1, 8]);
    assert_eq!((performance.num_warm_up, performance.num_timed), (2, 5));
    assert_eq!((performance.num_input_tokens, performance.num_output_tokens), (512, 128));
    assert_eq!((performance.tolerance, performance.upper_tolerance), (0.1, 0.2));
    assert_eq!(
        plan.metrics,
        ["throughput_tok_per_sec", "avg_latency_ms", "p50_latency_ms", "p99_latency_ms", "tpot_ms_per_tok"]
    );
    assert_eq!(plan.topology.data_parallel, 4);
    assert_eq!(plan.engine.max_sequence_length, 512 + 128 + 32);
    assert_eq!((plan.engine.max_requests, plan.engine.kv_buffer_bytes), (Some(256), 20 << 30));
    assert_eq!(plan.workload.arrival, Arrival::AllAtOnce);
    assert_eq!(plan.workload.sampling.top_k, 1);
    assert_eq!(plan.workload.sampling.termination, TerminationPlan::Never, "the end of a text ends nothing");
    assert_eq!((plan.workload.num_tokens_to_generate, plan.workload.max_prompt_tokens), (128, Some(512)));
    let PromptSource::Inline(prompts) = &plan.workload.source else { panic!("{:?}", plan.workload.source) };
    assert_eq!(prompts[0], "hello ".repeat(512));
}

#[test]
fn the_models_own_arguments_count_and_the_benchmarks_win() {
    let args = format!("{ARGS}--inference-max-seq-length 4096\n--num-tokens-to-generate 7\n--top_k 0\n");
    let plan = run(plan(CASE, &args, None));
    assert_eq!(plan.engine.max_sequence_length, 4096);
    assert_eq!((plan.workload.num_tokens_to_generate, plan.workload.sampling.top_k), (128, 1));
}

#[test]
fn prompts_may_come_from_a_file() {
    let plan = planned("DATASET: prompts.jsonl\nMETRICS: [efficiency, decode_tpot_ms]\n");
    assert!(matches!(plan.workload.source, PromptSource::File { truncate: Some(8), .. }));
    assert_eq!((plan.workload.max_prompt_tokens, plan.metrics.len()), (None, 2));
    let reason = skip(super::performance_files::plan(&format!("{CASE}DATASET: gsm8k\n"), ARGS, None));
    assert!(reason.contains("gsm8k: its prompts are not part of Goldlap"), "{reason}");
    assert_eq!(
        errors(&format!("{CASE}DATASET: none.jsonl\n"), ARGS),
        ["DATASET: \"none.jsonl\" is no file here: expected synthetic, gsm8k or a prompt file"]
    );
}

#[test]
fn what_this_version_does_not_run_is_a_reason() {
    for (more, expected) in [("TP: 2\n", "TP 2: tensor parallelism"), ("EP: 8\n", "EP: expert parallelism")] {
        let args = ARGS.replace("--tensor-model-parallel-size 1\n", "");
        let reason = skip(plan(&format!("{CASE}{more}"), &args, None));
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn mistakes_are_told_all_at_once_where_they_stand() {
    let case = "MODEL: m\nNUM_OUTPUT_TOKENS: 0\nBATCH_SIZES: [8, 1]\nTOLERANCE_PCT: -1\n\
                METRICS: [throughput, tpot_ms_per_token, generated_tokens]\n";
    assert_eq!(
        errors(case, ARGS),
        [
            "BATCH_SIZES: expected ascending sizes from 1, got [8, 1]",
            "NUM_OUTPUT_TOKENS: expected 1 to 16777216, got 0",
            "TOLERANCE_PCT: expected percent, at least 0, got -1",
            "METRICS: a performance case does not measure \"throughput\"",
            "METRICS: a performance case does not measure \"tpot_ms_per_token\"",
            "METRICS: a performance case does not measure \"generated_tokens\"",
        ]
    );
    assert_eq!(errors("MODEL: other\nNUM_OUTPUT_TOKENS: 1\nBATCH_SIZES: [1]\n", ARGS).len(), 1);
    let flags = errors(CASE, &format!("{ARGS}--num-layer 3\n"));
    assert!(flags[0].contains("--num-layer"), "{flags:?}");
}
