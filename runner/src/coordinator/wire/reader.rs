//! Reads msgpack where it lies: nothing is copied before its type is known. Every length is checked here again, whatever
//! was scanned before.

use rmpv::Value;

use super::scan::length;
use super::value::describe;

/// A place in a message, before a value.
#[derive(Clone, Copy, Default)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// Any msgpack number.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// An integer from 0 up.
    Natural(u64),
    /// An integer below 0.
    Negative(i64),
    /// A float of either width.
    Real(f64),
}

// Each reads one value and steps over it, or returns `None` if it is of another kind; where the reader stands then is
// of no use to anybody.
impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// Before a nil: what is read where nothing came.
    pub(super) fn nil() -> Reader<'static> {
        Reader { rest: &[0xc0] }
    }

    /// Nothing is ahead.
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(super) fn is_at_nil(&self) -> bool {
        self.rest.first() == Some(&0xc0)
    }

    pub(super) fn is_at_text(&self) -> bool {
        matches!(self.rest.first(), Some(0xa0..=0xbf | 0xd9..=0xdb))
    }

    pub(super) fn is_at_list(&self) -> bool {
        matches!(self.rest.first(), Some(0x90..=0x9f | 0xdc | 0xdd))
    }

    /// The value ahead in a few words.
    pub(super) fn describe(mut self) -> String {
        self.value().map_or("a message that ends early".into(), |value| describe(&value))
    }

    #[inline]
    fn marker(&mut self) -> Option<u8> {
        let (&marker, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(marker)
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*chunk)
    }

    #[inline]
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    /// A big-endian length of 1, 2 or 4 bytes.
    fn size<const N: usize>(&mut self) -> Option<usize> {
        Some(self.chunk::<N>()?.iter().fold(0, |size, &byte| size << 8 | usize::from(byte)))
    }

    #[inline]
    pub(super) fn number(&mut self) -> Option<Number> {
        let signed = |n: i64| u64::try_from(n).map_or(Number::Negative(n), Number::Natural);
        Some(match self.marker()? {
            small @ 0x00..=0x7f => Number::Natural(small.into()),
            small @ 0xe0..=0xff => Number::Negative((small as i8).into()),
            0xcc => Number::Natural(u8::from_be_bytes(self.chunk()?).into()),
            0xcd => Number::Natural(u16::from_be_bytes(self.chunk()?).into()),
            0xce => Number::Natural(u32::from_be_bytes(self.chunk()?).into()),
            0xcf => Number::Natural(u64::from_be_bytes(self.chunk()?)),
            0xd0 => signed(i8::from_be_bytes(self.chunk()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.chunk()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.chunk()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.chunk()?)),
            0xca => Number::Real(f32::from_be_bytes(self.chunk()?).into()),
            0xcb => Number::Real(f64::from_be_bytes(self.chunk()?)),
            0x80..=0xc9 | 0xd4..=0xdf => return None,
        })
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Option<bool> {
        match self.marker()? {
            0xc2 => Some(false),
            0xc3 => Some(true),
            _ => None,
        }
    }

    /// The bytes of a string, which need not be UTF-8.
    #[inline]
    pub(super) fn text_bytes(&mut self) -> Option<&'a [u8]> {
        let size = match self.marker()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => self.size::<1>()?,
            0xda => self.size::<2>()?,
            0xdb => self.size::<4>()?,
            _ => return None,
        };
        self.bytes(size)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text_bytes()?).ok()
    }

    pub(super) fn raw_bytes(&mut self) -> Option<&'a [u8]> {
        let size = match self.marker()? {
            0xc4 => self.size::<1>()?,
            0xc5 => self.size::<2>()?,
            0xc6 => self.size::<4>()?,
            _ => return None,
        };
        self.bytes(size)
    }

    /// Values in the array that begins here.
    pub(super) fn list(&mut self) -> Option<usize> {
        match self.marker()? {
            short @ 0x90..=0x9f => Some(usize::from(short & 0x0f)),
            0xdc => self.size::<2>(),
            0xdd => self.size::<4>(),
            _ => None,
        }
    }

    /// Pairs of key and value in the map that begins here.
    pub(super) fn map(&mut self) -> Option<usize> {
        match self.marker()? {
            short @ 0x80..=0x8f => Some(usize::from(short & 0x0f)),
            0xde => self.size::<2>(),
            0xdf => self.size::<4>(),
            _ => None,
        }
    }

    /// Steps over any value; a reader that stands before it.
    pub(super) fn skip(&mut self) -> Option<Reader<'a>> {
        let bytes = self.bytes(length(self.rest)?)?;
        Some(Reader { rest: bytes })
    }

    /// Any value, of whatever type; the library bounds its own recursion.
    pub(super) fn value(&mut self) -> Option<Value> {
        rmpv::decode::read_value(&mut self.rest).ok()
    }
}
