//! Random weights: same bits everywhere, right moments, Megatron's scaling.

use super::*;
use crate::model::config::{Activation, PositionEmbedding};

fn small() -> GptConfig {
    GptConfig {
        num_layers: 2,
        hidden_size: 64,
        num_attention_heads: 4,
        num_query_groups: 2,
        kv_channels: 16,
        ffn_hidden_size: 160,
        vocab_size: 301,
        max_position_embeddings: 33,
        normalization: Normalization::LayerNorm,
        position_embedding: PositionEmbedding::LearnedAbsolute,
        activation: Activation::SwiGlu,
        qkv_bias: true,
        attention_output_bias: true,
        mlp_bias: true,
        qk_norm: true,
        tied_embeddings: false,
        ..GptConfig::GPT_583M
    }
}

fn digest(weights: &RandomWeights) -> String {
    let mut hash = Sha256::new();
    for name in weights.config().tensors() {
        let values = weights.read(name).expect("random weights cannot fail");
        assert_eq!(values.len() as u64, name.num_values(weights.config()), "{name}");
        values.iter().for_each(|value| hash.update(value.to_bits().to_le_bytes()));
    }
    crate::model::hex::encode(&hash.finalize())
}

/// The promise to other machines: these bits may never change without a new `SCHEME`.
#[test]
fn a_seed_means_the_same_bits_on_every_machine() {
    let weights = RandomWeights::new(small(), 1234, 0.02).expect("valid");
    assert_eq!(digest(&weights), "22cc71446963e8ecec6c1780b440f12ef07bc8847b9a85d09a16123473531bfd");
    assert_eq!(
        digest(&weights.with_vector_noise(0.1)),
        "d2c5cb852bf92a4213991336b057bbad6076a5e07dfbe2888396237ebb2a7ec5"
    );
}

#[test]
fn seed_tensor_and_layer_all_change_the_bits() {
    let weights = RandomWeights::new(small(), 1, 0.02).expect("valid");
    let read = |weights: &RandomWeights, layer, tensor| {
        weights.read(TensorName::Layer(layer, tensor)).expect("read")
    };
    let key = read(&weights, 0, LayerTensor::KeyWeight);
    assert_eq!(key, read(&weights, 0, LayerTensor::KeyWeight));
    assert_ne!(key, read(&weights, 1, LayerTensor::KeyWeight));
    assert_ne!(key, read(&weights, 0, LayerTensor::ValueWeight));
    let other_seed = RandomWeights::new(small(), 1 << 40, 0.02).expect("valid");
    assert_ne!(key, read(&other_seed, 0, LayerTensor::KeyWeight));
}

#[test]
fn stream_numbers_are_distinct() {
    let mut everything = small();
    everything.qkv_bias = true;
    let ids: std::collections::BTreeSet<u64> = everything.tensors().map(stream_id).collect();
    assert_eq!(ids.len(), everything.tensors().count());
}

/// Mean, standard deviation, kurtosis and correlation of neighbours, with bounds of five standard errors.
#[test]
fn moments_are_those_of_the_normal_distribution() {
    let config = GptConfig { vocab_size: 8192, ..GptConfig::GPT_583M };
    let weights = RandomWeights::new(config, 7, 0.02).expect("valid");
    let scaled = 0.02 / (48.0_f64).sqrt();
    for (name, std) in [
        (TensorName::TokenEmbedding, 0.02),
        (TensorName::Layer(3, LayerTensor::QueryWeight), 0.02),
        (TensorName::Layer(3, LayerTensor::AttentionOutputWeight), scaled),
        (TensorName::Layer(23, LayerTensor::DownWeight), scaled),
    ] {
        let z: Vec<f64> = weights.read(name).expect("read").iter().map(|w| w.to_f64() / std).collect();
        let n = z.len() as f64;
        let moment = |power: i32| z.iter().map(|z| z.powi(power)).sum::<f64>() / n;
        let neighbours = z.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
        let bound = |variance: f64| 5.0 * (variance / n).sqrt();
        assert!(moment(1).abs() < bound(1.0), "{name}: mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < bound(2.0) + 1e-3, "{name}: variance {}", moment(2));
        assert!(moment(3).abs() < bound(15.0), "{name}: skewness {}", moment(3));
        assert!((moment(4) - 3.0).abs() < bound(96.0) + 0.02, "{name}: kurtosis {}", moment(4));
        assert!(neighbours.abs() < bound(1.0), "{name}: correlation of neighbours {neighbours}");
    }
}

#[test]
fn norms_start_at_one_and_biases_at_zero() {
    let constant = |config: &GptConfig, name| {
        let weights = RandomWeights::new(config.clone(), 1, 0.02).expect("valid");
        let values = weights.read(name).expect("read");
        assert!(values.iter().all(|value| value == &values[0]), "{name} is constant");
        values[0].to_f32()
    };
    let layer_norm = small();
    assert_eq!(constant(&layer_norm, TensorName::FinalNormWeight), 1.0);
    assert_eq!(constant(&layer_norm, TensorName::FinalNormBias), 0.0);
    assert_eq!(constant(&layer_norm, TensorName::Layer(1, LayerTensor::DownBias)), 0.0);
    let one_p = GptConfig { normalization: Normalization::LayerNorm1p, ..small() };
    assert_eq!(constant(&one_p, TensorName::Layer(0, LayerTensor::InputNormWeight)), 0.0);
    assert_eq!(constant(&one_p, TensorName::Layer(0, LayerTensor::QueryNormWeight)), 1.0);
}

#[test]
fn vector_noise_moves_every_vector() {
    let weights = RandomWeights::new(small(), 1, 0.02).expect("valid").with_vector_noise(0.1);
    for name in weights.config().tensors() {
        let values = weights.read(name).expect("read");
        assert!(values.iter().any(|value| value != &values[0]), "{name} is constant");
    }
}

#[test]
fn fingerprints_tell_arguments_apart() {
    let base = RandomWeights::new(small(), 1, 0.02).expect("valid");
    let others = [
        RandomWeights::new(small(), 2, 0.02).expect("valid"),
        RandomWeights::new(small(), 1, 0.021).expect("valid"),
        RandomWeights::new(GptConfig { vocab_size: 302, ..small() }, 1, 0.02).expect("valid"),
        base.clone().with_vector_noise(0.1),
    ];
    assert_eq!(base.fingerprint(), base.clone().fingerprint());
    assert_eq!(base.fingerprint().len(), 64);
    for other in others {
        assert_ne!(base.fingerprint(), other.fingerprint(), "{other:?}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    for std in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = RandomWeights::new(small(), 1, std).expect_err("refused").to_string();
        assert!(error.contains("init_method_std: expected a number above 0, got"), "{error}");
    }
    let error = RandomWeights::new(GptConfig { num_layers: 0, ..small() }, 1, 0.02).expect_err("refused");
    assert_eq!(error.to_string(), "random weights: num_layers: expected 1 to 4096, got 0");
}
