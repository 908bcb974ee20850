//! The same architectures in f64, written from the papers without any of the operators, and the comparison with it.

use std::collections::HashMap;

use super::{TestModel, tokens};
use crate::cpu::Isa;
use crate::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use crate::model::gpt::tests::architectures;
use crate::model::step::{LanguageModel, SequenceSlice};
use crate::model::weights::{LayerTensor as T, TensorName, WeightSource};

struct Reference<'a> {
    config: &'a GptConfig,
    weights: HashMap<TensorName, Vec<f64>>,
}

impl<'a> Reference<'a> {
    fn new(source: &'a dyn WeightSource) -> Self {
        let config = source.config();
        let read = |name| source.read(name).unwrap().into_iter().map(|value| value.to_f64()).collect();
        Self { config, weights: config.tensors().map(|name| (name, read(name))).collect() }
    }

    fn layer(&self, layer: usize, tensor: T) -> Option<&[f64]> {
        self.weights.get(&TensorName::Layer(layer, tensor)).map(Vec::as_slice)
    }

    fn linear(&self, x: &[f64], layer: usize, weight: T, bias: T) -> Vec<f64> {
        let mut y = product(x, self.layer(layer, weight).unwrap());
        if let Some(bias) = self.layer(layer, bias) {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
        y
    }

    fn norm(&self, x: &[f64], weight: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let n = x.len() as f64;
        let (mean, one) = match self.config.normalization {
            Normalization::RmsNorm => (0.0, 0.0),
            Normalization::LayerNorm => (x.iter().sum::<f64>() / n, 0.0),
            Normalization::LayerNorm1p => (x.iter().sum::<f64>() / n, 1.0),
        };
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + f64::from(self.config.norm_epsilon)).sqrt();
        (0..x.len())
            .map(|i| (x[i] - mean) * scale * (weight[i] + one) + bias.map_or(0.0, |bias| bias[i]))
            .collect()
    }

    fn activate(&self, gate: f64, up: f64) -> f64 {
        match self.config.activation {
            Activation::SwiGlu => gate / (1.0 + (-gate).exp()) * up,
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (up + 0.044715 * up.powi(3));
                0.5 * up * (1.0 + u.tanh())
            }
            Activation::Gelu => 0.5 * up * (1.0 + erf(up / 2f64.sqrt())),
            Activation::SquaredRelu => up.max(0.0).powi(2),
        }
    }

    /// Head norm and rotation of one head.
    fn rotate(&self, head: &mut [f64], position: usize, norm: Option<&[f64]>) {
        if let Some(weight) = norm {
            let square = head.iter().map(|x| x * x).sum::<f64>() / head.len() as f64;
            let scale = 1.0 / (square + f64::from(self.config.norm_epsilon)).sqrt();
            head.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * weight);
        }
        let PositionEmbedding::Rope { base, scaling, .. } = self.config.position_embedding else { return };
        let dim = self.config.rotary_dim();
        for i in 0..dim / 2 {
            let mut frequency = base.powf(-2.0 * i as f64 / dim as f64);
            if let Some(s) = scaling {
                let wavelength = 2.0 * std::f64::consts::PI / frequency;
                let original = s.original_max_position_embeddings as f64;
                if wavelength > original / s.low_freq_factor {
                    frequency /= s.factor;
                } else if wavelength > original / s.high_freq_factor {
                    let smooth = (original / wavelength - s.low_freq_factor)
                        / (s.high_freq_factor - s.low_freq_factor);
                    frequency = (1.0 - smooth) * frequency / s.factor + smooth * frequency;
                }
            }
            let (sine, cosine) = (position as f64 * frequency).sin_cos();
            let (a, b) = (head[i], head[i + dim / 2]);
            (head[i], head[i + dim / 2]) = (a * cosine - b * sine, b * cosine + a * sine);
        }
    }

    /// Keys and values of one token.
    fn attend(&self, layer: usize, position: usize, x: &[f64], cache: &mut [Vec<Vec<f64>>; 2]) -> Vec<f64> {
        let c = self.config;
        let d = c.kv_channels;
        let mut q = self.linear(x, layer, T::QueryWeight, T::QueryBias);
        let mut k = self.linear(x, layer, T::KeyWeight, T::KeyBias);
        let v = self.linear(x, layer, T::ValueWeight, T::ValueBias);
        q.chunks_mut(d).for_each(|head| self.rotate(head, position, self.layer(layer, T::QueryNormWeight)));
        k.chunks_mut(d).for_each(|head| self.rotate(head, position, self.layer(layer, T::KeyNormWeight)));
        cache[0].push(k);
        cache[1].push(v);
        let mut context = vec![0.0; q.len()];
        for (head, (q, context)) in q.chunks(d).zip(context.chunks_mut(d)).enumerate() {
            let at = head / (c.num_attention_heads / c.num_query_groups) * d;
            let scores: Vec<f64> =
                cache[0].iter().map(|k| dot(q, &k[at..at + d]) / (d as f64).sqrt()).collect();
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            for (score, v) in scores.iter().zip(&cache[1]) {
                let p = (score - max).exp() / total;
                context.iter_mut().zip(&v[at..]).for_each(|(o, v)| *o += p * v);
            }
        }
        self.linear(&context, layer, T::AttentionOutputWeight, T::AttentionOutputBias)
    }

    /// Log-probabilities after each token.
    fn logprobs(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let c = self.config;
        let table = |name| self.weights.get(&name).map(Vec::as_slice);
        let embedding = table(TensorName::TokenEmbedding).unwrap();
        let head = table(TensorName::LmHead).unwrap_or(embedding);
        let row = |table: &[f64], i: usize| table[i * c.hidden_size..(i + 1) * c.hidden_size].to_vec();
        let mut caches = vec![[vec![], vec![]]; c.num_layers];
        let mut all = Vec::new();
        for (position, &token) in tokens.iter().enumerate() {
            let mut x = row(embedding, token as usize);
            if let Some(positions) = table(TensorName::PositionEmbedding) {
                add(&mut x, &row(positions, position));
            }
            for (layer, cache) in caches.iter_mut().enumerate() {
                let weight = self.layer(layer, T::InputNormWeight).unwrap();
                let normed = self.norm(&x, weight, self.layer(layer, T::InputNormBias));
                add(&mut x, &self.attend(layer, position, &normed, cache));
                let weight = self.layer(layer, T::PostAttentionNormWeight).unwrap();
                let normed = self.norm(&x, weight, self.layer(layer, T::PostAttentionNormBias));
                let mut inner = self.linear(&normed, layer, T::UpWeight, T::UpBias);
                let gate = match c.activation.is_gated() {
                    true => self.linear(&normed, layer, T::GateWeight, T::GateBias),
                    false => inner.clone(),
                };
                inner.iter_mut().zip(gate).for_each(|(up, gate)| *up = self.activate(gate, *up));
                add(&mut x, &self.linear(&inner, layer, T::DownWeight, T::DownBias));
            }
            let weight = table(TensorName::FinalNormWeight).unwrap();
            let logits = product(&self.norm(&x, weight, table(TensorName::FinalNormBias)), head);
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = max + logits.iter().map(|l| (l - max).exp()).sum::<f64>().ln();
            all.push(logits.iter().map(|logit| logit - log_sum).collect());
        }
        all
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn product(x: &[f64], weight: &[f64]) -> Vec<f64> {
    weight.chunks(x.len()).map(|row| dot(x, row)).collect()
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Error function: Taylor series, good to 1e-12 for |x| < 5.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}

/// bf16 operands keep about three digits; f64 keeps them all.
#[test]
fn logprobs_agree_with_an_independent_f64_model() {
    for (name, config) in architectures::all() {
        let model = TestModel::new(config.clone());
        let prompt = tokens(config.vocab_size, 90, 1);
        let expected = Reference::new(&model.weights).logprobs(&prompt);
        let blocks: Vec<u32> = (0..8).rev().collect();
        let slice = SequenceSlice {
            tokens: &prompt,
            start: 0,
            block_table: &blocks,
            targets: &prompt[1..],
            sample: None,
        };
        let output = model.open(Isa::best(), 1, 16).step(&[slice]).unwrap();
        let errors = output[0]
            .target_logprobs
            .iter()
            .enumerate()
            .map(|(i, &got)| (f64::from(got) - expected[i][prompt[i + 1] as usize]).abs());
        let errors: Vec<f64> = errors.collect();
        let (mean, max) = (errors.iter().sum::<f64>() / 89.0, errors.iter().copied().fold(0.0, f64::max));
        let spread = expected[80].iter().copied().fold(f64::NEG_INFINITY, f64::max)
            - expected[80].iter().copied().fold(f64::INFINITY, f64::min);
        println!("{name}: mean {mean:.5} max {max:.5}; logprobs spread over {spread:.2}");
        assert!(spread > 1.0, "{name}: the test must not be trivial");
        assert!(mean < 0.01 && max < 0.05, "{name}: mean {mean}, max {max}");
    }
}
