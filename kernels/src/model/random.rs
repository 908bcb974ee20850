//! Random weights, the same bits on every machine: what a model starts from when no checkpoint is named.

mod normal_quantile;

use half::bf16;
use sha2::{Digest, Sha256};

use super::config::{GptConfig, Normalization};
use super::philox::philox4x32_10;
use super::weights::{CheckpointError, LayerTensor, TensorName, WeightSource};

/// Separates the streams of weights from those of token sampling under the same seed ("weights!" in ASCII).
const WEIGHT_DOMAIN: u64 = 0x7765_6967_6874_7321;
/// Part of the fingerprint: to be raised when the same arguments give different bits.
const SCHEME: &str = "goldlap random weights 1";
/// 16-bit words in one Philox block; each draws one normal number.
const NORMALS_PER_BLOCK: usize = 8;

/// Megatron's initialisation, bit-reproducible from its arguments whatever machine, thread count or order
/// of reading: each tensor has its own Philox4x32-10 stream, each 16-bit word of it picks one of 65,536
/// equally likely quantiles of the normal distribution, which is scaled and rounded to bf16.
///
/// Matrices and embeddings are N(0, `init_method_std`^2); the attention output and MLP down projections,
/// which write to the residual stream, have the standard deviation divided by `sqrt(2 * num_layers)`
/// (Megatron's `scaled_init_method_normal`). Norm weights are 1 (stored as 0 for LayerNorm1p), biases 0.
#[derive(Clone, Debug)]
pub struct RandomWeights {
    config: GptConfig,
    seed: u64,
    init_method_std: f64,
    vector_noise_std: f64,
}

impl RandomWeights {
    /// Weights of `config` from Megatron's `--seed` and `--init-method-std`.
    ///
    /// # Errors
    /// The architecture is impossible, or the standard deviation is not a positive finite number.
    pub fn new(config: GptConfig, seed: u64, init_method_std: f64) -> Result<Self, CheckpointError> {
        config.validate().map_err(|error| CheckpointError(format!("random weights: {error}")))?;
        if !(init_method_std.is_finite() && init_method_std > 0.0) {
            let text =
                format!("random weights: init_method_std: expected a number above 0, got {init_method_std}");
            return Err(CheckpointError(text));
        }
        Ok(Self { config, seed, init_method_std, vector_noise_std: 0.0 })
    }

    /// Adds N(0, `std`^2) to biases and norm weights, which Megatron starts at constants: a test model in
    /// which forgetting one of them shows.
    pub fn with_vector_noise(self, std: f64) -> Self {
        assert!(std.is_finite() && std >= 0.0, "standard deviation of the vector noise: {std}");
        Self { vector_noise_std: std, ..self }
    }

    /// Mean and standard deviation of a tensor's values.
    fn distribution(&self, name: TensorName) -> (f64, f64) {
        let norm_weight = match self.config.normalization {
            Normalization::RmsNorm | Normalization::LayerNorm => 1.0,
            Normalization::LayerNorm1p => 0.0,
        };
        let matrix = (0.0, self.init_method_std);
        let bias = (0.0, self.vector_noise_std);
        match name {
            TensorName::TokenEmbedding | TensorName::PositionEmbedding | TensorName::LmHead => matrix,
            TensorName::FinalNormWeight => (norm_weight, self.vector_noise_std),
            TensorName::FinalNormBias => bias,
            TensorName::Layer(_, tensor) => match tensor {
                LayerTensor::QueryWeight
                | LayerTensor::KeyWeight
                | LayerTensor::ValueWeight
                | LayerTensor::GateWeight
                | LayerTensor::UpWeight => matrix,
                LayerTensor::AttentionOutputWeight | LayerTensor::DownWeight => {
                    (0.0, self.init_method_std / (2.0 * self.config.num_layers as f64).sqrt())
                }
                LayerTensor::InputNormWeight | LayerTensor::PostAttentionNormWeight => {
                    (norm_weight, self.vector_noise_std)
                }
                LayerTensor::QueryNormWeight | LayerTensor::KeyNormWeight => (1.0, self.vector_noise_std),
                LayerTensor::InputNormBias
                | LayerTensor::QueryBias
                | LayerTensor::KeyBias
                | LayerTensor::ValueBias
                | LayerTensor::AttentionOutputBias
                | LayerTensor::PostAttentionNormBias
                | LayerTensor::GateBias
                | LayerTensor::UpBias
                | LayerTensor::DownBias => bias,
            },
        }
    }
}

impl WeightSource for RandomWeights {
    fn config(&self) -> &GptConfig {
        &self.config
    }

    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SCHEME);
        hash.update(format!("{:?}", self.config));
        hash.update(self.seed.to_le_bytes());
        hash.update(self.init_method_std.to_bits().to_le_bytes());
        hash.update(self.vector_noise_std.to_bits().to_le_bytes());
        super::hex::encode(&hash.finalize())
    }

    fn read(&self, name: TensorName) -> Result<Vec<bf16>, CheckpointError> {
        let len = name.num_values(&self.config) as usize;
        let (mean, std) = self.distribution(name);
        if std == 0.0 {
            return Ok(vec![bf16::from_f64(mean); len]);
        }
        let values: Vec<bf16> = QUANTILES.iter().map(|z| bf16::from_f32((mean + std * z) as f32)).collect();
        Ok(draw(self.seed ^ WEIGHT_DOMAIN, stream_id(name), &values, len))
    }
}

static QUANTILES: std::sync::LazyLock<Vec<f64>> = std::sync::LazyLock::new(normal_quantile::table);

/// `len` uniform draws from the 65,536 `values`: block `i` of stream `stream` gives draws `8 i ..= 8 i + 7`,
/// low half of each word first.
fn draw(seed: u64, stream: u64, values: &[bf16], len: usize) -> Vec<bf16> {
    let values: &[bf16; normal_quantile::TABLE_LEN] =
        values.try_into().expect("one value for each 16-bit word");
    let split = |wide: u64| [wide as u32, (wide >> 32) as u32];
    let (key, [stream_low, stream_high]) = (split(seed), split(stream));
    let block = |index: usize| {
        let [low, high] = split(index as u64);
        let words = philox4x32_10([low, high, stream_low, stream_high], key);
        words.map(|word| [values[word as usize & 0xFFFF], values[word as usize >> 16]])
    };
    let mut drawn = Vec::with_capacity(len);
    for index in 0..len / NORMALS_PER_BLOCK {
        drawn.extend_from_slice(block(index).as_flattened());
    }
    let last = block(len / NORMALS_PER_BLOCK);
    drawn.extend_from_slice(&last.as_flattened()[..len % NORMALS_PER_BLOCK]);
    drawn
}

/// Number of a tensor's stream. Part of what a seed means: never renumber, only add.
fn stream_id(name: TensorName) -> u64 {
    match name {
        TensorName::TokenEmbedding => 0,
        TensorName::PositionEmbedding => 1,
        TensorName::FinalNormWeight => 2,
        TensorName::FinalNormBias => 3,
        TensorName::LmHead => 4,
        TensorName::Layer(layer, tensor) => ((layer as u64 + 1) << 8) | layer_stream_id(tensor),
    }
}

fn layer_stream_id(tensor: LayerTensor) -> u64 {
    match tensor {
        LayerTensor::InputNormWeight => 0,
        LayerTensor::InputNormBias => 1,
        LayerTensor::QueryWeight => 2,
        LayerTensor::QueryBias => 3,
        LayerTensor::KeyWeight => 4,
        LayerTensor::KeyBias => 5,
        LayerTensor::ValueWeight => 6,
        LayerTensor::ValueBias => 7,
        LayerTensor::QueryNormWeight => 8,
        LayerTensor::KeyNormWeight => 9,
        LayerTensor::AttentionOutputWeight => 10,
        LayerTensor::AttentionOutputBias => 11,
        LayerTensor::PostAttentionNormWeight => 12,
        LayerTensor::PostAttentionNormBias => 13,
        LayerTensor::GateWeight => 14,
        LayerTensor::GateBias => 15,
        LayerTensor::UpWeight => 16,
        LayerTensor::UpBias => 17,
        LayerTensor::DownWeight => 18,
        LayerTensor::DownBias => 19,
    }
}

#[cfg(test)]
mod tests;
