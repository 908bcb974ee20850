//! The AVX-512 path with bf16 dot products.

use std::arch::x86_64::*;

use super::avx2::{max_8_lanes, sum_8_lanes};
use super::{Kernel, LANES, Simd};
use crate::ops::operand::{OPERAND_CEILING, OPERAND_FLOOR};

/// Token of the AVX-512 path; exists only where the instructions do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The token, if this machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        has.then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn with_features<K: Kernel>(kernel: K, token: Avx512) -> K::Output {
    kernel.run(token)
}

/// Calls an intrinsic.
macro_rules! lanes {
    ($intrinsic:ident, $($x:expr),+) => {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { $intrinsic($($x),+) }
    };
}

impl Simd for Avx512 {
    type F = __m512;
    type W = __m512bh;
    type A = __m512bh;

    const DOT_ROWS: usize = 6;
    const DOT_TILES: usize = 4;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has these features.
        unsafe { with_features(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        lanes!(_mm512_set1_ps, x)
    }
    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        // SAFETY: the token proves AVX-512; 16 floats are readable.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: Self::F, to: &mut [f32; LANES]) {
        // SAFETY: the token proves AVX-512; 16 floats are writable.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        lanes!(_mm512_add_ps, a, b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        lanes!(_mm512_sub_ps, a, b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        lanes!(_mm512_mul_ps, a, b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        lanes!(_mm512_div_ps, a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        lanes!(_mm512_fmadd_ps, a, b, c)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        lanes!(_mm512_max_ps, a, b)
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        lanes!(_mm512_min_ps, a, b)
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        lanes!(_mm512_abs_ps, a)
    }
    #[inline(always)]
    fn select_less(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F {
        // SAFETY: the token proves that the machine has AVX-512.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes) }
    }
    #[inline(always)]
    fn scale_by_exponent(self, y: Self::F, t: Self::F) -> Self::F {
        // SAFETY: the token proves that the machine has AVX-512.
        unsafe {
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(t));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), exponent))
        }
    }
    #[inline(always)]
    fn load_operands(self, from: &[u16; LANES]) -> Self::F {
        // SAFETY: the token proves AVX-512; 16 halves are readable.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }
    #[inline(always)]
    fn store_operands(self, v: Self::F, to: &mut [u16; LANES]) {
        let ceiling = self.splat(OPERAND_CEILING);
        let clamped = self.min(self.max(v, self.splat(-OPERAND_CEILING)), ceiling);
        let windowed =
            self.select_less(self.abs(clamped), self.splat(OPERAND_FLOOR), self.splat(0.0), clamped);
        // SAFETY: the token proves AVX-512 with bf16; 16 halves are writable. `__m256bh` is 32 plain bytes.
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(windowed));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded);
        }
    }

    #[inline(always)]
    unsafe fn load_weights(self, from: *const u32) -> Self::W {
        // SAFETY: the token proves AVX-512; the caller promises 64 readable bytes. `__m512bh` is 64 plain bytes.
        unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
    }
    #[inline(always)]
    fn splat_pair(self, pair: u32) -> Self::A {
        // SAFETY: the token proves AVX-512. `__m512bh` is 64 plain bytes.
        unsafe { std::mem::transmute(_mm512_set1_epi32(pair as i32)) }
    }
    #[inline(always)]
    fn dot_pair(self, sum: Self::F, a: Self::A, w: Self::W) -> Self::F {
        lanes!(_mm512_dpbf16_ps, sum, a, w)
    }
    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    fn sum_lanes(self, v: Self::F) -> f32 {
        // SAFETY: the token proves that the machine has AVX-512 and AVX2.
        unsafe { sum_8_lanes(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v))) }
    }
    #[inline(always)]
    fn max_lanes(self, v: Self::F) -> f32 {
        // SAFETY: the token proves that the machine has AVX-512 and AVX2.
        unsafe { max_8_lanes(_mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v))) }
    }
}
