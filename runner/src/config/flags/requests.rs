//! Flags of requests, sampling and output (Megatron's `megatron/inference/utils.py`).

use super::ValueType::{Choice, Integer, Number, Path, Range, Switch, Text, Words};
use super::{FlagSpec, irrelevant, not_yet, used};

const DIRECT_ONLY: &str = "read by the original's direct and offline scripts only";
const STATIC: &str = "only the dynamic engine is implemented";

pub(super) const FLAGS: &[FlagSpec] = &[
    used("--temperature", Number, Some("1.0"), "divides the logits before sampling"),
    used("--top_k", Integer(0), Some("1"), "sample among the k likeliest tokens; 1 = greedy, 0 = off"),
    used(
        "--top_p",
        Number,
        Some("0.0"),
        "sample within this nucleus mass; 0 = off; not together with --top_k",
    ),
    used("--return-log-probs", Switch, None, "return logprobs of prompt and generated tokens"),
    used("--skip-prompt-log-probs", Switch, None, "return logprobs of generated tokens only"),
    used(
        "--top-n-logprobs",
        Integer(0),
        Some("0"),
        "return the n likeliest tokens in the place of each generated one",
    ),
    used("--stop-words", Words, None, "texts that end a request; they are not part of its output"),
    used(
        "--termination-id",
        Integer(-1),
        None,
        "token that ends a sequence; -1 = none; default: the tokenizer's end of document",
    ),
    used("--num-tokens-to-generate", Integer(1), Some("30"), "output tokens of a request at most"),
    used("--num-tokens-from-file", Switch, None, "output length of each request from the prompt file"),
    used("--prompts", Words, None, "prompts, inline; not together with --prompt-file"),
    used("--prompt-file", Path, None, "prompts from a file: the original's jsonl or ShareGPT JSON"),
    used("--prompt-file-num-truncate", Integer(1), None, "take the first n prompts of the file"),
    used("--num-tokens-to-prompt", Range, Some("[64 1024]"), "lengths of synthetic prompts, in tokens"),
    used(
        "--incoming-requests-per-step",
        Integer(1),
        None,
        "submit n requests per turn of the submitting loop",
    ),
    used(
        "--incoming-requests-per-sec",
        Number,
        Some("100.0"),
        "mean rate of Poisson arrivals; 0 or less = all at once",
    ),
    used(
        "--incoming-requests-duration",
        Number,
        Some("10.0"),
        "seconds; with the rate it sizes a synthetic workload",
    ),
    used("--output-path", Path, None, "write the original's output JSON here"),
    used("--throughput-check-only", Switch, None, "the output JSON holds throughput only"),
    used(
        "--output-every-n-results",
        Integer(1),
        Some("1"),
        "write every n-th result and the last (the original's direct script)",
    ),
    irrelevant(
        "--output-request-events",
        Switch,
        None,
        "write each request's events",
        "the record of a run always has them",
    ),
    used(
        "--no-record-throughput",
        Switch,
        None,
        "leave throughput out of the output (the original's direct script)",
    ),
    used("--inference-repeat-n", Integer(1), Some("1"), "runs of the case, times N_REPEAT"),
    used(
        "--suspend-resume-interval",
        Integer(1),
        None,
        "suspend and resume all engines after every n submitted requests",
    ),
    used("--suspend-timeout", Number, Some("0.0"), "seconds to stay suspended"),
    used("--drain-between-batches", Switch, None, "submit a batch, wait for its end, submit the next"),
    used("--batch-boundaries", Text, None, "first requests of the batches: \"0,8,16\""),
    used(
        "--coordinator-schedule-output-path",
        Path,
        None,
        "write the coordinator's routing decisions here, as JSON",
    ),
    not_yet(
        "--model-provider",
        Choice(&["gpt", "hybrid", "mamba"]),
        Some("gpt"),
        "family of the model",
        "only GPT models are implemented",
    ),
    irrelevant(
        "--use-flashinfer-fused-rope",
        Switch,
        None,
        "kernel for the rotary embedding",
        "chooses a kernel of the original",
    ),
    irrelevant(
        "--inference-ckpt-non-strict",
        Switch,
        None,
        "accept extra or missing entries in the checkpoint",
        "a Hugging Face folder is always read strictly",
    ),
    irrelevant(
        "--use-coordinator",
        Switch,
        None,
        "serve through the coordinator",
        "requests always go through the coordinator",
    ),
    irrelevant("--async-mode", Switch, None, "asynchronous offline API", DIRECT_ONLY),
    irrelevant(
        "--coordinator-host",
        Text,
        None,
        "address of the coordinator",
        "the coordinator runs on this machine's loopback",
    ),
    irrelevant(
        "--coordinator-port",
        Integer(0),
        None,
        "port of the coordinator",
        "a free port is taken: two runs can share a machine",
    ),
    not_yet("--use-legacy-static-engine", Switch, None, "static batching", STATIC),
    irrelevant(
        "--inference-max-requests",
        Integer(1),
        Some("8"),
        "batch of the static engine",
        "belongs to the static engine",
    ),
    // Cases of before --use-legacy-static-engine show by this one alone that they are the static engine's.
    not_yet("--flash-decode", Switch, None, "decode kernel of the static engine", STATIC),
];
