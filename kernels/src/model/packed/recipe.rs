//! Which packed tensors an architecture has, and which checkpoint tensors each is made of.

use super::{LayerPart, PackedName};
use crate::model::config::{GptConfig, Normalization, PositionEmbedding};
use crate::model::weights::{LayerTensor, TensorName};
use crate::ops::matrix::{MatrixLayout, TILE};

/// Shape of a packed tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// bf16 tiles.
    Matrix(MatrixLayout),
    /// This many f32.
    Vector(usize),
}

impl Shape {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Matrix(layout) => layout.bytes(),
            Self::Vector(len) => len * 4,
        }
    }
}

/// How a packed tensor is made.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub(super) name: PackedName,
    pub(super) shape: Shape,
    /// Checkpoint tensors, one after the other (gate, then up, for a gated matrix or its bias).
    pub(super) sources: Vec<TensorName>,
    /// Layout of the matrix whose bias this is.
    pub(super) bias_of: Option<MatrixLayout>,
    /// 1 is added to each value (LayerNorm1p weights).
    pub(super) plus_one: bool,
}

/// All packed tensors of an architecture, in file order.
pub(super) fn recipes(config: &GptConfig) -> Vec<Recipe> {
    let table = |rows: usize| MatrixLayout { outputs: rows, inputs: config.hidden_size, gated: false };
    let mut all =
        vec![matrix(PackedName::TokenEmbedding, table(config.vocab_size), vec![TensorName::TokenEmbedding])];
    if config.position_embedding == PositionEmbedding::LearnedAbsolute {
        let layout = table(config.max_position_embeddings);
        all.push(matrix(PackedName::PositionEmbedding, layout, vec![TensorName::PositionEmbedding]));
    }
    for layer in 0..config.num_layers {
        push_layer(config, layer, &mut all);
    }
    let final_bias = config.normalization.has_bias().then_some(TensorName::FinalNormBias);
    push_norm(config, (PackedName::FinalNormWeight, TensorName::FinalNormWeight), &mut all);
    all.extend(final_bias.map(|source| vector(PackedName::FinalNormBias, config.hidden_size, source)));
    if !config.tied_embeddings {
        all.push(matrix(PackedName::LmHead, table(config.vocab_size), vec![TensorName::LmHead]));
    }
    all
}

fn push_layer(config: &GptConfig, layer: usize, all: &mut Vec<Recipe>) {
    use LayerPart as P;
    use LayerTensor as T;
    let (hidden, ffn) = (config.hidden_size, config.ffn_hidden_size);
    let name = |part| PackedName::Layer(layer, part);
    let source = |tensor| TensorName::Layer(layer, tensor);
    let norm_bias = config.normalization.has_bias();
    let gated = config.activation.is_gated();
    let layout = |outputs, inputs, gated| MatrixLayout { outputs, inputs, gated };

    push_norm(config, (name(P::InputNormWeight), source(T::InputNormWeight)), all);
    all.extend(norm_bias.then(|| vector(name(P::InputNormBias), hidden, source(T::InputNormBias))));

    let qkv = layout(config.query_size() + 2 * config.kv_size(), hidden, false);
    all.push(matrix(name(P::Qkv), qkv, [T::QueryWeight, T::KeyWeight, T::ValueWeight].map(source).to_vec()));
    all.extend(
        config.qkv_bias.then(|| {
            bias(name(P::QkvBias), qkv, [T::QueryBias, T::KeyBias, T::ValueBias].map(source).to_vec())
        }),
    );
    if config.qk_norm {
        all.push(vector(name(P::QueryNorm), config.kv_channels, source(T::QueryNormWeight)));
        all.push(vector(name(P::KeyNorm), config.kv_channels, source(T::KeyNormWeight)));
    }
    let output = layout(hidden, config.query_size(), false);
    all.push(matrix(name(P::AttentionOutput), output, vec![source(T::AttentionOutputWeight)]));
    all.extend(
        config
            .attention_output_bias
            .then(|| bias(name(P::AttentionOutputBias), output, vec![source(T::AttentionOutputBias)])),
    );

    push_norm(config, (name(P::PostAttentionNormWeight), source(T::PostAttentionNormWeight)), all);
    all.extend(
        norm_bias.then(|| vector(name(P::PostAttentionNormBias), hidden, source(T::PostAttentionNormBias))),
    );

    let mlp_in = layout(ffn, hidden, gated);
    let of_gated = |gate, up| if gated { vec![source(gate), source(up)] } else { vec![source(up)] };
    all.push(matrix(name(P::MlpIn), mlp_in, of_gated(T::GateWeight, T::UpWeight)));
    let mlp_out = layout(hidden, ffn, false);
    all.extend(config.mlp_bias.then(|| bias(name(P::MlpInBias), mlp_in, of_gated(T::GateBias, T::UpBias))));
    all.push(matrix(name(P::MlpOut), mlp_out, vec![source(T::DownWeight)]));
    all.extend(config.mlp_bias.then(|| bias(name(P::MlpOutBias), mlp_out, vec![source(T::DownBias)])));
}

fn push_norm(config: &GptConfig, (name, source): (PackedName, TensorName), all: &mut Vec<Recipe>) {
    let plus_one = config.normalization == Normalization::LayerNorm1p;
    all.push(Recipe { plus_one, ..vector(name, config.hidden_size, source) });
}

fn matrix(name: PackedName, layout: MatrixLayout, sources: Vec<TensorName>) -> Recipe {
    Recipe { name, shape: Shape::Matrix(layout), sources, bias_of: None, plus_one: false }
}

fn vector(name: PackedName, len: usize, source: TensorName) -> Recipe {
    Recipe { name, shape: Shape::Vector(len), sources: vec![source], bias_of: None, plus_one: false }
}

fn bias(name: PackedName, layout: MatrixLayout, sources: Vec<TensorName>) -> Recipe {
    let shape = Shape::Vector(layout.tiles() * TILE);
    Recipe { name, shape, sources, bias_of: Some(layout), plus_one: false }
}
