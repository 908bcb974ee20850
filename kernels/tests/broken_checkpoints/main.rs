//! Checkpoints broken in one place each, and what must be said about it.

mod folder;

use std::fs;
use std::path::Path;

use folder::{Folder, SHARDS, Stored};
use goldlap_kernels::model::hugging_face::HuggingFaceModel;
use goldlap_kernels::model::weights::WeightSource;
use safetensors::Dtype;
use serde_json::json;

type Break = fn(&Folder);

const QUERY: &str = "model.layers.1.self_attn.q_proj.weight";
const INDEX: &str = "model.safetensors.index.json";

fn f32_tensor(name: &str, shape: &[usize], value: f32) -> Stored {
    let data = value.to_le_bytes().repeat(shape.iter().product());
    Stored { name: name.into(), dtype: Dtype::F32, shape: shape.into(), data }
}

/// How the configuration is broken, and what must be said.
const CONFIGS: &[(&str, Break, &str)] = &[
    ("config.json absent", |f| f.remove("config.json"), "config.json: cannot be read: No such file"),
    ("config.json empty", |f| f.write("config.json", ""), "config.json: not valid JSON: EOF"),
    ("config.json cut", |f| f.truncate("config.json", 60), "config.json: not valid JSON"),
    ("config.json not UTF-8", |f| f.write("config.json", [b'{', b'"', 0xFF]), "config.json: not valid JSON"),
    ("config.json a list", |f| f.write("config.json", "[]"), "config.json: expected a JSON object, got []"),
    (
        "config.json huge",
        |f| f.write("config.json", vec![b' '; 2 << 20]),
        "expected at most 1048576 bytes, got 2097152",
    ),
    (
        "config.json nested without end",
        |f| f.write("config.json", "[".repeat(100_000)),
        "config.json: not valid JSON: recursion limit exceeded",
    ),
    (
        "model type foreign",
        |f| f.config("model_type", json!("bert")),
        "model_type: expected one of llama, mistral",
    ),
    (
        "model type absent",
        |f| f.config("model_type", json!(null)),
        "model_type: expected one of llama, mistral",
    ),
    (
        "layers as text",
        |f| f.config("num_hidden_layers", json!("2")),
        "num_hidden_layers: expected a whole number, 0 or more, got \"2\"",
    ),
    ("layers zero", |f| f.config("num_hidden_layers", json!(0)), "num_layers: expected 1 to 4096, got 0"),
    (
        "layers absurd",
        |f| f.config("num_hidden_layers", json!(1_000_000_000_u64)),
        "num_layers: expected 1 to 4096, got 1000000000",
    ),
    (
        "hidden size a fraction",
        |f| f.config("hidden_size", json!(16.5)),
        "hidden_size: expected a whole number, 0 or more, got 16.5",
    ),
    (
        "vocabulary overflows",
        |f| f.config("vocab_size", json!(u64::MAX)),
        "vocab_size: expected 1 to 16777216",
    ),
    (
        "heads not grouped evenly",
        |f| f.config("num_key_value_heads", json!(3)),
        "expected a multiple of num_query_groups (3), got 4",
    ),
    (
        "head of odd width",
        |f| f.config("head_dim", json!(3)),
        "kv_channels (3) * rotary_percent to be an even number",
    ),
    (
        "yarn",
        |f| f.config("rope_scaling", json!({"rope_type": "yarn"})),
        "rope_scaling.rope_type: expected \"default\" or \"llama3\"",
    ),
    (
        "quantised",
        |f| f.config("quantization_config", json!({"bits": 4})),
        "quantization_config: expected it to be absent or null",
    ),
    (
        "experts",
        |f| f.config("num_local_experts", json!(8)),
        "num_local_experts: expected it to be absent or 0",
    ),
    ("activation", |f| f.config("hidden_act", json!("relu")), "hidden_act: expected \"silu\""),
    (
        "head absent but not tied",
        |f| f.config("tie_word_embeddings", json!(false)),
        "1 tensors are missing: lm_head.weight",
    ),
];

/// How the weights are broken, and what must be said.
const WEIGHTS: &[(&str, Break, &str)] = &[
    (
        "no weights",
        |f| f.remove("model.safetensors"),
        "expected model.safetensors or model.safetensors.index.json in this folder",
    ),
    (
        "only a pickle",
        |f| {
            f.remove("model.safetensors");
            f.write("pytorch_model.bin", "PK");
        },
        "pytorch_model.bin is not read: convert it",
    ),
    ("file empty", |f| f.write("model.safetensors", ""), "got one of 0 bytes, too short for a header"),
    ("file cut in the header", |f| f.truncate("model.safetensors", 100), "the header claims"),
    ("file cut in the data", |f| f.truncate("model.safetensors", -2), "expected to lie within the file's"),
    (
        "file of text",
        |f| f.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
        "not a safetensors file, or truncated",
    ),
    (
        "bytes after the last tensor",
        |f| {
            let bytes = fs::read(f.file("model.safetensors")).expect("read");
            f.write("model.safetensors", [bytes, vec![0; 10]].concat());
        },
        "10 bytes after the last tensor belong to none",
    ),
    (
        "header's length lies",
        |f| f.write("model.safetensors", u64::MAX.to_le_bytes()),
        "the header claims 18446744073709551615 bytes, expected at most 0",
    ),
    (
        "header is no JSON",
        |f| f.write("model.safetensors", [&4_u64.to_le_bytes()[..], b"{{{{"].concat()),
        "the header is not valid",
    ),
    (
        "shape lies",
        |f| f.header(|h| h[QUERY]["shape"] = json!([16, 17])),
        "BF16 values of shape [16, 17] take 544 bytes, but data_offsets",
    ),
    (
        "shape overflows",
        |f| f.header(|h| h[QUERY]["shape"] = json!([u64::MAX, u64::MAX])),
        "take more than 2^64 bytes",
    ),
    (
        "shape negative",
        |f| f.header(|h| h[QUERY]["shape"] = json!([-1, 16])),
        "q_proj.weight\": invalid value: integer `-1`",
    ),
    (
        "dtype unknown",
        |f| f.header(|h| h[QUERY]["dtype"] = json!("F5")),
        "q_proj.weight\": dtype \"F5\" is not known",
    ),
    (
        "offsets beyond the file",
        |f| f.header(|h| h[QUERY]["data_offsets"] = json!([0, 1_u64 << 40])),
        "q_proj.weight\": data_offsets: expected to lie within",
    ),
    ("offsets backwards", |f| f.header(|h| h[QUERY]["data_offsets"] = json!([512, 0])), "got [512, 0]"),
    (
        "offsets overlap",
        |f| f.header(|h| h[QUERY]["data_offsets"] = json!([0, 512])),
        "overlaps the tensor before it",
    ),
    (
        "entry without offsets",
        |f| f.header(|h| h[QUERY] = json!({"dtype": "BF16", "shape": [16, 16]})),
        "missing field `data_offsets`",
    ),
    (
        "tensor missing",
        |f| f.tensors("model.safetensors", |t| t.retain(|t| t.name != QUERY)),
        "1 tensors are missing: model.layers.1.self_attn.q_proj.weight",
    ),
    (
        "a layer missing",
        |f| f.tensors("model.safetensors", |t| t.retain(|t| !t.name.contains("layers.1"))),
        "9 tensors are missing: model.layers.1.input_layernorm.weight, model.layers.1.mlp.down_proj.weight",
    ),
    (
        "a layer too many",
        |f| f.config("num_hidden_layers", json!(1)),
        "9 tensors have no use in this architecture: model.layers.1.input_layernorm.weight",
    ),
    (
        "a bias that nothing uses",
        |f| {
            f.tensors("model.safetensors", |t| {
                t.push(f32_tensor("model.layers.0.self_attn.q_proj.bias", &[16], 0.5))
            })
        },
        "1 tensors have no use in this architecture: model.layers.0.self_attn.q_proj.bias",
    ),
    (
        "shape of another model",
        |f| f.config("intermediate_size", json!(32)),
        "mlp.gate_proj.weight\": expected shape [32, 16], got [24, 16]",
    ),
    (
        "matrix transposed",
        |f| f.tensor("model.embed_tokens.weight", |t| t.shape.reverse()),
        "model.embed_tokens.weight\": expected shape [32, 16], got [16, 32]",
    ),
    (
        "integers",
        |f| f.tensor(QUERY, |t| t.dtype = Dtype::I16),
        "q_proj.weight\": expected dtype F32, F16 or BF16, got I16",
    ),
    (
        "a value is NaN",
        |f| f.tensor(QUERY, |t| t.data[34..36].copy_from_slice(&[0xC0, 0x7F])),
        "q_proj.weight\": value 17 is NaN, expected finite weights",
    ),
    (
        "a value is infinite",
        |f| f.tensor(QUERY, |t| *t = f32_tensor(QUERY, &[16, 16], f32::MAX)),
        "q_proj.weight\": value 0 is inf, expected finite weights",
    ),
    (
        "a tied head that differs",
        |f| f.tensors("model.safetensors", |t| t.push(f32_tensor("lm_head.weight", &[32, 16], 0.5))),
        "lm_head.weight\": expected the values of the token embedding",
    ),
];

/// How a checkpoint in several files is broken, and what must be said.
const INDEXES: &[(&str, Break, &str)] = &[
    (
        "no weight map",
        |f| f.shard(|i| i["weight_map"] = json!(null)),
        "weight_map: expected an object of tensors and files, got null",
    ),
    (
        "weight map empty",
        |f| f.shard(|i| i["weight_map"] = json!({})),
        "weight_map: expected at least one tensor, got {}",
    ),
    (
        "index is cut",
        |f| {
            f.shard(|_| ());
            f.truncate(INDEX, 50);
        },
        "model.safetensors.index.json: not valid JSON",
    ),
    (
        "file of the index missing",
        |f| f.shard(|i| i["weight_map"][QUERY] = json!("other.safetensors")),
        "expected a file that exists in the same folder, got \"other.safetensors\"",
    ),
    (
        "file outside the folder",
        |f| f.shard(|i| i["weight_map"][QUERY] = json!("../other.safetensors")),
        "expected the name of a file in the same folder, got \"../other.safetensors\"",
    ),
    (
        "file is a number",
        |f| f.shard(|i| i["weight_map"][QUERY] = json!(7)),
        "expected the name of a file in the same folder, got 7",
    ),
    (
        "tensor in the wrong file",
        |f| {
            f.shard(|i| {
                let here = i["weight_map"][QUERY] == json!(SHARDS[0]);
                i["weight_map"][QUERY] = json!(SHARDS[usize::from(here)]);
            });
        },
        "q_proj.weight: expected the file that holds this tensor; this one does not, got \"model-0000",
    ),
    (
        "tensor not in the index",
        |f| f.shard(|i| drop(i["weight_map"].as_object_mut().expect("object").remove(QUERY))),
        "q_proj.weight\", which is not listed as lying there",
    ),
    (
        "a shard is cut",
        |f| {
            f.shard(|_| ());
            f.truncate(SHARDS[1], -1);
        },
        "model-00002-of-00002.safetensors: tensor",
    ),
    (
        "a shard is missing",
        |f| {
            f.shard(|_| ());
            f.remove(SHARDS[0]);
        },
        "expected a file that exists in the same folder, got \"model-00001-of-00002.safetensors\"",
    ),
];

/// Opens the folder and reads every tensor: the first error, if any.
fn open_and_read(folder: &Path) -> Result<(), String> {
    let model = HuggingFaceModel::open(folder).map_err(|error| error.to_string())?;
    let read = |name| model.read(name).map(drop).map_err(|error| error.to_string());
    model.config().tensors().try_for_each(read)
}

fn check(table: &[(&str, Break, &str)]) {
    let mut wrong = Vec::new();
    for (how, break_it, expected) in table {
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = Folder::sound(&parent.path().join("model"));
        break_it(&folder);
        match open_and_read(&folder.0) {
            Ok(()) => wrong.push(format!("{how}: accepted, expected {expected:?}")),
            Err(error) if !error.contains(expected) => {
                wrong.push(format!("{how}: expected {expected:?}, got {error:?}"))
            }
            Err(error) if !error.starts_with(&folder.0.display().to_string()) => {
                wrong.push(format!("{how}: does not name the file: {error:?}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn broken_configurations_are_refused() {
    check(CONFIGS);
}

#[test]
fn broken_weights_are_refused() {
    check(WEIGHTS);
}

#[test]
fn broken_indexes_are_refused() {
    check(INDEXES);
}

/// The tables prove nothing unless what they break was sound before; and these changes do no harm.
#[test]
fn sound_checkpoints_are_accepted() {
    let sound: &[(&str, Break)] = &[
        ("as written", |_| ()),
        ("sharded", |f| f.shard(|_| ())),
        ("metadata", |f| f.header(|h| h["__metadata__"] = json!({"format": "pt"}))),
        ("an old rotary buffer", |f| {
            let buffer = f32_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", &[2], 1.0);
            f.tensors("model.safetensors", |t| t.push(buffer));
        }),
        ("one tensor in f32", |f| f.tensor(QUERY, |t| *t = f32_tensor(QUERY, &[16, 16], 0.1))),
        ("a tied head stored twice", |f| {
            f.tensors("model.safetensors", |tensors| {
                let embedding =
                    tensors.iter().find(|t| t.name == "model.embed_tokens.weight").expect("there");
                let (dtype, shape, data) = (embedding.dtype, embedding.shape.clone(), embedding.data.clone());
                tensors.push(Stored { name: "lm_head.weight".into(), dtype, shape, data });
            });
        }),
    ];
    for (how, change) in sound {
        let parent = tempfile::tempdir().expect("tempdir");
        let folder = Folder::sound(&parent.path().join("model"));
        change(&folder);
        assert_eq!(open_and_read(&folder.0), Ok(()), "{how}");
    }
}

#[test]
fn what_is_no_folder_is_named() {
    let parent = tempfile::tempdir().expect("tempdir");
    let error = open_and_read(&parent.path().join("absent")).expect_err("refused");
    assert!(error.ends_with("absent: expected a folder with config.json and safetensors files"), "{error}");
}
