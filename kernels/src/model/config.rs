//! The architecture of a GPT: everything that decides shapes and operators, nothing about where weights live.

mod validate;

use serde::{Deserialize, Serialize};

pub use validate::ConfigError;

/// How hidden states are normalised before attention, before the MLP and before the LM head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Normalization {
    /// x / rms(x) * weight (Zhang & Sennrich 2019).
    RmsNorm,
    /// (x - mean) / std * weight + bias (Ba et al. 2016).
    LayerNorm,
    /// LayerNorm whose stored weight is one less than the factor applied (Megatron's `layernorm_1p`, Nemotron).
    LayerNorm1p,
}

/// How token positions enter the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum PositionEmbedding {
    /// Rotary embedding (Su et al. 2021), rotate-half pairing, on the first `percent` of each head.
    Rope {
        /// Base of the geometric frequency series (Megatron `--rotary-base`).
        base: f64,
        /// Fraction of `kv_channels` that is rotated, in (0, 1] (Megatron `--rotary-percent`).
        percent: f64,
        /// Llama-3 frequency scaling, when the checkpoint asks for it.
        scaling: Option<RopeScaling>,
    },
    /// A learned vector per position, added to the token embedding (GPT-2).
    LearnedAbsolute,
}

/// Llama-3 style RoPE frequency scaling (`rope_type: llama3` in Hugging Face configs).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RopeScaling {
    /// Division factor of the lowest frequencies.
    pub factor: f64,
    /// Below this many wavelengths per original context a frequency is divided by `factor`.
    pub low_freq_factor: f64,
    /// Above this many wavelengths per original context a frequency is kept.
    pub high_freq_factor: f64,
    /// Context length the checkpoint was first trained with, in tokens.
    pub original_max_position_embeddings: usize,
}

/// The MLP's non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// silu(gate) * up (Shazeer 2020): the MLP has two input projections.
    SwiGlu,
    /// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GPT-2's `gelu_new`, Megatron's fused GELU.
    GeluTanh,
    /// x Phi(x), with the error function.
    Gelu,
    /// relu(x)^2 (So et al. 2021; Nemotron).
    SquaredRelu,
}

/// Architecture of a decoder-only transformer. Field names follow Megatron's flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GptConfig {
    /// Transformer layers.
    pub num_layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Query heads per layer.
    pub num_attention_heads: usize,
    /// Key/value heads per layer (= `num_attention_heads` without grouped-query attention).
    pub num_query_groups: usize,
    /// Width of one head.
    pub kv_channels: usize,
    /// Inner width of the MLP.
    pub ffn_hidden_size: usize,
    /// Rows of the embedding and of the LM head (padded vocabulary).
    pub vocab_size: usize,
    /// Longest sequence the position embedding was made for.
    pub max_position_embeddings: usize,
    /// Normalisation of the residual stream.
    pub normalization: Normalization,
    /// Added to the variance before the reciprocal square root.
    pub norm_epsilon: f32,
    /// Position embedding.
    pub position_embedding: PositionEmbedding,
    /// MLP activation.
    pub activation: Activation,
    /// Query, key and value projections have biases.
    pub qkv_bias: bool,
    /// The attention output projection has a bias.
    pub attention_output_bias: bool,
    /// The MLP projections have biases.
    pub mlp_bias: bool,
    /// Queries and keys are RMS-normalised per head before RoPE (Qwen3).
    pub qk_norm: bool,
    /// The LM head is the token embedding.
    pub tied_embeddings: bool,
}

impl GptConfig {
    /// The model of the 583M cases: 583,687,296 parameters. The original checkpoint's own arguments are not
    /// public; these give it its size.
    pub const GPT_583M: Self = Self {
        num_layers: 24,
        hidden_size: 1152,
        num_attention_heads: 16,
        num_query_groups: 8,
        kv_channels: 128,
        ffn_hidden_size: 3168,
        vocab_size: 131_072,
        max_position_embeddings: 4096,
        normalization: Normalization::RmsNorm,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::Rope { base: 1e6, percent: 1.0, scaling: None },
        activation: Activation::SwiGlu,
        qkv_bias: false,
        attention_output_bias: false,
        mlp_bias: false,
        qk_norm: false,
        tied_embeddings: true,
    };

    /// Width of all query heads together: `num_attention_heads * kv_channels`.
    pub fn query_size(&self) -> usize {
        self.num_attention_heads.saturating_mul(self.kv_channels)
    }

    /// Width of all key (or value) heads together: `num_query_groups * kv_channels`.
    pub fn kv_size(&self) -> usize {
        self.num_query_groups.saturating_mul(self.kv_channels)
    }

    /// Leading channels of each head that RoPE rotates: `floor(kv_channels * percent)`; 0 with learned positions.
    pub fn rotary_dim(&self) -> usize {
        match self.position_embedding {
            PositionEmbedding::Rope { percent, .. } => (self.kv_channels as f64 * percent) as usize,
            PositionEmbedding::LearnedAbsolute => 0,
        }
    }
}

impl Normalization {
    /// The normalisation subtracts the mean and stores a bias beside its weight.
    pub fn has_bias(self) -> bool {
        match self {
            Self::RmsNorm => false,
            Self::LayerNorm | Self::LayerNorm1p => true,
        }
    }
}

impl Activation {
    /// The MLP has a gate projection beside the up projection.
    pub fn is_gated(self) -> bool {
        match self {
            Self::SwiGlu => true,
            Self::GeluTanh | Self::Gelu | Self::SquaredRelu => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_widths() {
        let config = GptConfig::GPT_583M;
        assert_eq!((config.query_size(), config.kv_size(), config.rotary_dim()), (2048, 1024, 128));
        let partial = PositionEmbedding::Rope { base: 1e4, percent: 0.5, scaling: None };
        assert_eq!(GptConfig { position_embedding: partial, ..config.clone() }.rotary_dim(), 64);
        let learned = GptConfig { position_embedding: PositionEmbedding::LearnedAbsolute, ..config };
        assert_eq!(learned.rotary_dim(), 0);
    }

    #[test]
    fn a_config_survives_serialisation() {
        let scaling = RopeScaling {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let position_embedding = PositionEmbedding::Rope { base: 5e5, percent: 1.0, scaling: Some(scaling) };
        let config = GptConfig { position_embedding, ..GptConfig::GPT_583M };
        let text = serde_json::to_string(&config).expect("a config serialises");
        assert_eq!(serde_json::from_str::<GptConfig>(&text).expect("and comes back"), config);
    }
}
