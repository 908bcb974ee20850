//! Small models of every family, written to disk by `init_model` and read back as any checkpoint is.

use std::path::Path;

use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding, RopeScaling};
use goldlap_kernels::model::hugging_face::{HuggingFaceModel, ModelType, init_model};
use goldlap_kernels::model::random::RandomWeights;

/// Larger than Megatron's 0.02, as narrow layers would otherwise do next to nothing.
const INIT_STD: f64 = 0.1;
const VECTOR_NOISE_STD: f64 = 0.2;

/// Sizes are no multiples of vector widths, heads no power of two.
fn llama() -> GptConfig {
    GptConfig {
        num_layers: 3,
        hidden_size: 72,
        num_attention_heads: 6,
        num_query_groups: 2,
        kv_channels: 20,
        ffn_hidden_size: 104,
        vocab_size: 211,
        max_position_embeddings: 128,
        normalization: Normalization::RmsNorm,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::Rope { base: 1e4, percent: 1.0, scaling: None },
        activation: Activation::SwiGlu,
        qkv_bias: false,
        attention_output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied_embeddings: true,
    }
}

/// Longer than its first context, so that the scaling of frequencies shows.
fn llama3() -> GptConfig {
    let scaling = RopeScaling {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
    };
    let position_embedding = PositionEmbedding::Rope { base: 1e4, percent: 1.0, scaling: Some(scaling) };
    GptConfig { position_embedding, tied_embeddings: false, ..llama() }
}

fn gpt2() -> GptConfig {
    GptConfig {
        num_query_groups: 6,
        kv_channels: 12,
        normalization: Normalization::LayerNorm,
        position_embedding: PositionEmbedding::LearnedAbsolute,
        activation: Activation::GeluTanh,
        qkv_bias: true,
        attention_output_bias: true,
        mlp_bias: true,
        ..llama()
    }
}

fn nemotron() -> GptConfig {
    GptConfig {
        normalization: Normalization::LayerNorm1p,
        position_embedding: PositionEmbedding::Rope { base: 1e4, percent: 0.5, scaling: None },
        activation: Activation::SquaredRelu,
        tied_embeddings: false,
        ..llama()
    }
}

/// Names, expected families and architectures.
pub(crate) fn all() -> Vec<(&'static str, ModelType, GptConfig)> {
    let biases = GptConfig { qkv_bias: true, attention_output_bias: true, mlp_bias: true, ..llama() };
    let gpt2_erf = GptConfig { activation: Activation::Gelu, tied_embeddings: false, ..gpt2() };
    vec![
        ("llama", ModelType::Llama, llama()),
        ("llama3", ModelType::Llama, llama3()),
        ("llama_biases", ModelType::Llama, biases),
        ("qwen2", ModelType::Qwen2, GptConfig { qkv_bias: true, ..llama() }),
        ("qwen3", ModelType::Qwen3, GptConfig { qk_norm: true, ..llama() }),
        ("gpt2", ModelType::Gpt2, gpt2()),
        ("gpt2_erf", ModelType::Gpt2, gpt2_erf),
        ("nemotron", ModelType::Nemotron, nemotron()),
    ]
}

/// Writes the model to `folder` and opens it.
pub(crate) fn write_and_open(config: &GptConfig, folder: &Path) -> HuggingFaceModel {
    let weights = RandomWeights::new(config.clone(), 11, INIT_STD).expect("a valid architecture");
    init_model(&weights.with_vector_noise(VECTOR_NOISE_STD), folder, "none").expect("written");
    HuggingFaceModel::open(folder).expect("what was written opens")
}

/// Tokens that follow no pattern.
pub(crate) fn prompt(len: usize, vocab_size: usize) -> Vec<u32> {
    (0..len as u64).map(|i| ((i * i * 2_654_435_761 + i * 40_503 + 17) % vocab_size as u64) as u32).collect()
}
