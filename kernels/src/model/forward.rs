//! The forward pass of a GPT, on any backend.

use super::config::{Activation, GptConfig};
use super::packed::{LayerPart, PackedModel, PackedName};
use super::weights::CheckpointError;
use super::workspace::Workspace;
use crate::ops::attention::Attention;
use crate::ops::embedding::Embedding;
use crate::ops::error::OpError;
use crate::ops::lm_head::LmHead;
use crate::ops::matmul::{Epilogue, Matmul};
use crate::ops::norm::{Norm, NormKind, RowSelection};
use crate::ops::rotary::{HeadNorm, RotaryAngles, RotaryFrequencies, RotateAndAppend};
use crate::ops::{Backend, BatchInfo};

/// What never changes from step to step.
pub(super) struct Architecture {
    pub(super) norm: NormKind,
    pub(super) epsilon: f32,
    pub(super) heads: usize,
    pub(super) hidden: usize,
    pub(super) activation: Activation,
    pub(super) rotary: Option<RotaryFrequencies>,
    /// 1 / sqrt(kv_channels)
    pub(super) attention_scale: f32,
}

/// Weights on the device.
pub(super) struct Weights<B: Backend> {
    token_embedding: B::Matrix,
    position_embedding: Option<B::Matrix>,
    layers: Vec<Layer<B>>,
    final_norm: NormWeights<B>,
    /// `None` if tied to the embedding.
    lm_head: Option<B::Matrix>,
}

struct NormWeights<B: Backend> {
    weight: B::Floats,
    bias: Option<B::Floats>,
}

struct Linear<B: Backend> {
    weight: B::Matrix,
    bias: Option<B::Floats>,
}

struct Layer<B: Backend> {
    input_norm: NormWeights<B>,
    qkv: Linear<B>,
    query_key_norm: Option<(B::Floats, B::Floats)>,
    attention_output: Linear<B>,
    post_attention_norm: NormWeights<B>,
    mlp_in: Linear<B>,
    mlp_out: Linear<B>,
}

/// Runs the batch in `w.batch` through the model: fills `w.statistics` and `w.logits`.
pub(super) fn forward<B: Backend>(
    backend: &mut B,
    a: &Architecture,
    weights: &Weights<B>,
    cache: &mut B::KvCache,
    w: &mut Workspace<B>,
) -> Result<(), OpError> {
    backend.embed(Embedding {
        batch: &w.batch,
        token_table: &weights.token_embedding,
        position_table: weights.position_embedding.as_ref(),
        hidden: &mut w.hidden,
    })?;
    if let Some(frequencies) = a.rotary {
        backend.rotary_angles(RotaryAngles { batch: &w.batch, frequencies, angles: &mut w.angles })?;
    }
    for (index, layer) in weights.layers.iter().enumerate() {
        attention_block(backend, a, index, layer, cache, w)?;
        mlp_block(backend, a, layer, w)?;
    }
    if w.batch.head_rows() == 0 {
        w.statistics.clear();
        return Ok(());
    }
    normalise(backend, a, &weights.final_norm, RowSelection::Head, w)?;
    backend.lm_head(LmHead {
        batch: &w.batch,
        input: &w.normed,
        weight: weights.lm_head.as_ref().unwrap_or(&weights.token_embedding),
        logits: &mut w.logits,
        statistics: &mut w.statistics,
    })
}

/// hidden += output(attention(norm(hidden)))
fn attention_block<B: Backend>(
    backend: &mut B,
    a: &Architecture,
    index: usize,
    layer: &Layer<B>,
    cache: &mut B::KvCache,
    w: &mut Workspace<B>,
) -> Result<(), OpError> {
    let rows = w.batch.rows();
    normalise(backend, a, &layer.input_norm, RowSelection::All, w)?;
    multiply(backend, rows, &w.normed, &layer.qkv, Epilogue::Store(&mut w.qkv))?;
    backend.rotate_and_append(RotateAndAppend {
        batch: &w.batch,
        layer: index,
        heads: a.heads,
        head_norm: layer.query_key_norm.as_ref().map(|(query_weight, key_weight)| HeadNorm {
            query_weight,
            key_weight,
            epsilon: a.epsilon,
        }),
        angles: a.rotary.map(|rotary| (&w.angles, rotary.dim)),
        qkv: &w.qkv,
        queries: &mut w.queries,
        cache,
    })?;
    backend.attention(Attention {
        batch: &w.batch,
        layer: index,
        heads: a.heads,
        scale: a.attention_scale,
        queries: &w.queries,
        cache,
        output: &mut w.context,
    })?;
    multiply(backend, rows, &w.context, &layer.attention_output, Epilogue::AddTo(&mut w.hidden))
}

/// hidden += down(activation(up(norm(hidden))))
fn mlp_block<B: Backend>(
    backend: &mut B,
    a: &Architecture,
    layer: &Layer<B>,
    w: &mut Workspace<B>,
) -> Result<(), OpError> {
    let rows = w.batch.rows();
    normalise(backend, a, &layer.post_attention_norm, RowSelection::All, w)?;
    multiply(backend, rows, &w.normed, &layer.mlp_in, Epilogue::Activate(a.activation, &mut w.mlp))?;
    multiply(backend, rows, &w.mlp, &layer.mlp_out, Epilogue::AddTo(&mut w.hidden))
}

/// normed = norm(hidden)
fn normalise<B: Backend>(
    backend: &mut B,
    a: &Architecture,
    norm: &NormWeights<B>,
    selection: RowSelection,
    w: &mut Workspace<B>,
) -> Result<(), OpError> {
    backend.norm(Norm {
        batch: &w.batch,
        selection,
        width: a.hidden,
        kind: a.norm,
        epsilon: a.epsilon,
        weight: &norm.weight,
        bias: norm.bias.as_ref(),
        input: &w.hidden,
        output: &mut w.normed,
    })
}

fn multiply<B: Backend>(
    backend: &mut B,
    rows: usize,
    input: &B::Halves,
    linear: &Linear<B>,
    epilogue: Epilogue<'_, B>,
) -> Result<(), OpError> {
    backend.matmul(Matmul { rows, input, weight: &linear.weight, bias: linear.bias.as_ref(), epilogue })
}

/// Brings packed tensors to a backend.
struct Loader<'a, B: Backend> {
    backend: &'a mut B,
    packed: &'a PackedModel,
}

impl<B: Backend> Loader<'_, B> {
    fn matrix(&mut self, name: PackedName) -> Result<B::Matrix, CheckpointError> {
        let host = self.packed.matrix(name)?;
        self.backend.matrix(&host).map_err(|error| CheckpointError(format!("{name}: {error}")))
    }

    fn vector(&mut self, name: PackedName) -> Result<B::Floats, CheckpointError> {
        let host = self.packed.vector(name)?;
        self.backend.floats_from(host).map_err(|error| CheckpointError(format!("{name}: {error}")))
    }

    fn optional_vector(&mut self, name: PackedName) -> Result<Option<B::Floats>, CheckpointError> {
        if self.packed.contains(name) { self.vector(name).map(Some) } else { Ok(None) }
    }

    fn optional_matrix(&mut self, name: PackedName) -> Result<Option<B::Matrix>, CheckpointError> {
        if self.packed.contains(name) { self.matrix(name).map(Some) } else { Ok(None) }
    }

    fn norm(&mut self, weight: PackedName, bias: PackedName) -> Result<NormWeights<B>, CheckpointError> {
        Ok(NormWeights { weight: self.vector(weight)?, bias: self.optional_vector(bias)? })
    }

    fn linear(&mut self, weight: PackedName, bias: PackedName) -> Result<Linear<B>, CheckpointError> {
        Ok(Linear { weight: self.matrix(weight)?, bias: self.optional_vector(bias)? })
    }

    fn layer(&mut self, layer: usize, config: &GptConfig) -> Result<Layer<B>, CheckpointError> {
        use LayerPart as P;
        let name = |part| PackedName::Layer(layer, part);
        Ok(Layer {
            input_norm: self.norm(name(P::InputNormWeight), name(P::InputNormBias))?,
            qkv: self.linear(name(P::Qkv), name(P::QkvBias))?,
            query_key_norm: if config.qk_norm {
                Some((self.vector(name(P::QueryNorm))?, self.vector(name(P::KeyNorm))?))
            } else {
                None
            },
            attention_output: self.linear(name(P::AttentionOutput), name(P::AttentionOutputBias))?,
            post_attention_norm: self
                .norm(name(P::PostAttentionNormWeight), name(P::PostAttentionNormBias))?,
            mlp_in: self.linear(name(P::MlpIn), name(P::MlpInBias))?,
            mlp_out: self.linear(name(P::MlpOut), name(P::MlpOutBias))?,
        })
    }
}

impl<B: Backend> Weights<B> {
    /// Brings all weights to `backend`.
    pub(super) fn load(backend: &mut B, packed: &PackedModel) -> Result<Self, CheckpointError> {
        let mut loader = Loader { backend, packed };
        let config = packed.config();
        Ok(Self {
            token_embedding: loader.matrix(PackedName::TokenEmbedding)?,
            position_embedding: loader.optional_matrix(PackedName::PositionEmbedding)?,
            layers: (0..config.num_layers)
                .map(|layer| loader.layer(layer, config))
                .collect::<Result<_, _>>()?,
            final_norm: loader.norm(PackedName::FinalNormWeight, PackedName::FinalNormBias)?,
            lm_head: loader.optional_matrix(PackedName::LmHead)?,
        })
    }
}
