//! Options of the compiler: the log buffers and the limit of registers matter here, the others are accepted.

use std::ffi::c_char;

use super::call::{Bytes, In, out_pointer_in_structure, pointer_in_structure};
use crate::driver::code::{Refusal, Source};
use crate::driver::error::{Error, Result};
use crate::driver::{fat_binary, report};
use crate::lower::Program;
use std::sync::Arc;

const MAX_REGISTERS: u32 = 0;
const WALL_TIME: u32 = 2;
const INFO_LOG: u32 = 3;
const INFO_LOG_BYTES: u32 = 4;
const ERROR_LOG: u32 = 5;
const ERROR_LOG_BYTES: u32 = 6;
const OPTIONS: u32 = 34;

/// The options of one call.
pub(super) struct Options {
    keys: Vec<u32>,
    values: Vec<usize>,
    places: In<usize>,
}

impl Options {
    /// Reads them.
    pub(super) fn read(count: u32, keys: In<u32>, values: In<usize>) -> Result<Self> {
        let options =
            Self { keys: keys.many(count as usize)?, values: values.many(count as usize)?, places: values };
        if options.keys.iter().any(|key| *key >= OPTIONS) { Err(Error::InvalidValue) } else { Ok(options) }
    }

    /// None.
    pub(super) fn none() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), places: pointer_in_structure(0) }
    }

    fn find(&self, key: u32) -> Option<(usize, usize)> {
        let at = self.keys.iter().position(|other| *other == key)?;
        Some((at, self.values[at]))
    }

    /// Writes into the slot of an option's value.
    fn answer(&self, at: usize, value: u32) {
        let slot = self.places.address() as usize + at * size_of::<usize>();
        out_pointer_in_structure(slot).put_if_wanted(value);
    }

    fn write_log(&self, buffer: u32, size: u32, text: &str) {
        let (Some((_, buffer)), Some((at, room))) = (self.find(buffer), self.find(size)) else { return };
        let room = room as u32 as usize;
        if room == 0 || buffer == 0 {
            return;
        }
        let kept = text.bytes().take(room - 1);
        let written = kept.len();
        out_pointer_in_structure::<u8>(buffer).put_many(kept.chain([0]), room);
        self.answer(at, written as u32);
    }

    /// Registers a thread may have.
    pub(super) fn max_registers(&self) -> Option<u32> {
        self.find(MAX_REGISTERS).map(|(_, limit)| limit as u32)
    }

    /// Compiles, and writes the logs.
    pub(super) fn compile(&self, source: Source) -> Result<Arc<Program>> {
        if let Some((at, _)) = self.find(WALL_TIME) {
            self.answer(at, 0);
        }
        match source.compile() {
            Ok(mut program) => {
                if let Some(limit) = self.max_registers() {
                    Arc::make_mut(&mut program).max_registers = Some(limit);
                }
                self.write_log(INFO_LOG, INFO_LOG_BYTES, "");
                self.write_log(ERROR_LOG, ERROR_LOG_BYTES, "");
                Ok(program)
            }
            Err(Refusal { error, log }) => {
                report::tell(&format!("{error}: {log}"));
                self.write_log(ERROR_LOG, ERROR_LOG_BYTES, &log);
                Err(error)
            }
        }
    }
}

/// Reads what lies at the address of an image.
pub(super) fn read_image(image: Bytes) -> Result<Source> {
    let mut head = Vec::new();
    for n in 0..8 {
        let byte = pointer_in_structure::<u8>(checked(image)? + n).get()?;
        head.push(byte);
        if byte == 0 && n < 3 {
            return Ok(Source::Unknown(head));
        }
        if n == 3 {
            match u32::from_le_bytes([head[0], head[1], head[2], head[3]]) {
                0x464C_457F => return Ok(Source::Cubin),
                fat_binary::MAGIC => return read_fat_binary(image),
                fat_binary::WRAPPER_MAGIC => {
                    let inner = pointer_in_structure::<usize>(checked(image)? + 8).get()?;
                    return read_fat_binary(pointer_in_structure(inner));
                }
                _ => {}
            }
        }
        if byte == 0 || !(byte.is_ascii() && (byte >= b' ' || byte.is_ascii_whitespace())) {
            return Ok(Source::Unknown(head));
        }
    }
    image.as_elements::<c_char>().text().map(Source::Ptx)
}

fn checked(image: Bytes) -> Result<usize> {
    if image.is_null() { Err(Error::InvalidValue) } else { Ok(image.address() as usize) }
}

fn read_fat_binary(image: Bytes) -> Result<Source> {
    let header = image.as_elements::<[u8; 16]>().get()?;
    let total = fat_binary::total_bytes(&header).map_err(|_| Error::InvalidImage)?;
    image.bytes(total).map(Source::FatBinary)
}

/// What a file's bytes are.
pub(super) fn read_file(path: &str) -> Result<Source> {
    let bytes = std::fs::read(path).map_err(|error| {
        report::tell(&format!("cannot read {path}: {error}"));
        Error::FileNotFound
    })?;
    Ok(classify(bytes))
}

/// What bytes of a known length are.
pub(super) fn classify(mut bytes: Vec<u8>) -> Source {
    if bytes.starts_with(b"\x7fELF") {
        return Source::Cubin;
    }
    if bytes.starts_with(&fat_binary::MAGIC.to_le_bytes()) {
        return Source::FatBinary(bytes);
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    String::from_utf8(bytes)
        .map_or_else(|error| Source::Unknown(error.into_bytes().into_iter().take(8).collect()), Source::Ptx)
}
