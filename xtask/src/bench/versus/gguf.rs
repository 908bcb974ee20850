//! The random model as GGUF version 3, for the peer: bf16 matrices, f32 norms, no vocabulary.
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use goldlap_kernels::model::random::RandomWeights;
use goldlap_kernels::model::weights::{LayerTensor, TensorName, WeightSource};

const ALIGNMENT: u64 = 32;
/// Tags of the format: value types, then tensor types.
const U32: u32 = 4;
const F32_VALUE: u32 = 6;
const TEXT: u32 = 8;
const F32_TENSOR: u32 = 0;
const BF16_TENSOR: u32 = 30;

/// Path of the file, made when it is not there.
pub(super) fn of_random_model(config: &GptConfig, seed: u64, std: f64) -> Result<PathBuf> {
    let folder = crate::workspace_root().join("target/goldlap/peer");
    let weights = RandomWeights::new(config.clone(), seed, std)?;
    let path = folder.join(format!("{}.gguf", weights.fingerprint()));
    if !path.is_file() {
        eprintln!("writing {}", path.display());
        fs::create_dir_all(&folder)?;
        let temporary = tempfile::NamedTempFile::new_in(&folder)?;
        write(&weights, temporary.as_file()).with_context(|| format!("writing {}", path.display()))?;
        temporary.persist(&path)?;
    }
    Ok(path)
}

fn write(weights: &dyn WeightSource, file: &fs::File) -> Result<()> {
    let config = weights.config();
    let names: Vec<TensorName> = config.tensors().collect();
    let values = values(config)?;
    let mut header = Vec::new();
    header.extend_from_slice(b"GGUF");
    header.extend_from_slice(&3u32.to_le_bytes());
    header.extend_from_slice(&(names.len() as u64).to_le_bytes());
    header.extend_from_slice(&values.count.to_le_bytes());
    header.extend_from_slice(&values.bytes);
    let mut offset = 0u64;
    for &name in &names {
        let shape = name.shape(config);
        text(&mut header, &peer_name(name)?);
        header.extend_from_slice(&(shape.len() as u32).to_le_bytes());
        for &size in shape.iter().rev() {
            header.extend_from_slice(&(size as u64).to_le_bytes());
        }
        let (tag, size) = if shape.len() == 1 { (F32_TENSOR, 4) } else { (BF16_TENSOR, 2) };
        header.extend_from_slice(&tag.to_le_bytes());
        header.extend_from_slice(&offset.to_le_bytes());
        offset += (name.num_values(config) * size).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
    let mut out = BufWriter::new(file);
    out.write_all(&header)?;
    for &name in &names {
        let values = weights.read(name)?;
        let bytes: Vec<u8> = if name.shape(config).len() == 1 {
            values.iter().flat_map(|value| value.to_f32().to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        out.write_all(&bytes)?;
        out.write_all(&vec![0; bytes.len().next_multiple_of(ALIGNMENT as usize) - bytes.len()])?;
    }
    Ok(out.flush()?)
}

/// Key-values, encoded.
#[derive(Default)]
struct Values {
    count: u64,
    bytes: Vec<u8>,
}

impl Values {
    fn add(&mut self, key: &str, tag: u32, value: &[u8]) {
        self.count += 1;
        text(&mut self.bytes, key);
        self.bytes.extend_from_slice(&tag.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(&(text.len() as u64).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

/// llama.cpp's keys for this architecture.
fn values(config: &GptConfig) -> Result<Values> {
    let PositionEmbedding::Rope { base, scaling: None, .. } = config.position_embedding else {
        anyhow::bail!("only plain rotary positions are written, got {:?}", config.position_embedding);
    };
    let plain = config.normalization == Normalization::RmsNorm && config.activation == Activation::SwiGlu;
    ensure!(plain, "only RMSNorm and SwiGLU are written");
    let mut values = Values::default();
    let mut name = Vec::new();
    text(&mut name, "llama");
    values.add("general.architecture", TEXT, &name);
    let mut vocabulary = Vec::new();
    text(&mut vocabulary, "no_vocab");
    values.add("tokenizer.ggml.model", TEXT, &vocabulary);
    for (key, value) in [
        ("vocab_size", config.vocab_size),
        ("context_length", config.max_position_embeddings),
        ("embedding_length", config.hidden_size),
        ("block_count", config.num_layers),
        ("feed_forward_length", config.ffn_hidden_size),
        ("attention.head_count", config.num_attention_heads),
        ("attention.head_count_kv", config.num_query_groups),
        ("attention.key_length", config.kv_channels),
        ("attention.value_length", config.kv_channels),
        ("rope.dimension_count", config.rotary_dim()),
    ] {
        values.add(&format!("llama.{key}"), U32, &(value as u32).to_le_bytes());
    }
    values.add("llama.rope.freq_base", F32_VALUE, &(base as f32).to_le_bytes());
    values.add("llama.attention.layer_norm_rms_epsilon", F32_VALUE, &config.norm_epsilon.to_le_bytes());
    Ok(values)
}

/// llama.cpp's name of a tensor.
fn peer_name(name: TensorName) -> Result<String> {
    Ok(match name {
        TensorName::TokenEmbedding => "token_embd.weight".to_owned(),
        TensorName::FinalNormWeight => "output_norm.weight".to_owned(),
        TensorName::LmHead => "output.weight".to_owned(),
        TensorName::Layer(layer, tensor) => format!("blk.{layer}.{}.weight", part_name(tensor)?),
        TensorName::PositionEmbedding | TensorName::FinalNormBias => {
            anyhow::bail!("{name} has no place in this architecture")
        }
    })
}

fn part_name(tensor: LayerTensor) -> Result<&'static str> {
    let parts = [
        (LayerTensor::InputNormWeight, "attn_norm"),
        (LayerTensor::QueryWeight, "attn_q"),
        (LayerTensor::KeyWeight, "attn_k"),
        (LayerTensor::ValueWeight, "attn_v"),
        (LayerTensor::AttentionOutputWeight, "attn_output"),
        (LayerTensor::PostAttentionNormWeight, "ffn_norm"),
        (LayerTensor::GateWeight, "ffn_gate"),
        (LayerTensor::UpWeight, "ffn_up"),
        (LayerTensor::DownWeight, "ffn_down"),
    ];
    let found = parts.iter().find(|(part, _)| *part == tensor);
    found.map(|(_, name)| *name).with_context(|| format!("{tensor:?} has no place in this architecture"))
}
