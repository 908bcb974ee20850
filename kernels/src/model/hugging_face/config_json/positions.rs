//! How config.json describes positions: rotary embedding in its older and newer layouts, sliding windows.

use serde_json::Value;

use super::super::json_object::JsonObject;
use super::super::model_type::ModelType;
use crate::model::config::{PositionEmbedding, RopeScaling};
use crate::model::weights::CheckpointError;

/// `rope_theta` of all families when absent.
const DEFAULT_BASE: f64 = 10_000.0;

/// The rotary embedding, from `rope_theta`, `rope_scaling` and `partial_rotary_factor` or from the newer
/// `rope_parameters`, which holds all three.
pub(super) fn rope(json: &JsonObject, model_type: ModelType) -> Result<PositionEmbedding, CheckpointError> {
    let default_percent = match model_type {
        ModelType::Nemotron => 0.5,
        ModelType::Llama | ModelType::Mistral | ModelType::Qwen2 | ModelType::Qwen3 | ModelType::Gpt2 => 1.0,
    };
    let parameters = match (json.object("rope_parameters")?, json.object("rope_scaling")?) {
        (Some(_), Some(_)) => {
            return Err(json.unfit("rope_scaling", "it to be absent beside rope_parameters"));
        }
        (parameters, scaling) => parameters.or(scaling),
    };
    let nested = |key: &str| parameters.as_ref().map_or(Ok(None), |object| object.number(key));
    let either = |key: &str| Ok(nested(key)?.or(json.number(key)?));
    let scaling = parameters.as_ref().map_or(Ok(None), scaling)?;
    let base = either("rope_theta")?.unwrap_or(DEFAULT_BASE);
    let percent = either("partial_rotary_factor")?.unwrap_or(default_percent);
    Ok(PositionEmbedding::Rope { base, percent, scaling })
}

fn scaling(object: &JsonObject) -> Result<Option<RopeScaling>, CheckpointError> {
    if let Some((key, _)) = object.iter().find(|(_, value)| value.is_object()) {
        return Err(object.unfit(key, "one rotary embedding for all layers"));
    }
    let key = if object.contains("rope_type") { "rope_type" } else { "type" };
    match object.text(key)?.unwrap_or("default") {
        "default" => Ok(None),
        "llama3" => Ok(Some(RopeScaling {
            factor: object.required_number("factor")?,
            low_freq_factor: object.required_number("low_freq_factor")?,
            high_freq_factor: object.required_number("high_freq_factor")?,
            original_max_position_embeddings: object.required_size("original_max_position_embeddings")?,
        })),
        _ => Err(object.unfit(key, "\"default\" or \"llama3\" (the engine has no other frequency scaling)")),
    }
}

/// The engine attends to the whole sequence: a window is fine only if it never cuts anything off.
pub(super) fn refuse_sliding_window(
    json: &JsonObject,
    model_type: ModelType,
    max_position_embeddings: usize,
) -> Result<(), CheckpointError> {
    /// Mistral's class default.
    const MISTRAL_WINDOW: usize = 4096;
    let window = match model_type {
        ModelType::Mistral if !json.contains("sliding_window") => Some(MISTRAL_WINDOW),
        ModelType::Mistral => json.size("sliding_window")?,
        ModelType::Qwen2 | ModelType::Qwen3 if json.flag("use_sliding_window", false)? => {
            json.size("sliding_window")?
        }
        ModelType::Qwen2 | ModelType::Qwen3 => None,
        ModelType::Llama | ModelType::Nemotron | ModelType::Gpt2 => None,
    };
    if let Some(window) = window.filter(|&window| window < max_position_embeddings) {
        let expected = format!(
            "null or at least max_position_embeddings ({max_position_embeddings}), \
             as the engine has no sliding window; in effect is {window}"
        );
        return Err(json.unfit("sliding_window", &expected));
    }
    let full = Value::from("full_attention");
    let all_full = json.array("layer_types")?.is_none_or(|types| types.iter().all(|kind| kind == &full));
    if !all_full && window.is_none() {
        return Err(json.unfit("layer_types", "only \"full_attention\", as the engine has no other"));
    }
    Ok(())
}
