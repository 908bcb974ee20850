//! What a step must cost at the least, counted from shapes.

use super::config::GptConfig;
use super::step::StepCost;
use crate::ops::batch::RaggedBatch;

/// bf16.
const BYTES: u64 = 2;

/// Values of one layer.
pub(super) fn values_per_layer(config: &GptConfig) -> u64 {
    let names = config.layer_tensors().map(|tensor| super::weights::TensorName::Layer(0, tensor));
    names.map(|name| name.num_values(config)).sum()
}

/// Cost of one step of `batch`: each weight and each key and value is read once, each new key and value written once.
/// `per_layer` is [`values_per_layer`].
pub(super) fn step_cost(config: &GptConfig, per_layer: u64, batch: &RaggedBatch) -> StepCost {
    let rows = batch.rows() as u64;
    if rows == 0 {
        return StepCost::default();
    }
    let layers = config.num_layers as u64;
    let hidden = config.hidden_size as u64;
    let head = if batch.head.is_empty() { 0 } else { hidden * config.vocab_size as u64 };
    let weights = layers * per_layer + head + rows * hidden;

    let (mut keys_read, mut query_keys) = (0, 0);
    for span in &batch.sequences {
        let (start, rows) = (span.start as u64, span.rows as u64);
        keys_read += start + rows;
        query_keys += rows * start + rows * (rows + 1) / 2;
    }
    let key_and_value = 2 * config.kv_size() as u64 * layers * BYTES;
    let attention = 4 * query_keys * config.query_size() as u64 * layers;
    StepCost {
        weight_bytes: weights * BYTES,
        kv_bytes: (keys_read + rows) * key_and_value,
        flops: 2 * rows * layers * per_layer + 2 * batch.head.len() as u64 * head + attention,
    }
}
