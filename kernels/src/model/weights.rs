//! The door between checkpoints and backends: which tensors a GPT has, and where they come from.

use std::fmt;

use half::bf16;

use super::config::GptConfig;

/// Identity of one parameter tensor, independent of any checkpoint format.
/// Matrices are row-major `[out_features, in_features]`, embeddings `[rows, hidden_size]`, the rest vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TensorName {
    /// `[vocab_size, hidden_size]`
    TokenEmbedding,
    /// `[max_position_embeddings, hidden_size]`, with learned positions only.
    PositionEmbedding,
    /// A tensor of layer `0..num_layers`.
    Layer(usize, LayerTensor),
    /// `[hidden_size]`
    FinalNormWeight,
    /// `[hidden_size]`, LayerNorm only.
    FinalNormBias,
    /// `[vocab_size, hidden_size]`, untied models only.
    LmHead,
}

/// Identity of one tensor inside a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LayerTensor {
    /// `[hidden_size]`
    InputNormWeight,
    /// `[hidden_size]`
    InputNormBias,
    /// `[num_attention_heads * kv_channels, hidden_size]`
    QueryWeight,
    /// `[num_attention_heads * kv_channels]`
    QueryBias,
    /// `[num_query_groups * kv_channels, hidden_size]`
    KeyWeight,
    /// `[num_query_groups * kv_channels]`
    KeyBias,
    /// `[num_query_groups * kv_channels, hidden_size]`
    ValueWeight,
    /// `[num_query_groups * kv_channels]`
    ValueBias,
    /// `[kv_channels]`
    QueryNormWeight,
    /// `[kv_channels]`
    KeyNormWeight,
    /// `[hidden_size, num_attention_heads * kv_channels]`
    AttentionOutputWeight,
    /// `[hidden_size]`
    AttentionOutputBias,
    /// `[hidden_size]`
    PostAttentionNormWeight,
    /// `[hidden_size]`
    PostAttentionNormBias,
    /// `[ffn_hidden_size, hidden_size]`, gated activations only.
    GateWeight,
    /// `[ffn_hidden_size]`
    GateBias,
    /// `[ffn_hidden_size, hidden_size]`
    UpWeight,
    /// `[ffn_hidden_size]`
    UpBias,
    /// `[hidden_size, ffn_hidden_size]`
    DownWeight,
    /// `[hidden_size]`
    DownBias,
}

/// What went wrong while reading a checkpoint. The text names file, tensor, expected and got.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CheckpointError(pub String);

/// A complete set of weights: a Hugging Face folder, or a random initialisation.
pub trait WeightSource: Send + Sync {
    /// Architecture these weights belong to.
    fn config(&self) -> &GptConfig;

    /// Hex SHA-256 (or prefix, 16 digits at least) that changes whenever any weight bit could change.
    /// Names packed files in the cache.
    fn fingerprint(&self) -> String;

    /// The tensor's values as bf16 (rounded to nearest even from wider types), row-major, of exactly the
    /// shape that [`TensorName::shape`] gives. Called from several threads at once, each tensor once.
    fn read(&self, name: TensorName) -> Result<Vec<bf16>, CheckpointError>;
}

impl fmt::Display for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer, tensor) => write!(f, "layer {layer} {tensor:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}
