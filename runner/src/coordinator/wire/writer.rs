//! Writes msgpack into a buffer, each number in its shortest form, as the original's library does.

use rmpv::Value;

/// The end of a message that is being written.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn nil(&mut self) {
        self.0.push(0xc0);
    }

    #[inline]
    pub(super) fn boolean(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    #[inline]
    pub(super) fn natural(&mut self, value: u64) {
        match value {
            0..=0x7f => self.0.push(value as u8),
            0x80..=0xff => self.0.extend([0xcc, value as u8]),
            0x100..=0xffff => self.marked(0xcd, (value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.marked(0xce, (value as u32).to_be_bytes()),
            0x1_0000_0000.. => self.marked(0xcf, value.to_be_bytes()),
        }
    }

    pub(super) fn integer(&mut self, value: i64) {
        match value {
            0.. => self.natural(value.unsigned_abs()),
            -0x20..=-1 => self.0.push(value as i8 as u8),
            -0x80..=-0x21 => self.marked(0xd0, (value as i8).to_be_bytes()),
            -0x8000..=-0x81 => self.marked(0xd1, (value as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.marked(0xd2, (value as i32).to_be_bytes()),
            ..=-0x8000_0001 => self.marked(0xd3, value.to_be_bytes()),
        }
    }

    /// As the original writes floats: in 64 bits (exact for our 32-bit ones).
    #[inline]
    pub(super) fn real(&mut self, value: f64) {
        self.marked(0xcb, value.to_be_bytes());
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        let size = text.len();
        match size {
            0..=0x1f => self.0.push(0xa0 | size as u8),
            0x20..=0xff => self.0.extend([0xd9, size as u8]),
            0x100..=0xffff => self.marked(0xda, (size as u16).to_be_bytes()),
            0x1_0000.. => self.marked(0xdb, (size as u32).to_be_bytes()),
        }
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Begins an array of so many values.
    pub(super) fn list(&mut self, count: usize) {
        match count {
            0..=0x0f => self.0.push(0x90 | count as u8),
            0x10..=0xffff => self.marked(0xdc, (count as u16).to_be_bytes()),
            0x1_0000.. => self.marked(0xdd, (count as u32).to_be_bytes()),
        }
    }

    /// Begins a map of so many pairs.
    pub(super) fn map(&mut self, count: usize) {
        match count {
            0..=0x0f => self.0.push(0x80 | count as u8),
            0x10..=0xffff => self.marked(0xde, (count as u16).to_be_bytes()),
            0x1_0000.. => self.marked(0xdf, (count as u32).to_be_bytes()),
        }
    }

    /// Writes a key; its value follows.
    #[inline]
    pub(super) fn key(&mut self, key: &str) -> &mut Self {
        self.text(key);
        self
    }

    /// Any value.
    pub(super) fn value(&mut self, value: &Value) {
        rmpv::encode::write_value(self.0, value).expect("writing to a vector cannot fail");
    }

    /// nil for `None`.
    pub(super) fn nullable<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            Some(value) => write(self, value),
            None => self.nil(),
        }
    }

    pub(super) fn tokens(&mut self, tokens: &[u32]) {
        self.list(tokens.len());
        tokens.iter().for_each(|&token| self.natural(token.into()));
    }

    pub(super) fn reals(&mut self, values: &[f32]) {
        self.list(values.len());
        values.iter().for_each(|&value| self.real(value.into()));
    }

    pub(super) fn values(&mut self, values: &[Value]) {
        self.list(values.len());
        values.iter().for_each(|value| self.value(value));
    }

    /// Pairs that were passed through unread; the map that they end has counted them.
    pub(super) fn entries(&mut self, entries: &[(String, Value)]) {
        entries.iter().for_each(|(key, value)| self.key(key).value(value));
    }

    #[inline]
    fn marked<const N: usize>(&mut self, marker: u8, bytes: [u8; N]) {
        self.0.push(marker);
        self.0.extend_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Writer(&mut bytes));
        bytes
    }

    fn of_library(value: Value) -> Vec<u8> {
        written(|writer| writer.value(&value))
    }

    fn agrees_on(number: i64, size: usize) {
        assert_eq!(written(|writer| writer.integer(number)), of_library(number.into()), "{number}");
        assert_eq!(written(|writer| writer.natural(number as u64)), of_library((number as u64).into()));
        let text = "x".repeat(size);
        assert_eq!(written(|writer| writer.text(&text)), of_library(text.as_str().into()), "{size}");
        let nils = |writer: &mut Writer<'_>, count| (0..count).for_each(|_| writer.nil());
        let list = |writer: &mut Writer<'_>| (writer.list(size), nils(writer, size)).0;
        assert_eq!(written(list), of_library(Value::Array(vec![Value::Nil; size])), "{size}");
        let map = |writer: &mut Writer<'_>| (writer.map(size), nils(writer, 2 * size)).0;
        assert_eq!(written(map), of_library(Value::Map(vec![(Value::Nil, Value::Nil); size])), "{size}");
    }

    #[test]
    fn writes_what_the_library_writes_on_both_sides_of_every_border() {
        let powers = [0, 5, 7, 8, 15, 16, 31, 32, 62].map(|power| 1_i64 << power);
        for border in powers.into_iter().chain([i64::MAX]) {
            for number in [border - 1, border, border.wrapping_add(1), -border - 1, -border, 1 - border] {
                agrees_on(number, 0);
            }
        }
        [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536].into_iter().for_each(|size| agrees_on(0, size));
    }

    proptest! {
        #[test]
        fn writes_what_the_library_writes(number in any::<i64>(), real in any::<f64>(), flag in any::<bool>()) {
            agrees_on(number, 1);
            prop_assert_eq!(written(|writer| writer.real(real)), of_library(Value::F64(real)));
            prop_assert_eq!(written(|writer| writer.boolean(flag)), of_library(flag.into()));
        }
    }
}
