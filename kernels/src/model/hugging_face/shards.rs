//! The safetensors files of a folder: one, or several with an index that says which tensor lies where.

use std::collections::BTreeMap;
use std::path::Path;

use half::bf16;

use super::json_object::JsonObject;
use crate::model::safetensors::{SafetensorsFile, TensorEntry};
use crate::model::weights::CheckpointError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// The index of a 405B model has 90 kB.
const MAX_INDEX_BYTES: u64 = 1 << 26;

/// All tensors of a checkpoint and the open files that hold them.
#[derive(Debug)]
pub(super) struct Shards {
    files: Vec<SafetensorsFile>,
    /// Tensor name to index into `files`.
    places: BTreeMap<String, usize>,
}

impl Shards {
    /// Opens what is there: `model.safetensors`, else the shards of `model.safetensors.index.json`.
    pub(super) fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let single = folder.join(SINGLE);
        if single.exists() {
            return Self::of(vec![SafetensorsFile::open(&single)?]);
        }
        let index = folder.join(INDEX);
        if index.exists() {
            return open_indexed(folder, &index);
        }
        let hint = if folder.join("pytorch_model.bin").exists() {
            "; pytorch_model.bin is not read: convert it with transformers' save_pretrained(safe_serialization=True)"
        } else {
            ""
        };
        Err(CheckpointError(format!(
            "{}: expected {SINGLE} or {INDEX} in this folder{hint}",
            folder.display()
        )))
    }

    fn of(files: Vec<SafetensorsFile>) -> Result<Self, CheckpointError> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for name in file.tensors().keys() {
                if let Some(other) = places.insert(name.clone(), index) {
                    let (path, other) = (file.path().display(), files[other].path().display());
                    return Err(CheckpointError(format!("{path}: tensor {name:?} is also in {other}")));
                }
            }
        }
        Ok(Self { files, places })
    }

    pub(super) fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.places.get(name).map(|&index| &self.files[index].tensors()[name])
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// File that holds the tensor.
    pub(super) fn path_of(&self, name: &str) -> &Path {
        self.files[self.places.get(name).copied().unwrap_or(0)].path()
    }

    pub(super) fn read_bf16(&self, name: &str) -> Result<Vec<bf16>, CheckpointError> {
        self.files[self.places.get(name).copied().unwrap_or(0)].read_bf16(name)
    }

    /// Identities of all files, in order.
    pub(super) fn identities(&self) -> impl Iterator<Item = [u8; 32]> {
        self.files.iter().map(SafetensorsFile::identity)
    }
}

fn open_indexed(folder: &Path, index: &Path) -> Result<Shards, CheckpointError> {
    let json = JsonObject::read(index, MAX_INDEX_BYTES)?;
    let map = json
        .object("weight_map")?
        .ok_or_else(|| json.unfit("weight_map", "an object of tensors and files"))?;
    let mut tensors_by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in map.iter() {
        let plain = |name: &&str| !name.is_empty() && !name.contains(['/', '\\', '\0']) && *name != "..";
        let file = file
            .as_str()
            .filter(plain)
            .ok_or_else(|| map.unfit(tensor, "the name of a file in the same folder"))?;
        tensors_by_file.entry(file).or_default().push(tensor);
    }
    let mut files = Vec::new();
    for (name, tensors) in tensors_by_file {
        let path = folder.join(name);
        if !path.exists() {
            let first = tensors[0];
            return Err(map.unfit(first, "a file that exists in the same folder"));
        }
        let file = SafetensorsFile::open(&path)?;
        if let Some(missing) = tensors.iter().find(|tensor| !file.tensors().contains_key(**tensor)) {
            let path = path.display();
            return Err(json.error(format!(
                "weight_map.{missing}: expected {path} to hold this tensor, but it does not"
            )));
        }
        if let Some(stray) = file.tensors().keys().find(|tensor| !tensors.contains(&tensor.as_str())) {
            let path = path.display();
            return Err(
                json.error(format!("weight_map: {path} holds {stray:?}, which is not listed as lying there"))
            );
        }
        files.push(file);
    }
    if files.is_empty() {
        return Err(json.unfit("weight_map", "at least one tensor"));
    }
    Shards::of(files)
}
