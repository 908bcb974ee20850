//! Tests of packed files: what goes in comes out, and what is damaged is refused with a reason.

use half::bf16;

use super::*;
use crate::model::config::{Activation, Normalization, PositionEmbedding};
use crate::model::random::RandomWeights;
use crate::model::weights::{LayerTensor, TensorName, WeightSource};
use crate::ops::matrix::TILE;

fn config() -> GptConfig {
    GptConfig {
        num_layers: 2,
        hidden_size: 21,
        num_attention_heads: 4,
        num_query_groups: 2,
        kv_channels: 10,
        ffn_hidden_size: 37,
        vocab_size: 50,
        max_position_embeddings: 40,
        normalization: Normalization::LayerNorm1p,
        norm_epsilon: 1e-5,
        position_embedding: PositionEmbedding::LearnedAbsolute,
        activation: Activation::SwiGlu,
        qkv_bias: true,
        attention_output_bias: true,
        mlp_bias: true,
        qk_norm: true,
        tied_embeddings: false,
    }
}

/// Random weights, one of which is replaced.
struct Altered {
    weights: RandomWeights,
    tensor: TensorName,
    value: bf16,
}

impl WeightSource for Altered {
    fn config(&self) -> &GptConfig {
        self.weights.config()
    }
    fn fingerprint(&self) -> String {
        "0123456789abcdef".to_owned()
    }
    fn read(&self, name: TensorName) -> Result<Vec<bf16>, CheckpointError> {
        let mut values = self.weights.read(name)?;
        if name == self.tensor {
            values[5] = self.value;
        }
        Ok(values)
    }
}

fn weights() -> RandomWeights {
    RandomWeights::new(config(), 3, 0.1).unwrap().with_vector_noise(0.3)
}

/// Element `[output, input]` of a packed matrix.
fn element(matrix: &PackedMatrix, up: bool, output: usize, input: usize) -> f32 {
    let layout = matrix.layout();
    let tile = if layout.gated { output / TILE * 2 + usize::from(up) } else { output / TILE };
    let word = matrix.words()[tile * layout.tile_words() + input / 2 * TILE + output % TILE];
    f32::from_bits(if input.is_multiple_of(2) { word << 16 } else { word & 0xffff_0000 })
}

#[test]
fn weights_come_out_where_the_kernels_look_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let weights = weights();
    pack(&weights, &path, 3).unwrap();
    let packed = PackedModel::open(&path).unwrap();
    assert_eq!(packed.config(), &config());
    assert_eq!(packed.fingerprint(), weights.fingerprint());
    assert_eq!(packed.num_parameters(), config().num_parameters());

    let read = |tensor| weights.read(TensorName::Layer(1, tensor)).unwrap();
    let expect = |matrix: &PackedMatrix, up, first, tensor| {
        for (index, value) in read(tensor).iter().enumerate() {
            let inputs = matrix.layout().inputs;
            assert_eq!(
                element(matrix, up, first + index / inputs, index % inputs),
                value.to_f32(),
                "{tensor:?}"
            );
        }
    };
    let qkv = packed.matrix(PackedName::Layer(1, LayerPart::Qkv)).unwrap();
    expect(&qkv, false, 0, LayerTensor::QueryWeight);
    expect(&qkv, false, 40, LayerTensor::KeyWeight);
    expect(&qkv, false, 60, LayerTensor::ValueWeight);
    let mlp = packed.matrix(PackedName::Layer(1, LayerPart::MlpIn)).unwrap();
    expect(&mlp, false, 0, LayerTensor::GateWeight);
    expect(&mlp, true, 0, LayerTensor::UpWeight);
    // Lanes past the last output and the odd last input are zero.
    assert_eq!(element(&mlp, true, 37, 3), 0.0);
    assert_eq!(element(&mlp, true, 36, 21), 0.0);

    let bias = packed.vector(PackedName::Layer(1, LayerPart::MlpInBias)).unwrap();
    assert_eq!((bias.len(), bias[5 * TILE + 4]), (6 * TILE, read(LayerTensor::UpBias)[36].to_f32()));
    let norm = packed.vector(PackedName::Layer(1, LayerPart::InputNormWeight)).unwrap();
    assert_eq!(norm[7], read(LayerTensor::InputNormWeight)[7].to_f32() + 1.0, "LayerNorm1p");
    let bias = packed.vector(PackedName::Layer(1, LayerPart::InputNormBias)).unwrap();
    assert_eq!(bias[7], read(LayerTensor::InputNormBias)[7].to_f32());
    assert!(
        packed.matrix(PackedName::FinalNormWeight).is_err() && packed.vector(PackedName::LmHead).is_err()
    );
}

#[test]
fn the_file_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let write = |threads: usize| {
        let path = folder.path().join(threads.to_string());
        pack(&weights(), &path, threads).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(write(1) == write(4));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn weights_outside_the_operand_window_are_clamped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    for (value, expected) in [(1e-20, 0.0), (-1e-20, 0.0), (-3e38, -2f32.powi(50)), (1.5, 1.5)] {
        let tensor = TensorName::LmHead;
        pack(&Altered { weights: weights(), tensor, value: bf16::from_f32(value) }, &path, 1).unwrap();
        let head = PackedModel::open(&path).unwrap().matrix(PackedName::LmHead).unwrap();
        assert_eq!(element(&head, false, 0, 5).to_bits(), f32::to_bits(expected), "{value}");
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    for (value, named) in [(bf16::NAN, "NaN"), (bf16::NEG_INFINITY, "-inf")] {
        let tensor = TensorName::Layer(1, LayerTensor::DownWeight);
        let error = pack(&Altered { weights: weights(), tensor, value }, &path, 2).unwrap_err().to_string();
        assert_eq!(error, format!("layer 1 DownWeight: value 5 is {named}; weights must be finite"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn damaged_files_are_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    pack(&weights(), &path, 1).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = PackedModel::open(&path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected) && error.contains("model"), "{error:?} should say {expected:?}");
    };
    let altered = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    refused(&[], "0 bytes are too few");
    refused(&whole[..47], "47 bytes are too few");
    refused(&whole[..100], "truncated");
    refused(&whole[..whole.len() - 1], "truncated");
    refused(&[&whole[..], &[0]].concat(), "truncated");
    refused(&altered(0, b'X'), "not a packed model");
    refused(&altered(8, 2), "version 2");
    refused(&altered(15, 0x7f), "truncated");
    refused(&altered(20, whole[20] ^ 1), "checksum");
    refused(&altered(60, whole[60] ^ 1), "checksum");
}

/// A header that is intact but lies.
#[test]
fn contradictions_in_the_index_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    pack(&weights(), &path, 1).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let length = u32::from_le_bytes(whole[12..16].try_into().unwrap()) as usize;
    let json = std::str::from_utf8(&whole[PREFIX..PREFIX + length]).unwrap();
    let first_offset = serde_json::from_str::<Header>(json).unwrap().tensors[1].offset;
    let offset = format!("\"offset\":{first_offset},");
    for (from, to, expected) in [
        ("\"vocab_size\":50", "\"vocab_size\":51", "`TokenEmbedding`: 5632 bytes expected, 5632"),
        ("\"vocab_size\":50", "\"vocab_size\":90", "`TokenEmbedding`"),
        ("\"num_layers\":2", "\"num_layers\":1", "tensors expected"),
        ("\"num_layers\":2", "\"num_layers\":0", "num_layers"),
        ("layers.0.Qkv\"", "layers.0.Qky\"", "tensor `layers.0.Qkv` expected, `layers.0.Qky`"),
        (offset.as_str(), "\"offset\":4097,", "misaligned"),
        (offset.as_str(), "\"offset\":99999999999,", "leave the file"),
        ("\"file_bytes\"", "\"file_size\"", "header: "),
    ] {
        let json = json.replacen(from, to, 1);
        let mut bytes = whole.clone();
        bytes[12..16].copy_from_slice(&(json.len() as u32).to_le_bytes());
        bytes[16..48].copy_from_slice(&Sha256::digest(json.as_bytes()));
        bytes[PREFIX..PREFIX + json.len()].copy_from_slice(json.as_bytes());
        std::fs::write(&path, &bytes).unwrap();
        match PackedModel::open(&path) {
            // 50 and 51 tokens fill the same four tiles: nothing contradicts.
            Ok(packed) => assert_eq!(packed.config().vocab_size, 51),
            Err(error) => assert!(error.to_string().contains(expected), "{error} should say {expected}"),
        }
    }
}
