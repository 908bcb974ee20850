//! Where a Hugging Face checkpoint keeps each of our tensors: its name there, its stored shape, and how its
//! values are arranged.

use half::bf16;

use super::model_type::ModelType;
use crate::model::config::GptConfig;
use crate::model::weights::{LayerTensor, TensorName};

/// Place of one of our tensors in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Name in the checkpoint.
    pub name: String,
    /// Shape in the checkpoint.
    pub shape: Vec<usize>,
    /// Arrangement in the checkpoint.
    pub arrangement: Arrangement,
}

/// How the values of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// As we keep them.
    Plain,
    /// `[in_features, out_features]`: GPT-2's `Conv1D`.
    Transposed,
    /// One third of the columns (of a vector: of the values) of GPT-2's `c_attn`: 0 query, 1 key, 2 value.
    /// A matrix is also transposed.
    Third(usize),
}

/// Place of `name` in a checkpoint of `model_type`.
pub fn locate(model_type: ModelType, config: &GptConfig, name: TensorName) -> Location {
    match model_type {
        ModelType::Gpt2 => locate_gpt2(config, name),
        ModelType::Llama | ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 | ModelType::Nemotron => {
            Location { name: llama_name(name), shape: name.shape(config), arrangement: Arrangement::Plain }
        }
    }
}

fn llama_name(name: TensorName) -> String {
    match name {
        TensorName::TokenEmbedding => "model.embed_tokens.weight".into(),
        TensorName::PositionEmbedding => "model.embed_positions.weight".into(),
        TensorName::FinalNormWeight => "model.norm.weight".into(),
        TensorName::FinalNormBias => "model.norm.bias".into(),
        TensorName::LmHead => "lm_head.weight".into(),
        TensorName::Layer(layer, tensor) => format!("model.layers.{layer}.{}", llama_layer_name(tensor)),
    }
}

fn llama_layer_name(tensor: LayerTensor) -> &'static str {
    match tensor {
        LayerTensor::InputNormWeight => "input_layernorm.weight",
        LayerTensor::InputNormBias => "input_layernorm.bias",
        LayerTensor::QueryWeight => "self_attn.q_proj.weight",
        LayerTensor::QueryBias => "self_attn.q_proj.bias",
        LayerTensor::KeyWeight => "self_attn.k_proj.weight",
        LayerTensor::KeyBias => "self_attn.k_proj.bias",
        LayerTensor::ValueWeight => "self_attn.v_proj.weight",
        LayerTensor::ValueBias => "self_attn.v_proj.bias",
        LayerTensor::QueryNormWeight => "self_attn.q_norm.weight",
        LayerTensor::KeyNormWeight => "self_attn.k_norm.weight",
        LayerTensor::AttentionOutputWeight => "self_attn.o_proj.weight",
        LayerTensor::AttentionOutputBias => "self_attn.o_proj.bias",
        LayerTensor::PostAttentionNormWeight => "post_attention_layernorm.weight",
        LayerTensor::PostAttentionNormBias => "post_attention_layernorm.bias",
        LayerTensor::GateWeight => "mlp.gate_proj.weight",
        LayerTensor::GateBias => "mlp.gate_proj.bias",
        LayerTensor::UpWeight => "mlp.up_proj.weight",
        LayerTensor::UpBias => "mlp.up_proj.bias",
        LayerTensor::DownWeight => "mlp.down_proj.weight",
        LayerTensor::DownBias => "mlp.down_proj.bias",
    }
}

fn locate_gpt2(config: &GptConfig, name: TensorName) -> Location {
    let arrangement = match name {
        TensorName::Layer(_, tensor) => gpt2_arrangement(tensor),
        TensorName::TokenEmbedding
        | TensorName::PositionEmbedding
        | TensorName::FinalNormWeight
        | TensorName::FinalNormBias
        | TensorName::LmHead => Arrangement::Plain,
    };
    let mut shape = name.shape(config);
    match arrangement {
        Arrangement::Plain => {}
        Arrangement::Transposed => shape.reverse(),
        Arrangement::Third(_) => {
            shape.reverse();
            shape.last_mut().into_iter().for_each(|columns| *columns *= 3);
        }
    }
    Location { name: gpt2_name(name), shape, arrangement }
}

fn gpt2_name(name: TensorName) -> String {
    match name {
        TensorName::TokenEmbedding => "transformer.wte.weight".into(),
        TensorName::PositionEmbedding => "transformer.wpe.weight".into(),
        TensorName::FinalNormWeight => "transformer.ln_f.weight".into(),
        TensorName::FinalNormBias => "transformer.ln_f.bias".into(),
        TensorName::LmHead => "lm_head.weight".into(),
        TensorName::Layer(layer, tensor) => format!("transformer.h.{layer}.{}", gpt2_layer_name(tensor)),
    }
}

/// GPT-2 has neither gates nor normalised queries: those names cannot be asked for, and stand for themselves.
fn gpt2_layer_name(tensor: LayerTensor) -> &'static str {
    match tensor {
        LayerTensor::InputNormWeight => "ln_1.weight",
        LayerTensor::InputNormBias => "ln_1.bias",
        LayerTensor::QueryWeight | LayerTensor::KeyWeight | LayerTensor::ValueWeight => "attn.c_attn.weight",
        LayerTensor::QueryBias | LayerTensor::KeyBias | LayerTensor::ValueBias => "attn.c_attn.bias",
        LayerTensor::QueryNormWeight => "attn.q_norm.weight",
        LayerTensor::KeyNormWeight => "attn.k_norm.weight",
        LayerTensor::AttentionOutputWeight => "attn.c_proj.weight",
        LayerTensor::AttentionOutputBias => "attn.c_proj.bias",
        LayerTensor::PostAttentionNormWeight => "ln_2.weight",
        LayerTensor::PostAttentionNormBias => "ln_2.bias",
        LayerTensor::GateWeight => "mlp.c_gate.weight",
        LayerTensor::GateBias => "mlp.c_gate.bias",
        LayerTensor::UpWeight => "mlp.c_fc.weight",
        LayerTensor::UpBias => "mlp.c_fc.bias",
        LayerTensor::DownWeight => "mlp.c_proj.weight",
        LayerTensor::DownBias => "mlp.c_proj.bias",
    }
}

fn gpt2_arrangement(tensor: LayerTensor) -> Arrangement {
    match tensor {
        LayerTensor::QueryWeight | LayerTensor::QueryBias => Arrangement::Third(0),
        LayerTensor::KeyWeight | LayerTensor::KeyBias => Arrangement::Third(1),
        LayerTensor::ValueWeight | LayerTensor::ValueBias => Arrangement::Third(2),
        LayerTensor::AttentionOutputWeight
        | LayerTensor::GateWeight
        | LayerTensor::UpWeight
        | LayerTensor::DownWeight => Arrangement::Transposed,
        LayerTensor::InputNormWeight
        | LayerTensor::InputNormBias
        | LayerTensor::QueryNormWeight
        | LayerTensor::KeyNormWeight
        | LayerTensor::AttentionOutputBias
        | LayerTensor::PostAttentionNormWeight
        | LayerTensor::PostAttentionNormBias
        | LayerTensor::GateBias
        | LayerTensor::UpBias
        | LayerTensor::DownBias => Arrangement::Plain,
    }
}

impl Location {
    /// Our tensor from the values stored at this place.
    pub fn extract(&self, stored: Vec<bf16>) -> Vec<bf16> {
        let columns = self.shape.last().copied().unwrap_or(1);
        match self.arrangement {
            Arrangement::Plain => stored,
            Arrangement::Transposed => transpose(&stored, columns, 0..columns),
            Arrangement::Third(part) => {
                let third = columns / 3;
                transpose(&stored, columns, part * third..(part + 1) * third)
            }
        }
    }

    /// Puts our tensor's values where they belong among the `stored` ones.
    pub fn insert(&self, ours: &[bf16], stored: &mut [bf16]) {
        let columns = self.shape.last().copied().unwrap_or(1);
        let (first, count) = match self.arrangement {
            Arrangement::Plain => return stored.copy_from_slice(ours),
            Arrangement::Transposed => (0, columns),
            Arrangement::Third(part) => (part * (columns / 3), columns / 3),
        };
        let rows = stored.len() / columns;
        for row in 0..rows {
            for column in 0..count {
                stored[row * columns + first + column] = ours[column * rows + row];
            }
        }
    }
}

/// Rows of the result are the `chosen` columns of row-major `stored`.
fn transpose(stored: &[bf16], columns: usize, chosen: std::ops::Range<usize>) -> Vec<bf16> {
    let rows = stored.len() / columns;
    chosen.flat_map(|column| (0..rows).map(move |row| stored[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[u16]) -> Vec<bf16> {
        values.iter().map(|&value| bf16::from_bits(value)).collect()
    }

    #[test]
    fn thirds_of_a_fused_matrix_are_transposed() {
        let stored = numbers(&[10, 11, 20, 21, 30, 31, 12, 13, 22, 23, 32, 33]);
        let place = |arrangement| Location { name: String::new(), shape: vec![2, 6], arrangement };
        assert_eq!(place(Arrangement::Third(0)).extract(stored.clone()), numbers(&[10, 12, 11, 13]));
        assert_eq!(place(Arrangement::Third(2)).extract(stored.clone()), numbers(&[30, 32, 31, 33]));
        let mut rebuilt = numbers(&[0; 12]);
        for part in 0..3 {
            let place = place(Arrangement::Third(part));
            place.insert(&place.extract(stored.clone()), &mut rebuilt);
        }
        assert_eq!(rebuilt, stored);
    }

    #[test]
    fn a_fused_vector_is_cut_in_three() {
        let place = Location { name: String::new(), shape: vec![6], arrangement: Arrangement::Third(1) };
        assert_eq!(place.extract(numbers(&[1, 2, 3, 4, 5, 6])), numbers(&[3, 4]));
    }
}
