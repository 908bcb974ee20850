//! Packs a checkpoint: tensor by tensor, several at a time, into a temporary file that is renamed when complete.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::bf16;
use sha2::{Digest, Sha256};

use super::recipe::{Recipe, Shape, recipes};
use super::{ALIGNMENT, Header, IndexEntry, MAGIC, PREFIX, VERSION};
use crate::model::weights::{CheckpointError, TensorName, WeightSource};
use crate::ops::matrix::{MatrixLayout, TILE};
use crate::ops::operand::{OPERAND_CEILING, OPERAND_FLOOR};

/// Bytes of a tensor that are packed before they are written.
const WRITE_BYTES: usize = 4 << 20;

/// Packs `source` into `destination`, with `threads` threads. Memory: a thread holds one tensor's checkpoint values.
///
/// # Errors
/// The source fails, has a tensor of the wrong size or a value that is not finite, or the file cannot be written.
pub fn pack(source: &dyn WeightSource, destination: &Path, threads: usize) -> Result<(), CheckpointError> {
    let config = source.config();
    config.validate().map_err(|error| CheckpointError(format!("config: {error}")))?;
    let fail =
        |error: std::io::Error| CheckpointError(format!("{}: cannot write: {error}", destination.display()));
    let recipes = recipes(config);
    let (header, offsets, file_bytes) = layout_file(source, &recipes)?;
    let folder =
        destination.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    temporary.as_file().set_len(file_bytes).map_err(fail)?;
    temporary.as_file().write_all_at(&header, 0).map_err(fail)?;

    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let work = || {
        while lock(&failure).is_none() {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((recipe, &offset)) = recipes.get(index).zip(offsets.get(index)) else { return };
            if let Err(error) = pack_tensor(source, recipe, temporary.as_file(), offset) {
                lock(&failure).get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = lock(&failure).take() {
        return Err(error);
    }
    temporary.persist(destination).map_err(|error| fail(error.error))?;
    Ok(())
}

fn lock(failure: &Mutex<Option<CheckpointError>>) -> std::sync::MutexGuard<'_, Option<CheckpointError>> {
    failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Everything before the tensors, the tensors' offsets, and the size of the file.
fn layout_file(
    source: &dyn WeightSource,
    recipes: &[Recipe],
) -> Result<(Vec<u8>, Vec<u64>, u64), CheckpointError> {
    // Offsets have a variable number of digits in JSON, so they are counted from a start that leaves room for any.
    let index_bytes: usize = recipes.iter().map(|recipe| recipe.name.to_string().len() + 96).sum();
    let start = (PREFIX + 4096 + source.fingerprint().len() + index_bytes).next_multiple_of(4096);
    let mut offset = start;
    let mut tensors = Vec::with_capacity(recipes.len());
    for recipe in recipes {
        let bytes = recipe.shape.bytes();
        tensors.push(IndexEntry {
            name: recipe.name.to_string(),
            offset: offset as u64,
            bytes: bytes as u64,
        });
        offset = (offset + bytes).next_multiple_of(ALIGNMENT);
    }
    let offsets = tensors.iter().map(|entry| entry.offset).collect();
    let header = Header {
        config: source.config().clone(),
        fingerprint: source.fingerprint(),
        file_bytes: offset as u64,
        tensors,
    };
    let json = serde_json::to_vec(&header).map_err(|error| CheckpointError(format!("header: {error}")))?;
    let length = u32::try_from(json.len()).ok().filter(|_| PREFIX + json.len() <= start);
    let length =
        length.ok_or_else(|| CheckpointError(format!("header of {} bytes is too long", json.len())))?;
    let mut bytes = Vec::with_capacity(PREFIX + json.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&json));
    bytes.extend_from_slice(&json);
    Ok((bytes, offsets, offset as u64))
}

fn pack_tensor(
    source: &dyn WeightSource,
    recipe: &Recipe,
    file: &File,
    offset: u64,
) -> Result<(), CheckpointError> {
    let values: Vec<Vec<bf16>> =
        recipe.sources.iter().map(|&name| read_operands(source, name)).collect::<Result<_, _>>()?;
    let write = |bytes: &[u8], at: u64| {
        file.write_all_at(bytes, at)
            .map_err(|error| CheckpointError(format!("{}: cannot write: {error}", recipe.name)))
    };
    match recipe.shape {
        Shape::Vector(len) => write(bytemuck::cast_slice(&pack_vector(recipe, &values, len)), offset),
        Shape::Matrix(layout) => {
            let tiles_per_write = (WRITE_BYTES / (layout.tile_words() * 4)).max(1);
            let mut words = vec![0u32; tiles_per_write.min(layout.tiles()) * layout.tile_words()];
            for first in (0..layout.tiles()).step_by(tiles_per_write) {
                let count = tiles_per_write.min(layout.tiles() - first);
                let words = &mut words[..count * layout.tile_words()];
                for (index, tile) in words.chunks_exact_mut(layout.tile_words()).enumerate() {
                    layout.pack_tile(&tile_rows(&layout, &values, first + index), tile);
                }
                write(bytemuck::cast_slice(words), offset + (first * layout.tile_words() * 4) as u64)?;
            }
            Ok(())
        }
    }
}

/// The weight rows of a tile's lanes.
fn tile_rows<'a>(layout: &MatrixLayout, sources: &'a [Vec<bf16>], tile: usize) -> [Option<&'a [bf16]>; TILE] {
    let (up, first) = layout.tile_source(tile);
    std::array::from_fn(|lane| {
        let mut output = first + lane;
        if layout.gated {
            return row(sources.get(usize::from(up))?, output, layout.inputs);
        }
        // Projections that are packed as one follow each other.
        for source in sources {
            let rows = source.len() / layout.inputs;
            if output < rows {
                return row(source, output, layout.inputs);
            }
            output -= rows;
        }
        None
    })
}

fn row(matrix: &[bf16], index: usize, width: usize) -> Option<&[bf16]> {
    matrix.get(index * width..(index + 1) * width)
}

fn pack_vector(recipe: &Recipe, sources: &[Vec<bf16>], len: usize) -> Vec<f32> {
    let one = if recipe.plus_one { 1.0 } else { 0.0 };
    let mut packed = vec![0.0; len];
    if let Some(layout) = recipe.bias_of.filter(|layout| layout.gated) {
        for (at, value) in packed.iter_mut().enumerate() {
            let (up, first) = layout.tile_source(at / TILE);
            *value = sources[usize::from(up)].get(first + at % TILE).map_or(0.0, |value| value.to_f32());
        }
    } else {
        for (packed, value) in packed.iter_mut().zip(sources.iter().flatten()) {
            *packed = value.to_f32() + one;
        }
    }
    packed
}

/// A checkpoint tensor with every value clamped to the operand window.
fn read_operands(source: &dyn WeightSource, name: TensorName) -> Result<Vec<bf16>, CheckpointError> {
    let mut values = source.read(name)?;
    let shape = name.shape(source.config());
    let expected: usize = shape.iter().product();
    if values.len() != expected {
        return Err(CheckpointError(format!(
            "{name}: {expected} values ({shape:?}) expected, {} read",
            values.len()
        )));
    }
    let (floor, ceiling) =
        (bf16::from_f32(OPERAND_FLOOR).to_bits(), bf16::from_f32(OPERAND_CEILING).to_bits());
    let infinity = bf16::INFINITY.to_bits();
    let mut largest = 0;
    for value in &mut values {
        let (sign, magnitude) = (value.to_bits() & 0x8000, value.to_bits() & 0x7fff);
        largest = largest.max(magnitude);
        let windowed = if magnitude < floor { 0 } else { magnitude.min(ceiling) | sign };
        *value = bf16::from_bits(windowed);
    }
    if largest >= infinity {
        return Err(not_finite(source, name));
    }
    Ok(values)
}

/// Finds the value again, for the message.
fn not_finite(source: &dyn WeightSource, name: TensorName) -> CheckpointError {
    let found = source.read(name).ok().and_then(|values| {
        values
            .iter()
            .enumerate()
            .find(|(_, value)| !value.is_finite())
            .map(|(index, value)| (index, value.to_f32()))
    });
    let (index, value) = found.unwrap_or((0, f32::NAN));
    CheckpointError(format!("{name}: value {index} is {value}; weights must be finite"))
}
