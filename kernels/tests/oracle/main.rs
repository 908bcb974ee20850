//! An independent float32 implementation of each architecture, and the engine's agreement with it.

mod engine;
mod models;
mod reference;

use engine::{Agreement, Engine};
use goldlap_kernels::model::config::{GptConfig, Normalization};
use goldlap_kernels::model::hugging_face::HuggingFaceModel;
use goldlap_kernels::model::store::Store;
use goldlap_kernels::model::weights::{LayerTensor, TensorName};
use reference::Reference;

/// The reference itself: a token sees itself and what is before it, and nothing after.
#[test]
fn the_reference_is_causal() {
    for (name, _, config) in models::all() {
        let folder = tempfile::tempdir().expect("tempdir");
        let reference = Reference::load(&models::write_and_open(&config, &folder.path().join(name)));
        let tokens = models::prompt(12, config.vocab_size);
        let whole = reference.logprobs(&tokens);
        assert_eq!(
            whole[..7],
            reference.logprobs(&tokens[..7]),
            "{name}: later tokens change nothing before"
        );
        let mut changed = tokens.clone();
        changed[3] = (changed[3] + 1) % config.vocab_size as u32;
        let changed = reference.logprobs(&changed);
        assert_eq!(whole[..3], changed[..3], "{name}");
        assert!((3..12).all(|position| whole[position] != changed[position]), "{name}: earlier tokens count");
    }
}

/// No tensor is forgotten: changing any one of them changes the result.
#[test]
fn the_reference_uses_every_tensor() {
    for (name, model_type, config) in models::all() {
        let folder = tempfile::tempdir().expect("tempdir");
        let model = models::write_and_open(&config, &folder.path().join(name));
        assert_eq!(model.model_type(), model_type);
        let reference = Reference::load(&model);
        let tokens = models::prompt(5, config.vocab_size);
        let before = reference.logprobs(&tokens);
        for tensor in config.tensors() {
            let changed = reference.with_changed(tensor, |value| value * 1.5 + 0.1);
            let moved = largest_difference(&before, &changed.logprobs(&tokens));
            // Without rotation a key bias adds the same to every score of a query, which softmax ignores.
            let invisible =
                matches!(tensor, TensorName::Layer(_, LayerTensor::KeyBias)) && config.rotary_dim() == 0;
            assert_eq!(moved < 1e-9, invisible, "{name}: {tensor} moves logprobs by {moved}");
            assert!(invisible || moved > 1e-4, "{name}: {tensor} moves logprobs by {moved}");
        }
    }
}

fn largest_difference(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

/// The tolerance is narrow enough: leaving out any kind of tensor, the smallest bias included, exceeds it.
#[test]
fn a_forgotten_tensor_would_exceed_the_tolerance() {
    for (name, _, config) in models::all() {
        let folder = tempfile::tempdir().expect("tempdir");
        let reference = Reference::load(&models::write_and_open(&config, &folder.path().join(name)));
        let tokens = models::prompt(40, config.vocab_size);
        let targets = |reference: &Reference| -> Vec<f64> {
            let logprobs = reference.logprobs(&tokens);
            tokens[1..].iter().zip(logprobs).map(|(&target, row)| row[target as usize]).collect()
        };
        let before = targets(&reference);
        for kind in config.layer_tensors() {
            if kind == LayerTensor::KeyBias && config.rotary_dim() == 0 {
                continue;
            }
            let forget = |reference: Reference, layer| {
                reference.with_changed(TensorName::Layer(layer, kind), |_| neutral(kind, &config))
            };
            let after = targets(&(0..config.num_layers).fold(reference.clone(), forget));
            let moved = before.iter().zip(&after).map(|(x, y)| (x - y).abs());
            let mean = moved.sum::<f64>() / before.len() as f64;
            assert!(
                mean > engine::MAX_MEAN_DIFFERENCE,
                "{name}: {kind:?} moves logprobs by {mean} on average"
            );
        }
    }
}

/// The value with which a tensor does nothing.
fn neutral(kind: LayerTensor, config: &GptConfig) -> f32 {
    match kind {
        LayerTensor::InputNormWeight | LayerTensor::PostAttentionNormWeight => match config.normalization {
            Normalization::RmsNorm | Normalization::LayerNorm => 1.0,
            Normalization::LayerNorm1p => 0.0,
        },
        LayerTensor::QueryNormWeight | LayerTensor::KeyNormWeight => 1.0,
        LayerTensor::InputNormBias
        | LayerTensor::QueryWeight
        | LayerTensor::QueryBias
        | LayerTensor::KeyWeight
        | LayerTensor::KeyBias
        | LayerTensor::ValueWeight
        | LayerTensor::ValueBias
        | LayerTensor::AttentionOutputWeight
        | LayerTensor::AttentionOutputBias
        | LayerTensor::PostAttentionNormBias
        | LayerTensor::GateWeight
        | LayerTensor::GateBias
        | LayerTensor::UpWeight
        | LayerTensor::UpBias
        | LayerTensor::DownWeight
        | LayerTensor::DownBias => 0.0,
    }
}

/// What the engine computes in bf16 is what the papers say, within the rounding.
#[test]
fn the_engine_agrees_with_the_reference() {
    for (name, _, config) in models::all() {
        let folder = tempfile::tempdir().expect("tempdir");
        let model = models::write_and_open(&config, &folder.path().join(name));
        let reference = Reference::load(&model);
        let mut engine = Engine::open(&model, folder.path());
        let mut agreement = Agreement::default();
        for len in [2, 17, 60] {
            let prompt = models::prompt(len, config.vocab_size);
            agreement.merge(engine::compare(&reference, &mut engine, &prompt, 8));
        }
        agreement.check(name);
    }
}

/// A real model speaks real English only if reader, converter and reference are all right.
#[test]
#[ignore = "needs `cargo xtask fetch-model smollm2-135m`"]
fn smollm2_tells_its_story() {
    let folder = Store::open().expect("a cache folder").model_folder("smollm2-135m");
    let model = HuggingFaceModel::open(&folder).expect("fetched");
    let reference = Reference::load(&model);
    // "Once upon a time, there was a little girl." goes on with " She was a brave girl,".
    let prompt = [6403, 1980, 253, 655, 28, 665, 436, 253, 1838, 8180, 30];
    let story = reference.continue_greedily(&prompt, 6);
    assert_eq!(story, [2306, 436, 253, 12833, 8180, 28]);
    let scratch = tempfile::tempdir().expect("tempdir");
    let agreement = engine::compare(&reference, &mut Engine::open(&model, scratch.path()), &prompt, 6);
    agreement.check("SmolLM2-135M");
}
