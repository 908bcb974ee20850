//! Safetensors files: tensors behind a JSON header that says where each one lies.
//!
//! Read with plain positioned reads rather than through a memory map: each tensor is read once, and a file that
//! shrinks while it is read is an error here, where a map would kill the process.

mod header;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::weights::CheckpointError;
pub use writer::{PlannedTensor, write_file};

/// Bytes read and converted at a time.
const CHUNK: usize = 1 << 20;

/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// Upper half of binary32.
    Bf16,
    /// A type that no weight may have: its name and bytes per element.
    Other(&'static str, u64),
}

/// Where one tensor lies in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// First byte, from the start of the file.
    offset: u64,
    /// Length in bytes: exactly elements times element size.
    num_bytes: u64,
}

/// One safetensors file whose header has been read and found consistent with its size.
#[derive(Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    file: File,
    tensors: BTreeMap<String, TensorEntry>,
    identity: [u8; 32],
}

impl SafetensorsFile {
    /// Opens `path` and checks its whole header: every tensor's size agrees with its dtype and shape, and
    /// together they cover the data without overlap or gap, to the last byte of the file.
    ///
    /// # Errors
    /// Names the file and the tensor, what was expected and what the header says.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let fail = |error: io::Error| CheckpointError(format!("{}: cannot be read: {error}", path.display()));
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(CheckpointError(format!("{}: expected a file", path.display())));
        }
        let bytes = header::read_bytes(&file, metadata.len())
            .map_err(|text| CheckpointError(format!("{}: {text}", path.display())))?;
        let tensors = header::parse(&bytes, metadata.len())
            .map_err(|text| CheckpointError(format!("{}: {text}", path.display())))?;
        let identity = identity(&metadata, &bytes);
        Ok(Self { path: path.to_owned(), file, tensors, identity })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorEntry> {
        &self.tensors
    }

    /// Hash of the header and of the file's size, modification time and change time (nanoseconds): differs
    /// whenever the file was written to, without reading its data. A file system that does not keep change
    /// times, together with a tool that restores modification times, can deceive it.
    pub fn identity(&self) -> [u8; 32] {
        self.identity
    }

    /// The tensor's values, rounded to nearest even where the file has a wider type.
    ///
    /// # Errors
    /// No such tensor, a dtype that is no floating-point type of at most 32 bits, a value that is not finite
    /// in bf16, or a failed read.
    pub fn read_bf16(&self, name: &str) -> Result<Vec<bf16>, CheckpointError> {
        let fail =
            |text: String| CheckpointError(format!("{}: tensor {name:?}: {text}", self.path.display()));
        let entry = self.tensors.get(name).ok_or_else(|| fail("not in this file".into()))?;
        let convert: fn(&[u8], &mut Vec<bf16>) = match entry.dtype {
            Dtype::F32 => append_f32,
            Dtype::F16 => append_f16,
            Dtype::Bf16 => append_bf16,
            Dtype::Other(dtype, _) => {
                return Err(fail(format!("expected dtype F32, F16 or BF16, got {dtype}")));
            }
        };
        let mut values = Vec::with_capacity((entry.num_bytes / entry.dtype.size()) as usize);
        let mut buffer = vec![0; CHUNK.min(entry.num_bytes as usize)];
        let mut done = 0;
        while done < entry.num_bytes {
            let len = buffer.len().min((entry.num_bytes - done) as usize);
            let chunk = &mut buffer[..len];
            self.file
                .read_exact_at(chunk, entry.offset + done)
                .map_err(|e| fail(format!("cannot be read: {e}")))?;
            convert(chunk, &mut values);
            done += len as u64;
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(fail(format!("value {index} is {}, expected finite weights", values[index]))),
        }
    }
}

fn append_f32(bytes: &[u8], values: &mut Vec<bf16>) {
    values.extend(bytes.as_chunks().0.iter().map(|&word| bf16::from_f32(f32::from_le_bytes(word))));
}

fn append_f16(bytes: &[u8], values: &mut Vec<bf16>) {
    let words = bytes.as_chunks().0.iter();
    values.extend(words.map(|&word| bf16::from_f32(f16::from_le_bytes(word).to_f32())));
}

fn append_bf16(bytes: &[u8], values: &mut Vec<bf16>) {
    values.extend(bytes.as_chunks().0.iter().map(|&word| bf16::from_le_bytes(word)));
}

fn identity(metadata: &std::fs::Metadata, header: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for number in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
        hash.update(number.to_le_bytes());
    }
    hash.update(metadata.len().to_le_bytes());
    hash.update(header);
    hash.finalize().into()
}

impl Dtype {
    /// Types that appear in safetensors files and fill whole bytes.
    const KNOWN: [Self; 16] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Other("F64", 8),
        Self::Other("C64", 8),
        Self::Other("I64", 8),
        Self::Other("U64", 8),
        Self::Other("I32", 4),
        Self::Other("U32", 4),
        Self::Other("I16", 2),
        Self::Other("U16", 2),
        Self::Other("I8", 1),
        Self::Other("U8", 1),
        Self::Other("BOOL", 1),
        Self::Other("F8_E4M3", 1),
        Self::Other("F8_E5M2", 1),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|dtype| dtype.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Other(name, _) => name,
        }
    }

    /// Bytes per element.
    fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(_, size) => size,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
