//! Small architectures for the tests of the library and of its backends, with sizes that are multiples of nothing.

use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};

/// Llama: RMS norm, grouped queries, SwiGLU, tied.
pub(crate) fn llama() -> GptConfig {
    GptConfig {
        num_layers: 2,
        hidden_size: 48,
        num_attention_heads: 4,
        num_query_groups: 2,
        kv_channels: 16,
        ffn_hidden_size: 72,
        vocab_size: 331,
        max_position_embeddings: 2048,
        normalization: Normalization::RmsNorm,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::Rope { base: 10_000.0, percent: 1.0, scaling: None },
        activation: Activation::SwiGlu,
        qkv_bias: false,
        attention_output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied_embeddings: true,
    }
}

/// GPT-2: LayerNorm, learned positions, odd widths, biases everywhere.
pub(crate) fn gpt2() -> GptConfig {
    GptConfig {
        hidden_size: 45,
        num_attention_heads: 3,
        num_query_groups: 3,
        kv_channels: 15,
        ffn_hidden_size: 99,
        vocab_size: 257,
        normalization: Normalization::LayerNorm,
        position_embedding: PositionEmbedding::LearnedAbsolute,
        activation: Activation::GeluTanh,
        qkv_bias: true,
        attention_output_bias: true,
        mlp_bias: true,
        ..llama()
    }
}
