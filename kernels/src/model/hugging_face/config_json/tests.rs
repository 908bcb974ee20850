//! config.json: real files of each family, and the values the engine must refuse.

use serde_json::{Value, json};

use super::*;
use crate::model::config::RopeScaling;

fn parsed(config: &Value) -> Result<(ModelType, GptConfig), CheckpointError> {
    let folder = tempfile::tempdir().expect("tempdir");
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).expect("write");
    read(&path)
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": true, "attention_bias": false,
        "mlp_bias": false, "pretraining_tp": 1, "torch_dtype": "bfloat16", "use_cache": true,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"}
    })
}

fn mistral() -> Value {
    json!({
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 32768, "max_position_embeddings": 32768, "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false
    })
}

fn qwen(model_type: &str) -> Value {
    let class = if model_type == "qwen2" { "Qwen2ForCausalLM" } else { "Qwen3ForCausalLM" };
    json!({
        "architectures": [class], "model_type": model_type, "hidden_act": "silu", "hidden_size": 1024,
        "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
        "vocab_size": 151936, "max_position_embeddings": 40960, "rms_norm_eps": 1e-06, "rope_theta": 1000000,
        "rope_scaling": null, "sliding_window": 4096, "use_sliding_window": false, "tie_word_embeddings": true,
        "max_window_layers": 28
    })
}

fn gpt2() -> Value {
    json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257,
        "layer_norm_epsilon": 1e-05, "attn_pdrop": 0.1
    })
}

fn nemotron() -> Value {
    json!({
        "architectures": ["NemotronForCausalLM"], "model_type": "nemotron", "hidden_act": "relu2",
        "hidden_size": 3072, "head_dim": 128, "intermediate_size": 9216, "num_hidden_layers": 32,
        "num_attention_heads": 24, "num_key_value_heads": 8, "vocab_size": 256000,
        "max_position_embeddings": 4096, "norm_eps": 1e-05, "partial_rotary_factor": 0.5,
        "rope_theta": 10000.0, "tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false
    })
}

#[test]
fn llama_3_2_1b() {
    let (model_type, config) = parsed(&llama()).expect("valid");
    assert_eq!(model_type, ModelType::Llama);
    assert_eq!(config.num_parameters(), 1_235_814_400, "as published");
    let scaling = RopeScaling {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let expected = PositionEmbedding::Rope { base: 500_000.0, percent: 1.0, scaling: Some(scaling) };
    assert_eq!(config.position_embedding, expected);
}

#[test]
fn mistral_7b() {
    let (_, config) = parsed(&mistral()).expect("valid");
    assert_eq!(config.num_parameters(), 7_248_023_552, "Mistral-7B-v0.3, as published");
    assert_eq!(config.kv_channels, 128);
}

#[test]
fn qwen3_0_6b() {
    let (_, config) = parsed(&qwen("qwen3")).expect("valid");
    assert_eq!(config.num_parameters(), 596_049_920, "as published");
    assert!(config.qk_norm && !config.qkv_bias);
}

#[test]
fn qwen2_has_biases_on_queries_keys_and_values() {
    let (_, config) = parsed(&qwen("qwen2")).expect("valid");
    assert!(config.qkv_bias && !config.attention_output_bias && !config.mlp_bias && !config.qk_norm);
    assert_eq!(config.kv_channels, 64);
}

#[test]
fn gpt2_small() {
    let (_, config) = parsed(&gpt2()).expect("valid");
    assert_eq!(config.num_parameters(), 124_439_808, "as published");
    assert_eq!(config.ffn_hidden_size, 3072);
    assert_eq!(config.activation, Activation::GeluTanh);
}

#[test]
fn minitron_4b() {
    let (_, config) = parsed(&nemotron()).expect("valid");
    assert_eq!(config.num_parameters(), 4_190_509_056, "4.19 billion");
    assert_eq!(config.normalization, Normalization::LayerNorm1p);
    assert_eq!(config.activation, Activation::SquaredRelu);
    assert_eq!(config.rotary_dim(), 64);
}

#[test]
fn the_newer_layout_of_rope_means_the_same() {
    let mut newer = llama();
    let mut parameters = newer["rope_scaling"].take();
    parameters["rope_theta"] = newer["rope_theta"].take();
    newer["rope_parameters"] = parameters;
    assert_eq!(parsed(&newer).expect("valid"), parsed(&llama()).expect("valid"));
    let older = with(nemotron(), "rope_parameters", json!({"rope_type": "default", "rope_theta": 10000.0}));
    assert_eq!(parsed(&older).expect("valid"), parsed(&nemotron()).expect("valid"));
}

#[test]
fn a_window_that_never_cuts_is_accepted() {
    parsed(&with(mistral(), "sliding_window", json!(32768))).expect("as wide as the context");
    let wide = with(with(qwen("qwen2"), "use_sliding_window", json!(true)), "sliding_window", json!(40960));
    parsed(&wide).expect("as wide as the context");
    let full = with(qwen("qwen3"), "layer_types", json!(vec!["full_attention"; 28]));
    parsed(&full).expect("no layer has a window");
}

/// What must be said of each configuration.
fn check_refused(table: &[(Value, &str)]) {
    for (config, expected) in table {
        let error = parsed(config).expect_err(expected).to_string();
        assert!(error.contains("config.json: "), "names the file: {error}");
        assert!(error.contains(expected), "expected {expected:?}, got {error:?}");
    }
}

#[test]
fn features_and_sizes_the_engine_lacks_are_named_with_their_value() {
    check_refused(&[
        (
            with(llama(), "model_type", json!("mixtral")),
            "model_type: expected one of llama, mistral, qwen2, qwen3, gpt2, nemotron, got \"mixtral\"",
        ),
        (
            with(llama(), "architectures", json!(["LlamaForSequenceClassification"])),
            "architectures: expected [\"LlamaForCausalLM\"] with model_type llama, got [\"LlamaForSeq",
        ),
        (
            with(llama(), "quantization_config", json!({"quant_method": "gptq"})),
            "quantization_config: expected it to be absent or null, as the engine does not have this feature, got {\"quant_method\":\"gptq\"}",
        ),
        (with(llama(), "num_local_experts", json!(8)), "num_local_experts: expected it to be absent or 0"),
        (
            with(gpt2(), "scale_attn_by_inverse_layer_idx", json!(true)),
            "scale_attn_by_inverse_layer_idx: expected it to be absent or false",
        ),
        (with(llama(), "hidden_act", json!("gelu")), "hidden_act: expected \"silu\""),
        (
            with(gpt2(), "activation_function", json!("relu")),
            "activation_function: expected one of \"gelu_new\"",
        ),
        (
            with(llama(), "hidden_size", json!("576")),
            "hidden_size: expected a whole number, 0 or more, got \"576\"",
        ),
        (with(llama(), "hidden_size", json!(-5)), "hidden_size: expected a whole number, 0 or more, got -5"),
        (
            with(llama(), "num_hidden_layers", json!(null)),
            "num_hidden_layers: expected a whole number, got null",
        ),
        (
            with(llama(), "num_key_value_heads", json!(5)),
            "num_attention_heads: expected a multiple of num_query_groups (5), got 32",
        ),
        (with(llama(), "rms_norm_eps", json!(0)), "norm_epsilon: expected a number above 0"),
        (with(llama(), "vocab_size", json!(u64::MAX)), "vocab_size: expected 1 to"),
        (
            with(mistral(), "num_attention_heads", json!(0)),
            "hidden_size: expected a multiple of num_attention_heads (0), as head_dim is absent, got 4096",
        ),
        (with(gpt2(), "n_head", json!(7)), "n_embd: expected a multiple of n_head (7), got 768"),
        (json!([1, 2]), "expected a JSON object, got [1,2]"),
    ]);
}

#[test]
fn positions_the_engine_lacks_are_named_with_their_value() {
    check_refused(&[
        (
            with(llama(), "rope_scaling", json!({"type": "yarn", "factor": 4.0})),
            "rope_scaling.type: expected \"default\" or \"llama3\" (the engine has no other frequency scaling), got \"yarn\"",
        ),
        (
            with(llama(), "rope_scaling", json!({"rope_type": "linear", "factor": 2})),
            "rope_scaling.rope_type: expected \"default\" or \"llama3\"",
        ),
        (
            with(llama(), "rope_scaling", json!({"rope_type": "llama3", "factor": 2})),
            "rope_scaling.low_freq_factor: expected a number, got nothing",
        ),
        (with(llama(), "rope_scaling", json!(3)), "rope_scaling: expected an object, got 3"),
        (
            with(llama(), "rope_parameters", json!({"full_attention": {"rope_theta": 1}})),
            "rope_scaling: expected it to be absent beside rope_parameters",
        ),
        (
            with(mistral(), "rope_parameters", json!({"full_attention": {"rope_theta": 1}})),
            "rope_parameters.full_attention: expected one rotary embedding for all layers",
        ),
        (
            with(mistral(), "sliding_window", json!(4096)),
            "sliding_window: expected null or at least max_position_embeddings (32768)",
        ),
        (with(qwen("qwen2"), "use_sliding_window", json!(true)), "in effect is 4096, got 4096"),
        (
            with(qwen("qwen3"), "layer_types", json!(["full_attention", "sliding_attention"])),
            "layer_types: expected only \"full_attention\"",
        ),
    ]);
}

#[test]
fn an_absent_window_of_mistral_is_its_default() {
    let mut config = mistral();
    config.as_object_mut().expect("object").remove("sliding_window");
    let error = parsed(&config).expect_err("4096 < 32768").to_string();
    assert!(error.contains("in effect is 4096, got nothing"), "{error}");
}

proptest::proptest! {
    /// Whatever stands behind a key, the answer is an architecture that is valid, or an error.
    #[test]
    fn no_value_panics(
        family in 0_usize..5,
        key in 0_usize..24,
        number in proptest::num::f64::ANY,
        whole: i64,
        text in "[a-z0-9_]{0,12}",
        choice in 0_usize..6,
    ) {
        let mut config = [llama(), mistral(), qwen("qwen2"), gpt2(), nemotron()][family].clone();
        let keys: Vec<String> = config.as_object().expect("object").keys().cloned().collect();
        let value = [
            json!(number), json!(whole), json!(whole as u64), json!(text), json!([text]), json!({ "rope_type": text }),
        ][choice].clone();
        config[&keys[key % keys.len()]] = value;
        if let Ok((_, config)) = parsed(&config) {
            proptest::prop_assert!(config.validate().is_ok());
        }
    }
}
