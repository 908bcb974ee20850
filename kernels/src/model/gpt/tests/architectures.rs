//! Small architectures that together use every feature, with sizes that are multiples of nothing.

use crate::model::config::{Activation, GptConfig, Normalization, PositionEmbedding, RopeScaling};

#[path = "../../../../tests/shared/architectures.rs"]
mod shared;

pub(super) use shared::{gpt2, llama};

/// Qwen3 with Llama-3 scaling: head norm, head width unequal to hidden / heads, one key/value head, gated biases, untied.
pub(super) fn qwen3() -> GptConfig {
    GptConfig {
        hidden_size: 64,
        num_attention_heads: 5,
        num_query_groups: 1,
        kv_channels: 20,
        ffn_hidden_size: 37,
        position_embedding: PositionEmbedding::Rope {
            base: 500_000.0,
            percent: 1.0,
            scaling: Some(RopeScaling {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 64,
            }),
        },
        qkv_bias: true,
        mlp_bias: true,
        qk_norm: true,
        tied_embeddings: false,
        ..llama()
    }
}

/// Nemotron: LayerNorm1p, half rotation, squared ReLU, heads of 64.
pub(super) fn nemotron() -> GptConfig {
    GptConfig {
        hidden_size: 80,
        num_attention_heads: 2,
        num_query_groups: 1,
        kv_channels: 64,
        ffn_hidden_size: 160,
        normalization: Normalization::LayerNorm1p,
        position_embedding: PositionEmbedding::Rope { base: 1e4, percent: 0.5, scaling: None },
        activation: Activation::SquaredRelu,
        tied_embeddings: false,
        ..llama()
    }
}

/// LayerNorm with erf GELU and wide heads.
pub(super) fn erf() -> GptConfig {
    GptConfig {
        num_layers: 1,
        kv_channels: 128,
        normalization: Normalization::LayerNorm,
        activation: Activation::Gelu,
        mlp_bias: true,
        ..llama()
    }
}

/// All of them.
pub(super) fn all() -> [(&'static str, GptConfig); 5] {
    [("llama", llama()), ("gpt2", gpt2()), ("qwen3", qwen3()), ("nemotron", nemotron()), ("erf", erf())]
}
