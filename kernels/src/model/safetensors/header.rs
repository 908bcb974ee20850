//! The header of a safetensors file: eight bytes of length, then JSON. Trusts nothing it says.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::{Dtype, TensorEntry};

/// Bytes of the length field before the header.
pub(super) const LENGTH_FIELD: u64 = 8;
/// The reference implementation's limit.
const MAX_HEADER: u64 = 100_000_000;
/// Key of free text in the header.
const METADATA_KEY: &str = "__metadata__";

/// The header's bytes, after checking that the file has as many.
pub(super) fn read_bytes(file: &File, file_len: u64) -> Result<Vec<u8>, String> {
    let mut length = [0; LENGTH_FIELD as usize];
    file.read_exact_at(&mut length, 0).map_err(|_| {
        format!("expected a safetensors file, got one of {file_len} bytes, too short for a header")
    })?;
    let length = u64::from_le_bytes(length);
    let room = file_len.saturating_sub(LENGTH_FIELD);
    if length > room || length > MAX_HEADER {
        let limit = room.min(MAX_HEADER);
        return Err(format!(
            "the header claims {length} bytes, expected at most {limit}: not a safetensors file, or truncated"
        ));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, LENGTH_FIELD)
        .map_err(|error| format!("the header cannot be read: {error}"))?;
    Ok(bytes)
}

/// All tensors of a header whose file has `file_len` bytes.
pub(super) fn parse(bytes: &[u8], file_len: u64) -> Result<BTreeMap<String, TensorEntry>, String> {
    let Entries(entries) =
        serde_json::from_slice(bytes).map_err(|error| format!("the header is not valid: {error}"))?;
    let data_start = LENGTH_FIELD + bytes.len() as u64;
    let data_len = file_len - data_start;
    let mut tensors = BTreeMap::new();
    let mut spans = Vec::new();
    for (name, value) in entries {
        if name == METADATA_KEY {
            continue;
        }
        let raw = RawEntry::deserialize(value).map_err(|error| format!("tensor {name:?}: {error}"))?;
        let entry = raw.check(data_start, data_len).map_err(|text| format!("tensor {name:?}: {text}"))?;
        spans.push((entry.offset - data_start, entry.num_bytes, name.clone()));
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(format!("tensor {name:?} is described twice"));
        }
    }
    spans.sort();
    check_cover(&spans, data_len)?;
    Ok(tensors)
}

/// The tensors, sorted by offset, lie one behind the other and fill the file.
fn check_cover(spans: &[(u64, u64, String)], data_len: u64) -> Result<(), String> {
    let mut end = 0;
    for (start, len, name) in spans {
        if *start != end {
            let problem =
                if *start < end { "overlaps the tensor before it" } else { "leaves a gap before it" };
            return Err(format!(
                "tensor {name:?} {problem}: expected it to start at byte {end}, got {start}"
            ));
        }
        end += len;
    }
    if end != data_len {
        let more = data_len - end;
        return Err(format!(
            "{more} bytes after the last tensor belong to none: expected {end}, got {data_len}"
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl RawEntry {
    fn check(self, data_start: u64, data_len: u64) -> Result<TensorEntry, String> {
        let dtype = Dtype::from_name(&self.dtype)
            .ok_or_else(|| format!("dtype {:?} is not known, expected one such as BF16", self.dtype))?;
        let [start, end] = self.data_offsets;
        if start > end || end > data_len {
            return Err(format!(
                "data_offsets: expected to lie within the file's {data_len} bytes of data, got [{start}, {end}]"
            ));
        }
        let expected = self.shape.iter().try_fold(dtype.size(), |product, &size| product.checked_mul(size));
        let num_bytes = end - start;
        if expected != Some(num_bytes) {
            let expected = expected.map_or("more than 2^64".to_owned(), |bytes| bytes.to_string());
            return Err(format!(
                "{dtype} values of shape {:?} take {expected} bytes, but data_offsets [{start}, {end}] give {num_bytes}",
                self.shape
            ));
        }
        let shape = self.shape.into_iter().map(|size| size as usize).collect();
        Ok(TensorEntry { dtype, shape, offset: data_start + start, num_bytes })
    }
}

/// The header's keys and values in file order, so that a key given twice is noticed.
struct Entries(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
