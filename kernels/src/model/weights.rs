//! The door between checkpoints and backends: which tensors a GPT has, and where they come from.

use std::fmt;

use half::bf16;

use super::config::{GptConfig, PositionEmbedding};

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

impl LayerTensor {
    /// All tensors a layer can have, in the order of the forward pass.
    pub const ALL: [Self; 20] = [
        Self::InputNormWeight,
        Self::InputNormBias,
        Self::QueryWeight,
        Self::QueryBias,
        Self::KeyWeight,
        Self::KeyBias,
        Self::ValueWeight,
        Self::ValueBias,
        Self::QueryNormWeight,
        Self::KeyNormWeight,
        Self::AttentionOutputWeight,
        Self::AttentionOutputBias,
        Self::PostAttentionNormWeight,
        Self::PostAttentionNormBias,
        Self::GateWeight,
        Self::GateBias,
        Self::UpWeight,
        Self::UpBias,
        Self::DownWeight,
        Self::DownBias,
    ];

    /// The architecture has this tensor in every layer.
    pub fn exists_in(self, config: &GptConfig) -> bool {
        match self {
            Self::InputNormWeight
            | Self::QueryWeight
            | Self::KeyWeight
            | Self::ValueWeight
            | Self::AttentionOutputWeight
            | Self::PostAttentionNormWeight
            | Self::UpWeight
            | Self::DownWeight => true,
            Self::InputNormBias | Self::PostAttentionNormBias => config.normalization.has_bias(),
            Self::QueryBias | Self::KeyBias | Self::ValueBias => config.qkv_bias,
            Self::QueryNormWeight | Self::KeyNormWeight => config.qk_norm,
            Self::AttentionOutputBias => config.attention_output_bias,
            Self::GateWeight => config.activation.is_gated(),
            Self::GateBias => config.activation.is_gated() && config.mlp_bias,
            Self::UpBias | Self::DownBias => config.mlp_bias,
        }
    }

    fn shape(self, config: &GptConfig) -> Vec<usize> {
        let (hidden, ffn) = (config.hidden_size, config.ffn_hidden_size);
        match self {
            Self::InputNormWeight
            | Self::InputNormBias
            | Self::AttentionOutputBias
            | Self::PostAttentionNormWeight
            | Self::PostAttentionNormBias
            | Self::DownBias => vec![hidden],
            Self::QueryWeight => vec![config.query_size(), hidden],
            Self::QueryBias => vec![config.query_size()],
            Self::KeyWeight | Self::ValueWeight => vec![config.kv_size(), hidden],
            Self::KeyBias | Self::ValueBias => vec![config.kv_size()],
            Self::QueryNormWeight | Self::KeyNormWeight => vec![config.kv_channels],
            Self::AttentionOutputWeight => vec![hidden, config.query_size()],
            Self::GateWeight | Self::UpWeight => vec![ffn, hidden],
            Self::GateBias | Self::UpBias => vec![ffn],
            Self::DownWeight => vec![hidden, ffn],
        }
    }
}

impl TensorName {
    /// Dimensions of the tensor in `config`, outermost first.
    pub fn shape(&self, config: &GptConfig) -> Vec<usize> {
        match self {
            Self::TokenEmbedding | Self::LmHead => vec![config.vocab_size, config.hidden_size],
            Self::PositionEmbedding => vec![config.max_position_embeddings, config.hidden_size],
            Self::Layer(_, tensor) => tensor.shape(config),
            Self::FinalNormWeight | Self::FinalNormBias => vec![config.hidden_size],
        }
    }

    /// Number of values in the tensor; saturates where a config that was not validated overflows.
    pub fn num_values(&self, config: &GptConfig) -> u64 {
        self.shape(config).iter().fold(1, |product: u64, &size| product.saturating_mul(size as u64))
    }
}

impl GptConfig {
    /// Exactly the tensors this architecture has, in the order of the forward pass. A tied LM head is not listed.
    pub fn tensors(&self) -> impl Iterator<Item = TensorName> + '_ {
        let learned = self.position_embedding == PositionEmbedding::LearnedAbsolute;
        let head =
            [TensorName::TokenEmbedding].into_iter().chain(learned.then_some(TensorName::PositionEmbedding));
        let layers = (0..self.num_layers)
            .flat_map(|layer| self.layer_tensors().map(move |tensor| TensorName::Layer(layer, tensor)));
        let tail = [TensorName::FinalNormWeight]
            .into_iter()
            .chain(self.normalization.has_bias().then_some(TensorName::FinalNormBias))
            .chain((!self.tied_embeddings).then_some(TensorName::LmHead));
        head.chain(layers).chain(tail)
    }

    /// The tensors that each layer has.
    pub fn layer_tensors(&self) -> impl Iterator<Item = LayerTensor> + '_ {
        LayerTensor::ALL.into_iter().filter(|tensor| tensor.exists_in(self))
    }

    /// Number of trained values; a tied embedding counts once. Saturates where a config that was not
    /// validated overflows.
    pub fn num_parameters(&self) -> u64 {
        let sum = |names: &mut dyn Iterator<Item = TensorName>| {
            names.fold(0, |total: u64, name| total.saturating_add(name.num_values(self)))
        };
        let one_layer = sum(&mut self.layer_tensors().map(|tensor| TensorName::Layer(0, tensor)));
        let without_layers = GptConfig { num_layers: 0, ..self.clone() };
        let rest = sum(&mut without_layers.tensors());
        one_layer.saturating_mul(self.num_layers as u64).saturating_add(rest)
    }
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
        if let Self::Layer(layer, tensor) = self {
            return write!(f, "layer {layer} {tensor:?}");
        }
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{Activation, Normalization};

    #[test]
    fn the_583m_model_has_583_687_296_parameters() {
        let config = GptConfig::GPT_583M;
        config.validate().expect("the 583M config is valid");
        assert_eq!(config.num_parameters(), 583_687_296);
    }

    #[test]
    fn parameters_are_the_sum_over_the_listed_tensors() {
        for (normalization, activation, bias, tied) in [
            (Normalization::RmsNorm, Activation::SwiGlu, false, true),
            (Normalization::RmsNorm, Activation::SwiGlu, true, false),
            (Normalization::LayerNorm, Activation::GeluTanh, true, true),
            (Normalization::LayerNorm1p, Activation::SquaredRelu, false, false),
        ] {
            let config = GptConfig {
                normalization,
                activation,
                qkv_bias: bias,
                attention_output_bias: bias,
                mlp_bias: bias,
                qk_norm: !bias,
                tied_embeddings: tied,
                ..GptConfig::GPT_583M
            };
            let listed: u64 = config.tensors().map(|name| name.num_values(&config)).sum();
            assert_eq!(listed, config.num_parameters(), "{config:?}");
            let names: std::collections::BTreeSet<_> = config.tensors().collect();
            assert_eq!(names.len(), config.tensors().count(), "no tensor is listed twice");
        }
    }

    #[test]
    fn the_list_follows_the_architecture() {
        let rms = GptConfig::GPT_583M;
        assert_eq!(rms.layer_tensors().count(), 9, "two norms, q k v o, gate up down");
        assert!(
            !rms.tensors().any(|name| matches!(name, TensorName::LmHead | TensorName::PositionEmbedding))
        );
        let gpt2 = GptConfig {
            position_embedding: PositionEmbedding::LearnedAbsolute,
            normalization: Normalization::LayerNorm,
            activation: Activation::GeluTanh,
            qkv_bias: true,
            attention_output_bias: true,
            mlp_bias: true,
            ..rms
        };
        assert_eq!(gpt2.layer_tensors().count(), 16, "GPT-2: each of 8 weights with a bias");
        assert!(gpt2.tensors().any(|name| name == TensorName::PositionEmbedding));
        assert!(gpt2.tensors().any(|name| name == TensorName::FinalNormBias));
    }
}
