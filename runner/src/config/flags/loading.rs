//! Flags of checkpoints and tokenizers.

use super::ValueType::{Choice, Integer, Path, Switch, Text};
use super::{FlagSpec, irrelevant, used};

const FOLDER_DECIDES: &str = "a checkpoint is a Hugging Face folder, whose own files say all of this";

pub(super) const FLAGS: &[FlagSpec] = &[
    used("--load", Path, None, "checkpoint: a Hugging Face folder; absent = random weights from --seed"),
    used(
        "--tokenizer-type",
        Choice(&[
            "TikTokenizer",
            "HuggingFaceTokenizer",
            "NullTokenizer",
            "GPT2BPETokenizer",
            "SentencePieceTokenizer",
            "GPTSentencePieceTokenizer",
            "Llama2Tokenizer",
            "MultimodalTokenizer",
            "NullMultimodalTokenizer",
            "SFTTokenizer",
            "BertWordPieceLowerCase",
            "BertWordPieceCase",
        ]),
        None,
        "kind of tokenizer; default: the checkpoint's own, or the built-in one",
    ),
    used("--tokenizer-model", Path, None, "vocabulary file of the tokenizer"),
    used(
        "--tiktoken-pattern",
        Choice(&["v1", "v2"]),
        Some("v2"),
        "how TikTokenizer cuts text before merging",
    ),
    irrelevant("--use-checkpoint-args", Switch, None, "architecture from the checkpoint", FOLDER_DECIDES),
    irrelevant("--auto-detect-ckpt-format", Switch, None, "guess the checkpoint's format", FOLDER_DECIDES),
    irrelevant(
        "--ckpt-format",
        Choice(&["torch", "torch_dist", "zarr", "torch_dcp", "fsdp_dtensor"]),
        Some("torch_dist"),
        "format of the checkpoint",
        FOLDER_DECIDES,
    ),
    irrelevant("--dist-ckpt-strictness", Text, None, "what to do about extra entries", FOLDER_DECIDES),
    irrelevant("--ckpt-fully-parallel-load", Switch, None, "share out the reading", FOLDER_DECIDES),
    irrelevant(
        "--ckpt-assume-constant-structure",
        Switch,
        None,
        "skip checks when loading again",
        FOLDER_DECIDES,
    ),
    irrelevant("--no-load-optim", Switch, None, "no optimiser state", "there is no optimiser here"),
    irrelevant("--no-load-rng", Switch, None, "no generator state", "sampling is keyed by --seed"),
    irrelevant(
        "--no-use-tokenizer-model-from-checkpoint-args",
        Switch,
        None,
        "tokenizer from the flags, not from the checkpoint",
        "a tokenizer given by flags always wins",
    ),
    irrelevant("--ckpt-step", Integer(0), None, "iteration to load", FOLDER_DECIDES),
    irrelevant(
        "--stream-ckpt-dequant",
        Switch,
        None,
        "convert weights while they are read",
        "weights are read in the checkpoint's own format",
    ),
];
