//! A checkpoint as Hugging Face keeps it: a folder with config.json and safetensors files.

mod config_json;
mod init_model;
mod json_object;
mod layout;
mod model_type;
mod shards;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use half::bf16;
use sha2::{Digest, Sha256};

use super::config::GptConfig;
use super::safetensors::Dtype;
use super::weights::{CheckpointError, TensorName, WeightSource};
pub use init_model::init_model;
pub use layout::{Arrangement, Location, locate};
pub use model_type::ModelType;
use shards::Shards;

/// Tensors listed in one message before "and N more".
const MAX_LISTED: usize = 8;
/// Part of the fingerprint: to be raised when the same files give different bits.
const SCHEME: &str = "goldlap hugging face 1";

/// Reads one config.json: the family and the architecture it describes.
///
/// # Errors
/// Malformed, or an architecture that the engine lacks; names the key and its value.
pub fn read_config(path: &Path) -> Result<(ModelType, GptConfig), CheckpointError> {
    config_json::read(path)
}

/// An opened folder, found complete: every tensor of the architecture is there, in the right shape and a
/// dtype that can be read, and none is there that the architecture has no use for.
#[derive(Debug)]
pub struct HuggingFaceModel {
    folder: PathBuf,
    model_type: ModelType,
    config: GptConfig,
    shards: Shards,
}

impl HuggingFaceModel {
    /// Opens the checkpoint in `folder`; reads headers, no weights.
    ///
    /// # Errors
    /// A file is missing or malformed, the architecture has something the engine lacks, or tensors are
    /// missing, superfluous, or of another shape or dtype: names the file and key or tensor.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        if !folder.is_dir() {
            let text =
                format!("{}: expected a folder with config.json and safetensors files", folder.display());
            return Err(CheckpointError(text));
        }
        let (model_type, config) = config_json::read(&folder.join("config.json"))?;
        let shards = Shards::open(folder)?;
        let model = Self { folder: folder.to_owned(), model_type, config, shards };
        model.check_tensors()?;
        Ok(model)
    }

    /// The family that config.json names.
    pub fn model_type(&self) -> ModelType {
        self.model_type
    }

    /// The folder it was opened from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the files keep `name`. GPT-2 as first published has names without the leading `transformer.`.
    fn locate(&self, name: TensorName) -> Location {
        let mut place = locate(self.model_type, &self.config, name);
        if let Some(bare) = place.name.strip_prefix("transformer.")
            && self.shards.entry(&place.name).is_none()
            && self.shards.entry(bare).is_some()
        {
            place.name = bare.to_owned();
        }
        place
    }

    fn check_tensors(&self) -> Result<(), CheckpointError> {
        let mut missing = BTreeSet::new();
        let mut used = BTreeSet::new();
        for place in self.config.tensors().map(|name| self.locate(name)) {
            let Some(entry) = self.shards.entry(&place.name) else {
                missing.insert(place.name);
                continue;
            };
            let path = self.shards.path_of(&place.name).display();
            let fail = |expected: String, got: String| {
                CheckpointError(format!("{path}: tensor {:?}: expected {expected}, got {got}", place.name))
            };
            if entry.shape != place.shape {
                return Err(fail(format!("shape {:?}", place.shape), format!("{:?}", entry.shape)));
            }
            if matches!(entry.dtype, Dtype::Other(..)) {
                return Err(fail("dtype F32, F16 or BF16".into(), entry.dtype.to_string()));
            }
            used.insert(place.name);
        }
        if !missing.is_empty() {
            let count = missing.len();
            let text =
                format!("{}: {count} tensors are missing: {}", self.folder.display(), listed(&missing));
            return Err(CheckpointError(text));
        }
        let ignored = |name: &str| used.contains(name) || is_buffer(name) || self.is_tied_head(name);
        let extra: BTreeSet<String> =
            self.shards.names().filter(|name| !ignored(name)).map(str::to_owned).collect();
        if !extra.is_empty() {
            let (folder, count) = (self.folder.display(), extra.len());
            let text =
                format!("{folder}: {count} tensors have no use in this architecture: {}", listed(&extra));
            return Err(CheckpointError(text));
        }
        Ok(())
    }

    /// Some checkpoints with tied embeddings store the head as well.
    fn is_tied_head(&self, name: &str) -> bool {
        self.config.tied_embeddings && name == "lm_head.weight"
    }

    /// A stored head that differs from the embedding contradicts `tie_word_embeddings`.
    fn check_tied_head(&self, embedding: &[bf16]) -> Result<(), CheckpointError> {
        let Some(entry) = self.shards.entry("lm_head.weight") else { return Ok(()) };
        let same =
            !matches!(entry.dtype, Dtype::Other(..)) && self.shards.read_bf16("lm_head.weight")? == embedding;
        if same {
            return Ok(());
        }
        Err(CheckpointError(format!(
            "{}: tensor \"lm_head.weight\": expected the values of the token embedding, as config.json says \
             tie_word_embeddings, got others",
            self.shards.path_of("lm_head.weight").display()
        )))
    }
}

impl WeightSource for HuggingFaceModel {
    fn config(&self) -> &GptConfig {
        &self.config
    }

    /// From the architecture and, for each safetensors file, its header, size, modification and change time
    /// in nanoseconds: opening a large model must not read all of it.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SCHEME);
        hash.update(self.model_type.name());
        hash.update(format!("{:?}", self.config));
        self.shards.identities().for_each(|identity| hash.update(identity));
        super::hex::encode(&hash.finalize())
    }

    fn read(&self, name: TensorName) -> Result<Vec<bf16>, CheckpointError> {
        let place = self.locate(name);
        let values = place.extract(self.shards.read_bf16(&place.name)?);
        if name == TensorName::TokenEmbedding && self.config.tied_embeddings {
            self.check_tied_head(&values)?;
        }
        Ok(values)
    }
}

/// Tensors that hold no trained value: causal masks and rotary frequencies, written by old versions.
fn is_buffer(name: &str) -> bool {
    name.ends_with(".attn.bias")
        || name.ends_with(".attn.masked_bias")
        || name.ends_with(".rotary_emb.inv_freq")
}

fn listed(names: &BTreeSet<String>) -> String {
    let first: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
