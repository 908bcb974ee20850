//! Parts into wider registers and back.

use super::{L32, L64, LANES, for_each_isa};

for_each_isa! {
    /// Two words to a double word.
    pub(in super::super) fn join(d: &mut L64, low: &L32, high: &L32) {
        for i in 0..LANES {
            d.0[i] = u64::from(high.0[i]) << 32 | u64::from(low.0[i]);
        }
    }
}

for_each_isa! {
    /// A double word to its words.
    pub(in super::super) fn split(low: &mut L32, high: &mut L32, a: &L64) {
        for i in 0..LANES {
            low.0[i] = a.0[i] as u32;
            high.0[i] = (a.0[i] >> 32) as u32;
        }
    }
}

for_each_isa! {
    /// Parts of `bits` bits to a word.
    pub(in super::super) fn join_narrow(bits: u32, d: &mut L32, parts: [&L32; 4]) {
        let mask = (1_u32 << bits) - 1;
        for i in 0..LANES {
            let mut word = 0;
            for (index, part) in parts.iter().enumerate() {
                let at = bits * index as u32;
                word |= if at < 32 { (part.0[i] & mask) << at } else { 0 };
            }
            d.0[i] = word;
        }
    }
}

for_each_isa! {
    /// The part at `index` of `bits` bits each.
    pub(in super::super) fn extract(bits: u32, index: u32, d: &mut L32, a: &L32) {
        let mask = (1_u32 << bits) - 1;
        for i in 0..LANES {
            d.0[i] = a.0[i] >> (bits * index) & mask;
        }
    }
}
