//! The safetensors files of a folder: one, or several with an index that says which tensor lies where.

use std::collections::{BTreeMap, BTreeSet};
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
    let expected = "an object of tensors and files";
    let map = json.object("weight_map")?.ok_or_else(|| json.unfit("weight_map", expected))?;
    let tensors_by_file = tensors_by_file(folder, &map)?;
    if tensors_by_file.is_empty() {
        return Err(json.unfit("weight_map", "at least one tensor"));
    }
    let open = |name: &&str| SafetensorsFile::open(&folder.join(name));
    let files: Vec<SafetensorsFile> = tensors_by_file.keys().map(open).collect::<Result<_, _>>()?;
    for (file, listed) in files.iter().zip(tensors_by_file.values()) {
        if let Some(missing) = listed.iter().find(|tensor| !file.tensors().contains_key(**tensor)) {
            return Err(map.unfit(missing, "the file that holds this tensor; this one does not"));
        }
    }
    for (file, listed) in files.iter().zip(tensors_by_file.values()) {
        if let Some(stray) = file.tensors().keys().find(|tensor| !listed.contains(tensor.as_str())) {
            let path = file.path().display();
            let text = format!("weight_map: {path} holds {stray:?}, which is not listed as lying there");
            return Err(json.error(text));
        }
    }
    Shards::of(files)
}

/// What the index places in each file; all of the files exist.
fn tensors_by_file<'a>(
    folder: &Path,
    map: &'a JsonObject,
) -> Result<BTreeMap<&'a str, BTreeSet<&'a str>>, CheckpointError> {
    let mut tensors_by_file: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (tensor, file) in map.iter() {
        let plain = |name: &&str| !name.is_empty() && !name.contains(['/', '\\', '\0']) && *name != "..";
        let expected = "the name of a file in the same folder";
        let file = file.as_str().filter(plain).ok_or_else(|| map.unfit(tensor, expected))?;
        let tensors = tensors_by_file.entry(file).or_default();
        if tensors.is_empty() && !folder.join(file).is_file() {
            return Err(map.unfit(tensor, "a file that exists in the same folder"));
        }
        tensors.insert(tensor);
    }
    Ok(tensors_by_file)
}
