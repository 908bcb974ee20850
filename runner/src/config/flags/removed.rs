//! Flags that Megatron-LM had once; old case files still carry them.

use super::ValueType::{Integer, Number, Switch, Text};
use super::{FlagSpec, removed};

pub(super) const FLAGS: &[FlagSpec] = &[
    removed(
        "--disable-chunked-prefill",
        Switch,
        "do not split prompts",
        "removed from Megatron-LM in February 2026; prompts are not split unless --enable-chunked-prefill is given",
    ),
    removed(
        "--cuda-graph-scope",
        Text,
        "what one graph spans",
        "renamed in Megatron-LM; never changes results",
    ),
    removed(
        "--inference-dynamic-batching-cuda-graph-max-tokens",
        Integer(1),
        "tokens of the largest captured step",
        "renamed in Megatron-LM; --inference-cuda-graph-max-tokens is the largest captured step with prompts",
    ),
    removed(
        "--inference-buffer-size-gb",
        Number,
        "KV pool, GiB",
        "renamed in Megatron-LM; --inference-dynamic-batching-buffer-size-gb sizes the pool",
    ),
    removed(
        "--inference-max-requests-override",
        Integer(1),
        "sequences in one step",
        "removed from Megatron-LM; --inference-dynamic-batching-max-requests limits a step",
    ),
    removed(
        "--inference-buffer-guaranteed-fraction",
        Number,
        "share of KV kept for progress",
        "removed from Megatron-LM; blocks are allocated as needed",
    ),
    removed(
        "--inference-buffer-overflow-factor",
        Number,
        "over-commitment of the KV pool",
        "removed from Megatron-LM; blocks are allocated as needed",
    ),
    removed(
        "--inference-dynamic-batching-active-buffer-size-gb",
        Number,
        "KV of active requests, GiB",
        "removed from Megatron-LM; --inference-dynamic-batching-buffer-size-gb sizes the pool",
    ),
    removed(
        "--inference-dynamic-batching-max-requests-override",
        Integer(1),
        "sequences in one step",
        "removed from Megatron-LM; --inference-dynamic-batching-max-requests limits a step",
    ),
    removed(
        "--inference-dynamic-batching-buffer-guaranteed-fraction",
        Number,
        "share of KV kept for progress",
        "removed from Megatron-LM; blocks are allocated as needed",
    ),
    removed(
        "--inference-dynamic-batching-buffer-overflow-factor",
        Number,
        "over-commitment of the KV pool",
        "removed from Megatron-LM; blocks are allocated as needed",
    ),
];
