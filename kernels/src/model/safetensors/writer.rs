//! Writing safetensors files tensor by tensor, so that no more than one tensor is in memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::bf16;
use serde_json::{Map, Value, json};

use super::header::LENGTH_FIELD;
use crate::model::weights::CheckpointError;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTensor {
    /// Name in the file.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

/// Writes the `planned` tensors as bf16, in that order; `read` gives each one's values when its turn comes.
/// The file at `path` is created or replaced; it is complete on the disk when this returns. Callers that need
/// the replacement to be atomic write to a temporary name and rename.
///
/// # Errors
/// Those of `read`, a failed write, or a number of values that is not the product of the planned shape.
pub fn write_file(
    path: &Path,
    planned: &[PlannedTensor],
    mut read: impl FnMut(&PlannedTensor) -> Result<Vec<bf16>, CheckpointError>,
) -> Result<(), CheckpointError> {
    let fail =
        |error: std::io::Error| CheckpointError(format!("{}: cannot be written: {error}", path.display()));
    let header = header(planned);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(fail)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(fail)?;
    file.write_all(header.as_bytes()).map_err(fail)?;
    for tensor in planned {
        let values = read(tensor)?;
        let expected: usize = tensor.shape.iter().product();
        if values.len() != expected {
            let (name, got) = (&tensor.name, values.len());
            return Err(CheckpointError(format!(
                "{}: tensor {name:?}: expected {expected} values for shape {:?}, got {got}",
                path.display(),
                tensor.shape
            )));
        }
        write_values(&mut file, &values).map_err(fail)?;
    }
    let file = file.into_inner().map_err(|error| fail(error.into_error()))?;
    file.sync_all().map_err(fail)
}

fn write_values(file: &mut impl Write, values: &[bf16]) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for chunk in values.chunks(1 << 16) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// The JSON header, padded with blanks so that the data starts at a multiple of eight bytes.
fn header(planned: &[PlannedTensor]) -> String {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut offset = 0_u64;
    for PlannedTensor { name, shape } in planned {
        let num_bytes = 2 * shape.iter().map(|&size| size as u64).product::<u64>();
        let data_offsets = [offset, offset + num_bytes];
        header.insert(name.clone(), json!({ "dtype": "BF16", "shape": shape, "data_offsets": data_offsets }));
        offset += num_bytes;
    }
    let mut text = Value::Object(header).to_string();
    while !text.len().is_multiple_of(LENGTH_FIELD as usize) {
        text.push(' ');
    }
    text
}
