//! The GPT once more, independent of the backends: plain loops written from the papers, weights in f32 (as read,
//! rounded to bf16), everything else in f64, a whole sequence at a time, no cache.

use std::collections::BTreeMap;

use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding, RopeScaling};
use goldlap_kernels::model::weights::{LayerTensor, TensorName, WeightSource};

/// A model with all its weights in memory.
#[derive(Clone)]
pub(crate) struct Reference {
    config: GptConfig,
    weights: BTreeMap<TensorName, Vec<f32>>,
}

/// One vector a token.
type Rows = Vec<Vec<f64>>;

impl Reference {
    pub(crate) fn load(source: &dyn WeightSource) -> Self {
        let config = source.config().clone();
        let read = |name| source.read(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let weights =
            config.tensors().map(|name| (name, read(name).iter().map(|w| w.to_f32()).collect())).collect();
        Self { config, weights }
    }

    /// The same model with one tensor changed by `change`.
    pub(crate) fn with_changed(&self, name: TensorName, change: impl Fn(f32) -> f32) -> Self {
        let mut weights = self.weights.clone();
        let tensor = weights.get_mut(&name).unwrap_or_else(|| panic!("{name} is not in this model"));
        tensor.iter_mut().for_each(|value| *value = change(*value));
        Self { config: self.config.clone(), weights }
    }

    /// log_softmax over the vocabulary after each token.
    pub(crate) fn logprobs(&self, tokens: &[u32]) -> Rows {
        self.hidden_states(tokens).iter().map(|hidden| log_softmax(&self.logits(hidden))).collect()
    }

    /// Greedy continuation of `tokens`, recomputing everything for each token.
    pub(crate) fn continue_greedily(&self, tokens: &[u32], count: usize) -> Vec<u32> {
        let mut all = tokens.to_vec();
        for _ in 0..count {
            let hidden = self.hidden_states(&all).pop().expect("at least one token");
            all.push(argmax(&self.logits(&hidden)));
        }
        all.split_off(tokens.len())
    }

    /// The residual stream after the last layer, normalised.
    fn hidden_states(&self, tokens: &[u32]) -> Rows {
        let mut stream: Rows =
            (0..tokens.len()).map(|position| self.embed(tokens[position], position)).collect();
        for layer in 0..self.config.num_layers {
            let normed =
                self.norm_rows(&stream, layer, LayerTensor::InputNormWeight, LayerTensor::InputNormBias);
            add(&mut stream, &self.attention(&normed, layer));
            let (weight, bias) = (LayerTensor::PostAttentionNormWeight, LayerTensor::PostAttentionNormBias);
            let normed = self.norm_rows(&stream, layer, weight, bias);
            add(&mut stream, &normed.iter().map(|row| self.mlp(row, layer)).collect());
        }
        let weight = self.weight(TensorName::FinalNormWeight).expect("every model has a final norm");
        let bias = self.weight(TensorName::FinalNormBias);
        stream.iter().map(|row| self.norm(row, weight, bias)).collect()
    }

    fn logits(&self, hidden: &[f64]) -> Vec<f64> {
        let head = self.weight(TensorName::LmHead).or(self.weight(TensorName::TokenEmbedding));
        linear(hidden, head.expect("every model has an embedding"), None)
    }

    fn weight(&self, name: TensorName) -> Option<&[f32]> {
        self.weights.get(&name).map(Vec::as_slice)
    }

    /// `x W^T + b` with a layer's tensors.
    fn project(&self, row: &[f64], layer: usize, weight: LayerTensor, bias: LayerTensor) -> Vec<f64> {
        let weight = self.weight(TensorName::Layer(layer, weight)).expect("every layer has its matrices");
        linear(row, weight, self.weight(TensorName::Layer(layer, bias)))
    }

    fn embed(&self, token: u32, position: usize) -> Vec<f64> {
        let row = |table: &[f32], index: usize| -> Vec<f64> {
            let width = self.config.hidden_size;
            table[index * width..(index + 1) * width].iter().map(|&value| value.into()).collect()
        };
        let mut embedding = row(self.weight(TensorName::TokenEmbedding).expect("embedding"), token as usize);
        if let Some(table) = self.weight(TensorName::PositionEmbedding) {
            embedding.iter_mut().zip(row(table, position)).for_each(|(value, learned)| *value += learned);
        }
        embedding
    }

    fn norm_rows(&self, rows: &Rows, layer: usize, weight: LayerTensor, bias: LayerTensor) -> Rows {
        let weight = self.weight(TensorName::Layer(layer, weight)).expect("every layer has its norms");
        let bias = self.weight(TensorName::Layer(layer, bias));
        rows.iter().map(|row| self.norm(row, weight, bias)).collect()
    }

    /// LayerNorm (Ba et al. 2016), RMSNorm (Zhang & Sennrich 2019) or Megatron's LayerNorm with weight + 1.
    fn norm(&self, row: &[f64], weight: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
        let mean = match self.config.normalization {
            Normalization::RmsNorm => 0.0,
            Normalization::LayerNorm | Normalization::LayerNorm1p => {
                row.iter().sum::<f64>() / row.len() as f64
            }
        };
        let shift = match self.config.normalization {
            Normalization::RmsNorm | Normalization::LayerNorm => 0.0,
            Normalization::LayerNorm1p => 1.0,
        };
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let scale = 1.0 / (variance + f64::from(self.config.norm_epsilon)).sqrt();
        let bias_at = |i: usize| bias.map_or(0.0, |bias| bias[i].into());
        let normed = |(i, x): (usize, &f64)| (x - mean) * scale * (f64::from(weight[i]) + shift) + bias_at(i);
        row.iter().enumerate().map(normed).collect()
    }

    /// Causal softmax attention (Vaswani et al. 2017) with grouped queries (Ainslie et al. 2023).
    fn attention(&self, rows: &Rows, layer: usize) -> Rows {
        let config = &self.config;
        let project = |weight, bias| -> Rows {
            rows.iter().map(|row| self.project(row, layer, weight, bias)).collect()
        };
        let mut queries = project(LayerTensor::QueryWeight, LayerTensor::QueryBias);
        let mut keys = project(LayerTensor::KeyWeight, LayerTensor::KeyBias);
        let values = project(LayerTensor::ValueWeight, LayerTensor::ValueBias);
        for position in 0..rows.len() {
            self.prepare_heads(&mut queries[position], layer, LayerTensor::QueryNormWeight, position);
            self.prepare_heads(&mut keys[position], layer, LayerTensor::KeyNormWeight, position);
        }
        let queries_per_group = config.num_attention_heads / config.num_query_groups;
        let channels = |head: usize| head * config.kv_channels..(head + 1) * config.kv_channels;
        let attended = |position: usize| -> Vec<f64> {
            let mut output = Vec::new();
            for head in 0..config.num_attention_heads {
                let group = channels(head / queries_per_group);
                let query = &queries[position][channels(head)];
                let score =
                    |key: &Vec<f64>| dot(query, &key[group.clone()]) / (config.kv_channels as f64).sqrt();
                let log_weights = log_softmax(&keys[..=position].iter().map(score).collect::<Vec<_>>());
                output.extend(group.clone().map(|channel| {
                    log_weights
                        .iter()
                        .zip(&values)
                        .map(|(log, value)| log.exp() * value[channel])
                        .sum::<f64>()
                }));
            }
            self.project(&output, layer, LayerTensor::AttentionOutputWeight, LayerTensor::AttentionOutputBias)
        };
        (0..rows.len()).map(attended).collect()
    }

    /// Normalises each head where the model does (Qwen 3), then rotates it.
    fn prepare_heads(&self, row: &mut [f64], layer: usize, norm: LayerTensor, position: usize) {
        for head in row.chunks_mut(self.config.kv_channels) {
            if let Some(weight) = self.weight(TensorName::Layer(layer, norm)) {
                let mean_square = head.iter().map(|x| x * x).sum::<f64>() / head.len() as f64;
                let scale = 1.0 / (mean_square + f64::from(self.config.norm_epsilon)).sqrt();
                head.iter_mut().zip(weight).for_each(|(x, w)| *x *= scale * f64::from(*w));
            }
            if let PositionEmbedding::Rope { base, percent, scaling } = self.config.position_embedding {
                let rotated = (self.config.kv_channels as f64 * percent) as usize;
                rotate(&mut head[..rotated], base, scaling, position);
            }
        }
    }

    /// Two linear maps around a non-linearity; SwiGLU (Shazeer 2020) gates with a third.
    fn mlp(&self, row: &[f64], layer: usize) -> Vec<f64> {
        let up = self.project(row, layer, LayerTensor::UpWeight, LayerTensor::UpBias);
        let inner: Vec<f64> = match self.config.activation {
            Activation::SwiGlu => {
                let gate = self.project(row, layer, LayerTensor::GateWeight, LayerTensor::GateBias);
                gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
            }
            Activation::GeluTanh => up.iter().map(|&x| gelu_tanh(x)).collect(),
            Activation::Gelu => up.iter().map(|&x| 0.5 * x * (1.0 + erf(x / 2.0_f64.sqrt()))).collect(),
            Activation::SquaredRelu => up.iter().map(|x| x.max(0.0).powi(2)).collect(),
        };
        self.project(&inner, layer, LayerTensor::DownWeight, LayerTensor::DownBias)
    }
}

/// Rotary embedding (Su et al. 2021): channels i and i + n/2 form a plane that turns by position * base^(-2i/n).
fn rotate(head: &mut [f64], base: f64, scaling: Option<RopeScaling>, position: usize) {
    let half = head.len() / 2;
    for i in 0..half {
        let frequency = base.powf(-2.0 * i as f64 / head.len() as f64);
        let frequency = scaling.map_or(frequency, |scaling| scale_frequency(frequency, scaling));
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (x, y) = (head[i], head[i + half]);
        (head[i], head[i + half]) = (x * cos - y * sin, x * sin + y * cos);
    }
}

/// Llama 3.1: slow waves are stretched by `factor`, fast ones kept, those between interpolated.
fn scale_frequency(frequency: f64, scaling: RopeScaling) -> f64 {
    let turns = scaling.original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
    if turns > scaling.high_freq_factor {
        return frequency;
    }
    if turns < scaling.low_freq_factor {
        return frequency / scaling.factor;
    }
    let kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
    kept * frequency + (1.0 - kept) * frequency / scaling.factor
}

fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

/// Error function by its Taylor series near 0 and 1 beyond where f64 can tell.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    // erf(x) = 2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (1 * 3 * ... * (2n+1)): all terms have one sign.
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn linear(row: &[f64], weight: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let output = |(index, weights): (usize, &[f32])| {
        let product: f64 = row.iter().zip(weights).map(|(x, w)| x * f64::from(*w)).sum();
        product + bias.map_or(0.0, |bias| bias[index].into())
    };
    weight.chunks(row.len()).enumerate().map(output).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn add(rows: &mut Rows, other: &Rows) {
    for (row, other) in rows.iter_mut().zip(other) {
        row.iter_mut().zip(other).for_each(|(x, y)| *x += y);
    }
}

fn log_softmax(values: &[f64]) -> Vec<f64> {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.iter().map(|value| (value - max).exp()).sum();
    values.iter().map(|value| value - max - sum.ln()).collect()
}

/// Index of the largest value, the lowest among equals.
pub(crate) fn argmax(values: &[f64]) -> u32 {
    let better = |best: usize, i: usize| if values[i] > values[best] { i } else { best };
    (0..values.len()).reduce(better).expect("at least one value") as u32
}
