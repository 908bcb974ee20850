//! GGUF version 3, the file format of llama.cpp: key-values, tensor descriptions, aligned tensor data.
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};

use super::quantised::BlockType;

const VERSION: u32 = 3;
const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_DIMENSIONS: u32 = 4;

/// A parsed file; tensors borrow its bytes.
pub(super) struct Gguf<'a> {
    values: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor<'a>>,
}

/// A tensor: dimensions with the fastest varying one first, as the file has them.
pub(super) struct Tensor<'a> {
    pub(super) dimensions: Vec<u64>,
    pub(super) block_type: BlockType,
    pub(super) bytes: &'a [u8],
}

/// Value of a key. Numbers of all widths are widened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array(Vec<Value>),
}

impl<'a> Gguf<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let mut reader = Reader { bytes, position: 0 };
        let magic = reader.take(4)?;
        ensure!(
            magic == b"GGUF",
            "expected a file that starts with GGUF, got {:?}",
            magic.escape_ascii().to_string()
        );
        let version = reader.u32()?;
        ensure!(version == VERSION, "expected GGUF version {VERSION}, got {version}");
        let (num_tensors, num_values) = (reader.u64()?, reader.u64()?);
        let mut values = BTreeMap::new();
        for _ in 0..num_values {
            let key = reader.text().context("reading a key")?;
            let tag = reader.u32()?;
            let value = reader.value(tag, 0).with_context(|| format!("reading the value of {key}"))?;
            ensure!(values.insert(key.clone(), value).is_none(), "key {key} is given twice");
        }
        let mut headers = Vec::new();
        for _ in 0..num_tensors {
            headers.push(TensorHeader::read(&mut reader)?);
        }
        let alignment = match values.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Unsigned(alignment)) if alignment.is_power_of_two() => *alignment,
            Some(other) => bail!("general.alignment: expected a power of two, got {other:?}"),
        };
        let data_start = (reader.position as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for header in headers {
            let name = header.name.clone();
            let tensor = header.locate(bytes, data_start).with_context(|| format!("tensor {name}"))?;
            ensure!(tensors.insert(name.clone(), tensor).is_none(), "tensor {name} is described twice");
        }
        Ok(Self { values, tensors })
    }

    pub(super) fn tensor(&self, name: &str) -> anyhow::Result<&Tensor<'a>> {
        self.tensors.get(name).with_context(|| format!("tensor {name} is missing"))
    }

    pub(super) fn num_tensors(&self) -> usize {
        self.tensors.len()
    }

    fn value(&self, key: &str) -> anyhow::Result<&Value> {
        self.values.get(key).with_context(|| format!("key {key} is missing"))
    }

    pub(super) fn size(&self, key: &str) -> anyhow::Result<usize> {
        let value = self.value(key)?;
        let Value::Unsigned(size) = value else { bail!("{key}: expected an unsigned number, got {value:?}") };
        Ok(usize::try_from(*size)?)
    }

    pub(super) fn float(&self, key: &str) -> anyhow::Result<f64> {
        let value = self.value(key)?;
        let Value::Float(number) = value else {
            bail!("{key}: expected a floating-point number, got {value:?}");
        };
        Ok(*number)
    }

    pub(super) fn text(&self, key: &str) -> anyhow::Result<&str> {
        let value = self.value(key)?;
        let Value::Text(text) = value else { bail!("{key}: expected a string, got {value:?}") };
        Ok(text)
    }

    pub(super) fn texts(&self, key: &str) -> anyhow::Result<Vec<&str>> {
        self.array(key)?
            .iter()
            .map(|item| {
                let Value::Text(text) = item else { bail!("{key}: expected strings, got {item:?}") };
                Ok(text.as_str())
            })
            .collect()
    }

    pub(super) fn signed_numbers(&self, key: &str) -> anyhow::Result<Vec<i64>> {
        self.array(key)?
            .iter()
            .map(|item| {
                let Value::Signed(number) = item else {
                    bail!("{key}: expected signed numbers, got {item:?}");
                };
                Ok(*number)
            })
            .collect()
    }

    fn array(&self, key: &str) -> anyhow::Result<&[Value]> {
        let value = self.value(key)?;
        let Value::Array(items) = value else { bail!("{key}: expected an array, got {value:?}") };
        Ok(items)
    }
}

struct TensorHeader {
    name: String,
    dimensions: Vec<u64>,
    block_type: BlockType,
    offset: u64,
}

impl TensorHeader {
    fn read(reader: &mut Reader<'_>) -> anyhow::Result<Self> {
        let name = reader.text().context("reading a tensor's name")?;
        let count = reader.u32()?;
        ensure!(
            count <= MAX_DIMENSIONS,
            "tensor {name}: expected at most {MAX_DIMENSIONS} dimensions, got {count}"
        );
        let dimensions = (0..count).map(|_| reader.u64()).collect::<anyhow::Result<_>>()?;
        let tag = reader.u32()?;
        let block_type =
            BlockType::from_tag(tag).with_context(|| format!("tensor {name}: type {tag} is not known"))?;
        Ok(Self { name, dimensions, block_type, offset: reader.u64()? })
    }

    fn locate(self, file: &[u8], data_start: u64) -> anyhow::Result<Tensor<'_>> {
        let too_large = || format!("dimensions {:?} overflow", self.dimensions);
        let values =
            self.dimensions.iter().try_fold(1_u64, |n, &size| n.checked_mul(size)).with_context(too_large)?;
        let rows = self.dimensions.first().copied().unwrap_or(1);
        let block = self.block_type.values_per_block();
        ensure!(rows.is_multiple_of(block), "a row of {rows} values is no whole number of blocks of {block}");
        let len = (values / block).checked_mul(self.block_type.bytes_per_block()).with_context(too_large)?;
        let start = data_start.checked_add(self.offset).with_context(too_large)?;
        let end = start.checked_add(len).with_context(too_large)?;
        let bytes = file
            .get(start as usize..end as usize)
            .with_context(|| format!("bytes {start}..{end} lie beyond the file's end at {}", file.len()))?;
        Ok(Tensor { dimensions: self.dimensions, block_type: self.block_type, bytes })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> anyhow::Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..len).with_context(|| {
            format!("truncated: expected {len} more bytes at {}, got {}", self.position, rest.len())
        })?;
        self.position += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn u32(&mut self) -> anyhow::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> anyhow::Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> anyhow::Result<String> {
        let len = usize::try_from(self.u64()?)?;
        let start = self.position;
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).with_context(|| format!("the string at {start} is not UTF-8"))
    }

    fn value(&mut self, tag: u32, depth: u32) -> anyhow::Result<Value> {
        Ok(match tag {
            0 => Value::Unsigned(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => bail!("expected a boolean, 0 or 1, got {other}"),
            },
            8 => Value::Text(self.text()?),
            9 if depth == 0 => {
                let (item, len) = (self.u32()?, self.u64()?);
                // Grows with what is really there, so that a lying length allocates nothing.
                let items = (0..len).map(|_| self.value(item, depth + 1));
                Value::Array(items.collect::<anyhow::Result<_>>()?)
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => bail!("value type {other} is not known or not allowed here"),
        })
    }
}

#[cfg(test)]
mod tests;
