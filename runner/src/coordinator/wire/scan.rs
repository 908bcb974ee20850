//! One flat pass over a payload before anything is allocated for it.
//!
//! The reader behind it neither trusts claimed lengths nor recurses without a bound, but where it passes a value through it
//! turns one byte (a nil, a small number) into some 40; so the number of values is bounded here, and a length that the rest
//! of the message cannot hold is named where it stands.

use super::WireLimits;
use super::error::WireError;

/// Checks that `bytes` are exactly one msgpack value within the limits.
pub(super) fn scan(bytes: &[u8], limits: &WireLimits) -> Result<(), WireError> {
    if bytes.len() > limits.max_message_bytes {
        return Err(WireError::TooLarge { bytes: bytes.len(), limit: limits.max_message_bytes });
    }
    let mut scanner = Scanner { bytes, at: 0 };
    // Values still to come on this level, the root being one value, and on those around it.
    let (mut left, mut around): (u64, Vec<u64>) = (1, Vec::new());
    let mut num_values = 0;
    loop {
        if left == 0 {
            let Some(outer) = around.pop() else { break };
            left = outer;
            continue;
        }
        left -= 1;
        num_values += 1;
        if num_values > limits.max_values {
            return Err(scanner.error(format!("more than {} values", limits.max_values)));
        }
        if scanner.step_over_leaf() {
            continue;
        }
        let children = scanner.value()?;
        if children > 0 {
            if around.len() >= limits.max_depth {
                return Err(scanner.error(format!("more than {} levels", limits.max_depth)));
            }
            around.push(std::mem::replace(&mut left, children));
        }
    }
    match scanner.rest() {
        0 => Ok(()),
        extra => Err(scanner.error(format!("{extra} bytes after the message"))),
    }
}

/// Bytes of the value that `bytes` begin with; `None` if it is cut off.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let mut scanner = Scanner { bytes, at: 0 };
    let mut num_left: u64 = 1;
    while num_left > 0 {
        num_left -= 1;
        if !scanner.step_over_leaf() {
            num_left += scanner.value().ok()?;
        }
    }
    Some(scanner.at)
}

/// By marker: bytes of a value whose marker tells its length, and that has no values inside it; 0 for all others.
const LEAF_SIZES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut marker = 0;
    while marker < 256 {
        sizes[marker] = match marker as u8 {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            short @ 0xa0..=0xbf => 1 + (short & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 | 0xd4 => 3,
            0xd5 => 4,
            0xca | 0xce | 0xd2 => 5,
            0xd6 => 6,
            0xcb | 0xcf | 0xd3 => 9,
            0xd7 => 10,
            0xd8 => 18,
            0x80..=0x9f | 0xc1 | 0xc4..=0xc9 | 0xd9..=0xdf => 0,
        };
        marker += 1;
    }
    sizes
};

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn error(&self, what: String) -> WireError {
        WireError::Msgpack { offset: self.at, what }
    }

    fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Steps over a value of the most frequent kinds; false, and nothing is done, if it is of another kind or cut off.
    #[inline]
    fn step_over_leaf(&mut self) -> bool {
        let size = self.bytes.get(self.at).map_or(0, |&marker| LEAF_SIZES[usize::from(marker)]);
        let fits = size > 0 && usize::from(size) <= self.rest();
        self.at += if fits { usize::from(size) } else { 0 };
        fits
    }

    /// Steps over one value's own bytes; returns how many values inside it follow.
    fn value(&mut self) -> Result<u64, WireError> {
        let marker = *self.bytes.get(self.at).ok_or_else(|| self.error("the message ends early".into()))?;
        self.at += 1;
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Ok(0),
            0x80..=0x8f => self.children(u64::from(marker & 0x0f), 2),
            0x90..=0x9f => self.children(u64::from(marker & 0x0f), 1),
            0xa0..=0xbf => self.skip(u64::from(marker & 0x1f)),
            0xc1 => Err(self.error("the reserved marker c1".into())),
            0xc4 | 0xd9 => self.sized(1, 0),
            0xc5 | 0xda => self.sized(2, 0),
            0xc6 | 0xdb => self.sized(4, 0),
            0xc7 => self.sized(1, 1),
            0xc8 => self.sized(2, 1),
            0xc9 => self.sized(4, 1),
            0xcc | 0xd0 => self.skip(1),
            0xcd | 0xd1 => self.skip(2),
            0xca | 0xce | 0xd2 => self.skip(4),
            0xcb | 0xcf | 0xd3 => self.skip(8),
            0xd4..=0xd8 => self.skip((1 << (marker - 0xd4)) + 1),
            0xdc => self.counted(2, 1),
            0xdd => self.counted(4, 1),
            0xde => self.counted(2, 2),
            0xdf => self.counted(4, 2),
        }
    }

    fn skip(&mut self, length: u64) -> Result<u64, WireError> {
        if length > self.rest() as u64 {
            return Err(self.error(format!("{length} bytes claimed, {} left", self.rest())));
        }
        self.at += length as usize;
        Ok(0)
    }

    /// A big-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Result<u64, WireError> {
        let digits = self.bytes.get(self.at..self.at + width);
        let digits = digits.ok_or_else(|| self.error("the message ends early".into()))?;
        let number = digits.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        self.at += width;
        Ok(number)
    }

    fn sized(&mut self, width: usize, extra: u64) -> Result<u64, WireError> {
        let length = self.number(width)?;
        self.skip(length + extra)
    }

    fn counted(&mut self, width: usize, values_each: u64) -> Result<u64, WireError> {
        let count = self.number(width)?;
        self.children(count, values_each)
    }

    fn children(&self, count: u64, values_each: u64) -> Result<u64, WireError> {
        let values = count * values_each;
        // Every value takes a byte at least.
        if values > self.rest() as u64 {
            return Err(self.error(format!("{values} values claimed, {} bytes left", self.rest())));
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> WireLimits {
        WireLimits { max_message_bytes: 1 << 20, max_values: 1000, max_depth: 8 }
    }

    fn refusal(bytes: &[u8]) -> String {
        scan(bytes, &limits()).unwrap_err().to_string()
    }

    #[test]
    fn lying_lengths_are_refused_where_they_stand() {
        assert_eq!(
            refusal(&[0xdd, 0xff, 0xff, 0xff, 0xff]),
            "not a readable msgpack value: 4294967295 values claimed, 0 bytes left at byte 5"
        );
        assert!(refusal(&[0xdf, 0xff, 0xff, 0xff, 0xff]).contains("8589934590 values claimed"));
        assert!(refusal(&[0xdb, 0xff, 0xff, 0xff, 0xff]).contains("4294967295 bytes claimed, 0 left"));
        assert!(refusal(&[0xc9, 0xff, 0xff, 0xff, 0xff]).contains("4294967296 bytes claimed"));
        assert!(refusal(&[0x92, 0x01]).contains("2 values claimed, 1 bytes left"));
    }

    #[test]
    fn depth_count_size_and_trailing_bytes_are_bounded() {
        let mut deep = vec![0x91; 9];
        deep.push(0xc0);
        assert!(refusal(&deep).contains("more than 8 levels"));
        assert!(scan(&deep[1..], &limits()).is_ok());
        let mut wide = vec![0xdc, 0x03, 0xe8];
        wide.extend([0xc0; 1000]);
        assert!(refusal(&wide).contains("more than 1000 values"));
        assert!(refusal(&[0x91, 0x00, 0x00]).contains("1 bytes after the message"));
        assert!(refusal(&[]).contains("ends early"));
        assert!(refusal(&vec![0; (1 << 20) + 1]).contains("at most 1048576 are accepted"));
    }

    proptest! {
        /// Whatever passes the scan, the decoder reads to the last byte; what the scan refuses for its form,
        /// the decoder does not read as exactly one value.
        #[test]
        fn agrees_with_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut rest = bytes.as_slice();
            let decoded = rmpv::decode::read_value(&mut rest);
            let one_value = decoded.is_ok() && rest.is_empty();
            if scan(&bytes, &limits()).is_ok() {
                prop_assert!(one_value);
            } else if one_value {
                // The decoder reads c1 as nil and allows more depth.
                prop_assert!(bytes.contains(&0xc1) || bytes.len() > limits().max_depth);
            }
        }
    }
}
