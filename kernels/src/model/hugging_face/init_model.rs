//! Writing weights, random ones as a rule, as a Hugging Face folder that we and `transformers` can read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use half::bf16;
use serde_json::{Map, Value, json};

use super::json_object::JsonObject;
use super::layout::{Location, locate};
use super::{ModelType, config_json};
use crate::model::config::{Activation, GptConfig, PositionEmbedding};
use crate::model::safetensors::{PlannedTensor, write_file};
use crate::model::weights::{CheckpointError, TensorName, WeightSource};

/// Families that are tried for an architecture, in this order. (Mistral has nothing that Llama lacks.)
const CANDIDATES: [ModelType; 5] =
    [ModelType::Llama, ModelType::Qwen2, ModelType::Qwen3, ModelType::Gpt2, ModelType::Nemotron];

/// Writes config.json, model.safetensors (bf16) and a README.md to `folder`, which must not exist or be empty
/// and appears complete. `tokenizer` says in the README which tokenizer the token ids belong to.
///
/// # Errors
/// No family has this architecture (the text says why for each); the folder has content; writing fails.
pub fn init_model(
    source: &dyn WeightSource,
    folder: &Path,
    tokenizer: &str,
) -> Result<ModelType, CheckpointError> {
    let (model_type, config_json) = choose_model_type(source.config())?;
    let fail = |path: &Path, error: std::io::Error| {
        CheckpointError(format!("{}: cannot be written: {error}", path.display()))
    };
    if fs::read_dir(folder).is_ok_and(|mut items| items.next().is_some()) {
        let text = format!("{}: expected a new or empty folder, got one with content", folder.display());
        return Err(CheckpointError(text));
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| fail(parent, error))?;
    let partial = tempfile::Builder::new()
        .prefix(".init-model-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(|error| fail(parent, error))?;
    let write = |name: &str, text: String| {
        let path = partial.path().join(name);
        fs::write(&path, text).map_err(|error| fail(&path, error))
    };
    write("config.json", format!("{:#}\n", Value::Object(config_json)))?;
    write("README.md", readme(source, model_type, tokenizer))?;
    write_weights(source, model_type, &partial.path().join("model.safetensors"))?;
    let partial: PathBuf = partial.keep();
    fs::rename(&partial, folder).map_err(|error| {
        // The error of the rename matters more than one of the clean-up.
        let _ = fs::remove_dir_all(&partial);
        fail(folder, error)
    })?;
    Ok(model_type)
}

fn write_weights(
    source: &dyn WeightSource,
    model_type: ModelType,
    path: &Path,
) -> Result<(), CheckpointError> {
    /// Our tensors that share a stored one are at most this far apart: queries, keys, values and their biases.
    const FUSED: usize = 6;
    let mut stored: Vec<(PlannedTensor, Vec<(TensorName, Location)>)> = Vec::new();
    for name in source.config().tensors() {
        let place = locate(model_type, source.config(), name);
        match stored.iter_mut().rev().take(FUSED).find(|(tensor, _)| tensor.name == place.name) {
            Some((_, parts)) => parts.push((name, place)),
            None => {
                let tensor = PlannedTensor { name: place.name.clone(), shape: place.shape.clone() };
                stored.push((tensor, vec![(name, place)]));
            }
        }
    }
    let planned: Vec<PlannedTensor> = stored.iter().map(|(tensor, _)| tensor.clone()).collect();
    let mut parts = stored.iter().map(|(_, parts)| parts);
    write_file(path, &planned, |tensor| {
        let mut values = vec![bf16::ZERO; tensor.shape.iter().product()];
        for (name, place) in parts.next().into_iter().flatten() {
            place.insert(&source.read(*name)?, &mut values);
        }
        Ok(values)
    })
}

/// The first family whose config.json, read back, gives this very architecture.
fn choose_model_type(config: &GptConfig) -> Result<(ModelType, Map<String, Value>), CheckpointError> {
    let mut reasons = Vec::new();
    for model_type in CANDIDATES {
        let json = config_json(model_type, config);
        match config_json::parse(&JsonObject::of(Path::new("config.json"), json.clone())) {
            Ok((_, read_back)) if &read_back == config => return Ok((model_type, json)),
            Ok((_, read_back)) => reasons.push(format!("{model_type}: {}", differences(config, &read_back))),
            Err(error) => reasons.push(format!("{model_type}: {error}")),
        }
    }
    Err(CheckpointError(format!(
        "no Hugging Face model type has this architecture, so it cannot be written as such a folder:\n  {}",
        reasons.join("\n  ")
    )))
}

/// Fields in which a family's closest architecture differs from ours.
fn differences(ours: &GptConfig, theirs: &GptConfig) -> String {
    let fields = |config| match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let theirs = fields(theirs);
    let differs = |(key, value): (&String, &Value)| {
        let other = &theirs[key];
        (value != other).then(|| format!("{key} would be {other}, not {value}"))
    };
    fields(ours).iter().filter_map(differs).collect::<Vec<_>>().join(", ")
}

fn config_json(model_type: ModelType, config: &GptConfig) -> Map<String, Value> {
    let json = match model_type {
        ModelType::Gpt2 => gpt2_json(config),
        ModelType::Llama | ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 | ModelType::Nemotron => {
            llama_like_json(model_type, config)
        }
    };
    let Value::Object(mut map) = json else { unreachable!("both branches build objects") };
    map.insert("architectures".into(), json!([model_type.architecture()]));
    map.insert("model_type".into(), json!(model_type.name()));
    map.insert("torch_dtype".into(), json!("bfloat16"));
    map
}

fn gpt2_json(config: &GptConfig) -> Value {
    json!({
        "n_layer": config.num_layers,
        "n_embd": config.hidden_size,
        "n_head": config.num_attention_heads,
        "n_inner": config.ffn_hidden_size,
        "n_positions": config.max_position_embeddings,
        "vocab_size": config.vocab_size,
        "layer_norm_epsilon": exact(config.norm_epsilon),
        "activation_function": activation_name(config.activation),
        "tie_word_embeddings": config.tied_embeddings,
        "bos_token_id": null,
        "eos_token_id": null,
    })
}

fn llama_like_json(model_type: ModelType, config: &GptConfig) -> Value {
    let nemotron = model_type == ModelType::Nemotron;
    let mut json = json!({
        "num_hidden_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_query_groups,
        "head_dim": config.kv_channels,
        "intermediate_size": config.ffn_hidden_size,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_act": activation_name(config.activation),
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.mlp_bias,
        "bos_token_id": null,
        "eos_token_id": null,
    });
    json[if nemotron { "norm_eps" } else { "rms_norm_eps" }] = exact(config.norm_epsilon);
    if let PositionEmbedding::Rope { base, percent, scaling } = config.position_embedding {
        json["rope_theta"] = json!(base);
        // Of these families `transformers` rotates part of a head in Nemotron alone.
        if nemotron {
            json["partial_rotary_factor"] = json!(percent);
        }
        json["rope_scaling"] = scaling.map_or(Value::Null, |scaling| {
            json!({
                "rope_type": "llama3",
                "factor": scaling.factor,
                "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings,
            })
        });
    }
    json
}

/// The shortest decimal number that reads back as this `f32`.
fn exact(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::SwiGlu => "silu",
        Activation::GeluTanh => "gelu_new",
        Activation::Gelu => "gelu",
        Activation::SquaredRelu => "relu2",
    }
}

fn readme(source: &dyn WeightSource, model_type: ModelType, tokenizer: &str) -> String {
    format!(
        "Weights written by `goldlap init-model`: {} parameters, bf16, model type {model_type}.\n\n\
         Fingerprint of the source: {}\n\nTokenizer: {tokenizer}\n",
        source.config().num_parameters(),
        source.fingerprint(),
    )
}

#[cfg(test)]
mod tests;
