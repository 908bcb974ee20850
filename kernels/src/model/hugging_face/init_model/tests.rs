//! Folders written by `init_model` read back as the same architecture with the same bits.

use super::*;
use crate::model::config::{Normalization, RopeScaling};
use crate::model::hugging_face::HuggingFaceModel;
use crate::model::random::RandomWeights;

fn llama() -> GptConfig {
    GptConfig {
        num_layers: 2,
        hidden_size: 48,
        num_attention_heads: 6,
        num_query_groups: 2,
        kv_channels: 12,
        ffn_hidden_size: 80,
        vocab_size: 101,
        max_position_embeddings: 64,
        normalization: Normalization::RmsNorm,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::Rope { base: 1e6, percent: 1.0, scaling: None },
        activation: Activation::SwiGlu,
        qkv_bias: false,
        attention_output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied_embeddings: true,
    }
}

fn gpt2() -> GptConfig {
    GptConfig {
        num_query_groups: 6,
        kv_channels: 8,
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

#[test]
fn every_family_reads_back_bit_for_bit() {
    let scaling = RopeScaling {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 32,
    };
    let scaled = PositionEmbedding::Rope { base: 5e5, percent: 1.0, scaling: Some(scaling) };
    let all_biases = GptConfig { qkv_bias: true, attention_output_bias: true, mlp_bias: true, ..llama() };
    for (config, expected) in [
        (llama(), ModelType::Llama),
        (GptConfig { position_embedding: scaled, tied_embeddings: false, ..llama() }, ModelType::Llama),
        (all_biases, ModelType::Llama),
        (GptConfig { qkv_bias: true, ..llama() }, ModelType::Qwen2),
        (GptConfig { qk_norm: true, ..llama() }, ModelType::Qwen3),
        (gpt2(), ModelType::Gpt2),
        (GptConfig { activation: Activation::Gelu, tied_embeddings: false, ..gpt2() }, ModelType::Gpt2),
        (nemotron(), ModelType::Nemotron),
    ] {
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = parent.path().join("model");
        let weights = RandomWeights::new(config, 5, 0.02).expect("valid").with_vector_noise(0.1);
        assert_eq!(init_model(&weights, &folder, "none").expect("written"), expected);
        let read_back = HuggingFaceModel::open(&folder).expect("opens");
        assert_eq!(read_back.model_type(), expected);
        assert_eq!(read_back.config(), weights.config());
        for name in weights.config().tensors() {
            assert_eq!(
                read_back.read(name).expect("read"),
                weights.read(name).expect("read"),
                "{expected} {name}"
            );
        }
        let bytes = fs::read(folder.join("model.safetensors")).expect("read");
        safetensors::SafeTensors::deserialize(&bytes).expect("the reference implementation accepts it");
        assert_eq!(fs::read_dir(parent.path()).expect("list").count(), 1, "no temporary folder is left");
    }
}

#[test]
fn an_architecture_of_no_family_is_refused_with_reasons() {
    let config = GptConfig { normalization: Normalization::LayerNorm, ..llama() };
    let weights = RandomWeights::new(config, 5, 0.02).expect("valid");
    let parent = tempfile::tempdir().expect("tempdir");
    let error = init_model(&weights, &parent.path().join("m"), "none").expect_err("refused").to_string();
    for reason in [
        "no Hugging Face model type has this architecture",
        "llama: normalization would be \"RmsNorm\", not \"LayerNorm\"\n",
        "gpt2: config.json: activation_function: expected one of",
        "nemotron: config.json: hidden_act: expected one of",
    ] {
        assert!(error.contains(reason), "expected {reason:?} in {error}");
    }
    assert_eq!(fs::read_dir(parent.path()).expect("list").count(), 0, "nothing is written");
}

#[test]
fn part_of_a_head_is_rotated_by_nemotron_alone() {
    let position_embedding = PositionEmbedding::Rope { base: 1e4, percent: 0.5, scaling: None };
    let error =
        choose_model_type(&GptConfig { position_embedding, ..llama() }).expect_err("refused").to_string();
    assert!(error.contains("llama: position_embedding would be"), "{error}");
}

#[test]
fn a_folder_with_content_is_left_alone() {
    let folder = tempfile::tempdir().expect("tempdir");
    fs::write(folder.path().join("precious"), "data").expect("write");
    let weights = RandomWeights::new(llama(), 5, 0.02).expect("valid");
    let error = init_model(&weights, folder.path(), "none").expect_err("refused").to_string();
    assert!(error.ends_with("expected a new or empty folder, got one with content"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
}
