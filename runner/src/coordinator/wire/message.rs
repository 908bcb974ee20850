//! The frame of every message: a msgpack array whose first element is the header.

use rmpv::Value;

use super::WireLimits;
use super::error::WireError;
use super::header::Header;
use super::numbering::Numbering;
use super::reader::{Number, Reader};
use super::scan::scan;
use super::value::{FromValue, Mismatch};
use super::writer::Writer;

/// A message whose header is known and whose elements are read one after the other.
pub(super) struct Message<'a> {
    pub(super) header: Header,
    fields: Reader<'a>,
    len: usize,
    index: usize,
}

impl<'a> Message<'a> {
    /// Reads the frame; elements are not looked at yet.
    pub(super) fn parse(bytes: &'a [u8], limits: &WireLimits) -> Result<Message<'a>, WireError> {
        Message::parse_as(bytes, limits, Numbering::Current)
    }

    /// The same with the header numbers of an older release.
    pub(super) fn parse_as(
        bytes: &'a [u8],
        limits: &WireLimits,
        numbering: Numbering,
    ) -> Result<Message<'a>, WireError> {
        scan(bytes, limits)?;
        let message = Reader::new(bytes);
        let mut fields = message;
        let len = fields.list().ok_or_else(|| WireError::NotAMessage { got: message.describe() })?;
        if len == 0 {
            return Err(WireError::NotAMessage { got: "an empty array".into() });
        }
        let first = fields;
        let Some(Number::Natural(number)) = fields.number() else {
            return Err(WireError::NotAMessage { got: first.describe() });
        };
        let header = numbering.header(number).ok_or(WireError::UnknownHeader { number })?;
        Ok(Message { header, fields, len, index: 1 })
    }

    /// Checks the number of elements, the header included.
    pub(super) fn arity(
        &self,
        allowed: std::ops::RangeInclusive<usize>,
        expected: &'static str,
    ) -> Result<(), WireError> {
        if allowed.contains(&self.len) {
            return Ok(());
        }
        Err(WireError::Arity { header: self.header, expected, got: self.len })
    }

    /// Elements that came, the header included.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Checks that only the header came.
    pub(super) fn bare(&self) -> Result<(), WireError> {
        self.arity(1..=1, "1")
    }

    /// Reads the next element; an absent one reads as nil.
    pub(super) fn next<T: FromValue>(&mut self) -> Result<T, WireError> {
        let (header, index) = (self.header, self.index);
        self.index += 1;
        let read = if index < self.len { T::read(&mut self.fields) } else { T::read(&mut Reader::nil()) };
        read.map_err(|mismatch| {
            let Mismatch { path, expected, got } = mismatch;
            WireError::Field { header, index, path, expected, got }
        })
    }

    /// The error for a header that this end never gets.
    pub(super) fn wrong_direction(&self, receiver: &'static str) -> WireError {
        WireError::WrongDirection { header: self.header, receiver }
    }
}

/// Bytes of `[header, fields...]`.
pub(super) fn encode(header: Header, fields: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let fields: Vec<Value> = fields.into_iter().collect();
    write(header.number(), fields.len(), |writer| fields.iter().for_each(|field| writer.value(field)))
}

/// Bytes of `[number, fields...]`; `fields` writes as many values as were announced.
pub(super) fn write(number: u64, num_fields: usize, fields: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    // Most messages are shorter: one allocation.
    let mut bytes = Vec::with_capacity(1024);
    let mut writer = Writer(&mut bytes);
    writer.list(1 + num_fields);
    writer.natural(number);
    fields(&mut writer);
    bytes
}
