//! The frame of every message: a msgpack array whose first element is the header.

use rmpv::Value;

use super::WireLimits;
use super::error::WireError;
use super::header::Header;
use super::numbering::Numbering;
use super::scan::scan;
use super::value::{FromValue, Mismatch, describe};

/// A message whose header is known and whose elements are read one after the other.
pub(super) struct Message {
    pub(super) header: Header,
    fields: std::vec::IntoIter<Value>,
    len: usize,
    index: usize,
}

impl Message {
    /// Reads the frame; elements are not looked at yet.
    pub(super) fn parse(bytes: &[u8], limits: &WireLimits) -> Result<Message, WireError> {
        Message::parse_as(bytes, limits, Numbering::Current)
    }

    /// The same with the header numbers of an older release.
    pub(super) fn parse_as(
        bytes: &[u8],
        limits: &WireLimits,
        numbering: Numbering,
    ) -> Result<Message, WireError> {
        scan(bytes, limits)?;
        let mut rest = bytes;
        // Bounded a second time: nothing here may depend on the scan alone.
        let value = rmpv::decode::read_value_with_max_depth(&mut rest, 2 * limits.max_depth + 4);
        let value = value
            .map_err(|e| WireError::Msgpack { offset: bytes.len() - rest.len(), what: e.to_string() })?;
        let Value::Array(elements) = value else {
            return Err(WireError::NotAMessage { got: describe(&value) });
        };
        let len = elements.len();
        let mut fields = elements.into_iter();
        let number = match fields.next() {
            Some(first) => first.as_u64().ok_or(WireError::NotAMessage { got: describe(&first) })?,
            None => return Err(WireError::NotAMessage { got: "an empty array".into() }),
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

    /// Checks that only the header came.
    pub(super) fn bare(&self) -> Result<(), WireError> {
        self.arity(1..=1, "1")
    }

    /// Reads the next element; an absent one reads as nil.
    pub(super) fn next<T: FromValue>(&mut self) -> Result<T, WireError> {
        let index = self.index;
        self.index += 1;
        let header = self.header;
        T::from_value(self.fields.next().unwrap_or(Value::Nil)).map_err(|mismatch| {
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
    encode_number(header.number(), fields)
}

/// Bytes of `[number, fields...]`.
pub(super) fn encode_number(number: u64, fields: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let elements = std::iter::once(Value::from(number)).chain(fields).collect();
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &Value::Array(elements)).expect("writing to a vector cannot fail");
    bytes
}
