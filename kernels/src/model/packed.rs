//! Packed model files: weights in the layout that the kernels read, made once and mapped by every process that needs them.
//!
//! Layout, little endian: magic `GOLDPACK`; version (u32); length of the header (u32); SHA-256 of the header (32 bytes); the
//! header, JSON: config, fingerprint, tensor index; then the tensors, each at a multiple of 64 bytes.

mod recipe;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::GptConfig;
use super::weights::CheckpointError;
use crate::ops::matrix::{MatrixLayout, PackedMatrix, SharedBytes};
use recipe::{Recipe, Shape};

pub use writer::pack;

const MAGIC: [u8; 8] = *b"GOLDPACK";
pub(super) const VERSION: u32 = 1;
/// Bytes before the header.
const PREFIX: usize = 48;
/// Tensors start at multiples of this.
const ALIGNMENT: usize = 64;

/// Identity of a packed tensor: what the kernels want in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackedName {
    /// `[vocab_size, hidden_size]`
    TokenEmbedding,
    /// `[max_position_embeddings, hidden_size]`
    PositionEmbedding,
    /// A tensor of layer `0..num_layers`.
    Layer(usize, LayerPart),
    /// `[hidden_size]`
    FinalNormWeight,
    /// `[hidden_size]`
    FinalNormBias,
    /// `[vocab_size, hidden_size]`, untied models only.
    LmHead,
}

/// Identity of a packed tensor inside a layer. Biases are in the order of their matrix's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerPart {
    /// `[hidden_size]`
    InputNormWeight,
    /// `[hidden_size]`
    InputNormBias,
    /// `[(heads + 2 groups) * kv_channels, hidden_size]`: queries, keys, values.
    Qkv,
    /// Bias of `Qkv`.
    QkvBias,
    /// `[kv_channels]`
    QueryNorm,
    /// `[kv_channels]`
    KeyNorm,
    /// `[hidden_size, heads * kv_channels]`
    AttentionOutput,
    /// Bias of `AttentionOutput`.
    AttentionOutputBias,
    /// `[hidden_size]`
    PostAttentionNormWeight,
    /// `[hidden_size]`
    PostAttentionNormBias,
    /// `[ffn_hidden_size, hidden_size]`, gated if the activation is.
    MlpIn,
    /// Bias of `MlpIn`.
    MlpInBias,
    /// `[hidden_size, ffn_hidden_size]`
    MlpOut,
    /// Bias of `MlpOut`.
    MlpOutBias,
}

impl fmt::Display for PackedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Layer(layer, part) = self {
            return write!(f, "layers.{layer}.{part:?}");
        }
        write!(f, "{self:?}")
    }
}

/// The JSON header.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: GptConfig,
    fingerprint: String,
    /// Size of the whole file.
    file_bytes: u64,
    tensors: Vec<IndexEntry>,
}

/// Where a tensor is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexEntry {
    name: String,
    offset: u64,
    bytes: u64,
}

/// A packed model file, mapped read-only.
#[derive(Clone)]
pub struct PackedModel {
    path: PathBuf,
    config: GptConfig,
    fingerprint: String,
    file: Arc<MappedFile>,
    tensors: Arc<HashMap<PackedName, (Shape, Range<usize>)>>,
}

struct MappedFile(Mmap);

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PackedModel {
    /// Maps the file and validates everything but the weights' values.
    ///
    /// # Errors
    /// The file cannot be read, is not a packed model, is truncated, has another version, or contradicts itself.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let fail = |message: String| {
            CheckpointError(format!("{}: {message}; delete the file to have it made again", path.display()))
        };
        if cfg!(target_endian = "big") {
            return Err(fail("packed models are little-endian, this machine is not".to_owned()));
        }
        let file = File::open(path).map_err(|error| fail(format!("cannot open: {error}")))?;
        // SAFETY: packed files are written elsewhere and renamed into place; nobody changes one afterwards.
        let mapped = unsafe { Mmap::map(&file) }.map_err(|error| fail(format!("cannot map: {error}")))?;
        let header = read_header(&mapped).map_err(fail)?;
        header.config.validate().map_err(|error| fail(format!("config: {error}")))?;
        if header.file_bytes != mapped.len() as u64 {
            return Err(fail(format!(
                "{} bytes expected, {} there (truncated?)",
                header.file_bytes,
                mapped.len()
            )));
        }
        let tensors = index(&header, mapped.len()).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            config: header.config,
            fingerprint: header.fingerprint,
            file: Arc::new(MappedFile(mapped)),
            tensors: Arc::new(tensors),
        })
    }

    /// Architecture.
    pub fn config(&self) -> &GptConfig {
        &self.config
    }

    /// Fingerprint of the weights it was packed from.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Bytes of the file: all weights as they are packed.
    pub fn num_bytes(&self) -> usize {
        self.file.0.len()
    }

    /// Trained values; a tied embedding counts once.
    pub fn num_parameters(&self) -> u64 {
        self.config.num_parameters()
    }

    /// A matrix.
    ///
    /// # Errors
    /// The architecture has no such matrix.
    pub fn matrix(&self, name: PackedName) -> Result<PackedMatrix, CheckpointError> {
        let found = match self.tensors.get(&name) {
            Some((Shape::Matrix(layout), range)) => self.shared(*layout, range.clone()),
            Some((Shape::Vector(_), _)) | None => None,
        };
        found.ok_or_else(|| self.missing(name))
    }

    fn shared(&self, layout: MatrixLayout, range: Range<usize>) -> Option<PackedMatrix> {
        let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = Arc::clone(&self.file) as _;
        PackedMatrix::new(layout, SharedBytes::new(owner, range)?)
    }

    /// A vector of f32.
    ///
    /// # Errors
    /// The architecture has no such vector.
    pub fn vector(&self, name: PackedName) -> Result<&[f32], CheckpointError> {
        match self.tensors.get(&name) {
            Some((Shape::Vector(_), range)) => {
                bytemuck::try_cast_slice(&self.file.0[range.clone()]).map_err(|_| self.missing(name))
            }
            Some((Shape::Matrix(_), _)) | None => Err(self.missing(name)),
        }
    }

    /// The tensor exists in this architecture.
    pub fn contains(&self, name: PackedName) -> bool {
        self.tensors.contains_key(&name)
    }

    fn missing(&self, name: PackedName) -> CheckpointError {
        CheckpointError(format!("{}: no tensor `{name}` of the wanted kind", self.path.display()))
    }
}

/// Magic, version, checksum, JSON.
fn read_header(bytes: &[u8]) -> Result<Header, String> {
    let prefix = bytes.first_chunk::<PREFIX>().ok_or_else(|| {
        format!("{} bytes are too few for a packed model, whose prefix alone has {PREFIX}", bytes.len())
    })?;
    if prefix[..8] != MAGIC {
        return Err(format!(
            "not a packed model: it starts with {:02x?}, expected {MAGIC:02x?}",
            &prefix[..8]
        ));
    }
    let number = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
    if number(8) != VERSION {
        return Err(format!(
            "version {} of the packed format, this program reads version {VERSION}",
            number(8)
        ));
    }
    let length = number(12) as usize;
    let json = bytes.get(PREFIX..PREFIX + length);
    let json =
        json.ok_or_else(|| format!("header of {length} bytes in a file of {} (truncated?)", bytes.len()))?;
    if Sha256::digest(json)[..] != prefix[16..48] {
        return Err("the header's checksum does not match".to_owned());
    }
    serde_json::from_slice(json).map_err(|error| format!("header: {error}"))
}

/// Checks the index against the tensors that the architecture must have.
fn index(header: &Header, file_bytes: usize) -> Result<HashMap<PackedName, (Shape, Range<usize>)>, String> {
    let expected = recipe::recipes(&header.config);
    if expected.len() != header.tensors.len() {
        return Err(format!("{} tensors expected, {} in the index", expected.len(), header.tensors.len()));
    }
    let mut tensors = HashMap::with_capacity(expected.len());
    let mut end_of_previous = 0;
    for (Recipe { name, shape, .. }, entry) in expected.into_iter().zip(&header.tensors) {
        if entry.name != name.to_string() {
            return Err(format!("tensor `{name}` expected, `{}` in the index", entry.name));
        }
        if entry.bytes != shape.bytes() as u64 {
            return Err(format!(
                "tensor `{name}`: {} bytes expected, {} in the index",
                shape.bytes(),
                entry.bytes
            ));
        }
        let end = entry.offset.saturating_add(entry.bytes);
        let aligned = entry.offset.is_multiple_of(ALIGNMENT as u64);
        if !aligned || entry.offset < end_of_previous || end > file_bytes as u64 {
            return Err(format!(
                "tensor `{name}`: bytes {}..{end} are misaligned, overlap or leave the file",
                entry.offset
            ));
        }
        end_of_previous = end;
        tensors.insert(name, (shape, entry.offset as usize..end as usize));
    }
    Ok(tensors)
}
