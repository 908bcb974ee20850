//! The AVX-512 paths: pairs multiplied by bf16 dot products, or element by element by fused multiply-adds of f32.

use std::arch::x86_64::*;

use super::avx2::{max_8_lanes, sum_8_lanes};
use super::{Kernel, LANES, Simd, operand_window, row_part};

/// Token of an AVX-512 path, with bf16 dot products (`BF16`) or without; exists only where the instructions do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512<const BF16: bool>(());

impl<const BF16: bool> Avx512<BF16> {
    /// The token, if this machine has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        has.then_some(Self(()))
    }
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn with_features<K: Kernel, const BF16: bool>(kernel: K, token: Avx512<BF16>) -> K::Output {
    kernel.run(token)
}

#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn with_bf16<K: Kernel, const BF16: bool>(kernel: K, token: Avx512<BF16>) -> K::Output {
    kernel.run(token)
}

/// f32 to the nearest bf16 (even if tied), in the high half of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn round(x: __m512) -> __m512i {
    let bits = _mm512_castps_si512(x);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm512_and_si512(rounded, _mm512_set1_epi32(0xffff_0000_u32 as i32))
}

/// Calls an intrinsic.
macro_rules! lanes {
    ($intrinsic:ident, $($x:expr),+) => {
        // SAFETY: the token proves that the machine has the instruction.
        unsafe { $intrinsic($($x),+) }
    };
}

impl<const BF16: bool> Simd for Avx512<BF16> {
    type F = __m512;
    /// f32, or the bits of pairs of bf16.
    type W = __m512;
    type A = __m512;

    const STEPS: usize = if BF16 { 1 } else { 2 };
    // Without bf16, weights are converted again for each block of rows: higher blocks of fewer tiles share that.
    const DOT_SUMS: usize = 24;
    const DOT_ROWS: usize = if BF16 { 6 } else { 12 };

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has these features.
        unsafe { if BF16 { with_bf16(kernel, self) } else { with_features(kernel, self) } }
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
        // "Not less", so that a mask that zeroes (most callers' `yes` is 0) need not be inverted.
        // SAFETY: the token proves that the machine has AVX-512.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, b), yes, no) }
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
        let windowed = operand_window(self, v);
        // SAFETY: the token proves AVX-512, and bf16 where that is used; 16 halves are writable. `__m256bh` is 32 plain bytes.
        unsafe {
            let rounded = if BF16 {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(windowed))
            } else {
                _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(round(windowed)))
            };
            _mm256_storeu_si256(to.as_mut_ptr().cast(), rounded);
        }
    }

    #[inline(always)]
    fn round_to_row(self, v: Self::F, to: &mut [u32]) -> Self::F {
        if BF16 {
            let operands = bytemuck::cast_slice_mut(&mut to[..LANES / 2]);
            let operands: &mut [u16; LANES] = operands.try_into().expect("16 halves");
            self.store_operands(v, operands);
            self.load_operands(operands)
        } else {
            // SAFETY: the token proves that the machine has AVX-512.
            let rounded = unsafe { _mm512_castsi512_ps(round(operand_window(self, v))) };
            self.store(rounded, row_part(to));
            rounded
        }
    }

    #[inline(always)]
    unsafe fn load_weights<const STEP: usize>(self, from: *const u32) -> Self::W {
        // SAFETY: the token proves AVX-512; the caller promises 64 readable bytes.
        unsafe {
            let pairs = _mm512_loadu_si512(from.cast());
            _mm512_castsi512_ps(match (BF16, STEP) {
                (true, _) => pairs,
                (false, 0) => _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32)),
                (false, _) => _mm512_slli_epi32::<16>(pairs),
            })
        }
    }
    #[inline(always)]
    unsafe fn splat_row<const STEP: usize>(self, from: *const u32) -> Self::A {
        // SAFETY: the token proves AVX-512; the caller promises a readable word, or two.
        unsafe {
            if BF16 {
                _mm512_castsi512_ps(_mm512_set1_epi32(*from.cast()))
            } else {
                _mm512_set1_ps(*from.add(1 - STEP).cast())
            }
        }
    }
    #[inline(always)]
    fn dot_step(self, sum: Self::F, a: Self::A, w: Self::W) -> Self::F {
        // SAFETY: the token proves AVX-512, and bf16 where that is used. `__m512bh` is 64 plain bytes.
        unsafe {
            if BF16 {
                let [a, w] = [a, w].map(|x| std::mem::transmute::<__m512, __m512bh>(x));
                _mm512_dpbf16_ps(sum, a, w)
            } else {
                _mm512_fmadd_ps(a, w, sum)
            }
        }
    }
    #[inline(always)]
    fn prefetch(self, at: *const u32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn prefetch_l2(self, at: *const u32) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
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
