//! config.json: which architecture a Hugging Face folder holds. Defaults of absent keys are those of the
//! `transformers` configuration classes; whatever the engine lacks is an error that names key and value.

mod positions;

use std::path::Path;

use serde_json::Value;

use super::json_object::JsonObject;
use super::model_type::ModelType;
use crate::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use crate::model::weights::CheckpointError;

/// Real ones have a few kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// Keys that change what the model computes, with the values under which they do not.
const FOREIGN_FEATURES: &[(&str, &[&str])] = &[
    ("quantization_config", &[]),
    ("compression_config", &[]),
    ("num_local_experts", &["0", "1"]),
    ("num_experts", &["0", "1"]),
    ("n_routed_experts", &["0"]),
    ("attn_logit_softcapping", &["0.0", "0"]),
    ("final_logit_softcapping", &["0.0", "0"]),
    ("logit_scale", &["1", "1.0"]),
    ("logits_scaling", &["1", "1.0"]),
    ("embedding_multiplier", &["1", "1.0"]),
    ("residual_multiplier", &["1", "1.0"]),
    ("attention_multiplier", &[]),
    ("attention_chunk_size", &[]),
    ("attention_sink_size", &[]),
    ("clip_qkv", &[]),
    ("qk_layernorm", &["false"]),
    ("use_qk_norm", &["false"]),
    ("no_rope_layers", &["[]"]),
    ("no_rope_layer_interval", &["0"]),
    ("add_cross_attention", &["false"]),
    ("is_encoder_decoder", &["false"]),
    ("scale_attn_by_inverse_layer_idx", &["false"]),
    ("scale_attn_weights", &["true"]),
];

/// Reads and checks the file `path`.
pub(super) fn read(path: &Path) -> Result<(ModelType, GptConfig), CheckpointError> {
    parse(&JsonObject::read(path, MAX_BYTES)?)
}

/// Checks the content of a config.json and says what it describes.
pub(super) fn parse(json: &JsonObject) -> Result<(ModelType, GptConfig), CheckpointError> {
    let model_type = model_type(json)?;
    refuse_foreign_features(json)?;
    let config = match model_type {
        ModelType::Gpt2 => gpt2(json)?,
        ModelType::Llama | ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 | ModelType::Nemotron => {
            llama_like(json, model_type)?
        }
    };
    config.validate().map_err(|error| json.error(error))?;
    Ok((model_type, config))
}

fn model_type(json: &JsonObject) -> Result<ModelType, CheckpointError> {
    let known = ModelType::ALL.map(ModelType::name).join(", ");
    let expected = format!("one of {known}");
    let model_type = json
        .text("model_type")?
        .and_then(ModelType::from_name)
        .ok_or_else(|| json.unfit("model_type", &expected))?;
    let architectures = json.array("architectures")?.map_or(&[][..], Vec::as_slice);
    if !architectures.is_empty() && !architectures.contains(&Value::from(model_type.architecture())) {
        let expected = format!("[\"{}\"] with model_type {model_type}", model_type.architecture());
        return Err(json.unfit("architectures", &expected));
    }
    Ok(model_type)
}

fn refuse_foreign_features(json: &JsonObject) -> Result<(), CheckpointError> {
    for (key, neutral) in FOREIGN_FEATURES {
        let foreign = json.get(key).is_some_and(|value| !neutral.contains(&value.to_string().as_str()));
        if foreign {
            let allowed =
                neutral.first().map_or("absent or null".to_owned(), |value| format!("absent or {value}"));
            return Err(
                json.unfit(key, &format!("it to be {allowed}, as the engine does not have this feature"))
            );
        }
    }
    Ok(())
}

/// Llama and the families that share its keys.
fn llama_like(json: &JsonObject, model_type: ModelType) -> Result<GptConfig, CheckpointError> {
    let nemotron = model_type == ModelType::Nemotron;
    let hidden_size = json.required_size("hidden_size")?;
    let num_attention_heads = json.required_size("num_attention_heads")?;
    let max_position_embeddings = json.required_size("max_position_embeddings")?;
    positions::refuse_sliding_window(json, model_type, max_position_embeddings)?;
    let attention_bias = json.flag("attention_bias", false)?;
    let (epsilon_key, epsilon_default) = if nemotron { ("norm_eps", 1e-5) } else { ("rms_norm_eps", 1e-6) };
    Ok(GptConfig {
        num_layers: json.required_size("num_hidden_layers")?,
        hidden_size,
        num_attention_heads,
        num_query_groups: num_query_groups(json, model_type, num_attention_heads)?,
        kv_channels: head_dim(json, model_type, hidden_size, num_attention_heads)?,
        ffn_hidden_size: json.required_size("intermediate_size")?,
        vocab_size: json.required_size("vocab_size")?,
        max_position_embeddings,
        normalization: if nemotron { Normalization::LayerNorm1p } else { Normalization::RmsNorm },
        norm_epsilon: json.number(epsilon_key)?.unwrap_or(epsilon_default) as f32,
        position_embedding: positions::rope(json, model_type)?,
        activation: activation(json, model_type)?,
        qkv_bias: match model_type {
            ModelType::Qwen2 => true,
            ModelType::Mistral | ModelType::Gpt2 => false,
            ModelType::Llama | ModelType::Qwen3 | ModelType::Nemotron => attention_bias,
        },
        attention_output_bias: match model_type {
            ModelType::Qwen2 | ModelType::Mistral | ModelType::Gpt2 => false,
            ModelType::Llama | ModelType::Qwen3 | ModelType::Nemotron => attention_bias,
        },
        mlp_bias: match model_type {
            ModelType::Llama | ModelType::Nemotron => json.flag("mlp_bias", false)?,
            ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 | ModelType::Gpt2 => false,
        },
        qk_norm: model_type == ModelType::Qwen3,
        tied_embeddings: json.flag("tie_word_embeddings", false)?,
    })
}

/// Llama and Nemotron fall back to one group a head; the other classes' defaults are sizes of one particular
/// model, so that an absent key there is a defect of the file.
fn num_query_groups(
    json: &JsonObject,
    model_type: ModelType,
    heads: usize,
) -> Result<usize, CheckpointError> {
    match model_type {
        ModelType::Llama | ModelType::Nemotron | ModelType::Gpt2 => {
            Ok(json.size("num_key_value_heads")?.unwrap_or(heads))
        }
        ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 => json.required_size("num_key_value_heads"),
    }
}

fn head_dim(
    json: &JsonObject,
    model_type: ModelType,
    hidden: usize,
    heads: usize,
) -> Result<usize, CheckpointError> {
    /// Qwen3's class default, which is not hidden_size / num_attention_heads.
    const QWEN3_HEAD_DIM: usize = 128;
    match json.size("head_dim")? {
        Some(size) => Ok(size),
        None if model_type == ModelType::Qwen3 && !json.contains("head_dim") => Ok(QWEN3_HEAD_DIM),
        None if heads > 0 && hidden.is_multiple_of(heads) => Ok(hidden / heads),
        None => {
            let expected = format!("a multiple of num_attention_heads ({heads}), as head_dim is absent");
            Err(json.unfit("hidden_size", &expected))
        }
    }
}

fn activation(json: &JsonObject, model_type: ModelType) -> Result<Activation, CheckpointError> {
    let (key, default) = match model_type {
        ModelType::Gpt2 => ("activation_function", "gelu_new"),
        ModelType::Nemotron => ("hidden_act", "relu2"),
        ModelType::Llama | ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 => ("hidden_act", "silu"),
    };
    let name = json.text(key)?.unwrap_or(default);
    match model_type {
        ModelType::Llama | ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 => match name {
            "silu" | "swish" => Ok(Activation::SwiGlu),
            _ => Err(json.unfit(key, "\"silu\" (the engine's gated MLP is SwiGLU)")),
        },
        ModelType::Gpt2 | ModelType::Nemotron => match name {
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            "gelu" => Ok(Activation::Gelu),
            "relu2" => Ok(Activation::SquaredRelu),
            _ => Err(json.unfit(
                key,
                "one of \"gelu_new\", \"gelu_pytorch_tanh\", \"gelu_fast\", \"gelu\", \"relu2\"",
            )),
        },
    }
}

fn gpt2(json: &JsonObject) -> Result<GptConfig, CheckpointError> {
    let hidden_size = json.required_size("n_embd")?;
    let heads = json.required_size("n_head")?;
    if heads == 0 || !hidden_size.is_multiple_of(heads) {
        return Err(json.unfit("n_embd", &format!("a multiple of n_head ({heads})")));
    }
    Ok(GptConfig {
        num_layers: json.required_size("n_layer")?,
        hidden_size,
        num_attention_heads: heads,
        num_query_groups: heads,
        kv_channels: hidden_size / heads,
        ffn_hidden_size: json.size("n_inner")?.unwrap_or(hidden_size.saturating_mul(4)),
        vocab_size: json.required_size("vocab_size")?,
        max_position_embeddings: json.required_size("n_positions")?,
        normalization: Normalization::LayerNorm,
        norm_epsilon: json.number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        position_embedding: PositionEmbedding::LearnedAbsolute,
        activation: activation(json, ModelType::Gpt2)?,
        qkv_bias: true,
        attention_output_bias: true,
        mlp_bias: true,
        qk_norm: false,
        tied_embeddings: json.flag("tie_word_embeddings", true)?,
    })
}

#[cfg(test)]
mod tests;
