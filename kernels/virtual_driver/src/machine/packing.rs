//! Parts into wider registers and back.

use super::context::Context;
use super::lanes::{L32, L64, pack};
use super::warp::Warp;
use crate::isa::{Packing, R};

impl Warp {
    #[inline(always)]
    pub(super) fn pack(&mut self, context: &Context<'_>, mask: u32, how: Packing, d: R, parts: [R; 4]) {
        let isa = context.isa;
        let narrow = |warp: &Self, bits: u32, parts: [R; 4]| {
            let mut out = L32::ZERO;
            pack::join_narrow(isa, bits, &mut out, parts.map(|r| warp.r32(r)));
            out
        };
        let join = |low: &L32, high: &L32| {
            let mut out = L64::ZERO;
            pack::join(isa, &mut out, low, high);
            out
        };
        match how {
            Packing::B8x4 => {
                let out = narrow(self, 8, parts);
                self.write32(context, d, mask, &out);
            }
            Packing::B16x2 => {
                let out = narrow(self, 16, parts);
                self.write32(context, d, mask, &out);
            }
            Packing::B16x4 => {
                let low = narrow(self, 16, [parts[0], parts[1], R::NONE, R::NONE]);
                let high = narrow(self, 16, [parts[2], parts[3], R::NONE, R::NONE]);
                self.write64(context, d, mask, &join(&low, &high));
            }
            Packing::B32x2 => {
                let out = join(self.r32(parts[0]), self.r32(parts[1]));
                self.write64(context, d, mask, &out);
            }
            Packing::B32x4 => {
                let low = join(self.r32(parts[0]), self.r32(parts[1]));
                let high = join(self.r32(parts[2]), self.r32(parts[3]));
                self.write64(context, d, mask, &low);
                self.write64(context, R(d.0 + 2), mask, &high);
            }
            Packing::B64x2 => {
                let (low, high) = (*self.r64(parts[0]), *self.r64(parts[1]));
                self.write64(context, d, mask, &low);
                self.write64(context, R(d.0 + 2), mask, &high);
            }
        }
    }

    #[inline(always)]
    pub(super) fn unpack(&mut self, context: &Context<'_>, mask: u32, how: Packing, parts: [R; 4], a: R) {
        let isa = context.isa;
        let split = |wide: &L64| {
            let (mut low, mut high) = (L32::ZERO, L32::ZERO);
            pack::split(isa, &mut low, &mut high, wide);
            [low, high]
        };
        // All parts are taken before any register is written: a part may share its slot with the source.
        let narrow = |words: &[L32], bits: u32| {
            let each = 32 / bits;
            std::array::from_fn::<L32, 4, _>(|index| {
                let mut out = L32::ZERO;
                if let Some(word) = words.get(index / each as usize) {
                    pack::extract(isa, bits, index as u32 % each, &mut out, word);
                }
                out
            })
        };
        if how == Packing::B32x2 {
            let [low, high] = split(self.r64(a));
            self.write32(context, parts[0], mask, &low);
            self.write32(context, parts[1], mask, &high);
            return;
        }
        let values = match how {
            Packing::B8x4 => narrow(&[*self.r32(a)], 8),
            Packing::B16x2 => narrow(&[*self.r32(a)], 16),
            Packing::B16x4 => narrow(&split(self.r64(a)), 16),
            Packing::B32x4 => {
                let ([a0, a1], [a2, a3]) = (split(self.r64(a)), split(self.r64(R(a.0 + 2))));
                [a0, a1, a2, a3]
            }
            Packing::B32x2 | Packing::B64x2 => {
                let (low, high) = (*self.r64(a), *self.r64(R(a.0 + 2)));
                self.write64(context, parts[0], mask, &low);
                self.write64(context, parts[1], mask, &high);
                return;
            }
        };
        for (r, value) in parts.iter().zip(&values) {
            self.write32(context, *r, mask, value);
        }
    }
}
