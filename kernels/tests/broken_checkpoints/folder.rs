//! A sound checkpoint, and tools to break it in one place at a time.

use std::fs;
use std::path::{Path, PathBuf};

use goldlap_kernels::model::config::{Activation, GptConfig, Normalization, PositionEmbedding};
use goldlap_kernels::model::hugging_face::init_model;
use goldlap_kernels::model::random::RandomWeights;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

/// One tensor of a file, to be changed and written back with a header that fits.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

impl Stored {
    fn view(&self) -> TensorView<'_> {
        TensorView::new(self.dtype, self.shape.clone(), &self.data).expect("the data fit dtype and shape")
    }
}

/// A folder that is being broken.
pub(crate) struct Folder(pub(crate) PathBuf);

pub(crate) const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

impl Folder {
    /// A small Llama, as `init_model` writes it.
    pub(crate) fn sound(path: &Path) -> Self {
        let config = GptConfig {
            num_layers: 2,
            hidden_size: 16,
            num_attention_heads: 4,
            num_query_groups: 2,
            kv_channels: 4,
            ffn_hidden_size: 24,
            vocab_size: 32,
            max_position_embeddings: 64,
            normalization: Normalization::RmsNorm,
            norm_epsilon: 1e-5,
            position_embedding: PositionEmbedding::Rope { base: 1e4, percent: 1.0, scaling: None },
            activation: Activation::SwiGlu,
            qkv_bias: false,
            attention_output_bias: false,
            mlp_bias: false,
            qk_norm: false,
            tied_embeddings: true,
        };
        let weights = RandomWeights::new(config, 3, 0.02).expect("a valid architecture");
        init_model(&weights, path, "none").expect("written");
        Self(path.to_owned())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).expect("write");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("remove");
    }

    pub(crate) fn config(&self, key: &str, value: Value) {
        self.edit_json("config.json", |config| config[key] = value);
    }

    pub(crate) fn edit_json(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut json = serde_json::from_slice(&fs::read(self.file(name)).expect("read")).expect("JSON");
        edit(&mut json);
        self.write(name, json.to_string());
    }

    /// Changes tensors; the header is made to fit.
    pub(crate) fn tensors(&self, file: &str, edit: impl FnOnce(&mut Vec<Stored>)) {
        let bytes = fs::read(self.file(file)).expect("read");
        let parsed = SafeTensors::deserialize(&bytes).expect("sound");
        let stored = |(name, view): (String, TensorView<'_>)| Stored {
            name,
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            data: view.data().to_vec(),
        };
        let mut tensors: Vec<Stored> = parsed.tensors().into_iter().map(stored).collect();
        edit(&mut tensors);
        self.write_tensors(file, &tensors);
    }

    pub(crate) fn write_tensors(&self, file: &str, tensors: &[Stored]) {
        let views = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.view()));
        self.write(file, safetensors::serialize(views, None).expect("serialises"));
    }

    /// Changes one tensor of the single file; the header is made to fit.
    pub(crate) fn tensor(&self, name: &str, edit: impl FnOnce(&mut Stored)) {
        self.tensors("model.safetensors", |tensors| {
            edit(tensors.iter_mut().find(|tensor| tensor.name == name).expect("there"));
        });
    }

    /// Changes the single file's header and leaves its data as it is.
    pub(crate) fn header(&self, edit: impl FnOnce(&mut Value)) {
        let bytes = fs::read(self.file("model.safetensors")).expect("read");
        let len = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let mut header = serde_json::from_slice(&bytes[8..8 + len]).expect("JSON");
        edit(&mut header);
        let header = header.to_string();
        let parts = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + len..]];
        self.write("model.safetensors", parts.concat());
    }

    /// Splits the single file in two with an index, then changes the index.
    pub(crate) fn shard(&self, edit: impl FnOnce(&mut Value)) {
        let mut second = Vec::new();
        self.tensors("model.safetensors", |tensors| second = tensors.split_off(tensors.len() / 2));
        fs::rename(self.file("model.safetensors"), self.file(SHARDS[0])).expect("rename");
        self.write_tensors(SHARDS[1], &second);
        let mut map = json!({});
        for shard in SHARDS {
            self.tensors(shard, |tensors| tensors.iter().for_each(|tensor| map[&tensor.name] = json!(shard)));
        }
        let mut index = json!({ "metadata": {}, "weight_map": map });
        edit(&mut index);
        self.write("model.safetensors.index.json", index.to_string());
    }

    /// Cuts a file to `keep` bytes, from the end if negative.
    pub(crate) fn truncate(&self, name: &str, keep: i64) {
        let mut bytes = fs::read(self.file(name)).expect("read");
        let len = if keep < 0 { bytes.len() as i64 + keep } else { keep };
        bytes.truncate(len as usize);
        self.write(name, bytes);
    }
}
