//! The reference path: plain Rust, one lane after the other, on any machine.

use std::array::from_fn;

use super::{Kernel, LANES, Simd};
use crate::ops::operand::round_to_operand;

/// Token of the scalar path; always available.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    type F = [f32; LANES];
    type W = [f32; LANES];
    type A = f32;

    const STEPS: usize = 2;
    const DOT_SUMS: usize = 2;
    const DOT_ROWS: usize = 2;

    #[inline(never)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }
    #[inline(always)]
    fn store(self, v: Self::F, to: &mut [f32; LANES]) {
        *to = v;
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        from_fn(|i| a[i].abs())
    }
    #[inline(always)]
    fn select_less(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F {
        from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn scale_by_exponent(self, y: Self::F, t: Self::F) -> Self::F {
        from_fn(|i| f32::from_bits(y[i].to_bits().wrapping_add(t[i].to_bits() << 23)))
    }
    #[inline(always)]
    fn load_operands(self, from: &[u16; LANES]) -> Self::F {
        from.map(|half| f32::from_bits(u32::from(half) << 16))
    }
    #[inline(always)]
    fn store_operands(self, v: Self::F, to: &mut [u16; LANES]) {
        *to = from_fn(|i| round_to_operand(v[i]).to_bits());
    }

    #[inline(always)]
    fn round_to_row(self, v: Self::F, to: &mut [u32]) -> Self::F {
        let rounded = v.map(|x| round_to_operand(x).to_f32());
        to[..LANES].copy_from_slice(&rounded.map(f32::to_bits));
        rounded
    }

    #[inline(always)]
    unsafe fn load_weights<const STEP: usize>(self, from: *const u32) -> Self::W {
        // SAFETY: the caller promises 16 readable words.
        let words = unsafe { from.cast::<[u32; LANES]>().read() };
        words.map(|word| f32::from_bits(if STEP == 0 { word & 0xffff_0000 } else { word << 16 }))
    }
    #[inline(always)]
    unsafe fn splat_row<const STEP: usize>(self, from: *const u32) -> Self::A {
        // SAFETY: the caller promises two readable words.
        unsafe { *from.add(1 - STEP).cast::<f32>() }
    }
    /// Products of operands are exact in f32, so separate multiplications and additions round like fused ones.
    #[inline(always)]
    fn dot_step(self, sum: Self::F, a: Self::A, w: Self::W) -> Self::F {
        from_fn(|i| sum[i] + a * w[i])
    }
    #[inline(always)]
    fn prefetch(self, _at: *const u32) {}
    #[inline(always)]
    fn prefetch_l2(self, _at: *const u32) {}
}
